//! Limits how often each peer may do something.
//!
//! Pure. `lookup/ask_peers` asks it before a question is answered, `discovery/records` before a signature is verified.

use std::time::Instant;

use crate::PeerId;
use crate::admission::TokenBucket;
use crate::worker::util::lru::Lru;

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
