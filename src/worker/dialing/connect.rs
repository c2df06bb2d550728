//! `connect_peer`: finds the peer connected, joins a dial that is under way, or dials; where the
//! addresses that are known don't work, has others asked for more. `acceptance` tells how it ends.

use std::time::{Duration, Instant};

use super::acceptance::tell_failure;
use super::call::{Connect, Connects, State, Target};
use super::dial::{Dial, Plan};
use super::dials::{Dials, FailedDial, NewDial};
use super::error::all_failed;
use crate::book::Origin;
use crate::error::{Error, ErrorKind};
use crate::model::reply::{Connected, Lookup};
use crate::model::{Attempt, DialStage, Source, Text};
use crate::worker::core::Core;
use crate::worker::core::calls::{CallId, Ending, Owner};
use crate::worker::core::notes::{LookUp, Note};
use crate::worker::core::timers::Timer;
use crate::worker::reply::Terms;
use crate::{Multiaddr, PeerId};

/// Time that the known addresses of a peer have before others are asked for further ones; half of the
/// call's time where that is less.
const HURRY: Duration = Duration::from_secs(10);
/// Time past its deadline that a call waits for the end of a dial that was made for it.
const REPORT_DELAY: Duration = Duration::from_millis(200);

impl Connects {
    pub(super) fn begin(
        &mut self,
        core: &mut Core,
        dials: &mut Dials,
        target: Target,
        terms: Terms<Connected>,
    ) {
        let connected = match (target.peer, &target.address) {
            (Some(peer), _) => Some(peer).filter(|peer| core.peers.is_live(peer)),
            (None, Some(address)) => core.peers.at_address(address),
            (None, None) => None,
        };
        let Some((call, deadline, reply)) = core.register(Owner::Dialing, terms) else { return };
        if let Some(peer) = target.peer {
            core.calls.needs_peer(call, peer);
        }
        let connect = Connect {
            target,
            started: core.now,
            deadline,
            reply,
            attempts: Vec::new(),
            already_connected: connected.is_some(),
            state: State::Dialling { hurried: false },
            lookups: None,
        };
        self.0.insert(call, connect);
        match connected {
            Some(peer) => {
                self.await_acceptance(core, call, peer);
                self.settle(core, peer);
            }
            None => self.join_or_dial(core, dials, call),
        }
    }

    /// Joins a dial under way if it tries the address that the caller gave, or dials.
    fn join_or_dial(&mut self, core: &mut Core, dials: &mut Dials, call: CallId) {
        let Some(connect) = self.get_mut(call) else { return };
        match dials.find(connect.target.peer, connect.target.address.as_ref()) {
            Some(dial) => dial.waiters.push(call),
            None => self.dial(core, dials, call),
        }
    }

    fn dial(&mut self, core: &mut Core, dials: &mut Dials, call: CallId) {
        let Some(connect) = self.get_mut(call) else { return };
        let (peer, given) = (connect.target.peer, connect.target.address.clone());
        let known = peer.and_then(|peer| core.shared.book.get(&peer));
        let known = known.map(|record| record.dial_addresses()).unwrap_or_default();
        let private_network = core.shared.settings.swarm_key.is_some();
        let plan = Plan::new(given.as_ref(), known, private_network);
        if plan.is_empty() {
            let error = Error::new(ErrorKind::NoAddresses, "no address of the peer is known");
            return self.look_up_or_fail(core, call, error);
        }
        let hurried = given.is_none() && peer.is_some_and(|peer| core.can_look_up(&peer));
        let half = core.now + HURRY.min(connect.deadline.saturating_duration_since(core.now) / 2);
        let deadline = if hurried { half } else { connect.deadline };
        connect.state = State::Dialling { hurried };
        self.start(core, dials, call, (peer, plan, deadline), given.as_ref());
    }

    fn start(
        &mut self,
        core: &mut Core,
        dials: &mut Dials,
        call: CallId,
        (peer, plan, deadline): (Option<PeerId>, Plan, Instant),
        given: Option<&Multiaddr>,
    ) {
        let (origin, waiter) = (Origin::Call, Some(call));
        let new = NewDial { peer, plan, deadline, origin, waiter, ticket: None };
        if let Err(failed) = dials.start(core, new, given) {
            self.dial_failed(core, dials, &failed);
        }
    }

    /// Has others asked where the peer is, since no address is known or none works; fails the call where
    /// that was done already, or the call isn't by id alone.
    fn look_up_or_fail(&mut self, core: &mut Core, call: CallId, failure: Error) {
        let Some(connect) = self.get_mut(call) else { return };
        let by_id = connect.target.peer.filter(|_| connect.target.address.is_none());
        let Some(peer) = by_id.filter(|_| connect.lookups.is_none()) else {
            return self.fail(core, call, failure);
        };
        connect.lookups = Some(Vec::new());
        connect.state = State::LookingUp { failure, asked: Source::Dht, since: core.now };
        let tried = connect.attempts.iter().map(|attempt| attempt.known_by().clone()).collect();
        core.note(Note::LookUp(LookUp { call, peer, tried, deadline: connect.deadline }));
    }

    /// Notes that a step of the look-up begins.
    pub(super) fn lookup_step(
        &mut self,
        core: &Core,
        call: CallId,
        steps: Vec<Lookup>,
        source: Source,
    ) {
        let Some(connect) = self.get_mut(call) else { return };
        if let State::LookingUp { asked, since, .. } = &mut connect.state {
            (*asked, *since) = (source, core.now);
            connect.lookups = Some(steps);
        }
    }

