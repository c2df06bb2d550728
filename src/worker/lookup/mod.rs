//! Where is a peer? The DHT is asked, then the connected peers; each step ends as soon as an address
//! comes of it. `find_peer` waits for the answer, and a connect by id that has no address left that
//! works.

pub(crate) mod ask_peers;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::kad::QueryId;
use libp2p::request_response::OutboundRequestId;

use crate::error::{Error, ErrorKind};
use crate::model::reply::{Lookup, PeerFound};
use crate::model::{Source, Text};
use crate::worker::calls::{Kind, age};
use crate::worker::command::Terms;
use crate::worker::dialing::millis;
use crate::worker::{Timer, Worker};
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
pub(crate) struct Lookups(HashMap<u64, Search>);

struct Search {
    peer: PeerId,
    /// Addresses that failed already: who tells of no other has told nothing.
    tried: Vec<Text>,
    stage: Stage,
    since: Instant,
    until: Instant,
    /// The steps behind it.
    steps: Vec<Lookup>,
}

enum Stage {
    Dht(QueryId),
    Exchange(Vec<OutboundRequestId>),
}

impl Search {
    /// Of these addresses, those that haven't failed already.
    fn untried(&self, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let tried = |address: &Multiaddr| {
            let text = address.to_string();
            self.tried.iter().any(|tried| **tried == *text)
        };
        addresses.iter().filter(|address| !tried(address)).cloned().collect()
    }

    /// The step under way as it is told of once it is over; `otherwise`: why nothing was found.
    fn step(&self, source: Source, found: usize, otherwise: Option<&str>) -> Lookup {
        Lookup {
            source,
            found: found as u32,
            duration_ms: millis(age(self.since)),
            error: otherwise.filter(|_| found == 0).map(str::to_owned),
        }
    }
}

impl Lookups {
    /// The calls that look for this peer.
    pub(crate) fn of_peer(&self, peer: &PeerId) -> Vec<u64> {
        let its = self.0.iter().filter(|(_, search)| search.peer == *peer);
        its.map(|(call, _)| *call).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The peer a question to a connected peer is about.
    pub(crate) fn asked_for(&self, request: OutboundRequestId) -> Option<PeerId> {
        let asked = |search: &&Search| match &search.stage {
            Stage::Exchange(requests) => requests.contains(&request),
            Stage::Dht(_) => false,
        };
        self.0.values().find(asked).map(|search| search.peer)
    }
}

/// How a search ended.
pub(crate) struct Outcome {
    pub steps: Vec<Lookup>,
    /// Who knew, and where the peer is.
    pub found: Option<(Source, Vec<Multiaddr>)>,
}

impl Worker {
    /// `find_peer`.
    pub(crate) fn find_peer(&mut self, peer: PeerId, terms: Terms<PeerFound>) {
        if let Some(call) = self.wait(terms, |reply| Kind::Find { peer, reply }) {
            self.look_up(call, peer);
        }
    }

    /// Begins to look for a peer, for a call.
    pub(crate) fn look_up(&mut self, call: u64, peer: PeerId) {
        let Some(waiting) = self.calls.get_mut(call) else { return };
        let now = Instant::now();
        let left = waiting.deadline.saturating_duration_since(now);
        let tried = match &waiting.kind {
            Kind::Connect(connecting, _) => {
                connecting.attempts.iter().map(|attempt| attempt.address.clone()).collect()
            }
            _ => Vec::new(),
        };
        let until = now + DHT_PATIENCE.min(left / 2);
        let begun = self.dht_with_peers().map(|dht| Stage::Dht(dht.look_for(peer)));
        let (stage, error) = match begun {
            Ok(stage) => (stage, None),
            Err(error) => (Stage::Exchange(Vec::new()), Some(error.message().to_owned())),
        };
        let search = Search { peer, tried, stage, since: now, until, steps: Vec::new() };
        match error {
            None => {
                self.timers.set(until, Timer::Lookup(call));
                self.lookups.0.insert(call, search);
            }
            Some(error) => {
                let step = search.step(Source::Dht, 0, Some(&error));
                self.ask_connected(call, Search { steps: vec![step], ..search });
            }
        }
    }

