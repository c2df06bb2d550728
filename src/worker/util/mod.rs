//! Helpers that know nothing of the node and serve several rooms.

pub(crate) mod addresses;
pub(crate) mod budgets;
pub(crate) mod clock;
pub(crate) mod interfaces;
pub(crate) mod lru;
pub(crate) mod networks;
pub(crate) mod rate;
pub(crate) mod sockets;

use std::time::Duration;

/// Converts a duration to milliseconds, as replies have it.
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
