//! Events kept in order, bounded twice: in number and in the memory they take. The hub's history is a
//! backlog, and so is each subscription's queue; they share the events.

use std::collections::VecDeque;
use std::collections::vec_deque::Iter;
use std::sync::Arc;

use super::kinds::Kinds;
use crate::model::event::Event;

/// An event, with what the hub works out once for all who keep it.
pub(super) struct Kept {
    pub event: Arc<Event>,
    /// Its own kind, alone.
    pub kind: Kinds,
    pub cost: usize,
}

impl Kept {
    pub(super) fn new(event: Event) -> Arc<Self> {
        let (kind, cost) = (Kinds::only(event.kind.kind()), event.cost());
        Arc::new(Kept { event: Arc::new(event), kind, cost })
    }
}

/// The limits of a backlog.
pub(super) struct Bounds {
    /// The most events.
    pub events: usize,
    /// The most bytes, as [`Event::cost`] estimates them.
    pub bytes: usize,
    /// The newest events that are kept whatever they cost.
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

    /// Returns the newest `count` events, or all there are, oldest first.
    pub(super) fn newest(&self, count: usize) -> Iter<'_, Arc<Kept>> {
        self.events.range(self.events.len().saturating_sub(count)..)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
