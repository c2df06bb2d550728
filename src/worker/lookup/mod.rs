//! Looks up where a peer is: asks the DHT, then the connected peers; each step ends as soon as an address
//! comes of it. `find_peer` waits for the answer, and so does a connect whose known addresses don't
//! work. `ask_peers` reads the answers of connected peers, and answers their questions.

mod ask_peers;
#[cfg(feature = "dht")]
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::request_response::{self as rr, OutboundRequestId};
use serde_json::json;

use self::ask_peers::{Answers, read_answer};
use super::core::Core;
use super::core::calls::{CallId, Ending, Owner};
use super::core::notes::{LookUp, Note};
use super::core::timers::Timer;
use super::protocols::find_peer::{self, Answer, Question};
use super::protocols::kad::QueryId;
use super::reply::{Reply, Terms};
use super::util::millis;
use crate::error::{Error, ErrorKind};
use crate::model::reply::{Lookup, PeerFound};
use crate::model::{Source, Text};
use crate::{Multiaddr, PeerId};

/// Connected peers asked at once.
const MAX_ASKED: usize = 16;
/// Time that the DHT has; half of what the call has left where that is less.
const DHT_PATIENCE: Duration = Duration::from_secs(10);
/// Time that the connected peers have: one round trip, and some patience.
const PEERS_PATIENCE: Duration = Duration::from_secs(3);

/// Calls that ask where a peer is.
pub(crate) enum LookupCommand {
    FindPeer { peer: PeerId, terms: Terms<PeerFound> },
}

/// The searches under way, by the call that waits.
#[derive(Default)]
pub(crate) struct Lookups {
    searches: HashMap<CallId, Search>,
    answers: Answers,
}

struct Search {
    peer: PeerId,
    /// The reply that `find_peer` waits for; None: a call of another part waits, for a note.
    reply: Option<Reply<PeerFound>>,
    /// Addresses that failed already: an answer that has no other is no answer.
    tried: Vec<Text>,
    stage: Stage,
    since: Instant,
    /// The steps that are over.
    steps: Vec<Lookup>,
}

enum Stage {
    Dht(QueryId),
    Peers(Vec<OutboundRequestId>),
}

impl Stage {
    const fn source(&self) -> Source {
        match self {
            Stage::Dht(_) => Source::Dht,
            Stage::Peers(_) => Source::Exchange,
        }
    }
}

impl Search {
    /// Returns those of the addresses that haven't failed already.
    fn untried(&self, addresses: &[Multiaddr]) -> Vec<Multiaddr> {
        let tried = |address: &Multiaddr| {
            let text = address.to_string();
            self.tried.iter().any(|tried| **tried == *text)
        };
        addresses.iter().filter(|address| !tried(address)).cloned().collect()
    }

    /// Ends the step under way; `otherwise`: why nothing was found.
    fn end_step(&mut self, now: Instant, found: usize, otherwise: &str) {
        self.steps.push(Lookup {
            source: self.stage.source(),
            found: found as u32,
            duration_ms: millis(now.saturating_duration_since(self.since)),
            error: (found == 0).then(|| otherwise.to_owned()),
        });
    }
}

impl Lookups {
    pub(crate) fn command(&mut self, core: &mut Core, command: LookupCommand) {
        let LookupCommand::FindPeer { peer, terms } = command;
        let Some((call, deadline, reply)) = core.register(Owner::Lookups, terms) else { return };
        self.begin(core, LookUp { call, peer, tried: Vec::new(), deadline }, Some(reply));
    }

    /// Begins a look-up for a call of another part; a note brings that the result.
    pub(crate) fn look_up(&mut self, core: &mut Core, look_up: LookUp) {
        self.begin(core, look_up, None);
    }

    /// Forgets the rate of a peer that is connected no more.
    pub(crate) fn peer_gone(&mut self, peer: &PeerId) {
        self.answers.forget(peer);
    }

