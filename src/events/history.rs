//! The events kept for those who subscribe later. A remote decides how often some of them happen, so what is
//! kept isn't simply the newest: each kind has a share that no other kind can take, and within a kind
//! a subject that has much in a full history makes room at its own cost.
//!
//! A kind may have more than its share for as long as others leave theirs. What goes is counted for each kind,
//! so that a replay tells of every loss: it may count too many as lost, never too few.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::backlog::{Bounds, Kept};
use super::kinds::Kinds;
use super::subject::Subject;
use crate::model::event::Kind;

/// The parts of the history. Each kind has one; those that are left are for who comes first.
const PARTS: usize = 16;
const _: () = assert!(Kind::ALL.len() < PARTS, "in a full history a kind has more than its share");
/// The events of one kind that a subject may have in a full history before it makes room at its own cost.
pub(super) const AT_OWN_COST: u32 = 16;

/// What is kept of all kinds.
pub(super) struct History {
    bounds: &'static Bounds,
    /// A place for each kind, in the order of [`Kind::ALL`].
    kinds: Vec<OfKind>,
    len: usize,
    bytes: usize,
}

/// What is kept of one kind, oldest first.
struct OfKind {
    kind: Kinds,
    events: VecDeque<Arc<Kept>>,
    bytes: usize,
    /// The number of its events by subject.
    subjects: HashMap<Subject, u32>,
    /// The number of events that are kept no more, and the last of them.
    lost: u64,
    last_lost: u64,
}

impl History {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        let kinds = Kind::ALL.iter().map(|kind| OfKind::new(*kind)).collect();
        History { bounds, kinds, len: 0, bytes: 0 }
    }

    /// Adds the newest.
    pub(super) fn push(&mut self, newest: Arc<Kept>) {
        while self.is_full_for(newest.cost) && self.make_room(&newest) {}
        self.len += 1;
        self.bytes += newest.cost;
        self.kinds[newest.event.kind.kind() as usize].push(newest);
    }

    fn is_full_for(&self, cost: usize) -> bool {
        self.len >= self.bounds.events
            || (self.len >= self.bounds.at_least && self.bytes + cost > self.bounds.bytes)
    }

    /// Lets go of one event; false where there is none.
    fn make_room(&mut self, newest: &Kept) -> bool {
        let own = newest.event.kind.kind() as usize;
        let over = |at: usize| {
            let added = if at == own { (1, newest.cost) } else { (0, 0) };
            self.kinds[at].is_over(self.bounds, added)
        };
        let oldest = |at: &usize| self.kinds[*at].events.front().map(|kept| kept.event.seq);
        let subject = newest.subject.as_ref().filter(|_| over(own));
        let (at, index) = match subject.and_then(|subject| self.kinds[own].at_own_cost(subject)) {
            Some(index) => (own, index),
            None => {
                let some = || (0..self.kinds.len()).filter(|at| oldest(at).is_some());
                let first = some().filter(|at| over(*at)).min_by_key(oldest);
                // One event that takes more than all the rest.
                let Some(at) = first.or_else(|| some().min_by_key(oldest)) else { return false };
                (at, 0)
            }
        };
        let cost = self.kinds[at].lose(index);
        self.len -= 1;
        self.bytes -= cost;
        true
    }

    /// Returns what is kept of these kinds after `since`, oldest first, and the number of those that aren't kept any
    /// more. That is exact for all kinds; for some of them it may be too large, and is 0 only where none is lost.
    pub(super) fn after(&self, since: u64, last: u64, kinds: Kinds) -> (Vec<Arc<Kept>>, u64) {
        let begin = |of: &OfKind| of.events.partition_point(|kept| kept.event.seq <= since);
        let kept: usize = self.kinds.iter().map(|of| of.events.len() - begin(of)).sum();
        let wanted = || self.kinds.iter().filter(|of| kinds.contains(of.kind));
        let mut events: Vec<_> =
            wanted().flat_map(|of| of.events.range(begin(of)..).cloned()).collect();
        events.sort_by_key(|kept| kept.event.seq);
        let lost: u64 = wanted().map(|of| of.lost_after(since)).sum();
        (events, lost.min(last.saturating_sub(since).saturating_sub(kept as u64)))
    }

    /// Returns the newest `count` events that are kept, or all there are, oldest first.
    pub(super) fn newest(&self, count: usize) -> Vec<Arc<Kept>> {
        let newest = |of: &OfKind| of.events.len().saturating_sub(count);
        let each = self.kinds.iter().flat_map(|of| of.events.range(newest(of)..).cloned());
        let mut events: Vec<_> = each.collect();
        events.sort_by_key(|kept| kept.event.seq);
        events.split_off(events.len().saturating_sub(count))
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl OfKind {
    fn new(kind: Kind) -> Self {
        OfKind {
            kind: Kinds::only(kind),
            events: VecDeque::new(),
            bytes: 0,
            subjects: HashMap::new(),
            lost: 0,
            last_lost: 0,
        }
    }

    /// Tells whether, with so many events and bytes added, it has more than the share of a kind.
    fn is_over(&self, all: &Bounds, (events, bytes): (usize, usize)) -> bool {
        self.events.len() + events > all.events / PARTS || self.bytes + bytes > all.bytes / PARTS
    }

    /// Finds the oldest event of a subject that has much here.
    fn at_own_cost(&self, subject: &Subject) -> Option<usize> {
        self.subjects.get(subject).filter(|count| **count >= AT_OWN_COST)?;
        self.events.iter().position(|kept| kept.subject.as_ref() == Some(subject))
    }

    fn push(&mut self, newest: Arc<Kept>) {
        self.bytes += newest.cost;
        if let Some(subject) = &newest.subject {
            *self.subjects.entry(subject.clone()).or_default() += 1;
        }
        self.events.push_back(newest);
    }

    /// Lets go of one; returns what it took.
    fn lose(&mut self, index: usize) -> usize {
        let Some(gone) = self.events.remove(index) else { return 0 };
        self.bytes -= gone.cost;
        if let Some(subject) = &gone.subject
            && let Some(count) = self.subjects.get_mut(subject)
        {
            *count -= 1;
            if *count == 0 {
                self.subjects.remove(subject);
            }
        }
        self.lost += 1;
        self.last_lost = self.last_lost.max(gone.event.seq);
        gone.cost
    }

    /// Counts the lost ones after this number, rather too many than too few: their numbers aren't known any more.
    fn lost_after(&self, since: u64) -> u64 {
        self.lost.min(self.last_lost.saturating_sub(since))
    }
}
