//! Counts those that were refused at a door, by reason.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Refusal;

/// Counts refusals; whoever wants to know reads them from any thread.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; Refusal::ALL.len()]);

impl Counts {
    /// Counts one.
    pub fn add(&self, reason: Refusal) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many there were for this reason.
    #[must_use]
    pub fn of(&self, reason: Refusal) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    /// Returns the reasons for which any were refused, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.map(|reason| (reason, self.of(reason))).into_iter().filter(|(_, n)| *n > 0)
    }
}
