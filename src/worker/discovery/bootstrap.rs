//! Bootstrap as a source: keeps the list in the book, and says which of its entries a pass dials.

use std::collections::{HashMap, HashSet};

use super::passes::{Pass, Pending};
use super::source::DiscoverySource;
use crate::book::{Intent, Origin};
use crate::bootstrap::Entry;
use crate::clock::Timestamp;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::core::notes::{ListedDial, ListedDialEnd, Note};
use crate::{Multiaddr, PeerId, addr};

/// The number of connected peers below which bootstrap peers are dialled again (Kubo's
/// `MinPeerThreshold`).
const FEW: usize = 4;
/// Bootstrap addresses dialled in one pass; the next pass takes those whose turn comes next.
const DIALS: usize = 32;

#[derive(Default)]
pub(super) struct BootstrapSource {
    /// The peers that are in the book as bootstrap peers.
    listed: HashSet<PeerId>,
    /// The peers that answered at the listed addresses that name no peer.
    answered: HashMap<Multiaddr, PeerId>,
    /// True once the list was dialled in this run.
    begun: bool,
    last_ticket: u64,
}

impl DiscoverySource for BootstrapSource {
    fn source(&self) -> Source {
        Source::Bootstrap
    }

    fn is_on(&self, core: &Core) -> bool {
        core.shared.bootstrap.len() > 0
    }

    fn begin(&mut self, core: &mut Core) {
        // From an earlier run.
        self.listed = core.shared.book.bootstrap_peers().into_iter().collect();
        self.sync_book(core);
    }

    fn ask(&mut self, core: &mut Core, pass: &mut Pass) {
        let entries = core.shared.bootstrap.entries();
        if !pass.requested && core.peers.len() >= FEW {
            return;
        }
        // The backoff of earlier runs doesn't keep the first dials of this one back.
        let at_once = pass.requested || !std::mem::replace(&mut self.begun, true);
        for entry in self.due(core, entries, at_once) {
            let addresses = match &entry.peer_id {
                Some(peer) => core.shared.bootstrap.addresses_of(peer),
                None => vec![entry.addr],
            };
            self.last_ticket += 1;
            let ticket = self.last_ticket;
            pass.wait_for(Pending::Dial(ticket));
            core.note(Note::DialListed(ListedDial { peer: entry.peer_id, addresses, ticket }));
        }
    }
}

impl BootstrapSource {
    /// Brings the book in step with the list for a pass, and notes how many of the list are connected.
    pub(super) fn begin_pass(&mut self, core: &mut Core) {
        self.sync_book(core);
        note(core, &core.shared.bootstrap.entries());
    }

    /// Enters the bootstrap peers into the book as such, and takes out those no longer listed.
    pub(super) fn sync_book(&mut self, core: &mut Core) {
        let mut listed = HashSet::new();
        let entries = core.shared.bootstrap.entries();
        for Entry { addr, peer_id } in &entries {
            let Some(peer) = peer_id.filter(|peer| *peer != core.shared.peer_id) else { continue };
            listed.insert(peer);
            // The list doesn't say whether a known peer is alive, so it is entered only once.
            if !core.shared.book.get(&peer).is_some_and(|record| record.is_listed_at(addr)) {
                core.discovered(Source::Bootstrap, peer, std::slice::from_ref(addr));
            }
        }
        for gone in self.listed.difference(&listed) {
            core.shared.book.off_the_list(gone);
        }
        self.listed = listed;
        let is_listed = |addr: &Multiaddr| entries.iter().any(|entry| entry.addr == *addr);
        self.answered.retain(|addr, _| is_listed(addr));
    }

    /// Notes the peer that answered a dial of this source.
    pub(super) fn dial_ended(&mut self, end: &ListedDialEnd) {
        if let Some((address, peer)) = &end.answered {
            self.answered.insert(address.clone(), *peer);
        }
    }

    /// Returns the entries to dial in this pass, one for each peer; with `at_once`, also those that are
    /// backing off.
    fn due(&self, core: &Core, mut entries: Vec<Entry>, at_once: bool) -> Vec<Entry> {
        let now = if at_once { Timestamp::MAX } else { core.time };
        let mut seen = HashSet::from([core.shared.peer_id]);
        entries.retain(|entry| entry.peer_id.is_none_or(|peer| seen.insert(peer)));
        let due = entries.into_iter().filter_map(|entry| {
            let peer = entry.peer_id.or_else(|| self.answered.get(&entry.addr).copied());
            let record = peer.and_then(|peer| core.shared.book.get(&peer));
            let Some(record) = record else { return Some((None, entry)) };
            let admitted = Intent::of(&record, now).admits(Origin::Bootstrap);
            (!record.connected() && admitted).then_some((record.next_retry_at, entry))
        });
        let mut due: Vec<_> = due.collect();
        due.sort_by_key(|(turn, _)| *turn);
        due.into_iter().map(|(_, entry)| entry).take(DIALS).collect()
    }
}

fn note(core: &Core, entries: &[Entry]) {
    let connected = |peer: &PeerId| core.peers.contains(peer);
    let open = entries.iter().filter(|entry| entry.peer_id.as_ref().is_some_and(connected));
    let settings = &core.shared.settings;
    let mut note =
        format!("{} of {} bootstrap addresses are of connected peers", open.count(), entries.len());
    let allowed = |entry: &&Entry| settings.may_dial_automatically(addr::scope(&entry.addr), true);
    let barred = entries.len() - entries.iter().filter(allowed).count();
    if barred > 0 {
        note += &format!("; the profile keeps {barred} from being dialled");
    }
    core.shared.discovery.note(Source::Bootstrap, note);
}
