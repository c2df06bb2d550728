//! The calls that wait for something: their deadlines and tokens, and the stories of disconnect
//! and ping. A connect's story is in `connect`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use crate::PeerId;
use crate::discovery::Snapshot;
use crate::error::{Error, ErrorKind};
use crate::model::Text;
use crate::model::event::DisconnectReason;
use crate::model::reply::{Connected, PeerFound, Pinged, Provider};
use crate::worker::command::{Reply, Terms};
use crate::worker::content::Finding;
use crate::worker::dialing::connect::Connecting;
use crate::worker::dialing::millis;
use crate::worker::protocols::ping::{Event as PingEvent, Outcome, PingFailure};
use crate::worker::{Timer, Worker};

/// Calls that may wait at once.
const MAX_WAITING: usize = 4096;

/// Every waiting call, by a number that is never used twice.
#[derive(Default)]
pub(crate) struct Calls {
    last: u64,
    waiting: HashMap<u64, Call>,
}

pub(crate) struct Call {
    pub deadline: Instant,
    cancel_token: Option<u64>,
    pub kind: Kind,
}

pub(crate) enum Kind {
    Connect(Connecting, Reply<Connected>),
    /// Waits for these connections to be closed.
    Disconnect(Vec<ConnectionId>, Reply<bool>),
    Ping(Pinging, Reply<Pinged>),
    /// Waits until discovery has found this many peers in all, or the pass is over.
    Discover {
        goal: u64,
        reply: Reply<Snapshot>,
    },
    Daemon(Reply<Vec<PeerId>>),
    Find {
        peer: PeerId,
        reply: Reply<PeerFound>,
    },
    Provide(Instant, Reply<Duration>),
    Providers(Finding, Reply<Vec<Provider>>),
}

/// How far a `ping_peer` is.
pub(crate) struct Pinging {
    peer: PeerId,
    text: Text,
    count: u32,
    sent: u32,
    rtts_ms: Vec<f64>,
}

impl Call {
    fn fail(self, error: Error) {
        match self.kind {
            Kind::Connect(_, reply) => reply.send(Err(error)),
            Kind::Disconnect(_, reply) => reply.send(Err(error)),
            Kind::Ping(_, reply) => reply.send(Err(error)),
            Kind::Discover { reply, .. } => reply.send(Err(error)),
            Kind::Daemon(reply) => reply.send(Err(error)),
            Kind::Find { reply, .. } => reply.send(Err(error)),
            Kind::Provide(_, reply) => reply.send(Err(error)),
            Kind::Providers(_, reply) => reply.send(Err(error)),
        }
    }
}

impl Calls {
    pub(crate) fn take(&mut self, id: u64) -> Option<Call> {
        self.waiting.remove(&id)
    }

    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Call> {
        self.waiting.get_mut(&id)
    }

    /// The waiting connects, with their numbers.
    pub(crate) fn connecting(&self) -> impl Iterator<Item = (u64, &Connecting)> {
        self.waiting.iter().filter_map(|(id, call)| match &call.kind {
            Kind::Connect(connecting, _) => Some((*id, connecting)),
            _ => None,
        })
    }

    /// The waiting discoveries whose goal satisfies.
    pub(crate) fn discovering(&self, satisfied: impl Fn(u64) -> bool) -> Vec<u64> {
        self.matching(|call| matches!(call.kind, Kind::Discover { goal, .. } if satisfied(goal)))
    }

    /// Whether a call waits for something of this connected peer.
    pub(crate) fn needs(&self, peer: &PeerId) -> bool {
        self.waiting.values().any(|call| match &call.kind {
            Kind::Connect(connecting, _) => connecting.is_for(peer),
            Kind::Ping(pinging, _) => pinging.peer == *peer,
            _ => false,
        })
    }

    fn matching(&self, wanted: impl Fn(&Call) -> bool) -> Vec<u64> {
        self.waiting.iter().filter(|(_, call)| wanted(call)).map(|(id, _)| *id).collect()
    }
}

