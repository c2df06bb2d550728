//! The one clock of the worker. Only here is the system's time read: the loop reads it once for each
//! turn (`Core::begin_turn`), behaviours and transports, which run between turns, hold a clone. A test
//! holds a clock that stands still until the test moves it.

use std::time::{Duration, Instant};

use crate::clock::{self, Timestamp};

/// The least difference between the two clocks that is a jump of the wall clock. Adjustments that a time
/// service makes as it goes are far below: at most half a millisecond a second.
const LEAST_JUMP: Duration = Duration::from_secs(10);

/// Tells whether the wall clock jumped between two readings of both clocks: it was set, or the machine slept,
/// while which the monotonic clock stands still.
pub(crate) fn jumped(before: (Instant, Timestamp), after: (Instant, Timestamp)) -> bool {
    let expected = before.1.after(after.0.saturating_duration_since(before.0));
    after.1.since(expected).max(expected.since(after.1)) >= LEAST_JUMP
}

/// Reads the monotonic clock and the wall clock. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Clock {
    #[cfg(test)]
    moved: Option<std::sync::Arc<parking_lot::Mutex<(Instant, Timestamp)>>>,
}

impl Clock {
    /// Reads the monotonic clock.
    pub(crate) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(moved) = &self.moved {
            return moved.lock().0;
        }
        Instant::now()
    }

    /// Reads the wall clock.
    pub(crate) fn time(&self) -> Timestamp {
        #[cfg(test)]
        if let Some(moved) = &self.moved {
            return moved.lock().1;
        }
        clock::now()
    }
}

#[cfg(test)]
impl Clock {
    /// Makes a clock that stands still until [`advance`](Self::advance) moves it.
    pub(crate) fn stopped() -> Self {
        let start = Instant::now() + Duration::from_secs(3600);
        let time = Timestamp::from_micros(1_700_000_000_000_000);
        Clock { moved: Some(std::sync::Arc::new(parking_lot::Mutex::new((start, time)))) }
    }

    /// Moves both clocks on.
    pub(crate) fn advance(&self, by: Duration) {
        let moved = self.moved.as_ref().expect("only a stopped clock is moved");
        let mut moved = moved.lock();
        *moved = (moved.0 + by, moved.1.after(by));
    }

    /// Sets the wall clock alone.
    pub(crate) fn set(&self, time: Timestamp) {
        self.moved.as_ref().expect("only a stopped clock is set").lock().1 = time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_what_the_monotonic_clock_does_not_show() {
        let (start, seconds) = (Instant::now(), |s: i64| Timestamp::from_micros(s * 1_000_000));
        let after = |monotonic: u64, wall: i64| {
            let after = (start + Duration::from_secs(monotonic), seconds(100_000 + wall));
            jumped((start, seconds(100_000)), after)
        };
        assert!(!after(0, 0) && !after(3600, 3600), "time goes by");
        assert!(!after(3600, 3602) && !after(3600, 3598), "a time service adjusts the clock");
        assert!(after(1, 28_801) && after(60, 80), "the machine slept");
        assert!(after(1, -86_400) && after(60, 40), "the clock was set back");
    }
}
