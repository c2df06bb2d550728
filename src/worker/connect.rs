//! The story of a connect: dial, or join a dial, or find the connection there already; then wait
//! until the remote has accepted us; then answer. DESIGN section 8.

use std::io;
use std::time::{Duration, Instant};

use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionId, DialError};
use serde_json::json;

use super::calls::{Kind, age};
use super::command::{Target, Terms};
use super::dial::{Dial, Plan, millis};
use super::layers::Begun;
use super::outcome::{all_failed, refused};
use super::peer::{Connection, Peer};
use super::{Timer, Worker};
use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::model::event::{DisconnectReason, EventKind};
use crate::model::reply::Connected;
use crate::model::{Attempt, DialStage, Direction, LastError, Source, Text};
use crate::{Multiaddr, PeerId};

/// A remote that speaks no identify has accepted us if the connection is open after this long: a
/// remote that blocks us looks established for a moment.
pub(super) const GRACE: Duration = Duration::from_millis(500);
/// A remote whose identify neither comes nor fails has accepted us after this long.
pub(super) const IDENTIFY_PATIENCE: Duration = Duration::from_secs(5);

/// How long past its deadline a call waits for the end of a dial that was made for it.
const REPORT_DELAY: Duration = Duration::from_millis(200);

/// How far a `connect_peer` is.
pub(super) struct Connecting {
    target: Target,
    started: Instant,
    /// The peer whose acceptance it waits for; `None` while it waits for a dial.
    accepting: Option<PeerId>,
    already_connected: bool,
    attempts: Vec<Attempt>,
}

/// What is to become of an outgoing connection that came about.
pub(super) enum Landed {
    Wanted,
    /// The book couldn't count the dial as an attempt: it didn't know whose address it was.
    WantedUncounted,
    /// Nobody waits for it any more, or the peer turned out to be connected already.
    Unwanted,
}

impl Worker {
    pub(super) fn connect(&mut self, target: Target, terms: Terms<Connected>) {
        let connected = match (target.peer, &target.address) {
            (Some(peer), _) => Some(peer).filter(|peer| self.is_live(peer)),
            (None, Some(address)) => self.peer_at(address),
            (None, None) => None,
        };
        let connecting = Connecting {
            target,
            started: Instant::now(),
            accepting: connected,
            already_connected: connected.is_some(),
            attempts: Vec::new(),
        };
        let Some(id) = self.wait(terms, |reply| Kind::Connect(connecting, reply)) else { return };
        match connected {
            Some(peer) => self.settle_acceptance(peer),
            None => self.join_or_dial(id),
        }
    }