impl Worker {
    /// Notes a call as waiting; one too many is answered `busy`.
    pub(crate) fn wait<T>(
        &mut self,
        terms: Terms<T>,
        kind: impl FnOnce(Reply<T>) -> Kind,
    ) -> Option<u64> {
        if self.calls.waiting.len() >= MAX_WAITING {
            let error = Error::new(ErrorKind::Busy, format!("{MAX_WAITING} calls wait already"));
            terms.reply.send(Err(error));
            return None;
        }
        self.calls.last += 1;
        let id = self.calls.last;
        self.timers.set(terms.deadline, Timer::Deadline(id));
        let call = Call {
            deadline: terms.deadline,
            cancel_token: terms.cancel_token,
            kind: kind(terms.reply),
        };
        self.calls.waiting.insert(id, call);
        Some(id)
    }

    /// Takes a call that is about to be answered.
    pub(crate) fn take_call(&mut self, id: u64) -> Option<Call> {
        let call = self.calls.take(id)?;
        self.timers.clear(call.deadline, Timer::Deadline(id));
        self.stop_looking(id);
        if let Some(query) = self.content.forget(id)
            && let Some(dht) = self.swarm.behaviour_mut().dht.as_mut()
        {
            dht.finish(query);
        }
        Some(call)
    }

    pub(crate) fn fail_call(&mut self, id: u64, error: Error) {
        if let Some(call) = self.take_call(id) {
            call.fail(error);
        }
    }

    pub(crate) fn on_deadline(&mut self, id: u64) {
        match self.calls.get_mut(id).map(|call| &call.kind) {
            None => {}
            Some(Kind::Connect(..)) => self.connect_timed_out(id),
            Some(Kind::Disconnect(..)) => {
                self.fail_call(id, timed_out("the connection did not close in time"));
            }
            Some(Kind::Ping(pinging, _)) => {
                let error = timed_out("the peer did not answer every ping in time")
                    .with("sent", pinging.sent)
                    .with("received", pinging.rtts_ms.len())
                    .with("rtts_ms", pinging.rtts_ms.clone());
                self.fail_call(id, error);
            }
            // What was found by now is an answer.
            Some(Kind::Discover { .. }) => self.answer_discover(id),
            Some(Kind::Providers(..)) => self.providers_found(id),
            Some(Kind::Daemon(_)) => {
                self.fail_call(id, timed_out("the daemon did not answer in time"))
            }
            Some(Kind::Find { .. }) => self.find_timed_out(id),
            Some(Kind::Provide(..)) => {
                self.fail_call(id, timed_out("the DHT was not told in time"))
            }
        }
    }

    /// Ends all calls that carry the token.
    pub(crate) fn cancel(&mut self, token: u64) -> u32 {
        let ids = self.calls.matching(|call| call.cancel_token == Some(token));
        for id in &ids {
            self.abandon_dial(*id);
            self.fail_call(*id, Error::new(ErrorKind::Cancelled, "the caller cancelled the call"));
        }
        ids.len() as u32
    }

