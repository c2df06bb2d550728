//! A reader's backlog: how late it is with what waits to be read, by the speed that is expected of it.
//!
//! Reading ahead earns nothing: the buffers of both systems take megabytes at once, and that isn't reading.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The moment from which microseconds are counted.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The speeds that are expected of a reader, in bytes a second.
#[derive(Debug, Clone, Copy)]
pub struct Speeds {
    /// In any case.
    pub least: u64,
    /// While somebody waits for the room of what it reads.
    pub pressed: u64,
}

/// The backlog of a connection. One task writes it, any may read it.
pub struct Backlog {
    least: Clock,
    pressed: Clock,
}

/// The time at which a reader of some speed would be where this one is; 0 while nothing waits.
struct Clock {
    bytes_a_second: u64,
    at: AtomicU64,
}

impl Backlog {
    /// Makes one where nothing waits.
    pub fn new(speeds: Speeds) -> Self {
        let clock = |bytes_a_second| Clock { bytes_a_second, at: AtomicU64::new(0) };
        Backlog { least: clock(speeds.least), pressed: clock(speeds.pressed) }
    }

    /// Notes that something waits to be read, and that so much was read of what waited before.
    pub fn waits(&self, read: usize) {
        let now = now();
        self.least.waits(read, now);
        self.pressed.waits(read, now);
    }

    /// Notes that nothing waits any more.
    pub fn is_empty(&self) {
        self.least.at.store(0, Ordering::Relaxed);
        self.pressed.at.store(0, Ordering::Relaxed);
    }

    /// Tells how late the reader is in any case.
    pub fn late(&self) -> Duration {
        self.least.late()
    }

    /// Tells how late it is while somebody waits.
    pub fn late_for_others(&self) -> Duration {
        self.pressed.late()
    }
}

impl Clock {
    fn waits(&self, read: usize, now: u64) {
        let at = match self.at.load(Ordering::Relaxed) {
            0 => now,
            at => {
                let read = u64::try_from(read).unwrap_or(u64::MAX);
                now.min(at + read.saturating_mul(1_000_000) / self.bytes_a_second.max(1))
            }
        };
        self.at.store(at, Ordering::Relaxed);
    }

    fn late(&self) -> Duration {
        match self.at.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            at => Duration::from_micros(now().saturating_sub(at)),
        }
    }
}

fn now() -> u64 {
    u64::try_from(BEGIN.elapsed().as_micros()).unwrap_or(u64::MAX >> 1) + 1
}
