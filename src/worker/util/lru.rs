//! A bounded map, which forgets the entry that wasn't used for longest: for what is kept of peers, which
//! anybody can make up.
//!
//! Pure.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// At most `most` entries, each with the turn it was last used in.
pub(crate) struct Lru<K, V> {
    most: usize,
    turn: u64,
    entries: HashMap<K, (u64, V)>,
    by_turn: BTreeMap<u64, K>,
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn new(most: usize) -> Self {
        Lru { most, turn: 0, entries: HashMap::new(), by_turn: BTreeMap::new() }
    }

    /// Returns the entry of `key`, which doesn't count as a use of it.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Uses the entry of `key`, made by `new` where there is none.
    pub(crate) fn touch(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        self.turn += 1;
        if let Some((turn, _)) = self.entries.get(&key) {
            self.by_turn.remove(turn);
        } else if self.entries.len() >= self.most
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.entries.remove(&oldest);
        }
        self.by_turn.insert(self.turn, key);
        let (turn, value) = self.entries.entry(key).or_insert_with(|| (0, new()));
        *turn = self.turn;
        value
    }

    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((turn, _)) = self.entries.remove(key) {
            self.by_turn.remove(&turn);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        assert_eq!(self.entries.len(), self.by_turn.len());
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_is_forgotten() {
        let mut lru = Lru::new(3);
        for key in [1, 2, 3, 1, 4] {
            *lru.touch(key, || 0) += 1;
            lru.get(&2);
        }
        assert_eq!(
            [1, 2, 3, 4].map(|key| lru.get(&key).copied()),
            [Some(2), None, Some(1), Some(1)]
        );
        lru.remove(&3);
        lru.remove(&5);
        assert_eq!(lru.len(), 2);
        lru.touch(5, || 0);
        lru.touch(6, || 0);
        assert_eq!((lru.get(&1), lru.len()), (None, 3));
    }
}