    /// Whether there is anybody to ask where this peer is.
    pub(crate) fn can_look_up(&mut self, peer: &PeerId) -> bool {
        self.dht_with_peers().is_ok() || !self.askable(peer).is_empty()
    }

    /// The connected peers to ask.
    fn askable(&self, peer: &PeerId) -> Vec<PeerId> {
        let protocol = self.run.settings.discovery.exchange_protocol.as_str();
        let speaks =
            |peer: &PeerId| self.run.book.get(peer).is_some_and(|record| record.speaks(protocol));
        let asked = self.peers.keys().filter(|known| *known != peer && speaks(known));
        asked.take(MAX_ASKED).copied().collect()
    }

    fn ask_connected(&mut self, call: u64, search: Search) {
        let Search { peer, tried, mut steps, .. } = search;
        let asked = self.askable(&peer);
        if asked.is_empty() {
            let error = Some("no connected peer answers such a question".to_owned());
            steps.push(Lookup { source: Source::Exchange, found: 0, duration_ms: 0.0, error });
            return self.looked_up(call, Outcome { steps, found: None });
        }
        let exchange = &mut self.swarm.behaviour_mut().exchange;
        let requests =
            asked.iter().map(|asked| exchange.send_request(asked, ask_peers::ask(&peer)));
        let stage = Stage::Exchange(requests.collect());
        let since = Instant::now();
        let until = since + EXCHANGE_PATIENCE;
        self.timers.set(until, Timer::Lookup(call));
        self.lookups.0.insert(call, Search { peer, tried, stage, since, until, steps });
    }

    /// A remote of the DHT told where a peer is that is looked for.
    pub(crate) fn located(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let waits = |search: &Search| search.peer == peer && matches!(search.stage, Stage::Dht(_));
        let waiting = self.lookups.0.iter().filter(|(_, search)| waits(search));
        let new = waiting.map(|(call, search)| (*call, search.untried(addresses)));
        for (call, new) in new.filter(|(_, new)| !new.is_empty()).collect::<Vec<_>>() {
            self.end_dht_step(call, new, None);
        }
    }

    /// A query of the DHT is over.
    pub(crate) fn lookup_query_over(&mut self, query: QueryId) {
        let is_its = |search: &Search| matches!(search.stage, Stage::Dht(its) if its == query);
        let Some((call, search)) = self.lookups.0.iter().find(|(_, search)| is_its(search)) else {
            return;
        };
        let (call, peer) = (*call, search.peer);
        let dht = self.swarm.behaviour_mut().dht.as_mut();
        // Only the peer itself may know where it is, and be connected.
        let known = dht.map(|dht| dht.connected_at(&peer)).unwrap_or_default();
        self.end_dht_step(call, known, Some("the DHT doesn't know the peer"));
    }

    fn end_dht_step(&mut self, call: u64, addresses: Vec<Multiaddr>, otherwise: Option<&str>) {
        let Some(mut search) = self.lookups.0.remove(&call) else { return };
        if let (Stage::Dht(query), Some(dht)) =
            (&search.stage, self.swarm.behaviour_mut().dht.as_mut())
        {
            dht.finish(*query);
        }
        let step = search.step(Source::Dht, addresses.len(), otherwise);
        search.steps.push(step);
        match addresses.is_empty() {
            true => self.ask_connected(call, search),
            false => {
                let found = Some((Source::Dht, addresses));
                self.looked_up(call, Outcome { steps: search.steps, found });
            }
        }
    }

