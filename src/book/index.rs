//! The order-statistic index: rows by rank in O(log n), however deep the page.
//!
//! The meaning of each order is decided here too ([`SortKey`]), so that pages from an index, pages from
//! a scan and cursors agree. The state keeps the indexes, the queries read them.

use wabi_tree::OSBTreeSet;

use super::record::Record;
use crate::clock::Timestamp;
use crate::model::Text;
use crate::model::params::SortBy;

/// A record's place in a list: a number that ascends along the list, then the peer id's text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SortKey {
    pub(super) major: i64,
    pub(super) id: Text,
}

impl SortKey {
    pub(super) fn of(record: &Record, sort: SortBy) -> Self {
        SortKey { major: major(record, sort), id: record.id_text.clone() }
    }
}

/// Returns the ascending number of a record in an order; null values sort last.
pub(super) fn major(record: &Record, sort: SortBy) -> i64 {
    match sort {
        SortBy::LastSeen => newest_first(record.last_seen),
        SortBy::FirstSeen => newest_first(record.first_seen),
        SortBy::Latency => record.latency_us.map_or(i64::MAX, i64::from),
        SortBy::PeerId => 0,
    }
}

fn newest_first(at: Option<Timestamp>) -> i64 {
    at.map_or(i64::MAX, |at| at.as_micros().saturating_neg())
}

/// An entry of an index: the key and the slot of its record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    key: SortKey,
    slot: u32,
}

/// Records in list order, countable by rank.
///
/// Only insertion, removal and look-up by rank of the tree are used: they are what a property test
/// checks against the standard library, and the tree's raw-pointer iterators stay out of it.
#[derive(Default)]
pub(super) struct RankIndex {
    tree: OSBTreeSet<Entry>,
}

impl RankIndex {
    pub(super) fn insert(&mut self, key: SortKey, slot: u32) {
        self.tree.insert(Entry { key, slot });
    }

    pub(super) fn remove(&mut self, key: SortKey, slot: u32) {
        self.tree.remove(&Entry { key, slot });
    }

    pub(super) fn len(&self) -> usize {
        self.tree.len()
    }

    /// Returns the slots of the ranks from `start`, at most `limit` of them.
    pub(super) fn page(&self, start: usize, limit: usize) -> impl Iterator<Item = u32> + '_ {
        let end = start.saturating_add(limit).min(self.len());
        (start..end).filter_map(|rank| self.tree.get_by_rank(rank).map(|entry| entry.slot))
    }

    /// Counts the entries at `key` or before it, whether or not `key` itself is there.
    pub(super) fn rank_after(&self, key: &SortKey) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.tree.get_by_rank(middle) {
                Some(entry) if entry.key <= *key => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key(major: i64) -> SortKey {
        // Few different majors, so that the tie-break by id is exercised.
        SortKey { major: major % 50, id: format!("id{major}").into() }
    }

    fn check(ops: &[(bool, i64)]) {
        let mut index = RankIndex::default();
        let mut model = BTreeSet::new();
        for &(insert, n) in ops {
            if insert {
                index.insert(key(n), n as u32);
                model.insert((key(n), n as u32));
            } else {
                index.remove(key(n), n as u32);
                model.remove(&(key(n), n as u32));
            }
        }
        let sorted: Vec<u32> = model.iter().map(|(_, slot)| *slot).collect();
        assert_eq!(index.len(), sorted.len());
        assert_eq!(index.page(0, usize::MAX).collect::<Vec<_>>(), sorted);
        for start in [0, 1, sorted.len() / 2, sorted.len(), sorted.len() + 5] {
            let want: Vec<u32> = sorted.iter().skip(start).take(7).copied().collect();
            assert_eq!(index.page(start, 7).collect::<Vec<_>>(), want);
        }
        for n in [0, 7, 49, 2000, 3999] {
            let want = model.iter().filter(|(k, _)| *k <= key(n)).count();
            assert_eq!(index.rank_after(&key(n)), want);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        // Long runs, because a node of the tree holds 127 keys: splits and merges need thousands.
        #[test]
        fn the_tree_agrees_with_the_standard_set(
            ops in proptest::collection::vec((proptest::bool::weighted(0.6), 0i64..4000), 0..6000)
        ) {
            check(&ops);
        }
    }

    #[test]
    fn the_tree_survives_growing_and_shrinking_by_moves_to_the_front() {
        let grow = (0..4000).map(|n| (true, n));
        let shrink = (0..3990).map(|n| (false, (n * 7) % 4000));
        let regrow = (0..2000).map(|n| (true, n * 2));
        check(&grow.chain(shrink).chain(regrow).collect::<Vec<_>>());
    }
}
