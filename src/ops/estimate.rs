//! The sizes of replies, for a door that makes room for a reply before it has it made: estimated by what is asked for,
//! and set right by the replies that came.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};

use super::Operation;
use crate::manager::read;

/// The bytes that a peer usually takes in a list, and a reply without one.
const USUAL_ROW: usize = 640;
const USUAL_REPLY: usize = 4 << 10;
/// The estimate from which on it is one of rows.
const ROWS: usize = 8 << 10;
/// The unit of how far estimates are off.
const EXACT: usize = 16;
/// The most times that an estimate is taken to be too small.
const MOST_OFF: usize = 64;

impl Operation {
    /// Estimates the bytes of its reply to these parameters, for a door that makes room for a reply before it has it
    /// made. A peer counts as usual ones are; those with many addresses take more.
    #[must_use]
    pub fn reply_estimate(&self, params: &Map<String, Value>) -> usize {
        let rows = match self.name {
            "list_peers" => read::PAGE,
            "get_peers" | "search_peers" => read::SELECTION,
            _ => return USUAL_REPLY,
        };
        let given = params.get("limit").and_then(Value::as_f64).map(|limit| limit as u64);
        let rows = given.unwrap_or(u64::from(rows.usual)).min(u64::from(rows.most));
        usize::try_from(rows).unwrap_or(0) * USUAL_ROW + USUAL_REPLY
    }
}

/// Learns from replies how far estimates are off: where peers have many addresses they are, all of them. One reply
/// that is larger counts at once, smaller ones little by little.
///
/// ```
/// use peerkit::ops::ReplySizes;
///
/// let sizes = ReplySizes::default();
/// assert_eq!(sizes.expected(40_000), 40_000);
/// sizes.learn(40_000, 120_000);
/// assert_eq!(sizes.expected(40_000), 120_000);
/// ```
#[derive(Debug, Default)]
pub struct ReplySizes {
    /// The size of replies beside their estimates, in sixteenths.
    off: AtomicUsize,
}

impl ReplySizes {
    /// Returns the bytes to expect of a reply that is estimated at so many.
    #[must_use]
    pub fn expected(&self, estimate: usize) -> usize {
        let off = if estimate < ROWS { EXACT } else { self.off.load(Ordering::Relaxed).max(EXACT) };
        estimate.saturating_mul(off) / EXACT
    }

    /// Takes the bytes that a reply had which was estimated at so many.
    pub fn learn(&self, estimate: usize, bytes: usize) {
        if estimate < ROWS {
            return;
        }
        let now = (bytes.saturating_mul(EXACT) / estimate).min(MOST_OFF * EXACT);
        let before = self.off.load(Ordering::Relaxed);
        let off = now.max(before - before / EXACT).max(EXACT);
        if off != before {
            self.off.store(off, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::find;

    #[test]
    fn a_reply_is_estimated_by_the_rows_that_are_asked_for() {
        let estimate = |name, params: &str| {
            find(name).unwrap().reply_estimate(&serde_json::from_str(params).unwrap())
        };
        assert_eq!(estimate("status", "{}"), USUAL_REPLY);
        assert_eq!(estimate("list_peers", "{}"), USUAL_REPLY + 50 * USUAL_ROW);
        assert_eq!(estimate("list_peers", r#"{"limit": 9999}"#), USUAL_REPLY + 500 * USUAL_ROW);
        assert_eq!(estimate("get_peers", r#"{"limit": 2e3}"#), USUAL_REPLY + 2000 * USUAL_ROW);
        assert_eq!(estimate("search_peers", r#"{"limit": -1}"#), USUAL_REPLY);
    }
}
