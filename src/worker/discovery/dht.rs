//! The DHT as a source: the peers of its routing table, and the searches of a pass.

use libp2p::kad;

use super::passes::{Pass, Pending};
use super::source::{DiscoverySource, note_left_out};
use crate::book::Record;
use crate::config::DhtMode;
use crate::model::{Direction, Source};
use crate::worker::core::Core;
use crate::worker::core::peers::Peer;
use crate::worker::protocols::kad::{Dht, QueryId};
use crate::worker::util::addresses::MAX_ADDRESSES;
use crate::{Multiaddr, PeerId, addr};

#[derive(Default)]
pub(super) struct DhtSource;

impl DiscoverySource for DhtSource {
    fn source(&self) -> Source {
        Source::Dht
    }

    fn is_on(&self, core: &Core) -> bool {
        core.shared.settings.discovery.dht != DhtMode::Off
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn ask(&mut self, core: &mut Core, pass: &mut Pass) {
        let Some(mut routes) = routes(core) else { return };
        // With an empty table it costs the network nothing, and notes why the table is empty.
        if pass.backs_off && routes > 0 {
            return note_left_out(core, Source::Dht);
        }
        if routes == 0 {
            let time = core.time;
            seed_table(core, |record| record.may_retry(time));
            routes = self::routes(core).unwrap_or(0);
        }
        if routes == 0 {
            let note = "no peer that takes part in this DHT is known yet".to_owned();
            return core.shared.discovery.note(Source::Dht, note);
        }
        let local = core.shared.peer_id;
        let Some(dht) = core.dht() else { return };
        // Our own neighbourhood, and a walk to somewhere else.
        for key in [local, PeerId::random()] {
            pass.wait_for(Pending::Query(dht.search(key.to_bytes())));
        }
        let note = "the DHT told of no peer that wasn't known".to_owned();
        core.shared.discovery.note(Source::Dht, note);
    }

    fn begin(&mut self, core: &mut Core) {
        seed_table(core, |_| true);
    }

    fn finish(&mut self, core: &mut Core, queries: &[QueryId]) {
        if let Some(dht) = core.dht() {
            queries.iter().for_each(|query| dht.finish(*query));
        }
    }

    /// Enters a peer that has told which protocols it speaks into the routing table, or takes it out:
    /// the table has those who take part, at the addresses they tell of now and those they were reached
    /// at.
    fn identified(&mut self, core: &mut Core, peer: PeerId, listens_at: &[Multiaddr]) -> bool {
        let Some(record) = core.shared.book.get(&peer) else { return false };
        let takes_part = record.speaks(&core.shared.settings.discovery.dht_protocol);
        let Some(dht) = core.dht() else { return false };
        if !takes_part {
            dht.remove(&peer);
            return false;
        }
        let was_empty = dht.len() == 0;
        let dialled = core.peers.get(&peer).into_iter().flat_map(Peer::live);
        let dialled = dialled.filter(|open| open.direction == Direction::Outbound);
        let reached: Vec<_> = dialled.filter_map(|open| open.address.parse().ok()).collect();
        add_route(core, peer, reached.into_iter().chain(listens_at.iter().cloned()));
        was_empty
    }

    fn knows_nobody(&self, core: &mut Core) -> bool {
        routes(core) == Some(0)
    }
}

impl DhtSource {
    /// A search came to a part of its result.
    pub(super) fn searched(&self, core: &mut Core, found: Vec<kad::PeerInfo>) {
        // Peers known before the search come without addresses.
        for info in found.into_iter().filter(|info| !info.addrs.is_empty()) {
            core.discovered(Source::Dht, info.peer_id, &info.addrs);
        }
    }
}

/// Counts the peers of the routing table.
fn routes(core: &mut Core) -> Option<usize> {
    core.dht().map(Dht::len)
}

/// Enters whoever took part in the DHT into the routing table again: in an earlier run, or before it
/// was out of reach.
fn seed_table(core: &mut Core, wanted: impl Fn(&Record) -> bool) {
    for record in core.shared.book.dht_peers(&core.shared.settings.discovery.dht_protocol) {
        if wanted(&record) {
            let known = record.dial_addresses();
            let addresses = known.into_iter().filter_map(|(text, _)| text.parse().ok());
            add_route(core, record.id, addresses);
        }
    }
}

fn add_route(core: &mut Core, peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) {
    let settings = &core.shared.settings;
    // Remotes that ask are told the addresses in the table.
    let least = settings.least_advertised();
    let fits = |address: &Multiaddr| {
        let scope = addr::scope(address);
        scope >= least && settings.may_dial_automatically(scope, false)
    };
    let addresses: Vec<Multiaddr> = addresses.filter(fits).take(MAX_ADDRESSES).collect();
    if let Some(dht) = core.dht() {
        dht.add(&peer, &addresses);
    }
}
