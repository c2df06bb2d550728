//! The data behind the book's lock: the records in slots, everything derived from them, and the order
//! in which records go when the book is full.
//!
//! Every change of a record goes through [`State::update`], [`State::insert`] or [`State::remove`],
//! which keep the rank indexes, the counts, the eviction order and the dirty set in step; nothing
//! else may touch those. `observe.rs` and `change.rs` say what changes, `query.rs` reads.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use super::index::{RankIndex, SortKey};
use super::intern::Interner;
use super::record::Record;
use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::params::SortBy;

struct Slot {
    record: Arc<Record>,
    /// True if a row of it may be on disk, so that removing it must delete the row.
    stored: bool,
}

/// The facts of a record that the derived structures need.
#[derive(Clone, PartialEq)]
struct Facets {
    key: SortKey,
    connected: bool,
    unverified: bool,
    cluster: bool,
    dht: bool,
    gossipsub: bool,
    /// Its place in the eviction order; none while connected or protected.
    rank: Option<EvictionRank>,
}

/// Ranks records for eviction, the first to go first: unverified ones, then those never successfully
/// connected, then proven ones; in each class the one not seen for longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EvictionRank {
    class: EvictionClass,
    last_seen: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum EvictionClass {
    Unverified,
    NeverConnected,
    Proven,
}

impl EvictionRank {
    fn of(record: &Record) -> Option<Self> {
        let class = if record.connected() || record.is_protected() {
            return None;
        } else if record.is_unverified() {
            EvictionClass::Unverified
        } else if record.successful_connections == 0 {
            EvictionClass::NeverConnected
        } else {
            EvictionClass::Proven
        };
        Some(EvictionRank { class, last_seen: record.last_seen })
    }
}

impl Facets {
    fn of(record: &Record) -> Self {
        Facets {
            key: SortKey::of(record, SortBy::LastSeen),
            connected: record.connected(),
            unverified: record.is_unverified(),
            cluster: record.cluster_peer,
            dht: record.dht,
            gossipsub: record.gossipsub,
            rank: EvictionRank::of(record),
        }
    }
}

/// The numbers of records by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Records in the book.
    pub(crate) total: u64,
    /// Those with a live connection.
    pub(crate) connected: u64,
    /// Members of an ipfs-cluster that was asked.
    pub(crate) cluster: u64,
    /// Those that speak a Kademlia protocol.
    pub(crate) dht: u64,
    /// Those that speak gossipsub or floodsub.
    pub(crate) gossipsub: u64,
    /// The time at which an unknown peer was last discovered.
    pub(crate) last_discovery: Option<Timestamp>,
}

/// The book's content.
pub(super) struct State {
    max_peers: usize,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    ids: HashTable<u32>,
    hasher: RandomState,
    pub(super) all: RankIndex,
    pub(super) connected: RankIndex,
    pub(super) disconnected: RankIndex,
    evictable: BTreeSet<(EvictionRank, u32)>,
    unverified: usize,
    pub(super) interner: Interner,
    pub(super) counts: Counts,
    dirty: BTreeSet<u32>,
    /// Removed records whose rows are still on disk.
    deleted: HashSet<PeerId>,
    /// Records as they were before their times were put right; at most one for each record.
    as_they_were: HashMap<PeerId, Arc<Record>>,
    removals: u64,
}

