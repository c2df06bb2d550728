//! The peer book: what is known of every peer, in memory, behind one lock.
//!
//! Reads come from any thread and never wait for the network or the disk; the lock is held for a
//! bounded number of records, and JSON is made from the `Arc<Record>`s outside it. The worker writes
//! down what it sees (`observe`), the user's changes go through the store so that they are durable
//! before they are acknowledged (`change`, `store`). Nothing here but `store` does I/O, and nothing
//! reads a clock.
//!
//! `record` is one peer; `state` is what the lock guards, with `index` and `intern` below it;
//! `query` lists and searches, `cursor` is how a list goes on; `disk` is the file and `codec` the form
//! of a record in it.

mod candidates;
mod change;
mod codec;
mod cursor;
mod disk;
#[cfg(test)]
mod disk_tests;
mod index;
mod intent;
mod intern;
#[cfg(test)]
mod model_tests;
mod observe;
mod query;
mod record;
mod state;
mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use parking_lot::RwLock;

pub(crate) use change::{DirtyItem, UserChange};
pub(crate) use intent::{Intent, Origin, may_dial};
pub(crate) use observe::{Discovered, Identified};
pub(crate) use query::{Filter, ListQuery};
pub(crate) use record::{MAX_PROTOCOLS, Record};
pub(crate) use state::Counts;
pub(crate) use store::{Committing, Store, StoreHandle};

use crate::PeerId;
use crate::model::{Source, Text};

/// The peers this node knows. Shared as `Arc<Book>`; every method takes `&self`.
pub(crate) struct Book {
    state: RwLock<state::State>,
}

impl Book {
    /// An empty book. It holds more than `max_peers` records only where more peers than that are
    /// connected at once.
    pub(crate) fn new(max_peers: usize) -> Self {
        Book { state: RwLock::new(state::State::new(max_peers)) }
    }

    /// Takes over what the store had. Where that is more than fits, the least valuable records go,
    /// and are deleted on disk with the next flush.
    pub(crate) fn load(&self, records: Vec<Record>) {
        let mut guard = self.state.write();
        let state = &mut *guard;
        for mut record in records {
            if state.find(&record.id).is_some() {
                continue;
            }
            record.protocols = state.interner.take_list(&record.protocols);
            for text in [&mut record.agent_version, &mut record.protocol_version] {
                *text = text.as_deref().map(|text| state.interner.take_text(text));
            }
            (record.dht, record.gossipsub) = observe::families(&record.protocols);
            record.sources.insert(Source::Book);
            record.connections = Vec::new();
            state.insert(record, true);
        }
        state.shrink();
    }

    /// The peer's record as it is now.
    pub(crate) fn get(&self, id: &PeerId) -> Option<Arc<Record>> {
        self.state.read().get(id).cloned()
    }

    /// How many records are what.
    pub(crate) fn counts(&self) -> Counts {
        self.state.read().counts
    }

    /// The `max` most spoken protocols with how many peers speak them, sorted by name.
    pub(crate) fn protocols(&self, max: usize) -> Vec<(Text, u64)> {
        self.state.read().interner.most_spoken(max)
    }

    /// The peers with a live connection.
    pub(crate) fn connected_ids(&self) -> Vec<PeerId> {
        let state = self.state.read();
        let slots = state.connected.page(0, usize::MAX);
        slots.filter_map(|slot| Some(state.at(slot as usize)?.id)).collect()
    }

    /// Whether the disk lacks anything.
    #[cfg(test)]
    pub(crate) fn has_dirty(&self) -> bool {
        self.dirty_len() > 0
    }

    /// How many rows the disk lacks or has too many.
    pub(crate) fn dirty_len(&self) -> usize {
        self.state.read().dirty_len()
    }

    /// Takes up to `max` changes that aren't on disk yet. Who takes them writes them, or gives them
    /// back by [`mark_dirty_again`](Self::mark_dirty_again).
    pub(crate) fn take_dirty(&self, max: usize) -> Vec<DirtyItem> {
        let mut state = self.state.write();
        let mut items = Vec::new();
        while items.len() < max
            && let Some(id) = state.pop_deleted()
        {
            items.push(DirtyItem::Delete(id));
        }
        while items.len() < max
            && let Some(record) = state.pop_dirty()
        {
            items.push(DirtyItem::Put(record));
        }
        items
    }

    /// The changes couldn't be written; they stay to be written.
    pub(crate) fn mark_dirty_again(&self, items: Vec<DirtyItem>) {
        let mut state = self.state.write();
        for item in items {
            match item {
                DirtyItem::Put(record) => {
                    if let Some(slot) = state.find(&record.id) {
                        state.touch(slot);
                    }
                }
                DirtyItem::Delete(id) => state.delete_again(id),
            }
        }
    }
}
