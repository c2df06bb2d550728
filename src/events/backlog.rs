//! The events that wait for one reader, in order, bounded twice: in number and in the memory they take.
//! A queue shares its events with the hub's history and with other queues.

use std::collections::VecDeque;
use std::sync::Arc;

use super::kinds::Kinds;
use super::subject::Subject;
use crate::model::event::Event;

/// An event, with what the hub works out once for all who keep it.
pub(super) struct Kept {
    pub event: Arc<Event>,
    /// Its own kind, alone.
    pub kind: Kinds,
    pub subject: Option<Subject>,
    pub cost: usize,
}

impl Kept {
    pub(super) fn new(event: Event) -> Arc<Self> {
        let (kind, cost) = (Kinds::only(event.kind.kind()), event.cost());
        let subject = Subject::of(&event);
        Arc::new(Kept { event: Arc::new(event), kind, subject, cost })
    }
}

/// The limits of a backlog.
pub(super) struct Bounds {
    /// The most events.
    pub events: usize,
    /// The most bytes, as [`Event::cost`] estimates them.
    pub bytes: usize,
    /// So many events are kept whatever they cost.
    pub at_least: usize,
}

/// The newest events within its bounds, oldest first.
pub(super) struct Backlog {
    bounds: &'static Bounds,
    events: VecDeque<Arc<Kept>>,
    bytes: usize,
}

impl Backlog {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        Backlog { bounds, events: VecDeque::new(), bytes: 0 }
    }

    /// Adds the newest; returns the number of the oldest that had to go for it.
    pub(super) fn push(&mut self, newest: Arc<Kept>) -> u64 {
        let mut gone = 0;
        // The old go before it is added: the space for the pointers then never grows beyond the bound.
        while self.is_full_for(newest.cost) && self.pop().is_some() {
            gone += 1;
        }
        self.bytes += newest.cost;
        self.events.push_back(newest);
        gone
    }

    fn is_full_for(&self, cost: usize) -> bool {
        let len = self.events.len();
        len >= self.bounds.events
            || (len >= self.bounds.at_least && self.bytes + cost > self.bounds.bytes)
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Arc<Kept>> {
        let oldest = self.events.pop_front()?;
        self.bytes -= oldest.cost;
        Some(oldest)
    }

    pub(super) fn clear(&mut self) {
        self.events = VecDeque::new();
        self.bytes = 0;
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
