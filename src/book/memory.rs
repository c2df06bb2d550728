//! The book itself: the records behind their lock, and what the disk lacks of them.
//!
//! `change`, `observe`, `query` and `candidates` add what is done with it; each takes the lock by itself.

use std::sync::Arc;

use parking_lot::RwLock;

use super::intent::{Intent, Origin};
use super::record::Record;
use super::state::{Counts, State};
use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::{Source, Text};

/// A row to write or delete before a change may be applied.
#[derive(Debug, Clone)]
pub(crate) enum DirtyItem {
    /// Write the record.
    Put(Arc<Record>),
    /// Delete the peer's row.
    Delete(PeerId),
}

/// The peers this node knows. Shared as `Arc<Book>`; every method takes `&self`.
pub(crate) struct Book {
    pub(super) state: RwLock<State>,
}

impl Book {
    /// An empty book. It holds more than `max_peers` records only where more peers than that are
    /// connected at once.
    pub(crate) fn new(max_peers: usize) -> Self {
        Book { state: RwLock::new(State::new(max_peers)) }
    }

    /// Takes over what the store had, as far as it can be at `now`. Where that is more than fits, the least
    /// valuable records go, and are deleted on disk with the next flush.
    pub(crate) fn load(&self, records: Vec<Record>, now: Timestamp) {
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
            (record.dht, record.gossipsub) = families(&record.protocols);
            record.sources.insert(Source::Book);
            record.connections = Vec::new();
            if !record.can_be(now) {
                state.keep_as_it_was(Arc::new(record.clone()));
                record.put_right(now);
            }
            state.insert(record, true);
        }
        state.shrink();
    }

    /// The peer's record as it is now.
    pub(crate) fn get(&self, id: &PeerId) -> Option<Arc<Record>> {
        self.state.read().get(id).cloned()
    }

    /// Tells whether the user lets a dial of this origin reach the peer, and a connection of it stand.
    pub(crate) fn admits(&self, id: &PeerId, origin: Origin) -> bool {
        self.get(id).is_none_or(|record| Intent::in_the_end(&record).admits(origin))
    }

    /// Counts the records by kind.
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

    /// Tells whether the disk lacks anything.
    #[cfg(test)]
    pub(crate) fn has_dirty(&self) -> bool {
        self.dirty_len() > 0
    }

    /// Counts the rows that the disk lacks or has too many.
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

    /// Returns the rows of a whole book as it should be on disk.
    pub(crate) fn all_for_disk(&self) -> Vec<Arc<Record>> {
        self.state.write().rows()
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

/// Tells whether a peer with these protocols is one of a Kademlia DHT, and of a pubsub mesh.
pub(super) fn families(protocols: &[Text]) -> (bool, bool) {
    let dht = protocols.iter().any(|name| name.contains("/kad/"));
    let is_pubsub = |name: &Text| name.starts_with("/meshsub/") || name.starts_with("/floodsub/");
    (dht, protocols.iter().any(is_pubsub))
}
