//! The story of a connect: dial, or join a dial, or find the connection there already; then wait
//! until the remote has accepted us; then answer. DESIGN section 8.

use std::io;
use std::time::{Duration, Instant};

use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionId, DialError};

use crate::clock;
use crate::error::{Error, ErrorKind};
use crate::model::reply::{Connected, Lookup};
use crate::model::{Attempt, Direction, LastError, Source, Text};
use crate::worker::Worker;
use crate::worker::calls::Kind;
use crate::worker::command::{Target, Terms};
use crate::worker::connections::peer::Peer;
use crate::worker::dialing::error::{all_failed, refused};
use crate::worker::dialing::{Dial, Plan};
use crate::worker::lookup::Outcome;
use crate::worker::transport::wrappers::{Begun, Why};
use crate::{Multiaddr, PeerId, addr};

/// A remote that speaks no identify has accepted us if the connection is open after this long: a
/// remote that blocks us looks established for a moment.
pub(crate) const GRACE: Duration = Duration::from_millis(500);
/// A remote whose identify neither comes nor fails has accepted us after this long.
pub(crate) const IDENTIFY_PATIENCE: Duration = Duration::from_secs(5);

/// The known addresses of a peer have so long, or half of what the call has where that is less, before
/// others are asked for further ones.
const HURRY: Duration = Duration::from_secs(10);

/// How far a `connect_peer` is.
pub(crate) struct Connecting {
    pub target: Target,
    pub started: Instant,
    /// The peer whose acceptance it waits for; `None` while it waits for a dial.
    pub accepting: Option<PeerId>,
    pub already_connected: bool,
    pub attempts: Vec<Attempt>,
    /// Who was asked for addresses, once that has been done.
    pub lookups: Option<Vec<Lookup>>,
    /// Its dial has had only a part of the time, since others can be asked for addresses.
    pub hurried: bool,
    /// In what the addresses known before that ended.
    pub failure: Option<Error>,
}

impl Connecting {
    /// Whether it is this peer that is to be connected.
    pub(crate) fn is_for(&self, peer: &PeerId) -> bool {
        self.target.peer.as_ref().or(self.accepting.as_ref()) == Some(peer)
    }
}

/// What is to become of an outgoing connection that came about.
pub(crate) enum Landed {
    /// Because of this source, where no call asked for it.
    Wanted(Option<Source>),
    /// The book couldn't count the dial as an attempt: it didn't know whose address it was.
    WantedUncounted(Option<Source>),
    /// Nobody waits for it any more, or the peer turned out to be connected already.
    Unwanted,
}

impl Worker {
    pub(crate) fn connect(&mut self, target: Target, terms: Terms<Connected>) {
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
            lookups: None,
            hurried: false,
            failure: None,
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

    pub(crate) fn connecting(&mut self, id: u64) -> Option<(&mut Connecting, Instant)> {
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
            return self.look_up_or_fail(id, error);
        }
        let now = Instant::now();
        let half = now + HURRY.min(deadline.saturating_duration_since(now) / 2);
        let hurried = given.is_none() && peer.is_some_and(|peer| self.can_look_up(&peer));
        if let Some((connecting, _)) = self.connecting(id) {
            connecting.hurried = hurried;
        }
        let deadline = if hurried { half } else { deadline };
        self.dial_plan(id, peer, plan, given.as_ref(), deadline);
    }

    fn dial_plan(
        &mut self,
        id: u64,
        peer: Option<PeerId>,
        plan: Plan,
        given: Option<&Multiaddr>,
        deadline: Instant,
    ) {
        let counted = peer.is_some_and(|peer| self.run.book.dial_started(&peer, clock::now()));
        let dial = Dial {
            peer,
            addresses: plan.dialable,
            untried: plan.untried,
            deadline,
            counted,
            begun: Begun::default(),
            waiters: vec![id],
            unasked: None,
        };
        let first = dial.first(given);
        self.start_dial(dial, first);
    }

    /// Hands a dial to the swarm; gives its connection where that took it. The others of its addresses
    /// wait for `first`.
    pub(crate) fn start_dial(
        &mut self,
        mut dial: Dial,
        first: Option<Multiaddr>,
    ) -> Option<ConnectionId> {
        let Some(opts) = dial.opts().filter(|_| !dial.addresses.is_empty()) else {
            let report = dial.report(&[], None);
            self.dial_failed(&dial, all_failed(&report, false), report);
            return None;
        };
        let why = match dial.unasked {
            None => Why::Asked,
            Some(_) => Why::Unasked { given: dial.given() },
        };
        dial.begun = self.dial_terms.set(dial.deadline, why, first);
        let connection = opts.connection_id();
        let started = self.swarm.dial(opts);
        self.dial_terms.clear();
        match started {
            Ok(()) => {
                self.run.metrics.record_dial(dial.peer, connection);
                self.dials.insert(connection, dial);
                Some(connection)
            }
            Err(error) => {
                self.end_dial(&dial, &error);
                None
            }
        }
    }

    /// The addresses that are known are none, or none of them works. A call by id alone asks others.
    fn look_up_or_fail(&mut self, id: u64, failure: Error) {
        let Some((connecting, _)) = self.connecting(id) else { return };
        let by_id = connecting.target.peer.filter(|_| connecting.target.address.is_none());
        match by_id {
            Some(peer) if connecting.lookups.is_none() => {
                connecting.lookups = Some(Vec::new());
                connecting.failure = Some(failure);
                self.look_up(id, peer);
            }
            _ => {
                let attempts = std::mem::take(&mut connecting.attempts);
                self.connect_failed(id, failure, attempts);
            }
        }
    }