    fn is_live(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|state| state.live().next().is_some())
    }

    /// The connected peer whose connection has this very remote address.
    fn peer_at(&self, address: &Multiaddr) -> Option<PeerId> {
        let text = address.to_string();
        let is_there = |state: &Peer| state.live().any(|connection| *connection.address == *text);
        self.peers.iter().find(|(_, state)| is_there(state)).map(|(peer, _)| *peer)
    }

    fn connecting(&mut self, id: u64) -> Option<(&mut Connecting, Instant)> {
        match self.calls.get_mut(id) {
            Some(call) => match &mut call.kind {
                Kind::Connect(connecting, _) => Some((connecting, call.deadline)),
                _ => None,
            },
            None => None,
        }
    }

    /// A dial under way serves a caller only if it tries the address the caller gave.
    fn join_or_dial(&mut self, id: u64) {
        let Some((connecting, _)) = self.connecting(id) else { return };
        let peer = connecting.target.peer;
        let address = connecting.target.address.clone();
        match self.dials.find(peer, address.as_ref()) {
            Some(dial) => dial.waiters.push(id),
            None => self.dial(id),
        }
    }

    fn dial(&mut self, id: u64) {
        let Some((connecting, deadline)) = self.connecting(id) else {
            return;
        };
        let peer = connecting.target.peer;
        let given = connecting.target.address.clone();
        let known =
            peer.and_then(|peer| self.run.book.get(&peer)).map(|record| record.dial_addresses());
        let private_network = self.run.settings.swarm_key.is_some();
        let plan = Plan::new(given.as_ref(), known.unwrap_or_default(), private_network);
        if plan.is_empty() {
            let error = Error::new(ErrorKind::NoAddresses, "no address of the peer is known");
            return self.connect_failed(id, error, Vec::new());
        }
        let counted = peer.is_some_and(|peer| self.run.book.dial_started(&peer, clock::now()));
        let mut dial = Dial {
            peer,
            addresses: plan.dialable,
            untried: plan.untried,
            deadline,
            counted,
            begun: Begun::default(),
            waiters: vec![id],
        };
        dial.begun = self.dial_terms.set(deadline, dial.first(given.as_ref()));
        let Some(opts) = dial.opts().filter(|_| !dial.addresses.is_empty()) else {
            let report = dial.report(&[], None);
            return self.dial_failed(&dial, all_failed(&report, false), report);
        };
        let connection = opts.connection_id();
        match self.swarm.dial(opts) {
            Ok(()) => self.dials.insert(connection, dial),
            Err(error) => self.end_dial(&dial, &error),
        }
    }

    /// An outgoing connection is there: its callers go on to wait for the remote's acceptance.
    pub(super) fn dial_landed(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        winner: (&Multiaddr, Duration),
        errors: &[(Multiaddr, TransportError<io::Error>)],
    ) -> Landed {
        let Some(dial) = self.dials.remove(connection) else {
            return Landed::Unwanted;
        };
        // Whose address it was is known only now. Two connections of our own are one too many; one
        // that the remote opened stays, since the remote may be about to close the other.
        let unexpected = dial.peer.is_none();
        let state = self.peers.get(&peer).filter(|_| unexpected);
        let already_connected = state.is_some_and(|state| state.live().next().is_some());
        let surplus = state
            .is_some_and(|state| state.live().any(|open| open.direction == Direction::Outbound));
        let report = dial.report(errors, Some(winner));
        for id in &dial.waiters {
            if let Some((connecting, _)) = self.connecting(*id) {
                connecting.attempts.extend(report.iter().cloned());
                connecting.already_connected = already_connected;
                connecting.accepting = Some(peer);
            }
        }
        match (surplus, dial.counted) {
            (true, _) => Landed::Unwanted,
            (false, true) => Landed::Wanted,
            (false, false) => Landed::WantedUncounted,
        }
    }

    pub(super) fn on_dial_error(&mut self, connection: ConnectionId, error: &DialError) {
        if let Some(dial) = self.dials.remove(connection) {
            self.end_dial(&dial, error);
        }
    }

    fn end_dial(&mut self, dial: &Dial, error: &DialError) {
        let (failure, report) = match error {
            DialError::Transport(errors) => {
                let report = dial.report(errors, None);
                (all_failed(&report, Instant::now() >= dial.deadline), report)
            }
            other => (refused(other), dial.report(&[], None)),
        };
        self.dial_failed(dial, failure, report);
    }

    /// Tells the book, the subscribers, and everybody who waited for the dial.
    fn dial_failed(&mut self, dial: &Dial, failure: Error, report: Vec<Attempt>) {
        let failed = report.iter().filter(|attempt| attempt.code.is_some());
        let failed: Vec<_> = failed.map(|attempt| attempt.address.clone()).collect();
        self.note_failure(dial.peer, &failed, &failure);
        for id in &dial.waiters {
            self.retry_or_fail(*id, dial, &failure, &report);
        }
    }

    /// A caller that joined the dial may know a further address, or have more time.
    fn retry_or_fail(&mut self, id: u64, dial: &Dial, failure: &Error, report: &[Attempt]) {
        let Some((connecting, deadline)) = self.connecting(id) else {
            return;
        };
        connecting.attempts.extend(report.iter().cloned());
        if let Some(peer) = connecting.accepting {
            return self.settle_acceptance(peer);
        }
        let given = connecting.target.address.as_ref();
        let untried = given.is_some_and(|address| !dial.has(address));
        let outlives = deadline > dial.deadline && failure.kind() == ErrorKind::DialTimeout;
        if untried || outlives {
            return self.join_or_dial(id);
        }
        let attempts = std::mem::take(&mut connecting.attempts);
        self.connect_failed(id, failure.clone(), attempts);
    }

    /// Callers that wait for this peer in whatever way now wait for its acceptance.
    pub(super) fn connected_meanwhile(&mut self, peer: PeerId) {
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
    pub(super) fn settle_acceptance(&mut self, peer: PeerId) {
        let Some(state) = self.peers.get(&peer) else { return };
        if state.live().any(Connection::accepted) {
            for id in self.waiting_for(peer) {
                self.connect_succeeded(id, peer);
            }
        }
    }

    fn connect_succeeded(&mut self, id: u64, peer: PeerId) {
        let Some(state) = self.peers.get(&peer) else { return };
        let text = state.text.clone();
        let Some(Connection { address, transport, .. }) = state.live().next().cloned() else {
            return;
        };
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
        }));
    }

    fn connect_failed(&mut self, id: u64, error: Error, attempts: Vec<Attempt>) {
        if let Some(Kind::Connect(_, reply)) = self.take_call(id).map(|call| call.kind) {
            reply.send(Err(error.with("attempts", json!(attempts))));
        }
    }

    /// The peer is gone: whoever waited for its acceptance learns that it didn't take us.
    pub(super) fn not_accepted(
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
        self.note_failure(Some(peer), &[], &Error::new(code, message));
        for id in waiting {
            self.fail_acceptance(id, code, message, stage);
        }
    }

    /// Tells the book and the subscribers of a dial that came to nothing.
    fn note_failure(&mut self, peer: Option<PeerId>, failed: &[Text], failure: &Error) {
        let (code, message) = (failure.kind(), failure.message().to_owned());
        if let Some(peer) = peer {
            let last_error = LastError { code, message: message.clone(), at: clock::now() };
            self.run.book.dial_failed(&peer, failed, last_error);
        }
        let kind = EventKind::DialFailed { code, error: message, source: Source::User };
        self.run.hub.publish(peer.map(|peer| peer.to_string().into()), kind);
    }

    pub(super) fn connect_timed_out(&mut self, id: u64) {
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
        self.abandon_dial(id);
        self.connect_failed(id, all_failed(&attempts, true), attempts);
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

    /// The call no longer waits; a dial that nobody waits for is aborted where libp2p can, which
    /// is by peer and all its dials at once. Elsewhere it ends at its deadline, or lands unwanted.
    pub(super) fn abandon_dial(&mut self, id: u64) {
        if let Some(peer) = self.dials.forget(id)
            && !self.dials.any_to(&peer)
            && !self.peers.contains_key(&peer)
        {
            // An error here means "not connected"; the pending dial is aborted all the same.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Ends the dials to a peer that is being disconnected, which aborts them.
    pub(super) fn abort_dials(&mut self, peer: PeerId) {
        let aborted = Error::new(ErrorKind::Cancelled, "the dial was aborted by a disconnect");
        for dial in self.dials.take_all_to(&peer) {
            for id in &dial.waiters {
                self.connect_failed(*id, aborted.clone(), dial.report(&[], None));
            }
        }
    }
}
