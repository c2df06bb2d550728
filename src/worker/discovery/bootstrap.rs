//! Bootstrap as a source: the list in the book, and which of its entries a pass dials.

use std::collections::HashSet;

use crate::bootstrap::Entry;
use crate::discovery::SOURCES;
use crate::model::Source;
use crate::worker::Worker;
use crate::{Multiaddr, PeerId, addr, clock};

/// With fewer connected peers than this the bootstrap peers are dialled again (Kubo's
/// `MinPeerThreshold`).
const FEW: usize = 4;
/// Bootstrap addresses dialled in one pass; the next pass takes those whose turn comes next.
const BOOTSTRAP_DIALS: usize = 32;

impl Worker {
    /// The bootstrap peers are in the book as such, and those taken off the list no longer are.
    pub(crate) fn list_bootstrap(&mut self) {
        let mut listed = HashSet::new();
        let entries = self.run.bootstrap.entries();
        for Entry { addr, peer_id } in &entries {
            let Some(peer) = peer_id.filter(|peer| *peer != self.run.peer_id) else { continue };
            listed.insert(peer);
            // What is known already isn't heard of anew: the list says nothing of whether it lives.
            if !self.run.book.get(&peer).is_some_and(|record| record.is_listed_at(addr)) {
                self.found(Source::Bootstrap, peer, vec![addr.clone()]);
            }
        }
        for gone in self.discovery.listed.difference(&listed) {
            self.run.book.off_the_list(gone);
        }
        self.discovery.listed = listed;
        let is_listed = |addr: &Multiaddr| entries.iter().any(|entry| entry.addr == *addr);
        self.discovery.answered.retain(|addr, _| is_listed(addr));
        for source in SOURCES {
            self.run.discovery.enable(source, self.has(source));
        }
    }

    pub(crate) fn ask_bootstrap(&mut self, asked: bool) {
        let entries = self.run.bootstrap.entries();
        self.note_bootstrap(&entries);
        if !asked && self.peers.len() >= FEW {
            return;
        }
        // What earlier runs met with doesn't keep the first dials of this one back.
        let at_once = asked || !std::mem::replace(&mut self.discovery.begun, true);
        for entry in self.bootstrap_due(entries, at_once) {
            let dialled = match entry.peer_id {
                Some(peer) => self.dial_listed(peer),
                None => self.dial_bootstrap(None, [entry.addr]),
            };
            if let (Some(connection), Some(pass)) = (dialled, &mut self.discovery.pass) {
                pass.dials.insert(connection);
            }
        }
    }

    pub(crate) fn note_bootstrap(&self, entries: &[Entry]) {
        let connected = |peer: &PeerId| self.peers.contains_key(peer);
        let open = entries.iter().filter(|entry| entry.peer_id.as_ref().is_some_and(connected));
        let settings = &self.run.settings;
        let mut note = format!(
            "{} of {} bootstrap addresses are of connected peers",
            open.count(),
            entries.len()
        );
        let allowed = |entry: &&Entry| settings.may_dial_unasked(addr::scope(&entry.addr), true);
        let barred = entries.len() - entries.iter().filter(allowed).count();
        if barred > 0 {
            note += &format!("; the profile keeps {barred} from being dialled");
        }
        self.run.discovery.note(Source::Bootstrap, note);
    }

    /// The entries to dial in this pass, one for each peer. `at_once`: whether or not its turn has come.
    pub(crate) fn bootstrap_due(&self, mut entries: Vec<Entry>, at_once: bool) -> Vec<Entry> {
        let now = clock::now();
        let mut seen = HashSet::from([self.run.peer_id]);
        entries.retain(|entry| entry.peer_id.is_none_or(|peer| seen.insert(peer)));
        let due = entries.into_iter().filter_map(|entry| {
            let peer = entry.peer_id.or_else(|| self.discovery.answered.get(&entry.addr).copied());
            let record = peer.and_then(|peer| self.run.book.get(&peer));
            let Some(record) = record else { return Some((None, entry)) };
            let due = !record.connected() && !record.held_off && (at_once || record.may_retry(now));
            due.then_some((record.next_retry_at, entry))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(turn, _)| *turn);
        due.into_iter().map(|(_, entry)| entry).take(BOOTSTRAP_DIALS).collect()
    }

    /// The bootstrap list is another.
    pub(crate) fn bootstrap_changed(&mut self) {
        self.list_bootstrap();
        if !self.discovery.stopped && self.begins_active() {
            self.set_discovery(true);
        }
    }
}