    /// Tells whether no peer is looked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.searches.is_empty()
    }

    fn begin(&mut self, core: &mut Core, look_up: LookUp, reply: Option<Reply<PeerFound>>) {
        let LookUp { call, peer, tried, deadline } = look_up;
        let patience = DHT_PATIENCE.min(deadline.saturating_duration_since(core.now) / 2);
        let mut search = Search {
            peer,
            reply,
            tried,
            stage: Stage::Peers(Vec::new()),
            since: core.now,
            steps: Vec::new(),
        };
        match core.dht_with_peers().map(|dht| dht.look_for(peer)) {
            Ok(query) => {
                search.stage = Stage::Dht(query);
                core.timers.set(core.now + patience, Timer::LookupStep(call));
                self.searches.insert(call, search);
            }
            Err(error) => {
                let (source, error) = (Source::Dht, Some(error.message().to_owned()));
                search.steps.push(Lookup { source, found: 0, duration_ms: 0.0, error });
                self.ask_peers(core, call, search);
            }
        }
    }

    fn ask_peers(&mut self, core: &mut Core, call: CallId, mut search: Search) {
        let asked = core.askable(&search.peer, MAX_ASKED);
        if asked.is_empty() {
            let error = Some("no connected peer answers such a question".to_owned());
            let source = Source::Exchange;
            search.steps.push(Lookup { source, found: 0, duration_ms: 0.0, error });
            return self.over(core, call, search, Vec::new());
        }
        let behaviour = &mut core.swarm.behaviour_mut().find_peer;
        let question = || find_peer::ask(&search.peer);
        let requests = asked.iter().map(|asked| behaviour.send_request(asked, question()));
        search.stage = Stage::Peers(requests.collect());
        search.since = core.now;
        core.timers.set(core.now + PEERS_PATIENCE, Timer::LookupStep(call));
        if search.reply.is_none() {
            let steps = search.steps.clone();
            core.note(Note::LookupStep { call, steps, asked: Source::Exchange });
        }
        self.searches.insert(call, search);
    }

    /// Ends the DHT step of look-ups for a peer whose addresses a remote of the DHT gave.
    pub(crate) fn located(&mut self, core: &mut Core, peer: PeerId, addresses: &[Multiaddr]) {
        let waits = |search: &Search| search.peer == peer && matches!(search.stage, Stage::Dht(_));
        let waiting = self.searches.iter().filter(|(_, search)| waits(search));
        let new = waiting.map(|(call, search)| (*call, search.untried(addresses)));
        for (call, new) in new.filter(|(_, new)| !new.is_empty()).collect::<Vec<_>>() {
            self.end_dht_step(core, call, new, "");
        }
    }

    /// Ends the DHT step of the look-up whose query is over.
    pub(crate) fn query_over(&mut self, core: &mut Core, query: QueryId) {
        let is_its = |search: &Search| matches!(search.stage, Stage::Dht(its) if its == query);
        let Some((call, search)) = self.searches.iter().find(|(_, search)| is_its(search)) else {
            return;
        };
        let (call, peer) = (*call, search.peer);
        // Only the peer itself may know where it is, and be connected.
        let known = core.dht().map(|dht| dht.connected_at(&peer)).unwrap_or_default();
        self.end_dht_step(core, call, known, "the DHT doesn't know the peer");
    }

    fn end_dht_step(
        &mut self,
        core: &mut Core,
        call: CallId,
        addresses: Vec<Multiaddr>,
        otherwise: &str,
    ) {
        let Some(mut search) = self.searches.remove(&call) else { return };
        finish_query(core, &search);
        search.end_step(core.now, addresses.len(), otherwise);
        match addresses.is_empty() {
            true => self.ask_peers(core, call, search),
            false => self.over(core, call, search, addresses),
        }
    }

    /// Takes a question or an answer of the find-peer protocol.
    pub(crate) fn on_find_peer(&mut self, core: &mut Core, event: rr::Event<Question, Answer>) {
        match event {
            rr::Event::Message { peer, message, .. } => match message {
                rr::Message::Request { request, channel, .. } => {
                    let answer = self.answers.answer(core, &peer, &request);
                    // The asker may be gone, and its answer with it.
                    let _ = core.swarm.behaviour_mut().find_peer.send_response(channel, answer);
                }
                rr::Message::Response { request_id, response } => {
                    self.answered(core, request_id, Some((peer, response)));
                }
            },
            rr::Event::OutboundFailure { request_id, .. } => self.answered(core, request_id, None),
            rr::Event::InboundFailure { .. } | rr::Event::ResponseSent { .. } => {}
        }
    }

    /// Takes a connected peer's answer, or None where it won't come.
    fn answered(
        &mut self,
        core: &mut Core,
        request: OutboundRequestId,
        answer: Option<(PeerId, Answer)>,
    ) {
        let mut searches = self.searches.iter_mut();
        let Some((call, search, open)) = searches.find_map(|(call, search)| {
            let Stage::Peers(requests) = &mut search.stage else { return None };
            let at = requests.iter().position(|open| *open == request)?;
            requests.swap_remove(at);
            let open = requests.len();
            Some((*call, search, open))
        }) else {
            return;
        };
        let told = answer.map(|(teller, answer)| read_answer(core, &teller, search.peer, &answer));
        let new = search.untried(&told.unwrap_or_default());
        if !new.is_empty() || open == 0 {
            self.end_peers_step(core, call, new, "no connected peer knows the peer");
        }
    }

    fn end_peers_step(
        &mut self,
        core: &mut Core,
        call: CallId,
        addresses: Vec<Multiaddr>,
        otherwise: &str,
    ) {
        let Some(mut search) = self.searches.remove(&call) else { return };
        search.end_step(core.now, addresses.len(), otherwise);
        self.over(core, call, search, addresses);
    }

    /// Ends a step whose time is over.
    pub(crate) fn step_timed_out(&mut self, core: &mut Core, call: CallId) {
        match self.searches.get(&call).map(|search| &search.stage) {
            Some(Stage::Dht(_)) => {
                let late = "the DHT had not found the peer in time";
                self.end_dht_step(core, call, Vec::new(), late);
            }
            Some(Stage::Peers(_)) => {
                let late = "no connected peer answered in time";
                self.end_peers_step(core, call, Vec::new(), late);
            }
            None => {}
        }
    }

    /// Stops a search whose call is over.
    pub(crate) fn stop(&mut self, core: &mut Core, call: CallId) {
        core.timers.clear(Timer::LookupStep(call));
        if let Some(search) = self.searches.remove(&call) {
            finish_query(core, &search);
        }
    }

    /// Ends a `find_peer` before anybody knew the peer: what the book has is an answer all the same.
    pub(crate) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        let Some(mut search) = self.searches.remove(&call) else { return };
        finish_query(core, &search);
        search.end_step(core.now, 0, "not in time");
        let error = why.error("the peer was not found in time");
        match why {
            Ending::Deadline => answer_find(core, call, search, Vec::new(), error),
            Ending::Cancelled => {
                core.timers.clear(Timer::LookupStep(call));
                core.finish(call);
                search.reply.into_iter().for_each(|reply| reply.send(Err(error.clone())));
            }
        }
    }

    fn over(&mut self, core: &mut Core, call: CallId, search: Search, found: Vec<Multiaddr>) {
        if search.reply.is_some() {
            let error = Error::new(ErrorKind::PeerNotFound, "nobody who was asked knows the peer");
            return answer_find(core, call, search, found, error);
        }
        core.timers.clear(Timer::LookupStep(call));
        let source = search.stage.source();
        core.note(Note::LookedUp { call, steps: search.steps, found, source });
    }
}

