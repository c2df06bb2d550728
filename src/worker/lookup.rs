//! Where is a peer? The DHT is asked, then the connected peers; each step ends as soon as an address
//! comes of it. `find_peer` waits for the answer, and a connect by id that has no address left that
//! works.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::kad::QueryId;
use libp2p::request_response::OutboundRequestId;

use super::calls::{Kind, age};
use super::command::Terms;
use super::dial::millis;
use super::{Timer, Worker, exchange};
use crate::error::{Error, ErrorKind};
use crate::model::reply::{Lookup, PeerFound};
use crate::model::{Source, Text};
use crate::{Multiaddr, PeerId};
use serde_json::json;

/// Connected peers asked at once.
const MAX_ASKED: usize = 16;
/// The DHT has at most so long, or half of what the call has left where that is less.
const DHT_PATIENCE: Duration = Duration::from_secs(10);
/// The connected peers have so long: one round trip, and some patience.
const EXCHANGE_PATIENCE: Duration = Duration::from_secs(3);

/// The searches under way, by the call that waits.
#[derive(Default)]
pub(super) struct Lookups(HashMap<u64, Search>);

struct Search {
    peer: PeerId,
    stage: Stage,
    since: Instant,
    /// The steps behind it.
    steps: Vec<Lookup>,
}

enum Stage {
    Dht(QueryId),
    Exchange(Vec<OutboundRequestId>),
}

impl Lookups {
    /// The peer a question to a connected peer is about.
    pub(super) fn asked_for(&self, request: OutboundRequestId) -> Option<PeerId> {
        let asked = |search: &&Search| match &search.stage {
            Stage::Exchange(requests) => requests.contains(&request),
            Stage::Dht(_) => false,
        };
        self.0.values().find(asked).map(|search| search.peer)
    }
}

/// How a search ended.
pub(super) struct Outcome {
    pub steps: Vec<Lookup>,
    /// Who knew, and where the peer is.
    pub found: Option<(Source, Vec<Multiaddr>)>,
}

impl Worker {
    /// `find_peer`.
    pub(super) fn find_peer(&mut self, peer: PeerId, terms: Terms<PeerFound>) {
        if let Some(call) = self.wait(terms, |reply| Kind::Find { peer, reply }) {
            self.look_up(call, peer);
        }
    }

    /// Begins to look for a peer, for a call.
    pub(super) fn look_up(&mut self, call: u64, peer: PeerId) {
        let deadline = self.calls.get_mut(call).map(|call| call.deadline);
        let Some(left) = deadline.map(|deadline| deadline - Instant::now().min(deadline)) else {
            return;
        };
        let now = Instant::now();
        match self.dht_with_peers().map(|dht| dht.look_for(peer)) {
            Ok(query) => {
                let stage = Stage::Dht(query);
                self.timers.set(now + DHT_PATIENCE.min(left / 2), Timer::Lookup(call));
                self.lookups.0.insert(call, Search { peer, stage, since: now, steps: Vec::new() });
            }
            Err(error) => {
                let error = Some(error.message().to_owned());
                let step = Lookup { source: Source::Dht, found: 0, duration_ms: 0.0, error };
                self.ask_connected(call, peer, vec![step]);
            }
        }
    }

    fn ask_connected(&mut self, call: u64, peer: PeerId, mut steps: Vec<Lookup>) {
        let protocol = self.run.settings.discovery.exchange_protocol.as_str();
        let speaks = |peer: &PeerId| {
            let record = self.run.book.get(peer);
            record.is_some_and(|record| record.protocols.iter().any(|name| **name == *protocol))
        };
        let asked = self.peers.keys().filter(|known| **known != peer && speaks(known));
        let asked: Vec<PeerId> = asked.take(MAX_ASKED).copied().collect();
        if asked.is_empty() {
            let error = Some("no connected peer answers such a question".to_owned());
            steps.push(Lookup { source: Source::Exchange, found: 0, duration_ms: 0.0, error });
            return self.looked_up(call, Outcome { steps, found: None });
        }
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        let requests = asked.iter().map(|asked| exchange.send_request(asked, exchange::ask(&peer)));
        let stage = Stage::Exchange(requests.collect());
        let since = Instant::now();
        self.timers.set(since + EXCHANGE_PATIENCE, Timer::Lookup(call));
        self.lookups.0.insert(call, Search { peer, stage, since, steps });
    }

    /// The DHT knows where a peer is that is looked for.
    pub(super) fn located(&mut self, peer: PeerId) {
        let waiting = |(call, search): (&u64, &Search)| {
            (search.peer == peer && matches!(search.stage, Stage::Dht(_))).then_some(*call)
        };
        let calls: Vec<u64> = self.lookups.0.iter().filter_map(waiting).collect();
        for call in calls {
            self.end_dht_step(call, None);
        }
    }

