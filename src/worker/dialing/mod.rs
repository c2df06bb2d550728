//! Dials, requested by calls and automatic, and the course of a connect.
//!
//! `connect` is what a call does until a connection stands, `acceptance` how it ends, `call` its
//! state; `auto` is the auto dialer, `surroundings` lets its waits go. `dials` has the dials under way,
//! `dial` is one of them with its report, `error` the error it may end in.

mod acceptance;
mod auto;
mod call;
mod connect;
mod dial;
mod dials;
mod error;
mod surroundings;
#[cfg(test)]
mod tests;

use std::io;
use std::time::Duration;

use libp2p::core::transport::TransportError;
use libp2p::swarm::{ConnectionId, DialError};

use self::auto::Auto;
use self::call::Connects;
pub(crate) use self::call::Target;
use self::dials::{Dials, FailedDial};
use self::error::{all_failed, refused};
use self::surroundings::Surroundings;
use super::core::Core;
use super::core::calls::{CallId, Ending};
use super::core::notes::{AddressChange, Closed, DialOutcome, ListedDial, ListedDialEnd, Note};
use super::core::peers::Peer;
use super::reply::Terms;
use crate::book::Origin;
use crate::error::ErrorKind;
use crate::model::reply::{Connected, Lookup};
use crate::model::{Direction, LastError, Source, Text};
use crate::{Multiaddr, PeerId};

/// Calls that dial.
pub(crate) enum DialingCommand {
    Connect { target: Target, terms: Terms<Connected> },
}

/// Dials under way and the calls that wait for them.
#[derive(Default)]
pub(crate) struct Dialing {
    dials: Dials,
    connects: Connects,
    auto: Auto,
    surroundings: Surroundings,
}

/// A connection that came of a dial, as the swarm tells of it.
pub(crate) struct Established<'a> {
    pub connection: ConnectionId,
    pub peer: PeerId,
    pub address: &'a Multiaddr,
    pub took: Duration,
    /// The errors of the addresses tried before.
    pub errors: &'a [(Multiaddr, TransportError<io::Error>)],
}

impl Dialing {
    pub(crate) fn command(&mut self, core: &mut Core, command: DialingCommand) {
        let DialingCommand::Connect { target, terms } = command;
        self.connects.begin(core, &mut self.dials, target, terms);
    }

    /// Ends a call of this part before its work is done.
    pub(crate) fn ended(&mut self, core: &mut Core, call: CallId, why: Ending) {
        self.connects.ended(core, &mut self.dials, call, why);
    }

    /// Takes an outgoing connection that stands: its callers go on to wait for the remote's acceptance.
    pub(crate) fn on_established(
        &mut self,
        core: &mut Core,
        established: &Established<'_>,
    ) -> DialOutcome {
        let peer = established.peer;
        let registered = core.dial_terms.take(established.connection);
        let Some(dial) = self.dials.remove(established.connection) else {
            let abandoned = self.dials.was_abandoned(established.connection);
            let wanted = !abandoned && registered.is_some();
            return DialOutcome { origin: registered, counted: false, wanted };
        };
        // Only now is known which peer the address is of. Two connections that we opened are one too
        // many; one that the remote opened stays, since the remote may be about to close the other.
        let unexpected = core.peers.get(&peer).filter(|_| dial.peer.is_none());
        let already_connected = unexpected.is_some_and(|state| state.live().next().is_some());
        let ours = |state: &Peer| state.live().any(|open| open.direction == Direction::Outbound);
        let surplus = unexpected.is_some_and(ours);
        let report = dial.report(established.errors, Some((established.address, established.took)));
        self.connects.dial_established(core, &dial, peer, &report, already_connected);
        if let Some(ticket) = dial.ticket {
            let answered = match (dial.peer, &*dial.addresses) {
                (None, [only]) => Some((only.address.clone(), peer)),
                _ => None,
            };
            core.note(Note::ListedDialEnded(ListedDialEnd { ticket, answered, connected: true }));
        }
        // A call may have joined an automatic dial.
        let origin = if dial.waiters.is_empty() { dial.origin } else { Origin::Call };
        DialOutcome { origin: Some(origin), counted: dial.counted, wanted: !surplus }
    }