    /// Dials the addresses of a look-up that weren't tried yet.
    pub(super) fn looked_up(
        &mut self,
        core: &mut Core,
        dials: &mut Dials,
        call: CallId,
        (steps, found, source): (Vec<Lookup>, Vec<Multiaddr>, Source),
    ) {
        let Some(connect) = self.get_mut(call) else { return };
        let State::LookingUp { failure, .. } = &connect.state else { return };
        let (failure, peer) = (failure.clone(), connect.target.peer);
        connect.lookups = Some(steps);
        connect.state = State::Dialling { hurried: false };
        let texts = found.iter().map(|address| Text::from(address.to_string()));
        let new: Vec<_> =
            texts.filter(|text| !connect.has_tried(text)).map(|text| (text, source)).collect();
        let Some(peer) = peer.filter(|_| !new.is_empty()) else {
            return self.fail(core, call, failure);
        };
        let deadline = connect.deadline;
        core.discovered(source, peer, &found);
        let plan = Plan::new(None, new, core.shared.settings.swarm_key.is_some());
        self.start(core, dials, call, (Some(peer), plan, deadline), None);
    }

    /// Has the callers of a dial whose connection stands wait for the remote's acceptance.
    pub(super) fn dial_established(
        &mut self,
        core: &mut Core,
        dial: &Dial,
        peer: PeerId,
        report: &[Attempt],
        already_connected: bool,
    ) {
        for call in &dial.waiters {
            if let Some(connect) = self.get_mut(*call) {
                connect.attempts.extend(report.iter().cloned());
                connect.already_connected = already_connected;
                self.await_acceptance(core, *call, peer);
            }
        }
    }

    /// Tells the book and the subscribers of a failed dial, and the calls that waited for it.
    pub(super) fn dial_failed(&mut self, core: &mut Core, dials: &mut Dials, ended: &FailedDial) {
        let FailedDial { dial, error, report } = ended;
        let failed = report.iter().filter(|attempt| attempt.code.is_some());
        let mut failed: Vec<_> = failed.map(|attempt| attempt.known_by().clone()).collect();
        // A name may have led to several.
        failed.dedup();
        tell_failure(core, dial.peer, &failed, error, dial.origin.source());
        for call in &dial.waiters {
            self.retry_or_fail(core, dials, *call, ended);
        }
    }

    /// Dials again where the call knows a further address, or has more time, than the dial it joined;
    /// otherwise looks the peer up, or fails.
    fn retry_or_fail(
        &mut self,
        core: &mut Core,
        dials: &mut Dials,
        call: CallId,
        FailedDial { dial, error, report }: &FailedDial,
    ) {
        let Some(connect) = self.get_mut(call) else { return };
        connect.attempts.extend(report.iter().cloned());
        let hurried = match connect.state {
            State::Accepting { peer } => return self.settle(core, peer),
            State::Dialling { hurried } => hurried,
            State::LookingUp { .. } => false,
        };
        let given = connect.target.address.as_ref();
        let untried = given.is_some_and(|address| !dial.has(address));
        let outlives =
            connect.deadline > dial.deadline && error.kind() == ErrorKind::DialTimeout && !hurried;
        // An automatic dial had fewer addresses, or might not lead everywhere.
        if untried || outlives || dial.origin.is_automatic() {
            return self.join_or_dial(core, dials, call);
        }
        self.look_up_or_fail(core, call, error.clone());
    }

    /// Aborts the dials to a peer that a user's call disconnects, and the look-ups for it.
    pub(super) fn disconnecting(&mut self, core: &mut Core, dials: &mut Dials, peer: PeerId) {
        let aborted = Error::new(ErrorKind::Cancelled, "the dial was aborted by a disconnect");
        for dial in dials.take_all_to(&peer) {
            for call in &dial.waiters {
                if let Some(connect) = self.get_mut(*call) {
                    connect.attempts = dial.report(&[], None);
                }
                self.fail(core, *call, aborted.clone());
            }
        }
        let looking = |connect: &Connect| matches!(connect.state, State::LookingUp { .. });
        let its = self.matching(|connect| looking(connect) && connect.target.peer == Some(peer));
        its.into_iter().for_each(|call| self.fail(core, call, aborted.clone()));
    }

    /// Ends a call whose time is over, or that was cancelled.
    pub(super) fn ended(&mut self, core: &mut Core, dials: &mut Dials, call: CallId, why: Ending) {
        if why == Ending::Cancelled {
            dials.leave(core, call);
            return self.fail(core, call, why.error(""));
        }
        let Some(connect) = self.get_mut(call) else { return };
        let Some(peer) = connect.accepting() else { return self.dial_timed_out(core, dials, call) };
        // Without identify, a connection that was open for the grace period counts as accepted.
        let state = core.peers.get(&peer);
        if state.is_some_and(|state| state.live().any(|open| open.has_stood(core.now))) {
            return self.succeed(core, call, peer);
        }
        let message = "connected, but not yet accepted by the remote";
        self.not_accepted(core, call, ErrorKind::DialTimeout, message, DialStage::Accept);
    }

    fn dial_timed_out(&mut self, core: &mut Core, dials: &mut Dials, call: CallId) {
        let Some(connect) = self.get_mut(call) else { return };
        let dial = dials.waited_for_by(call);
        let report_at = connect.deadline + REPORT_DELAY;
        // A dial made for this call ends at the same moment, and its end is told to the book too.
        if dial.is_some_and(|dial| dial.deadline <= connect.deadline) && core.now < report_at {
            return core.timers.set(report_at, Timer::Deadline(call));
        }
        connect.attempts.extend(dial.map(Dial::so_far).unwrap_or_default());
        // While a look-up is under way, the reason is the failure before it.
        let failure = match &connect.state {
            State::LookingUp { failure, .. } => failure.clone(),
            _ => all_failed(&connect.attempts, true),
        };
        dials.leave(core, call);
        self.fail(core, call, failure);
    }
}
