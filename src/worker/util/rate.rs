//! Limits how often something may happen: `per_second` times on average, `burst` times at once.
//!
//! Pure. The gater asks it before a handshake, gossipsub's message filter before a message is kept,
//! `discovery/records` before a signature is verified, `budgets` before a remote has us work.

use std::time::Instant;

use crate::PeerId;
use crate::worker::util::lru::Lru;

/// A bucket that fills at a steady rate and that each event takes one token out of.
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
        let idle = now.duration_since(self.refilled.unwrap_or(now));
        self.tokens = (self.tokens + idle.as_secs_f64() * self.per_second).min(self.burst);
        self.refilled = self.refilled.max(Some(now));
        let granted = self.tokens >= tokens;
        if granted {
            self.tokens -= tokens;
        }
        granted
    }

    /// Tells whether no more was taken lately than comes back in a second.
    pub(crate) fn is_modest(&self) -> bool {
        self.burst - self.tokens <= self.per_second
    }
}

/// Peers whose rate is remembered; more than that are hardly connected.
pub(crate) const MAX_PEERS: usize = 4096;

/// A bucket for each peer; one that disconnects is forgotten.
pub(crate) struct Rates {
    per_second: u32,
    burst: u32,
    buckets: Lru<PeerId, TokenBucket>,
}

impl Rates {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Rates { per_second, burst, buckets: Lru::new(MAX_PEERS) }
    }

    /// Takes one token of this peer's; false where its event may not pass now.
    pub(crate) fn take(&mut self, peer: &PeerId, now: Instant) -> bool {
        let full = || TokenBucket::new(self.per_second, self.burst);
        self.buckets.touch(*peer, full).take(now)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.buckets.len()
    }

    pub(crate) fn forget(&mut self, peer: &PeerId) {
        self.buckets.remove(peer);
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