impl State {
    pub(super) fn new(max_peers: usize) -> Self {
        State {
            max_peers,
            slots: Vec::new(),
            free: Vec::new(),
            ids: HashTable::new(),
            hasher: RandomState::new(),
            all: RankIndex::default(),
            connected: RankIndex::default(),
            disconnected: RankIndex::default(),
            evictable: BTreeSet::new(),
            unverified: 0,
            interner: Interner::default(),
            counts: Counts::default(),
            dirty: BTreeSet::new(),
            deleted: HashSet::new(),
            as_they_were: HashMap::new(),
            removals: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn max_peers(&self) -> usize {
        self.max_peers
    }

    /// Counts the slots, free ones included.
    pub(super) fn slot_count(&self) -> usize {
        self.slots.len()
    }

    /// Counts all removals of records: only after one can a slot be used again.
    pub(super) fn removals(&self) -> u64 {
        self.removals
    }

    pub(super) fn find(&self, id: &PeerId) -> Option<u32> {
        let same = |&slot: &u32| self.at(slot as usize).is_some_and(|record| record.id == *id);
        self.ids.find(self.hasher.hash_one(id), same).copied()
    }

    pub(super) fn at(&self, slot: usize) -> Option<&Arc<Record>> {
        Some(&self.slots.get(slot)?.as_ref()?.record)
    }

    pub(super) fn get(&self, id: &PeerId) -> Option<&Arc<Record>> {
        self.at(self.find(id)? as usize)
    }

    /// Adds a record that isn't in the book. Its protocols and texts must come from the interner.
    pub(super) fn insert(&mut self, record: Record, stored: bool) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            // Slots are bounded by max_peers plus the connections, far below 2^32.
            (self.slots.len() - 1) as u32
        });
        let id = record.id;
        let facets = Facets::of(&record);
        self.slots[slot as usize] = Some(Slot { record: Arc::new(record), stored });
        let (slots, hasher) = (&self.slots, &self.hasher);
        let hash_of = |&slot: &u32| {
            slots[slot as usize].as_ref().map_or(0, |slot| hasher.hash_one(slot.record.id))
        };
        self.ids.insert_unique(hasher.hash_one(id), slot, hash_of);
        self.enter(slot, facets);
        slot
    }

    /// Changes a record and everything derived from it.
    pub(super) fn update<R>(
        &mut self,
        slot: u32,
        change: impl FnOnce(&mut Record) -> R,
    ) -> Option<R> {
        let held = self.slots.get_mut(slot as usize)?.as_mut()?;
        let before = Facets::of(&held.record);
        let result = change(Arc::make_mut(&mut held.record));
        let after = Facets::of(&held.record);
        if before != after {
            self.leave(slot, before);
            self.enter(slot, after);
        }
        self.mark_dirty(slot);
        Some(result)
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Arc<Record>> {
        let Slot { record, stored } = self.slots.get_mut(slot as usize)?.take()?;
        self.leave(slot, Facets::of(&record));
        if let Ok(entry) = self.ids.find_entry(self.hasher.hash_one(record.id), |&s| s == slot) {
            entry.remove();
        }
        self.interner.drop_list(&record.protocols);
        for text in [&record.agent_version, &record.protocol_version].into_iter().flatten() {
            self.interner.drop_text(text);
        }
        self.dirty.remove(&slot);
        self.as_they_were.remove(&record.id);
        if stored {
            self.deleted.insert(record.id);
        }
        self.free.push(slot);
        self.removals += 1;
        Some(record)
    }

    fn enter(&mut self, slot: u32, facets: Facets) {
        let by_state = if facets.connected { &mut self.connected } else { &mut self.disconnected };
        by_state.insert(facets.key.clone(), slot);
        self.all.insert(facets.key, slot);
        if let Some(rank) = facets.rank {
            self.evictable.insert((rank, slot));
        }
        self.unverified += usize::from(facets.unverified);
        self.counts.total += 1;
        self.counts.connected += u64::from(facets.connected);
        self.counts.cluster += u64::from(facets.cluster);
        self.counts.dht += u64::from(facets.dht);
        self.counts.gossipsub += u64::from(facets.gossipsub);
    }

    fn leave(&mut self, slot: u32, facets: Facets) {
        let by_state = if facets.connected { &mut self.connected } else { &mut self.disconnected };
        by_state.remove(facets.key.clone(), slot);
        self.all.remove(facets.key, slot);
        if let Some(rank) = facets.rank {
            self.evictable.remove(&(rank, slot));
        }
        self.unverified -= usize::from(facets.unverified);
        self.counts.total -= 1;
        self.counts.connected -= u64::from(facets.connected);
        self.counts.cluster -= u64::from(facets.cluster);
        self.counts.dht -= u64::from(facets.dht);
        self.counts.gossipsub -= u64::from(facets.gossipsub);
    }

    /// Returns the records that may be evicted, those that would go first last.
    pub(super) fn most_valuable(&self) -> impl Iterator<Item = u32> + '_ {
        self.evictable.iter().rev().map(|(_, slot)| *slot)
    }

    /// Counts the records that would still fit if everything that may be evicted were.
    pub(super) fn room(&self) -> usize {
        (self.max_peers + self.evictable.len()).saturating_sub(self.len())
    }

    /// Evicts until one more record fits; false if what is left must stay.
    pub(super) fn make_room(&mut self) -> bool {
        self.shrink_to(self.max_peers.saturating_sub(1));
        self.len() < self.max_peers
    }

    /// Evicts what is over the limits. Connected and protected records stay, so the book may
    /// remain over them.
    pub(super) fn shrink(&mut self) {
        let cap = (self.max_peers / 10).max(1);
        while self.unverified > cap {
            match self.evictable.first() {
                Some(&(rank, slot)) if rank.class == EvictionClass::Unverified => self.remove(slot),
                _ => break,
            };
        }
        self.shrink_to(self.max_peers);
    }

    fn shrink_to(&mut self, len: usize) {
        while self.len() > len {
            let Some(&(_, slot)) = self.evictable.first() else {
                break;
            };
            self.remove(slot);
        }
    }

    /// Keeps a record as it was before its times were put right; one kept before is truer.
    pub(super) fn keep_as_it_was(&mut self, record: Arc<Record>) {
        self.as_they_were.entry(record.id).or_insert(record);
    }

    /// Takes out the records that, as they were, are possible at `now`.
    pub(super) fn possible_again(&mut self, now: Timestamp) -> Vec<Arc<Record>> {
        let possible = self.as_they_were.extract_if(|_, record| record.can_be(now));
        possible.map(|(_, record)| record).collect()
    }

    fn mark_dirty(&mut self, slot: u32) {
        if self.at(slot as usize).is_some_and(|record| record.is_storable()) {
            self.dirty.insert(slot);
        }
    }

    /// Marks a record as not on disk as it is now.
    pub(super) fn touch(&mut self, slot: u32) {
        self.mark_dirty(slot);
    }

    /// Notes that a row of the record is or may be on disk.
    pub(super) fn set_stored(&mut self, slot: u32) {
        if let Some(Some(held)) = self.slots.get_mut(slot as usize) {
            held.stored = true;
        }
    }

    pub(super) fn dirty_len(&self) -> usize {
        self.dirty.len() + self.deleted.len()
    }

    pub(super) fn pop_dirty(&mut self) -> Option<Arc<Record>> {
        let slot = self.dirty.pop_first()?;
        self.set_stored(slot);
        self.at(slot as usize).cloned()
    }

    /// Returns the row of each record that has one, or is to have one, and counts all of them as stored.
    pub(super) fn rows(&mut self) -> Vec<Arc<Record>> {
        let (dirty, as_they_were) = (&self.dirty, &self.as_they_were);
        let storable = |record: &Arc<Record>| record.is_storable();
        let slots = self.slots.iter_mut().enumerate();
        let kept = slots.filter_map(|(at, slot)| Some((at as u32, slot.as_mut()?)));
        let kept = kept.filter(|(_, slot)| slot.stored || storable(&slot.record));
        kept.map(|(at, slot)| {
            slot.stored = true;
            let before = as_they_were.get(&slot.record.id).filter(|_| !dirty.contains(&at));
            Arc::clone(before.unwrap_or(&slot.record))
        })
        .collect()
    }

    pub(super) fn pop_deleted(&mut self) -> Option<PeerId> {
        let id = *self.deleted.iter().next()?;
        self.deleted.remove(&id);
        Some(id)
    }

    /// Notes that the row of a removed peer is still on disk. If the peer is back, its new row is
    /// written after the old one is deleted, because deletions are always taken first.
    pub(super) fn delete_again(&mut self, id: PeerId) {
        self.deleted.insert(id);
    }

    /// Forgets the deletion of a peer's row: a user's change has dealt with it already.
    pub(super) fn forget_deleted(&mut self, id: &PeerId) {
        self.deleted.remove(id);
    }
}
