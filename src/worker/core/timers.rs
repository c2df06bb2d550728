//! The worker's timers, in order of time: one for each purpose. Setting one again moves it.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::calls::CallId;
use crate::PeerId;

/// The purpose of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// The deadline of a call.
    Deadline(CallId),
    /// The silence of a peer may count as acceptance.
    Acceptance(PeerId),
    /// What a peer said of itself too fast is to be taken.
    Identify(PeerId),
    /// The time of a step of a call's look-up is over.
    LookupStep(CallId),
    /// A pass of discovery is due.
    Pass,
    /// The pass under way may be over.
    PassEnd,
    /// The auto dialer is to look for peers to dial.
    AutoDial,
    /// The clocks are to be compared, and the networks that this machine is on.
    Surroundings,
    /// A connection is old enough to be trimmed.
    Trim,
    /// Connections that were refused may be told of again.
    TellRefusals,
    /// This node's own peer record is to be published.
    #[cfg(feature = "gossip")]
    PublishRecord,
    /// Multicast DNS is to be asked.
    #[cfg(feature = "mdns")]
    QueryMdns,
}

/// All timers that are set.
#[derive(Default)]
pub(crate) struct Timers {
    in_order: BTreeSet<(Instant, Timer)>,
    set: HashMap<Timer, Instant>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        if let Some(before) = self.set.insert(timer, at) {
            self.in_order.remove(&(before, timer));
        }
        self.in_order.insert((at, timer));
    }

    /// Sets a timer that isn't set, or moves one that is set for later.
    pub(crate) fn set_at_latest(&mut self, at: Instant, timer: Timer) {
        if self.set.get(&timer).is_none_or(|set| *set > at) {
            self.set(at, timer);
        }
    }

    pub(crate) fn clear(&mut self, timer: Timer) {
        if let Some(at) = self.set.remove(&timer) {
            self.in_order.remove(&(at, timer));
        }
    }

    /// Takes out the first timer whose time has come.
    pub(crate) fn pop_elapsed(&mut self, now: Instant) -> Option<Timer> {
        let &(at, timer) = self.in_order.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    /// Tells when a timer goes off.
    #[cfg(test)]
    pub(crate) fn at(&self, timer: Timer) -> Option<Instant> {
        self.set.get(&timer).copied()
    }

    /// Waits for the first timer; for ever where none is set.
    pub(crate) async fn elapsed(&self) {
        match self.in_order.first() {
            Some(&(at, _)) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_timer_is_moved_and_goes_off_once() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers::default();
        timers.set(at(1), Timer::Trim);
        timers.set(at(5), Timer::Trim);
        timers.set_at_latest(at(9), Timer::Trim);
        timers.set_at_latest(at(3), Timer::Pass);
        assert_eq!(timers.pop_elapsed(at(2)), None);
        assert_eq!(timers.pop_elapsed(at(9)), Some(Timer::Pass));
        assert_eq!(timers.pop_elapsed(at(9)), Some(Timer::Trim));
        assert_eq!(timers.pop_elapsed(at(9)), None);
        timers.set(at(1), Timer::Pass);
        timers.clear(Timer::Pass);
        assert_eq!(timers.pop_elapsed(at(9)), None);
    }
}
