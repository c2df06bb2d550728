//! Limits how many may come in a second. A source is held to its share of them only while they are running out.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Prefix, Refusal, Source, TokenBucket};

/// The time over which a source's share of the rate is counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Lets so many pass in a second, and at once.
///
/// ```
/// use std::time::Instant;
/// use peerkit::admission::{Rate, Refusal, Source};
///
/// let (mut rate, now) = (Rate::new(2), Instant::now());
/// let mut come = || rate.take(Source::Local, now);
/// assert_eq!([come(), come(), come()], [Ok(()), Ok(()), Err(Refusal::TooFast)]);
/// ```
#[derive(Debug)]
pub struct Rate {
    tokens: TokenBucket,
    /// The tokens below which a source is held to its share.
    half: f64,
    /// Those that passed in this window: never more than the tokens of two.
    window: Option<Instant>,
    sources: HashMap<Source, u32>,
    prefixes: HashMap<Prefix, u32>,
    of_source: u32,
    of_prefix: u32,
}

impl Rate {
    /// Makes a rate, of which a source may have an eighth and a prefix a quarter once half is used up.
    #[must_use]
    pub fn new(per_second: u32) -> Rate {
        Rate {
            tokens: TokenBucket::new(per_second, per_second),
            half: f64::from(per_second) / 2.0,
            window: None,
            sources: HashMap::new(),
            prefixes: HashMap::new(),
            of_source: (per_second / 8).max(1),
            of_prefix: (per_second / 4).max(1),
        }
    }

    /// Lets a connection pass.
    ///
    /// # Errors
    /// [`Refusal::TooFast`], [`Refusal::Share`].
    pub fn take(&mut self, source: Source, now: Instant) -> Result<(), Refusal> {
        self.turn(now);
        let left = self.tokens.left(now);
        if left < 1.0 {
            return Err(Refusal::TooFast);
        }
        if let Some(prefix) = source.prefix() {
            let of_source = self.sources.entry(source).or_default();
            let of_prefix = self.prefixes.entry(prefix).or_default();
            let short = left < self.half;
            if short && (*of_source >= self.of_source || *of_prefix >= self.of_prefix) {
                return Err(Refusal::Share);
            }
            *of_source += 1;
            *of_prefix += 1;
        }
        self.tokens.take(now);
        Ok(())
    }

    /// Begins a new window when it is time.
    fn turn(&mut self, now: Instant) {
        if self.window.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            self.window = Some(now);
            self.sources.clear();
            self.prefixes.clear();
        }
    }
}
