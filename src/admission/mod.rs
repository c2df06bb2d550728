//! The rule of admission where there isn't room for everybody: one for every door that strangers can knock at,
//! which are the swarm's, the program's HTTP server and the control socket.
//!
//! A door keeps a [`Pool`] of its places. A connection comes from a [`Source`] and has a [`Standing`]: in its
//! handshake, proven for so long, or trusted. While there is room everybody gets in, and a source may have any
//! number of places. Once it is full:
//!
//! 1. some places are kept for who is trusted ([`Rules::reserve`]);
//! 2. what a source or a prefix has beyond its share goes first, of the largest;
//! 3. then goes who was in its handshake for longest;
//! 4. nobody who has proved something goes for somebody who hasn't, and who is trusted goes for nobody.
//!
//! Pure: whoever asks hands in the time and closes what was displaced, and nothing happens while nobody asks.
//! Each question costs a few look-ups in ordered maps. docs/admission.md says what is promised to whom.

mod bucket;
mod counts;
mod pool;
mod rate;
mod source;

use std::fmt;
use std::time::Duration;

pub(crate) use self::bucket::TokenBucket;
pub use self::counts::Counts;
pub use self::pool::Pool;
pub use self::rate::Rate;
pub use self::source::{Prefix, Source};

#[cfg(test)]
mod tests;

/// The parts of a pool, in places, and how long a handshake is waited for.
///
/// ```
/// use peerkit::admission::Rules;
///
/// let rules = Rules::of(512);
/// assert_eq!((rules.reserve, rules.of_source, rules.of_prefix), (64, 14, 28));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// All places.
    pub size: usize,
    /// The places that only trusted connections may take.
    pub reserve: usize,
    /// The places that one address may keep once the pool is full.
    pub of_source: usize,
    /// The places that one prefix may keep once the pool is full.
    pub of_prefix: usize,
    /// The time that a handshake may take while there is room.
    pub patience: Duration,
    /// The time that a handshake may take when the pool is full.
    pub least_patience: Duration,
}

impl Rules {
    /// Makes the usual rules of a pool: an eighth of it is kept for who is trusted, and of the rest one source
    /// may keep a thirty-second part and one prefix a sixteenth, but four and eight of a small pool: several
    /// honest ones may share an address. A handshake may take 10 s, and 1 s when the pool is full.
    #[must_use]
    pub fn of(size: usize) -> Rules {
        let reserve = size / 8;
        let strangers = size - reserve;
        Rules {
            size,
            reserve,
            of_source: (strangers / 32).max(4),
            of_prefix: (strangers / 16).max(8),
            patience: Duration::from_secs(10),
            least_patience: Duration::from_secs(1),
        }
    }

    /// Sets how long a handshake may take: while there is room, and when the pool is full.
    #[must_use]
    pub fn patience(self, patience: Duration, least_patience: Duration) -> Rules {
        Rules { patience, least_patience, ..self }
    }
}

/// The proof that a connection has given of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its handshake isn't over, or it is silent again and has proved nothing that would keep its place.
    Unproven,
    /// Its handshake is over.
    Proven,
    /// It is the user's own, or somebody's whom the user named or this node knows.
    Trusted,
}

/// The reason why a connection was refused, or lost its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Every place is taken by somebody who has proved more.
    Full,
    /// There is no room, and its source or its prefix has its share.
    Share,
    /// Its place was given to another, and it had proved least.
    Displaced,
    /// Its handshake took too long.
    Overdue,
    /// More came in a second than may.
    TooFast,
}

impl Refusal {
    /// Every reason there is.
    pub const ALL: [Refusal; 5] =
        [Refusal::Full, Refusal::Share, Refusal::Displaced, Refusal::Overdue, Refusal::TooFast];

    /// Returns the name of the reason, as counts and metrics have it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Refusal::Full => "full",
            Refusal::Share => "share",
            Refusal::Displaced => "displaced",
            Refusal::Overdue => "overdue",
            Refusal::TooFast => "too_fast",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Full => "all places are taken",
            Refusal::Share => "all places are taken, and this source has its share of them",
            Refusal::Displaced => "its place was needed, and it had proved least",
            Refusal::Overdue => "its handshake took too long",
            Refusal::TooFast => "more connections in a second than allowed",
        })
    }
}

impl std::error::Error for Refusal {}