    /// A connected peer answered, or won't.
    pub(crate) fn exchanged(&mut self, request: OutboundRequestId, addresses: Vec<Multiaddr>) {
        let is_its = |search: &Search| match &search.stage {
            Stage::Exchange(requests) => requests.contains(&request),
            Stage::Dht(_) => false,
        };
        let mut searches = self.lookups.0.iter_mut();
        let Some((call, search)) = searches.find(|(_, search)| is_its(search)) else { return };
        let (call, new) = (*call, search.untried(&addresses));
        if let Stage::Exchange(requests) = &mut search.stage {
            requests.retain(|open| *open != request);
            if !new.is_empty() || requests.is_empty() {
                self.end_exchange_step(call, new, "no connected peer knows the peer");
            }
        }
    }

    fn end_exchange_step(&mut self, call: u64, addresses: Vec<Multiaddr>, otherwise: &str) {
        let Some(mut search) = self.lookups.0.remove(&call) else { return };
        let step = search.step(Source::Exchange, addresses.len(), Some(otherwise));
        search.steps.push(step);
        let found = (!addresses.is_empty()).then_some((Source::Exchange, addresses));
        self.looked_up(call, Outcome { steps: search.steps, found });
    }

    /// A step has had its time.
    pub(crate) fn on_lookup_timer(&mut self, call: u64) {
        let now = Instant::now();
        let Some(search) = self.lookups.0.get(&call).filter(|search| search.until <= now) else {
            return;
        };
        match search.stage {
            Stage::Dht(_) => {
                let otherwise = "the DHT had not found the peer in time";
                self.end_dht_step(call, Vec::new(), Some(otherwise));
            }
            Stage::Exchange(_) => {
                self.end_exchange_step(call, Vec::new(), "no connected peer answered in time");
            }
        }
    }

    /// The call is over; nobody waits for the search any more.
    pub(crate) fn stop_looking(&mut self, call: u64) {
        let search = self.lookups.0.remove(&call);
        if let Some(Search { stage: Stage::Dht(query), .. }) = search
            && let Some(dht) = self.swarm.behaviour_mut().dht.as_mut()
        {
            dht.finish(query);
        }
    }

    /// Who was asked by now, where the search goes on.
    pub(crate) fn asked_so_far(&self, call: u64, why: Option<&str>) -> Option<Vec<Lookup>> {
        let search = self.lookups.0.get(&call)?;
        let source = match search.stage {
            Stage::Dht(_) => Source::Dht,
            Stage::Exchange(_) => Source::Exchange,
        };
        let step = search.step(source, 0, why);
        Some(search.steps.iter().cloned().chain([step]).collect())
    }

    /// The time of a `find_peer` is over: what the book has is an answer all the same.
    pub(crate) fn find_timed_out(&mut self, call: u64) {
        let Some(Kind::Find { peer, .. }) = self.calls.get_mut(call).map(|call| &call.kind) else {
            return;
        };
        let peer = *peer;
        let steps = self.asked_so_far(call, Some("not in time")).unwrap_or_default();
        let error = Error::new(ErrorKind::Timeout, "the peer was not found in time");
        self.peer_found(call, peer, Outcome { steps, found: None }, error);
    }

    fn looked_up(&mut self, call: u64, outcome: Outcome) {
        match self.calls.get_mut(call).map(|call| &call.kind) {
            Some(Kind::Connect(..)) => self.connect_looked_up(call, outcome),
            Some(Kind::Find { peer, .. }) => {
                let peer = *peer;
                let error =
                    Error::new(ErrorKind::PeerNotFound, "nobody who was asked knows the peer");
                self.peer_found(call, peer, outcome, error);
            }
            _ => {}
        }
    }

    fn peer_found(&mut self, call: u64, peer: PeerId, outcome: Outcome, otherwise: Error) {
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
            return reply.send(Err(otherwise.with("lookups", json!(steps))));
        }
        let peer_id = peer.to_string().into();
        reply.send(Ok(PeerFound { peer_id, multiaddrs, found_by, lookups: steps }));
    }
}
