//! Calls counted: the served with the time they took, the refused by the reason.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stats::Samples;

/// Calls, served and refused.
#[derive(Debug, Default)]
pub struct Tally {
    served: Samples,
    refused: BTreeMap<String, u64>,
}

impl Tally {
    pub fn served(&mut self, took: Duration) {
        self.served.push(took);
    }

    pub fn refused(&mut self, why: impl Into<String>) {
        *self.refused.entry(why.into()).or_default() += 1;
    }

    /// Returns the summary that a process sends to the driver: times are those of the served.
    pub fn summary(&self) -> Value {
        let mut summary = self.served.summary();
        let served = self.served.len() as u64;
        summary["served"] = json!(served);
        summary["asked"] = json!(served + self.refused.values().sum::<u64>());
        summary["refused"] = json!(self.refused);
        summary
    }
}

/// Makes calls at a rate, one after the other: one that is due while another is under way waits for it and
/// isn't made up for. `call` returns the time that a served one took, or why it wasn't.
pub fn paced(ms: u64, per_s: u64, mut call: impl FnMut() -> Result<Duration, String>) -> Value {
    let (end, pause) =
        (Instant::now() + Duration::from_millis(ms), Duration::from_secs(1) / per_s as u32);
    let mut tally = Tally::default();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return tally.summary();
        }
        match call() {
            Ok(took) => tally.served(took),
            Err(why) => tally.refused(why),
        }
        std::thread::sleep(pause.saturating_sub(begun.elapsed()));
    }
}
