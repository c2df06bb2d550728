//! The worker's alarms, in order of time.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::PeerId;

/// What an alarm is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The deadline of a call.
    Deadline(u64),
    /// Time to see whether a peer has accepted us.
    Grace(PeerId),
    /// A step of a call's search for a peer has had its time.
    Lookup(u64),
    /// A pass of discovery is due, or has had its time.
    Pass,
    /// There may be something to dial.
    Tend,
    /// A connection is old enough to be closed for another's sake.
    Trim,
    /// An announcement is due.
    Announce,
    /// Who is on the local network is to be asked.
    AskAround,
}

/// All alarms that are set.
#[derive(Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(crate) fn clear(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    /// The next alarm whose time has come.
    pub(crate) fn pop_elapsed(&mut self, now: Instant) -> Option<Timer> {
        let &(at, _) = self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first().map(|(_, timer)| timer)
    }

    /// Waits for the first alarm; for ever where none is set.
    pub(crate) async fn elapsed(&self) {
        match self.0.first() {
            Some(&(at, _)) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}