    pub(crate) fn disconnect(&mut self, peer: PeerId, terms: Terms<bool>) {
        self.abort_dials(peer);
        let state = self.peers.get(&peer);
        let open: Vec<_> = state.iter().flat_map(|s| &s.connections).map(|c| c.id).collect();
        if open.is_empty() {
            let _ = self.swarm.disconnect_peer_id(peer);
            return terms.reply.send(Ok(false));
        }
        if self.wait(terms, |reply| Kind::Disconnect(open, reply)).is_some() {
            if let Some(state) = self.peers.get_mut(&peer) {
                state.close_all(DisconnectReason::LocalRequest);
            }
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Answers the disconnects for which this was the last connection to close.
    pub(crate) fn connection_gone(&mut self, closed: ConnectionId) {
        let mut over = Vec::new();
        for (id, call) in &mut self.calls.waiting {
            if let Kind::Disconnect(open, _) = &mut call.kind {
                open.retain(|connection| *connection != closed);
                over.extend(open.is_empty().then_some(*id));
            }
        }
        for id in over {
            if let Some(Kind::Disconnect(_, reply)) = self.take_call(id).map(|call| call.kind) {
                reply.send(Ok(true));
            }
        }
    }

    /// Answers the pings of a peer that has no connection left.
    pub(crate) fn pinged_peer_gone(&mut self, peer: PeerId) {
        let pinging = self
            .calls
            .matching(|call| matches!(&call.kind, Kind::Ping(pinging, _) if pinging.peer == peer));
        for id in pinging {
            if let Some(Kind::Ping(pinging, reply)) = self.take_call(id).map(|call| call.kind) {
                let message = "the connection closed during the ping";
                let error = Error::new(ErrorKind::NotConnected, message);
                reply.send(Err(error.with("rtts_ms", pinging.rtts_ms)));
            }
        }
    }

    pub(crate) fn ping(&mut self, peer: PeerId, count: u32, terms: Terms<Pinged>) {
        let Some(state) = self.peers.get(&peer) else {
            let error = Error::new(ErrorKind::NotConnected, format!("{peer} is not connected"));
            terms.reply.send(Err(error));
            return;
        };
        let pinging =
            Pinging { peer, text: state.text.clone(), count, sent: 1, rtts_ms: Vec::new() };
        if let Some(id) = self.wait(terms, |reply| Kind::Ping(pinging, reply)) {
            self.swarm.behaviour_mut().ping.ping(peer, id);
        }
    }

    pub(crate) fn on_ping(&mut self, event: PingEvent) {
        match event {
            PingEvent::Dead { peer, connection } => {
                let state = self.peers.get_mut(&peer);
                if let Some(connection) = state.and_then(|state| state.connection(connection)) {
                    connection.closing.get_or_insert(DisconnectReason::PingDead);
                }
            }
            PingEvent::Pinged { peer, outcome } => {
                if let Ok(rtt) = outcome.result {
                    self.run.book.latency(&peer, rtt);
                }
                self.ping_outcome(outcome);
            }
        }
    }

    /// One ping of a `ping_peer` is over: sends the next, or answers.
    fn ping_outcome(&mut self, outcome: Outcome) {
        let Some(id) = outcome.request else { return };
        let Some(Kind::Ping(pinging, _)) = self.calls.get_mut(id).map(|call| &mut call.kind) else {
            return;
        };
        match outcome.result {
            Ok(rtt) => pinging.rtts_ms.push(millis(rtt)),
            Err(PingFailure::Unsupported) => {
                let error = Error::new(ErrorKind::Protocol, "the peer does not speak ping");
                return self.fail_call(id, error);
            }
            Err(PingFailure::TooMany) => {
                let error = Error::new(ErrorKind::Busy, "too many pings wait on the connection");
                return self.fail_call(id, error);
            }
            Err(PingFailure::Timeout | PingFailure::Broken) => {}
        }
        if pinging.sent < pinging.count {
            pinging.sent += 1;
            let peer = pinging.peer;
            return self.swarm.behaviour_mut().ping.ping(peer, id);
        }
        if let Some(Kind::Ping(pinging, reply)) = self.take_call(id).map(|call| call.kind) {
            reply.send(Ok(Pinged {
                peer_id: pinging.text,
                received: pinging.rtts_ms.len() as u32,
                rtts_ms: pinging.rtts_ms,
                sent: pinging.sent,
            }));
        }
    }
}

fn timed_out(message: &str) -> Error {
    Error::new(ErrorKind::Timeout, message)
}

/// How long `since` is ago.
pub(crate) fn age(since: Instant) -> Duration {
    Instant::now().saturating_duration_since(since)
}
