//! Limits how often something may happen: `per_second` times on average, `burst` times at once. Pure.

use std::time::Instant;

/// A bucket that fills at a steady rate and that each event takes one token out of.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    /// The moment of the last refill; None until first asked.
    refilled: Option<Instant>,
}

impl TokenBucket {
    /// Makes a full one, which lets `burst` events pass at once.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let (per_second, burst) = (per_second.into(), burst.into());
        TokenBucket { per_second, burst, tokens: burst, refilled: None }
    }

    /// Takes one token; false where the event may not pass now.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        self.take_many(1.0, now)
    }

    /// Takes a number of tokens, or none; false where there aren't enough.
    pub(crate) fn take_many(&mut self, tokens: f64, now: Instant) -> bool {
        let granted = self.left(now) >= tokens;
        if granted {
            self.tokens -= tokens;
        }
        granted
    }

    /// Fills it up with what has come since the last time; returns the tokens that it has.
    pub(super) fn left(&mut self, now: Instant) -> f64 {
        let idle = now.duration_since(self.refilled.unwrap_or(now));
        self.tokens = (self.tokens + idle.as_secs_f64() * self.per_second).min(self.burst);
        self.refilled = self.refilled.max(Some(now));
        self.tokens
    }

    /// Tells whether no more was taken lately than comes back in a second.
    pub(crate) fn is_modest(&self) -> bool {
        self.burst - self.tokens <= self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_bucket_fills_at_its_rate_up_to_its_size() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(3, 5);
        let mut granted =
            |seconds| (0..10).filter(|_| bucket.take(start + Duration::from_secs(seconds))).count();
        assert_eq!([0, 1, 60].map(&mut granted), [5, 3, 5]);
        assert_eq!(granted(1), 0, "a moment that is past fills nothing");
        assert_eq!(granted(61), 3);
    }
}
