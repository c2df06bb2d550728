//! The DHT as a source: who stands in its routing table, and what a pass asks of it.

use std::time::{Duration, Instant};

use libp2p::kad::{self, QueryId};

use crate::book::Record;
use crate::model::{Direction, Source};
use crate::worker::Worker;
use crate::worker::connections::peer::Peer;
use crate::worker::protocols::kad::Dht;
use crate::worker::util::addresses::MAX_ADDRESSES;
use crate::{Multiaddr, PeerId, addr, clock};

/// A first peer of the DHT often comes with others; a pass then waits for them so long.
const SOON: Duration = Duration::from_millis(200);
/// Between the beginnings of two passes that a first peer of the DHT gives occasion to.
const LEAST_INTERVAL: Duration = Duration::from_secs(5);

impl Worker {
    /// The DHT has a first peer: whatever it knows is worth asking for.
    pub(crate) fn dht_came_alive(&mut self) {
        self.has_news();
        match self.discovery.pass {
            Some(_) => self.ask_dht(),
            // A remote decides when it takes part, so it mustn't decide how often we look around.
            None => {
                let last = self.discovery.last_begun.map(|begun| begun + LEAST_INTERVAL);
                let wait = last.map_or(SOON, |at| at.saturating_duration_since(Instant::now()));
                self.pass_soon(wait.max(SOON));
            }
        }
    }

    pub(crate) fn ask_dht(&mut self) {
        let local = self.run.peer_id;
        let random = PeerId::random();
        if self.routes() == Some(0) {
            self.warm_dht(|record| record.may_retry(clock::now()));
        }
        if self.routes() == Some(0) {
            let note = "no peer that takes part in this DHT is known yet".to_owned();
            return self.run.discovery.note(Source::Dht, note);
        }
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else { return };
        // Our own neighbourhood, and a walk to somewhere else.
        let queries = [local, random].map(|key| dht.search(key.to_bytes()));
        let note = "the DHT told of no peer that wasn't known".to_owned();
        self.run.discovery.note(Source::Dht, note);
        if let Some(pass) = &mut self.discovery.pass {
            pass.queries.extend(queries);
        }
    }

    /// How many peers the routing table has.
    pub(crate) fn routes(&mut self) -> Option<usize> {
        self.swarm.behaviour_mut().dht.as_mut().map(Dht::len)
    }

    /// Whoever took part in the DHT is asked again: in an earlier run, or before it was out of reach.
    pub(crate) fn warm_dht(&mut self, worth_it: impl Fn(&Record) -> bool) {
        for record in self.run.book.dht_peers(&self.run.settings.discovery.dht_protocol) {
            if worth_it(&record) {
                let known = record.dial_addresses();
                let addresses = known.into_iter().filter_map(|(text, _)| text.parse().ok());
                self.route(record.id, addresses);
            }
        }
    }

    /// A peer has told which protocols it speaks: the routing table has those who take part, at the
    /// addresses they tell of now and those they were reached at.
    pub(crate) fn takes_part_in_dht(&mut self, peer: PeerId, listens_at: Vec<Multiaddr>) {
        let Some(record) = self.run.book.get(&peer) else { return };
        let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() else { return };
        let protocol = &self.run.settings.discovery.dht_protocol;
        if !record.speaks(protocol) {
            return dht.remove(&peer);
        }
        let was_empty = dht.len() == 0;
        let state = self.peers.get(&peer);
        let dialled = state.into_iter().flat_map(Peer::live);
        let dialled = dialled.filter(|open| open.direction == Direction::Outbound);
        let reached: Vec<_> = dialled.filter_map(|open| open.address.parse().ok()).collect();
        self.route(peer, reached.into_iter().chain(listens_at));
        if was_empty {
            self.dht_came_alive();
        }
    }

    pub(crate) fn route(&mut self, peer: PeerId, addresses: impl Iterator<Item = Multiaddr>) {
        let settings = &self.run.settings;
        // What stands in the table is told to everybody who asks.
        let least = settings.least_told();
        let fits = |address: &Multiaddr| {
            let scope = addr::scope(address);
            scope >= least && settings.may_dial_unasked(scope, false)
        };
        let addresses: Vec<Multiaddr> = addresses.filter(fits).take(MAX_ADDRESSES).collect();
        if let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() {
            dht.add(&peer, &addresses);
        }
    }

    /// A search of the DHT ended, or came to a part of its result.
    pub(crate) fn searched(&mut self, query: QueryId, found: Vec<kad::PeerInfo>, last: bool) {
        // Who was known before the search comes without addresses.
        for info in found.into_iter().filter(|info| !info.addrs.is_empty()) {
            self.found(Source::Dht, info.peer_id, info.addrs);
        }
        if last && let Some(pass) = &mut self.discovery.pass {
            pass.queries.remove(&query);
            self.end_pass_if_over();
        }
    }
}
