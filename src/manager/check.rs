//! Checks of what callers pass, the same for every operation.

use std::time::{Duration, Instant};

use crate::config::MAX_TIMEOUT;
use crate::error::{Result, invalid_argument};
use crate::{PeerId, addr};

/// Returns the time at which a call with this timeout ends.
pub(super) fn deadline(timeout: Option<Duration>, default: Duration) -> Result<Instant> {
    Ok(Instant::now() + timeout.map_or(Ok(default), check_timeout)?)
}

/// Refuses a timeout that is too long.
pub(crate) fn check_timeout(timeout: Duration) -> Result<Duration> {
    if timeout > MAX_TIMEOUT {
        let most = MAX_TIMEOUT.as_millis();
        return Err(invalid_argument(format!("the timeout is at most {most} ms")));
    }
    Ok(timeout)
}

pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T> {
    value.ok_or_else(|| invalid_argument(format!("`{name}` is missing")))
}

pub(super) fn required_peer(peer_id: Option<String>) -> Result<PeerId> {
    addr::parse_peer_id(&required(peer_id, "peer_id")?)
}

pub(super) fn in_range(name: &str, value: Option<u32>, default: u32, most: u32) -> Result<u32> {
    match value.unwrap_or(default) {
        value if (1..=most).contains(&value) => Ok(value),
        value => {
            let message = format!("`{name}` must be a whole number from 1 to {most}, not {value}");
            Err(invalid_argument(message))
        }
    }
}
