//! How a connect ends: with the remote's acceptance, which is what a success means, or with an error
//! that says what became of each address. `connect` tells what goes before.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::PeerId;
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::Connected;
use crate::model::{Attempt, DialStage, LastError, Source, Text};
use crate::worker::calls::{Kind, age};
use crate::worker::connections::peer::Connection;
use crate::worker::dialing::error::all_failed;
use crate::worker::dialing::{Dial, millis};
use crate::worker::{Timer, Worker};

/// How long past its deadline a call waits for the end of a dial that was made for it.
const REPORT_DELAY: Duration = Duration::from_millis(200);

impl Worker {
    /// Callers that wait for this peer in whatever way now wait for its acceptance.
    pub(crate) fn connected_meanwhile(&mut self, peer: PeerId) {
        let waiting = self.calls.connecting();
        let waiting = waiting.filter(|(_, c)| c.accepting.is_none() && c.target.peer == Some(peer));
        for id in waiting.map(|(id, _)| id).collect::<Vec<_>>() {
            if let Some((connecting, _)) = self.connecting(id) {
                connecting.accepting = Some(peer);
            }
        }
    }

    fn waiting_for(&self, peer: PeerId) -> Vec<u64> {
        let waiting = self.calls.connecting();
        waiting.filter(|(_, c)| c.accepting == Some(peer)).map(|(id, _)| id).collect()
    }

    /// Answers the callers that wait for this peer's acceptance, if it has accepted us by now.
    pub(crate) fn settle_acceptance(&mut self, peer: PeerId) {
        let Some(state) = self.peers.get(&peer) else { return };
        if state.live().any(Connection::accepted) {
            for id in self.waiting_for(peer) {
                self.connect_succeeded(id, peer);
            }
        }
    }

    fn connect_succeeded(&mut self, id: u64, peer: PeerId) {
        let Some(state) = self.peers.get_mut(&peer) else { return };
        state.connections.iter_mut().for_each(|connection| connection.for_query = false);
        let text = state.text.clone();
        let Some(Connection { address, transport, .. }) = state.live().next().cloned() else {
            return;
        };
        // It may have come while others were still being asked where it is.
        let asked = self.asked_so_far(id, None);
        let Some(Kind::Connect(connecting, reply)) = self.take_call(id).map(|call| call.kind)
        else {
            return;
        };
        let how = match connecting.already_connected {
            true => "already connected to",
            false => "connected to",
        };
        reply.send(Ok(Connected {
            message: format!("{how} {text} at {address}"),
            peer_id: text,
            address,
            transport,
            already_connected: connecting.already_connected,
            duration_ms: millis(age(connecting.started)),
            attempts: connecting.attempts,
            lookups: asked.or(connecting.lookups).unwrap_or_default(),
        }));
    }

    pub(crate) fn connect_failed(&mut self, id: u64, error: Error, attempts: Vec<Attempt>) {
        let asked = self.asked_so_far(id, Some("not in time"));
        let call = self.take_call(id).map(|call| call.kind);
        if let Some(Kind::Connect(connecting, reply)) = call {
            let lookups = asked.or(connecting.lookups).unwrap_or_default();
            let error = error.with("attempts", json!(attempts)).with("lookups", json!(lookups));
            reply.send(Err(error));
        }
    }

    /// The peer is gone: whoever waited for its acceptance learns that it didn't take us.
    pub(crate) fn not_accepted(
        &mut self,
        peer: PeerId,
        reason: DisconnectReason,
        stage: DialStage,
    ) {
        let waiting = self.waiting_for(peer);
        if waiting.is_empty() {
            return;
        }
        let (code, message) = match (reason, stage) {
            (DisconnectReason::LocalRequest, _) => (
                ErrorKind::Cancelled,
                "disconnected by another call before the remote had accepted",
            ),
            (_, DialStage::Muxer) => {
                (ErrorKind::DialFailed, "the remote shares no stream multiplexer with this node")
            }
            _ => (ErrorKind::DialFailed, "the remote closed the connection at once"),
        };
        self.note_failure(Some(peer), &[], &Error::new(code, message), Source::User);
        for id in waiting {
            self.fail_acceptance(id, code, message, stage);
        }
    }

    /// Tells the book and the subscribers of a dial that came to nothing.
    pub(crate) fn note_failure(
        &mut self,
        peer: Option<PeerId>,
        failed: &[Text],
        failure: &Error,
        source: Source,
    ) {
        if let Some(peer) = peer {
            self.run.book.dial_failed(&peer, failed, LastError::new(failure, clock::now()));
        }
        let (code, error) = (failure.kind(), failure.message().to_owned());
        let kind = EventKind::DialFailed { code, error, source };
        self.run.hub.publish(peer.map(|peer| peer.to_string().into()), kind);
    }

    pub(crate) fn connect_timed_out(&mut self, id: u64) {
        let Some((connecting, deadline)) = self.connecting(id) else { return };
        let Some(peer) = connecting.accepting else {
            return self.dial_timed_out(id, deadline);
        };
        // Open for the length of the grace period is what acceptance means without identify.
        if self.peers.get(&peer).is_some_and(|state| state.live().any(Connection::has_stood)) {
            return self.connect_succeeded(id, peer);
        }
        self.fail_acceptance(
            id,
            ErrorKind::DialTimeout,
            "connected, but not yet accepted by the remote",
            DialStage::Accept,
        );
    }

    fn dial_timed_out(&mut self, id: u64, deadline: Instant) {
        let dial = self.dials.waited_for_by(id);
        // A dial made for this call ends at the same moment, and its end is told to the book too.
        if dial.is_some_and(|dial| dial.deadline <= deadline)
            && Instant::now() < deadline + REPORT_DELAY
        {
            return self.timers.set(deadline + REPORT_DELAY, Timer::Deadline(id));
        }
        let so_far = dial.map(Dial::so_far).unwrap_or_default();
        let Some((connecting, _)) = self.connecting(id) else { return };
        let mut attempts = std::mem::take(&mut connecting.attempts);
        attempts.extend(so_far);
        // Where others were still being asked, what went before is the reason.
        let failure = connecting.failure.take();
        self.abandon_dial(id);
        let failure = failure.unwrap_or_else(|| all_failed(&attempts, true));
        self.connect_failed(id, failure, attempts);
    }

    fn fail_acceptance(&mut self, id: u64, kind: ErrorKind, message: &str, stage: DialStage) {
        let hint = "the remote may block this node, be at its limit, or be shutting down";
        let Some((connecting, _)) = self.connecting(id) else {
            return;
        };
        let mut attempts = std::mem::take(&mut connecting.attempts);
        for attempt in attempts.iter_mut().filter(|attempt| attempt.stage.is_none()) {
            attempt.stage = Some(stage);
            attempt.code = Some(kind);
            attempt.error = Some(message.to_owned());
            attempt.hint = Some(hint.to_owned());
        }
        self.connect_failed(id, Error::new(kind, message).with_hint(hint), attempts);
    }
}
