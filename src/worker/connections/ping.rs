//! `ping_peer`: one ping after the other to a connected peer.

use std::collections::HashMap;

use crate::PeerId;
use crate::error::{Error, ErrorKind};
use crate::model::Text;
use crate::model::event::DisconnectReason;
use crate::model::reply::Pinged;
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::protocols::ping::{Event, Outcome, PingFailure};
use crate::worker::reply::{Reply, Terms};
use crate::worker::util::millis;

/// The calls that ping.
#[derive(Default)]
pub(super) struct Pings(HashMap<CallId, Pinging>);

/// The progress of a call.
struct Pinging {
    peer: PeerId,
    text: Text,
    count: u32,
    sent: u32,
    rtts_ms: Vec<f64>,
    reply: Reply<Pinged>,
}

impl Pings {
    pub(super) fn begin(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        count: u32,
        terms: Terms<Pinged>,
    ) {
        let Some(state) = core.peers.get(&peer) else {
            let error = Error::new(ErrorKind::NotConnected, format!("{peer} is not connected"));
            return terms.reply.send(Err(error));
        };
        let text = state.text.clone();
        let Some((call, _, reply)) = core.register(Owner::Connections, terms) else { return };
        core.calls.needs_peer(call, peer);
        let pinging = Pinging { peer, text, count, sent: 1, rtts_ms: Vec::new(), reply };
        self.0.insert(call, pinging);
        core.swarm.behaviour_mut().ping.ping(peer, call.number());
    }

    pub(super) fn on_event(&mut self, core: &mut Core, event: Event) {
        match event {
            Event::Dead { peer, connection } => {
                let state = core.peers.get_mut(&peer);
                if let Some(connection) = state.and_then(|state| state.connection(connection)) {
                    connection.closing.get_or_insert(DisconnectReason::PingDead);
                }
            }
            Event::Pinged { peer, outcome } => {
                if let Ok(rtt) = outcome.result {
                    core.shared.book.latency(&peer, rtt);
                }
                self.advance(core, outcome);
            }
        }
    }

    /// Takes the outcome of one ping of a call: sends the next, or answers.
    fn advance(&mut self, core: &mut Core, outcome: Outcome) {
        let Some(call) = outcome.request.map(CallId::of_number) else { return };
        let Some(pinging) = self.0.get_mut(&call) else { return };
        match outcome.result {
            Ok(rtt) => pinging.rtts_ms.push(millis(rtt)),
            Err(PingFailure::Unsupported) => {
                let error = Error::new(ErrorKind::Protocol, "the peer does not speak ping");
                return self.fail(core, call, error);
            }
            Err(PingFailure::TooMany) => {
                let error = Error::new(ErrorKind::Busy, "too many pings wait on the connection");
                return self.fail(core, call, error);
            }
            Err(PingFailure::Timeout | PingFailure::Broken) => {}
        }
        if pinging.sent < pinging.count {
            pinging.sent += 1;
            return core.swarm.behaviour_mut().ping.ping(pinging.peer, call.number());
        }
        if let Some(Pinging { text, sent, rtts_ms, reply, .. }) = self.0.remove(&call) {
            core.finish(call);
            let received = rtts_ms.len() as u32;
            reply.send(Ok(Pinged { peer_id: text, rtts_ms, sent, received }));
        }
    }

    /// Answers the pings of a peer that has no connection left.
    pub(super) fn peer_gone(&mut self, core: &mut Core, peer: &PeerId) {
        for (call, pinging) in self.0.extract_if(|_, pinging| pinging.peer == *peer) {
            core.finish(call);
            let message = "the connection closed during the ping";
            let error = Error::new(ErrorKind::NotConnected, message);
            pinging.reply.send(Err(error.with("rtts_ms", pinging.rtts_ms)));
        }
    }

    pub(super) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        let Some(pinging) = self.0.get(&call) else { return };
        let mut error = why.error("the peer did not answer every ping in time");
        if why == Ending::Deadline {
            error = error
                .with("sent", pinging.sent)
                .with("received", pinging.rtts_ms.len())
                .with("rtts_ms", pinging.rtts_ms.clone());
        }
        self.fail(core, call, error);
    }

    fn fail(&mut self, core: &mut Core, call: CallId, error: Error) {
        if let Some(pinging) = self.0.remove(&call) {
            core.finish(call);
            pinging.reply.send(Err(error));
        }
    }
}
