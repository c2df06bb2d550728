//! A pass over the sources, and the answers it waits for. Pure.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::model::Source;
use crate::worker::protocols::kad::QueryId;

/// Time that a pass waits for what multicast DNS and gossip bring.
pub(super) const WINDOW: Duration = Duration::from_secs(2);
/// Time after which a pass ends, whatever still runs.
const PASS_TIMEOUT: Duration = Duration::from_secs(20);

/// A pass under way.
pub(super) struct Pass {
    pub number: u64,
    /// True where a call requested it.
    pub requested: bool,
    /// True where it leaves out the sources whose asking costs the whole network something.
    pub backs_off: bool,
    pub begun: Instant,
    /// The moment at which it ends at the latest.
    until: Instant,
    /// The moment until which it waits for answers that can't be counted.
    window: Instant,
    pending: HashSet<Pending>,
}

/// An answer that a pass waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Pending {
    /// A dial to a bootstrap peer, by discovery's own number.
    Dial(u64),
    Query(QueryId),
    Daemon(Source),
}

impl Pass {
    /// Begins a pass; `listens`: a source is on that brings answers which can't be counted.
    pub(super) fn new(number: u64, requested: bool, listens: bool, now: Instant) -> Self {
        let window = if listens { now + WINDOW } else { now };
        let (until, pending) = (now + PASS_TIMEOUT, HashSet::new());
        Pass { number, requested, backs_off: false, begun: now, until, window, pending }
    }

    pub(super) fn wait_for(&mut self, pending: Pending) {
        self.pending.insert(pending);
    }

    /// Takes an answer; false where the pass didn't wait for it.
    pub(super) fn arrived(&mut self, pending: Pending) -> bool {
        self.pending.remove(&pending)
    }

    /// Has the pass wait until this moment at least.
    pub(super) fn extend_window(&mut self, until: Instant) {
        self.window = self.window.max(until);
    }

    /// Ends the pass now; returns the queries it still waited for.
    pub(super) fn break_off(&mut self, now: Instant) -> Vec<QueryId> {
        self.until = now;
        let queries = self.pending.iter().filter_map(|pending| match pending {
            Pending::Query(query) => Some(*query),
            Pending::Dial(_) | Pending::Daemon(_) => None,
        });
        queries.collect()
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.until || self.pending.is_empty() && now >= self.window
    }

    /// Returns the moment at which to look next whether it is over.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        if self.window > now { self.window.min(self.until) } else { self.until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_waits_for_its_answers_and_for_the_window_and_no_longer_than_its_timeout() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut pass = Pass::new(1, false, true, start);
        pass.wait_for(Pending::Dial(7));
        assert!(!pass.is_over(at(3)));
        assert_eq!(pass.next_look(start), at(2));
        assert!(pass.arrived(Pending::Dial(7)) && !pass.arrived(Pending::Dial(7)));
        assert!(!pass.is_over(at(1)) && pass.is_over(at(2)));
        pass.extend_window(at(4));
        assert!(!pass.is_over(at(3)));
        pass.wait_for(Pending::Daemon(Source::Ipfs));
        assert_eq!(pass.next_look(at(5)), at(20));
        assert!(!pass.is_over(at(19)) && pass.is_over(at(20)));
        assert!(Pass::new(2, true, false, start).is_over(start), "nobody is waited for");
        pass.break_off(at(6));
        assert!(pass.is_over(at(6)));
    }
}