    /// Others were asked: what is new of their answer is dialled.
    pub(crate) fn connect_looked_up(&mut self, id: u64, outcome: Outcome) {
        let Some((connecting, deadline)) = self.connecting(id) else { return };
        connecting.lookups = Some(outcome.steps);
        if let Some(peer) = connecting.accepting {
            return self.settle_acceptance(peer);
        }
        let (Some(peer), Some(failure)) = (connecting.target.peer, connecting.failure.take())
        else {
            return;
        };
        let attempts = &connecting.attempts;
        let tried = |text: &Text| attempts.iter().any(|attempt| attempt.address == *text);
        let (source, addresses) = outcome.found.unwrap_or((Source::Dht, Vec::new()));
        let texts = addresses.iter().map(|address| Text::from(address.to_string()));
        let new: Vec<_> = texts.filter(|text| !tried(text)).map(|text| (text, source)).collect();
        if new.is_empty() {
            let attempts = std::mem::take(&mut connecting.attempts);
            return self.connect_failed(id, failure, attempts);
        }
        self.found(source, peer, addresses);
        let plan = Plan::new(None, new, self.run.settings.swarm_key.is_some());
        self.dial_plan(id, Some(peer), plan, None, deadline);
    }

    /// An outgoing connection is there: its callers go on to wait for the remote's acceptance.
    pub(crate) fn dial_landed(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        winner: (&Multiaddr, Duration),
        errors: &[(Multiaddr, TransportError<io::Error>)],
    ) -> Landed {
        let Some(dial) = self.dials.remove(connection) else {
            return match self.dials.was_abandoned(connection) {
                true => Landed::Unwanted,
                false => Landed::WantedUncounted(Some(Source::Dht)),
            };
        };
        self.answered_at(&dial, peer);
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
        // A call may have joined a dial that nobody had asked for.
        let cause = dial.unasked.filter(|_| dial.waiters.is_empty());
        match (surplus, dial.counted) {
            (true, _) => Landed::Unwanted,
            (false, true) => Landed::Wanted(cause),
            (false, false) => Landed::WantedUncounted(cause),
        }
    }

    pub(crate) fn on_dial_error(&mut self, connection: ConnectionId, error: &DialError) {
        match self.dials.remove(connection) {
            Some(dial) => self.end_dial(&dial, error),
            None if self.dials.was_abandoned(connection) => {}
            None => self.query_dial_failed(error),
        }
        self.pass_dial_over(connection, false);
    }

    /// A dial that a query of the DHT made: the book has to know, subscribers needn't.
    fn query_dial_failed(&mut self, error: &DialError) {
        let DialError::Transport(errors) = error else { return };
        let Some(peer) = errors.first().and_then(|(address, _)| addr::peer_id_of(address)) else {
            return;
        };
        if self.peers.contains_key(&peer) {
            return;
        }
        let failed = errors.iter().map(|(address, _)| addr::without_peer_id(address));
        let failed: Vec<Text> = failed.map(|address| address.to_string().into()).collect();
        let (code, message) =
            (ErrorKind::DialFailed, "a search of the DHT couldn't reach the peer");
        let last_error = LastError { code, message: message.to_owned(), at: clock::now() };
        self.run.book.dial_failed(&peer, &failed, last_error);
        self.back_off(&peer);
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
        self.note_failure(dial.peer, &failed, &failure, dial.unasked.unwrap_or(Source::User));
        if dial.unasked.is_some() {
            self.unasked_dial_failed(dial, &failure);
        }
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
        let outlives = deadline > dial.deadline
            && failure.kind() == ErrorKind::DialTimeout
            && !connecting.hurried;
        // One that nobody asked for had fewer addresses, or might not lead everywhere.
        if untried || outlives || dial.unasked.is_some() {
            return self.join_or_dial(id);
        }
        self.look_up_or_fail(id, failure.clone());
    }

    /// The call no longer waits; a dial that nobody waits for is aborted where libp2p can, which
    /// is by peer and all its dials at once. Elsewhere it ends at its deadline, or lands unwanted.
    pub(crate) fn abandon_dial(&mut self, id: u64) {
        if let Some(peer) = self.dials.forget(id) {
            self.abort_pending(peer);
        }
    }

    /// Aborts the dials to a peer of which none is wanted any more.
    pub(crate) fn abort_pending(&mut self, peer: PeerId) {
        if !self.dials.any_to(&peer) && !self.peers.contains_key(&peer) {
            // An error here means "not connected"; the pending dial is aborted all the same.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }

    /// Ends the dials to a peer that is being disconnected, which aborts them.
    pub(crate) fn abort_dials(&mut self, peer: PeerId) {
        let aborted = Error::new(ErrorKind::Cancelled, "the dial was aborted by a disconnect");
        for dial in self.dials.take_all_to(&peer) {
            for id in &dial.waiters {
                self.connect_failed(*id, aborted.clone(), dial.report(&[], None));
            }
        }
        for id in self.lookups.of_peer(&peer) {
            if self.connecting(id).is_some() {
                self.connect_failed(id, aborted.clone(), Vec::new());
            }
        }
    }
}
