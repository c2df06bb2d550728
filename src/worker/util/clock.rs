//! The one clock of the worker. Only here is the system's time read: the loop reads it once for each
//! turn (`Core::begin_turn`), behaviours and transports, which run between turns, hold a clone. A test
//! holds a clock that stands still until the test moves it.

#[cfg(test)]
use std::time::Duration;
use std::time::Instant;

use crate::clock::{self, Timestamp};

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
}
