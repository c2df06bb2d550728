//! Shared text: protocol lists, protocol names and agent strings that many records have in common
//! are kept once, with a count of the records that use them.
//!
//! Only the book's state uses this; a record holds the shared pointers it got from here. The counts
//! also answer which protocols are spoken and by how many peers, without a scan.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use super::record::MAX_PROTOCOLS;
use crate::model::Text;

/// The most different protocol names kept of all peers together. The statistics walk them all, and
/// unproven peers can invent any number; names beyond the bound are left out of the peer's list.
const MAX_NAMES: usize = 10_000;

/// The pool of shared text of one book.
#[derive(Default)]
pub(super) struct Interner {
    lists: HashMap<Arc<[Text]>, u32>,
    /// The number of records that speak each protocol.
    names: HashMap<Text, u64>,
    texts: HashMap<Text, u32>,
}

impl Interner {
    /// Counts one more record with these protocols. Returns their list, sorted, without repetitions.
    pub(super) fn take_list<S: AsRef<str>>(&mut self, protocols: &[S]) -> Arc<[Text]> {
        let mut names: Vec<&str> = protocols.iter().map(AsRef::as_ref).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(MAX_PROTOCOLS);
        let names: Vec<Text> = names.into_iter().filter_map(|name| self.count_name(name)).collect();
        if let Some((list, _)) = self.lists.get_key_value(names.as_slice()) {
            let list = Arc::clone(list);
            if let Some(users) = self.lists.get_mut(&list) {
                *users += 1;
            }
            return list;
        }
        let list: Arc<[Text]> = names.into();
        self.lists.insert(Arc::clone(&list), 1);
        list
    }

    /// Counts one record less with this list.
    pub(super) fn drop_list(&mut self, list: &Arc<[Text]>) {
        let Some(users) = self.lists.get_mut(list) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.lists.remove(list);
        }
        for name in list.iter() {
            if let Some(speakers) = self.names.get_mut(name) {
                *speakers -= 1;
                if *speakers == 0 {
                    self.names.remove(name);
                }
            }
        }
    }

    /// Counts one more record with this name; None where the name is new and there are too many already.
    fn count_name(&mut self, name: &str) -> Option<Text> {
        if let Some((text, _)) = self.names.get_key_value(name) {
            let text = Arc::clone(text);
            if let Some(speakers) = self.names.get_mut(name) {
                *speakers += 1;
            }
            return Some(text);
        }
        if self.names.len() == MAX_NAMES {
            return None;
        }
        let text: Text = name.into();
        self.names.insert(Arc::clone(&text), 1);
        Some(text)
    }

    /// Counts one more record with this text.
    pub(super) fn take_text(&mut self, text: &str) -> Text {
        if let Some((known, _)) = self.texts.get_key_value(text) {
            let known = Arc::clone(known);
            if let Some(users) = self.texts.get_mut(text) {
                *users += 1;
            }
            return known;
        }
        let text: Text = text.into();
        self.texts.insert(Arc::clone(&text), 1);
        text
    }

    /// Counts one record less with this text.
    pub(super) fn drop_text(&mut self, text: &str) {
        let Some(users) = self.texts.get_mut(text) else {
            return;
        };
        *users -= 1;
        if *users == 0 {
            self.texts.remove(text);
        }
    }

    /// Returns the `max` most spoken protocols with how many peers speak them, sorted by name.
    pub(super) fn most_spoken(&self, max: usize) -> Vec<(Text, u64)> {
        // A heap of `max`, so that a flood of invented names costs no copy of them all.
        let mut top = BinaryHeap::new();
        for (name, &speakers) in &self.names {
            let entry = Reverse((speakers, Reverse(name)));
            if top.len() < max {
                top.push(entry);
            } else if let Some(mut least) = top.peek_mut()
                && entry < *least
            {
                *least = entry;
            }
        }
        let mut found: Vec<(Text, u64)> = top
            .into_iter()
            .map(|Reverse((speakers, Reverse(name)))| (Arc::clone(name), speakers))
            .collect();
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        found
    }

    /// Counts the lists, names and texts held: zero when no record uses any.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize, usize) {
        (self.lists.len(), self.names.len(), self.texts.len())
    }
}
