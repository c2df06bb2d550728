//! The end of a connect: the remote's acceptance, which is what a success means, or an error that says
//! what became of each address.

use serde_json::json;

use super::call::{Connects, State};
use crate::PeerId;
use crate::book::Origin;
use crate::error::{Error, ErrorKind};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::Connected;
use crate::model::{Attempt, DialStage, LastError, Source, Text};
use crate::worker::core::Core;
use crate::worker::core::calls::CallId;
use crate::worker::core::notes::Note;
use crate::worker::core::peers::Connection;
use crate::worker::core::timers::Timer;
use crate::worker::util::millis;

impl Connects {
    /// Has all calls for a peer that is connected now wait for its acceptance, whatever they waited for
    /// before.
    pub(super) fn connected(&mut self, core: &mut Core, peer: PeerId) {
        let its = |state: &State| !matches!(state, State::Accepting { .. });
        let waiting = self.matching(|c| its(&c.state) && c.target.peer == Some(peer));
        for call in waiting {
            self.await_acceptance(core, call, peer);
        }
        self.settle(core, peer);
    }

    /// Lets a connect wait for the peer's acceptance.
    pub(super) fn await_acceptance(&mut self, core: &mut Core, call: CallId, peer: PeerId) {
        let Some(connect) = self.get_mut(call) else { return };
        if matches!(connect.state, State::LookingUp { .. }) {
            connect.lookups = Some(connect.asked_so_far(core.now, None));
            core.note(Note::StopLookUp { call });
        }
        connect.state = State::Accepting { peer };
        core.calls.needs_peer(call, peer);
    }

    /// Answers the callers that wait for this peer's acceptance, if it has accepted us by now.
    pub(super) fn settle(&mut self, core: &mut Core, peer: PeerId) {
        let waiting = self.matching(|connect| connect.accepting() == Some(peer));
        if waiting.is_empty() {
            return;
        }
        let Some(state) = core.peers.get(&peer) else { return };
        if state.live().any(|connection| connection.accepted(core.now)) {
            waiting.into_iter().for_each(|call| self.succeed(core, call, peer));
        } else if let Some(at) = state.live().filter_map(|open| open.decided_at(core.now)).min() {
            core.timers.set(at, Timer::Acceptance(peer));
        }
    }

    /// Answers a call whose peer has accepted us.
    pub(super) fn succeed(&mut self, core: &mut Core, call: CallId, peer: PeerId) {
        let Some(state) = core.peers.get_mut(&peer) else { return };
        // A call wants the connections now, whoever opened them.
        for open in state.connections.iter_mut().filter(|open| open.origin.is_some()) {
            open.origin = Some(Origin::Call);
        }
        let text = state.text.clone();
        let Some(Connection { address, transport, .. }) = state.live().next().cloned() else {
            return;
        };
        let Some(connect) = self.finish(core, call) else { return };
        let how = match connect.already_connected {
            true => "already connected to",
            false => "connected to",
        };
        connect.reply.send(Ok(Connected {
            message: format!("{how} {text} at {address}"),
            peer_id: text,
            address,
            transport,
            already_connected: connect.already_connected,
            duration_ms: millis(core.since(connect.started)),
            attempts: connect.attempts,
            lookups: connect.lookups.unwrap_or_default(),
        }));
    }

    /// Answers a call with an error, and what became of the addresses.
    pub(super) fn fail(&mut self, core: &mut Core, call: CallId, error: Error) {
        let Some(connect) = self.finish(core, call) else { return };
        if matches!(connect.state, State::LookingUp { .. }) {
            core.note(Note::StopLookUp { call });
        }
        let lookups = connect.asked_so_far(core.now, Some("not in time"));
        let error = error.with("attempts", json!(connect.attempts)).with("lookups", json!(lookups));
        connect.reply.send(Err(error));
    }

    /// Fails the calls that waited for the acceptance of a peer that is gone.
    pub(super) fn peer_gone(
        &mut self,
        core: &mut Core,
        peer: PeerId,
        reason: DisconnectReason,
        stage: DialStage,
    ) {
        core.timers.clear(Timer::Acceptance(peer));
        let waiting = self.matching(|connect| connect.accepting() == Some(peer));
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
        tell_failure(core, Some(peer), &[], &Error::new(code, message), Source::User);
        for call in waiting {
            self.not_accepted(core, call, code, message, stage);
        }
    }

    /// Fails a call at the stage where the remote was to accept.
    pub(super) fn not_accepted(
        &mut self,
        core: &mut Core,
        call: CallId,
        kind: ErrorKind,
        message: &str,
        stage: DialStage,
    ) {
        let hint = "the remote may block this node, be at its limit, or be shutting down";
        let Some(connect) = self.get_mut(call) else { return };
        let succeeded = |attempt: &&mut Attempt| attempt.stage.is_none();
        for attempt in connect.attempts.iter_mut().filter(succeeded) {
            attempt.stage = Some(stage);
            attempt.code = Some(kind);
            attempt.error = Some(message.to_owned());
            attempt.hint = Some(hint.to_owned());
        }
        self.fail(core, call, Error::new(kind, message).with_hint(hint));
    }
}

/// Tells the book and the subscribers of a failed dial.
pub(super) fn tell_failure(
    core: &Core,
    peer: Option<PeerId>,
    failed: &[Text],
    failure: &Error,
    source: Source,
) {
    if let Some(peer) = peer {
        core.shared.book.dial_failed(&peer, failed, LastError::new(failure, core.time));
    }
    let (code, error) = (failure.kind(), failure.message().to_owned());
    let kind = EventKind::DialFailed { code, error, source };
    core.shared.hub.publish(peer.map(|peer| peer.to_string().into()), kind);
}
