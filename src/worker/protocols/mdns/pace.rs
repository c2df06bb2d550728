//! Limits how often multicast DNS sends, reads and reports the same, whoever asks and however often.
//! Pure; time comes in as an argument.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::{Duration, Instant};

use super::Discovered;
use crate::admission::TokenBucket;

/// Least time between two multicasts of the same on one interface (RFC 6762 sections 5.2 and 6).
const INTERVAL: Duration = Duration::from_secs(1);

/// Packets of one frame read in a second on one interface. A query in a network of 256 peers brings
/// 256 answers at once; the costliest takes 0.2 ms a frame, 5 % of the thread.
pub(crate) const FRAMES_PER_SECOND: u32 = 256;
/// Frames that may come at once after a silence.
pub(crate) const BURST_FRAMES: u32 = 2 * FRAMES_PER_SECOND;
/// The unit by which a packet is charged, an Ethernet frame: one of 9000 bytes costs the work of six.
const FRAME_BYTES: usize = 1500;

/// Time for which the same peer with the same addresses isn't reported again.
const REPEAT: Duration = Duration::from_secs(1);
/// Reports that are remembered for that.
const MAX_RECENT: usize = 256;

/// The moment of the last packet of a kind, and that of the next one, if one is to be sent.
#[derive(Default)]
pub(crate) struct Pace {
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Pace {
    /// Asks for a turn at `at`, or as soon after as the interval allows; an earlier one stays.
    pub(crate) fn want(&mut self, at: Instant) {
        let at = self.last.map_or(at, |last| at.max(last + INTERVAL));
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the turn, where its time has come.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.due = None;
        self.last = Some(now);
        true
    }
}

/// The frames that may still be read on one interface.
pub(crate) struct Budget(TokenBucket);

impl Budget {
    pub(crate) fn new() -> Self {
        Budget(TokenBucket::new(FRAMES_PER_SECOND, BURST_FRAMES))
    }

    /// Takes the frames of a packet; false where it may not be read.
    pub(crate) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        self.0.take_many(bytes.div_ceil(FRAME_BYTES).max(1) as f64, now)
    }
}

/// The reports of the last [`REPEAT`]: even on a quiet machine each answer comes once by each
/// interface, and again for each asker.
#[derive(Default)]
pub(crate) struct Recent {
    told: VecDeque<(Instant, u64)>,
    // Keyed at random, so that nobody can hide a peer behind another's hash.
    hasher: RandomState,
}

impl Recent {
    /// Tells whether this was reported within [`REPEAT`]; where not, it counts as reported now.
    pub(crate) fn is_repeat(&mut self, heard: &Discovered, now: Instant) -> bool {
        let mut hasher = self.hasher.build_hasher();
        heard.hash(&mut hasher);
        let hash = std::hash::Hasher::finish(&hasher);
        while self.told.front().is_some_and(|&(at, _)| now.saturating_duration_since(at) >= REPEAT)
        {
            self.told.pop_front();
        }
        if self.told.iter().any(|&(_, told)| told == hash) {
            return true;
        }
        if self.told.len() == MAX_RECENT {
            self.told.pop_front();
        }
        self.told.push_back((now, hash));
        false
    }
}