    /// A query of the DHT is over.
    pub(super) fn lookup_query_over(&mut self, query: QueryId) {
        let is_its = |search: &Search| matches!(search.stage, Stage::Dht(its) if its == query);
        let call = self.lookups.0.iter().find(|(_, search)| is_its(search)).map(|(call, _)| *call);
        if let Some(call) = call {
            self.end_dht_step(call, Some("the DHT doesn't know the peer"));
        }
    }

    fn end_dht_step(&mut self, call: u64, otherwise: Option<&str>) {
        let Some(search) = self.lookups.0.remove(&call) else { return };
        let Stage::Dht(query) = search.stage else { return };
        let mut addresses = Vec::new();
        if let Some(dht) = self.swarm.behaviour_mut().dht.as_mut() {
            addresses = dht.addresses_of(&search.peer);
            dht.give_up(&search.peer, query);
        }
        let mut steps = search.steps;
        steps.push(Lookup {
            source: Source::Dht,
            found: addresses.len() as u32,
            duration_ms: millis(age(search.since)),
            error: otherwise.filter(|_| addresses.is_empty()).map(str::to_owned),
        });
        match addresses.is_empty() {
            true => self.ask_connected(call, search.peer, steps),
            false => {
                let found = Some((Source::Dht, addresses));
                self.looked_up(call, Outcome { steps, found });
            }
        }
    }

    /// A connected peer answered, or won't.
    pub(super) fn exchanged(&mut self, request: OutboundRequestId, addresses: Vec<Multiaddr>) {
        let is_its = |search: &Search| match &search.stage {
            Stage::Exchange(requests) => requests.contains(&request),
            Stage::Dht(_) => false,
        };
        let mut searches = self.lookups.0.iter_mut();
        let Some((call, search)) = searches.find(|(_, search)| is_its(search)) else { return };
        let call = *call;
        if let Stage::Exchange(requests) = &mut search.stage {
            requests.retain(|open| *open != request);
            if !addresses.is_empty() || requests.is_empty() {
                self.end_exchange_step(call, addresses, "no connected peer knows the peer");
            }
        }
    }

    fn end_exchange_step(&mut self, call: u64, addresses: Vec<Multiaddr>, otherwise: &str) {
        let Some(Search { mut steps, since, .. }) = self.lookups.0.remove(&call) else { return };
        let none = addresses.is_empty();
        steps.push(Lookup {
            source: Source::Exchange,
            found: addresses.len() as u32,
            duration_ms: millis(age(since)),
            error: none.then(|| otherwise.to_owned()),
        });
        let found = (!none).then_some((Source::Exchange, addresses));
        self.looked_up(call, Outcome { steps, found });
    }

    /// A step has had its time.
    pub(super) fn on_lookup_timer(&mut self, call: u64) {
        let Some(search) = self.lookups.0.get(&call) else { return };
        match search.stage {
            Stage::Dht(_) => {
                self.end_dht_step(call, Some("the DHT had not found the peer in time"));
            }
            Stage::Exchange(_) if age(search.since) >= EXCHANGE_PATIENCE => {
                self.end_exchange_step(call, Vec::new(), "no connected peer answered in time");
            }
            _ => {}
        }
    }

    /// The call is over; nobody waits for the search any more.
    pub(super) fn stop_looking(&mut self, call: u64) {
        let search = self.lookups.0.remove(&call);
        if let Some(Search { peer, stage: Stage::Dht(query), .. }) = search
            && let Some(dht) = self.swarm.behaviour_mut().dht.as_mut()
        {
            dht.give_up(&peer, query);
        }
    }

    fn looked_up(&mut self, call: u64, outcome: Outcome) {
        match self.calls.get_mut(call).map(|call| &call.kind) {
            Some(Kind::Connect(..)) => self.connect_looked_up(call, outcome),
            Some(Kind::Find { peer, .. }) => {
                let peer = *peer;
                self.peer_found(call, peer, outcome);
            }
            _ => {}
        }
    }

    fn peer_found(&mut self, call: u64, peer: PeerId, outcome: Outcome) {
        let known = self.run.book.get(&peer).map(|record| record.dial_addresses());
        let Outcome { steps, found } = outcome;
        if let Some((source, addresses)) = &found {
            self.found(*source, peer, addresses.clone());
        }
        let Some(Kind::Find { reply, .. }) = self.take_call(call).map(|call| call.kind) else {
            return;
        };
        let (found_by, multiaddrs) = match found {
            Some((source, addresses)) => {
                (source, addresses.iter().map(|address| address.to_string().into()).collect())
            }
            None => {
                let known = known.unwrap_or_default();
                (Source::Book, known.into_iter().map(|(text, _)| text).collect::<Vec<Text>>())
            }
        };
        if multiaddrs.is_empty() {
            let error = Error::new(ErrorKind::PeerNotFound, "nobody who was asked knows the peer");
            return reply.send(Err(error.with("lookups", json!(steps))));
        }
        let peer_id = peer.to_string().into();
        reply.send(Ok(PeerFound { peer_id, multiaddrs, found_by, lookups: steps }));
    }
}