    pub(crate) fn on_dial_error(
        &mut self,
        core: &mut Core,
        connection: ConnectionId,
        error: &DialError,
    ) {
        core.dial_terms.take(connection);
        let Some(dial) = self.dials.remove(connection) else {
            self.dials.was_abandoned(connection);
            return;
        };
        let (error, report) = match error {
            DialError::Transport(errors) => {
                let report = dial.report(errors, None);
                (all_failed(&report, core.now >= dial.deadline), report)
            }
            other => (refused(other), dial.report(&[], None)),
        };
        let failed = FailedDial { dial, error, report };
        if let Some(ticket) = failed.dial.ticket {
            let end = ListedDialEnd { ticket, answered: None, connected: false };
            core.note(Note::ListedDialEnded(end));
        }
        self.connects.dial_failed(core, &mut self.dials, &failed);
        if failed.dial.origin.is_automatic() {
            self.auto.failed(core, &failed.dial, &failed.error);
        }
    }

    /// Tells the book, but no subscriber, that a query of the DHT couldn't reach a peer.
    pub(crate) fn query_dial_failed(&mut self, core: &mut Core, peer: PeerId, failed: &[Text]) {
        if core.peers.contains(&peer) {
            return;
        }
        let message = "a search of the DHT couldn't reach the peer".to_owned();
        let error = LastError { code: ErrorKind::DialFailed, message, at: core.time };
        core.shared.book.dial_failed(&peer, failed, error);
        auto::back_off(core, &peer);
    }

    /// Takes a connection that stands, opened by us or by the remote.
    pub(crate) fn opened(&mut self, core: &mut Core, peer: PeerId) {
        self.connects.connected(core, peer);
        auto::look_soon(core);
    }

    pub(crate) fn closed(&mut self, core: &mut Core, closed: &Closed) {
        if let Some((reason, stage)) = closed.last {
            self.connects.peer_gone(core, closed.peer, reason, stage);
            auto::look_soon(core);
        }
    }

    /// Answers calls whose peer may have accepted us: its identify came or failed, or time has passed.
    pub(crate) fn settle_acceptance(&mut self, core: &mut Core, peer: PeerId) {
        self.connects.settle(core, peer);
    }

    /// Ends the dials to a peer that a user's call disconnects.
    pub(crate) fn disconnecting(&mut self, core: &mut Core, peer: PeerId) {
        self.connects.disconnecting(core, &mut self.dials, peer);
    }

    /// Has the auto dialer look, where a discovered peer isn't connected.
    pub(crate) fn discovered(&mut self, core: &mut Core, peer: &PeerId) {
        if !core.peers.contains(peer) {
            auto::look_soon(core);
        }
    }

    /// Begins to watch what this machine is connected to.
    pub(crate) fn begin(&mut self, core: &mut Core) {
        self.surroundings.begin(core);
    }

    pub(crate) fn addresses_changed(&mut self, core: &mut Core, change: AddressChange) {
        self.surroundings.addresses_changed(core, change);
    }

    /// Looks at what this machine is connected to.
    pub(crate) fn look_around(&mut self, core: &mut Core) {
        self.surroundings.look_around(core);
    }

    /// Has the auto dialer look: peers that couldn't be dialled before may be now.
    pub(crate) fn surroundings_changed(&mut self, core: &mut Core) {
        auto::look_soon(core);
    }

    /// Has the auto dialer look for peers to dial.
    pub(crate) fn look(&mut self, core: &mut Core) {
        self.auto.look(core, &mut self.dials);
    }

    pub(crate) fn dial_listed(&mut self, core: &mut Core, dial: ListedDial) {
        self.auto.dial_listed(core, &mut self.dials, dial);
    }

    /// Gives up automatic dials: discovery was stopped.
    pub(crate) fn abandon_automatic(&mut self, core: &mut Core) {
        self.dials.abandon_automatic(core);
    }

    pub(crate) fn lookup_step(
        &mut self,
        core: &mut Core,
        call: CallId,
        steps: Vec<Lookup>,
        asked: Source,
    ) {
        self.connects.lookup_step(core, call, steps, asked);
    }

    pub(crate) fn looked_up(
        &mut self,
        core: &mut Core,
        call: CallId,
        answer: (Vec<Lookup>, Vec<Multiaddr>, Source),
    ) {
        self.connects.looked_up(core, &mut self.dials, call, answer);
    }
}