fn finish_query(core: &mut Core, search: &Search) {
    if let (Stage::Dht(query), Some(dht)) = (&search.stage, core.dht()) {
        dht.finish(*query);
    }
}

/// Answers a `find_peer` with what was found, or what the book has, or else the error.
fn answer_find(
    core: &mut Core,
    call: CallId,
    search: Search,
    found: Vec<Multiaddr>,
    otherwise: Error,
) {
    core.timers.clear(Timer::LookupStep(call));
    core.finish(call);
    let Search { peer, reply, stage, steps, .. } = search;
    let Some(reply) = reply else { return };
    let known = core.shared.book.get(&peer).map(|record| record.dial_addresses());
    if !found.is_empty() {
        core.discovered(stage.source(), peer, &found);
        let multiaddrs = found.iter().map(|address| address.to_string().into()).collect();
        let (peer_id, found_by) = (peer.to_string().into(), stage.source());
        return reply.send(Ok(PeerFound { peer_id, multiaddrs, found_by, lookups: steps }));
    }
    let multiaddrs: Vec<Text> =
        known.unwrap_or_default().into_iter().map(|(text, _)| text).collect();
    if multiaddrs.is_empty() {
        return reply.send(Err(otherwise.with("lookups", json!(steps))));
    }
    let (peer_id, found_by) = (peer.to_string().into(), Source::Book);
    reply.send(Ok(PeerFound { peer_id, multiaddrs, found_by, lookups: steps }));
}
