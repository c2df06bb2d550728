//! The store of provider records: who says to have which content, this node among them.
//!
//! libp2p-kad's own store, once full, takes no more of anybody, us included, and whoever sends the most
//! fills it. Here our own records have room of their own; of the others', those of whoever has the most
//! go first. Values aren't stored: nothing here can tell a good one.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::iter;
use std::sync::Arc;

use libp2p::kad::store::{Error, RecordStore};
use libp2p::kad::{ProviderRecord, Record, RecordKey};

use crate::PeerId;
use crate::discovery_log::DiscoveryLog;
use crate::model::Source;

/// Records of our own.
const MAX_OWN: usize = 4096;
/// Records of others.
const MAX_OTHERS: usize = 4096;
/// Providers of one key; those that came first stay.
const MAX_PER_KEY: usize = 20;
/// A key is a multihash; go-libp2p takes none longer.
const MAX_KEY_BYTES: usize = 80;
/// Addresses kept with a record.
const MAX_ADDRESSES: usize = 8;

pub(crate) struct Providers {
    local: PeerId,
    own: HashMap<RecordKey, ProviderRecord>,
    others: HashMap<RecordKey, Vec<ProviderRecord>>,
    /// The keys of each other provider, the oldest first.
    by_provider: HashMap<PeerId, VecDeque<RecordKey>>,
    /// Records in `others`.
    held: usize,
    log: Arc<DiscoveryLog>,
}

type Borrow<'a> = fn(&'a ProviderRecord) -> Cow<'a, ProviderRecord>;

impl Providers {
    pub(crate) fn new(local: PeerId, log: Arc<DiscoveryLog>) -> Self {
        let (own, others, by_provider) = (HashMap::new(), HashMap::new(), HashMap::new());
        Providers { local, own, others, by_provider, held: 0, log }
    }

    fn add_own(&mut self, record: ProviderRecord) -> Result<(), Error> {
        if self.own.len() >= MAX_OWN && !self.own.contains_key(&record.key) {
            return Err(Error::MaxProvidedKeys);
        }
        self.own.insert(record.key.clone(), record);
        Ok(())
    }

    fn add_other(&mut self, mut record: ProviderRecord) -> Result<(), &'static str> {
        if record.key.as_ref().len() > MAX_KEY_BYTES {
            return Err("too_long");
        }
        record.addresses.truncate(MAX_ADDRESSES);
        record.addresses.shrink_to_fit();
        let known = self.others.get_mut(&record.key);
        let mut known = known.into_iter().flatten();
        if let Some(known) = known.find(|known| known.provider == record.provider) {
            *known = record;
            return Ok(());
        }
        if self.others.get(&record.key).is_some_and(|records| records.len() >= MAX_PER_KEY) {
            return Err("too_many");
        }
        self.by_provider.entry(record.provider).or_default().push_back(record.key.clone());
        self.others.entry(record.key.clone()).or_default().push(record);
        self.held += 1;
        match self.held > MAX_OTHERS {
            true => {
                self.evict();
                Err("store_full")
            }
            false => Ok(()),
        }
    }

    /// Forgets the oldest record of whoever has the most.
    fn evict(&mut self) {
        let most = self.by_provider.iter().max_by_key(|(_, keys)| keys.len());
        let oldest = most.and_then(|(peer, keys)| Some((*peer, keys.front()?.clone())));
        if let Some((peer, key)) = oldest {
            self.remove_provider(&key, &peer);
        }
    }
}

impl RecordStore for Providers {
    type RecordsIter<'a> = iter::Empty<Cow<'a, Record>>;
    type ProvidedIter<'a> =
        iter::Map<std::collections::hash_map::Values<'a, RecordKey, ProviderRecord>, Borrow<'a>>;

    fn get(&self, _: &RecordKey) -> Option<Cow<'_, Record>> {
        None
    }

    fn put(&mut self, _: Record) -> Result<(), Error> {
        Err(Error::MaxRecords)
    }

    fn remove(&mut self, _: &RecordKey) {}

    fn records(&self) -> Self::RecordsIter<'_> {
        iter::empty()
    }

    fn add_provider(&mut self, record: ProviderRecord) -> Result<(), Error> {
        if record.provider == self.local {
            return self.add_own(record);
        }
        if let Err(reason) = self.add_other(record) {
            self.log.dropped(Source::Dht, reason, 1);
        }
        Ok(())
    }

    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let others = self.others.get(key).into_iter().flatten();
        self.own.get(key).into_iter().chain(others).cloned().collect()
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        self.own.values().map(Cow::Borrowed)
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        if *provider == self.local {
            self.own.remove(key);
            return;
        }
        let Some(records) = self.others.get_mut(key) else { return };
        let Some(at) = records.iter().position(|record| record.provider == *provider) else {
            return;
        };
        records.remove(at);
        self.held -= 1;
        if records.is_empty() {
            self.others.remove(key);
        }
        if let Some(keys) = self.by_provider.get_mut(provider) {
            keys.retain(|other| other != key);
            if keys.is_empty() {
                self.by_provider.remove(provider);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> RecordKey {
        RecordKey::new(&n.to_be_bytes())
    }

    fn says(store: &mut Providers, n: usize, provider: PeerId) {
        store.add_provider(ProviderRecord::new(key(n), provider, Vec::new())).unwrap();
    }

    fn store() -> (Providers, PeerId, Arc<DiscoveryLog>) {
        let (local, log) = (PeerId::random(), Arc::new(DiscoveryLog::default()));
        (Providers::new(local, Arc::clone(&log)), local, log)
    }

    #[test]
    fn whoever_floods_displaces_himself_only() {
        let (mut store, local, log) = store();
        let [honest, hostile] = [PeerId::random(), PeerId::random()];
        (0..100).for_each(|n| says(&mut store, n, honest));
        (0..3 * MAX_OTHERS).for_each(|n| says(&mut store, n, hostile));
        assert!((0..100).all(|n| store.providers(&key(n)).iter().any(|r| r.provider == honest)));
        assert_eq!((store.held, store.by_provider[&hostile].len()), (MAX_OTHERS, MAX_OTHERS - 100));
        says(&mut store, 7, local);
        assert_eq!(store.provided().count(), 1);
        assert_eq!(log.all_dropped()["dht.store_full"] as usize, 2 * MAX_OTHERS + 100);
    }

    #[test]
    fn records_come_again_and_go() {
        let (mut store, local, _) = store();
        let other = PeerId::random();
        for _ in 0..3 {
            says(&mut store, 1, other);
            says(&mut store, 1, local);
        }
        assert_eq!(store.providers(&key(1)).len(), 2);
        store.remove_provider(&key(1), &other);
        store.remove_provider(&key(1), &local);
        store.remove_provider(&key(2), &other);
        assert!(store.providers(&key(1)).is_empty() && store.provided().next().is_none());
        assert!(store.others.is_empty() && store.by_provider.is_empty() && store.held == 0);
    }

    #[test]
    fn one_key_has_so_many_providers_and_its_name_so_many_bytes() {
        let (mut store, _, log) = store();
        (0..30).for_each(|_| says(&mut store, 1, PeerId::random()));
        assert_eq!(store.providers(&key(1)).len(), MAX_PER_KEY);
        let long = RecordKey::new(&[0; MAX_KEY_BYTES + 1]);
        store.add_provider(ProviderRecord::new(long, PeerId::random(), Vec::new())).unwrap();
        let dropped = log.all_dropped();
        assert_eq!((dropped["dht.too_many"], dropped["dht.too_long"]), (10, 1));
    }
}
