//! Token buckets: so many at once, so many a second.

use std::collections::HashMap;
use std::time::Instant;

use crate::PeerId;

/// One bucket.
#[derive(Debug)]
pub(super) struct TokenBucket {
    burst: f64,
    per_second: f64,
    tokens: f64,
    refilled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(burst: u32, per_second: u32) -> Self {
        let (burst, per_second) = (burst.into(), per_second.into());
        TokenBucket { burst, per_second, tokens: burst, refilled: Instant::now() }
    }

    pub(super) fn take(&mut self, now: Instant) -> bool {
        let gained = now.duration_since(self.refilled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.burst);
        self.refilled = now;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

/// A bucket for each connected peer; whoever disconnects is forgotten.
#[derive(Debug)]
pub(super) struct Rates {
    burst: u32,
    per_second: u32,
    buckets: HashMap<PeerId, TokenBucket>,
}

impl Rates {
    pub(super) fn new((burst, per_second): (u32, u32)) -> Self {
        Rates { burst, per_second, buckets: HashMap::new() }
    }

    pub(super) fn take(&mut self, peer: &PeerId, now: Instant) -> bool {
        let new = || TokenBucket::new(self.burst, self.per_second);
        self.buckets.entry(*peer).or_insert_with(new).take(now)
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.buckets.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_refills_the_bucket_and_no_more() {
        let mut bucket = TokenBucket::new(3, 3);
        let start = bucket.refilled;
        let granted =
            |bucket: &mut TokenBucket, at: Instant| (0..10).filter(|_| bucket.take(at)).count();
        assert_eq!(granted(&mut bucket, start), 3);
        assert_eq!(granted(&mut bucket, start + Duration::from_secs(1)), 3);
        assert_eq!(granted(&mut bucket, start + Duration::from_secs(60)), 3);
    }
}
