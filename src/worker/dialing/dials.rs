//! The dials under way, by the connection each will become: begins them, finds them, gives them up.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use libp2p::swarm::ConnectionId;

use super::dial::{Dial, Plan};
use super::error::{all_failed, refused};
use crate::book::Origin;
use crate::error::Error;
use crate::model::Attempt;
use crate::worker::core::Core;
use crate::worker::core::calls::CallId;
use crate::worker::transport::terms::{AllBegun, Terms};
use crate::{Multiaddr, PeerId};

#[derive(Default)]
pub(super) struct Dials {
    open: HashMap<ConnectionId, Dial>,
    /// The dials that nobody waits for any more.
    abandoned: HashSet<ConnectionId>,
}

/// A dial to make.
pub(super) struct NewDial {
    pub peer: Option<PeerId>,
    pub plan: Plan,
    pub deadline: Instant,
    pub origin: Origin,
    pub waiter: Option<CallId>,
    pub ticket: Option<u64>,
}

/// A dial that ended without a connection.
pub(super) struct FailedDial {
    pub dial: Dial,
    pub error: Error,
    pub report: Vec<Attempt>,
}

impl Dials {
    /// Hands a dial to the swarm. Its other addresses wait for `first`.
    pub(super) fn start(
        &mut self,
        core: &mut Core,
        new: NewDial,
        first: Option<&Multiaddr>,
    ) -> Result<ConnectionId, Box<FailedDial>> {
        let NewDial { peer, plan, deadline, origin, waiter, ticket } = new;
        let book = &core.shared.book;
        let counted = peer.is_some_and(|peer| book.dial_started(&peer, core.time));
        let mut dial = Dial {
            peer,
            addresses: plan.dialable,
            untried: plan.untried,
            deadline,
            counted,
            begun: AllBegun::default(),
            waiters: waiter.into_iter().collect(),
            origin,
            ticket,
        };
        let Some(opts) = dial.opts().filter(|_| !dial.addresses.is_empty()) else {
            let report = dial.report(&[], None);
            let error = all_failed(&report, false);
            return Err(Box::new(FailedDial { dial, error, report }));
        };
        let connection = opts.connection_id();
        let terms = Terms::new(origin, deadline).given(dial.given()).first(dial.first(first));
        dial.begun = core.dial_terms.register(connection, terms);
        match core.swarm.dial(opts) {
            Ok(()) => {
                core.shared.metrics.record_dial(dial.peer, connection);
                self.open.insert(connection, dial);
                Ok(connection)
            }
            Err(error) => {
                core.dial_terms.take(connection);
                let report = dial.report(&[], None);
                Err(Box::new(FailedDial { error: refused(&error), dial, report }))
            }
        }
    }

    pub(super) fn remove(&mut self, connection: ConnectionId) -> Option<Dial> {
        self.open.remove(&connection)
    }

    /// Tells whether the connection comes of an abandoned dial, and forgets that dial, which is over.
    pub(super) fn was_abandoned(&mut self, connection: ConnectionId) -> bool {
        self.abandoned.remove(&connection)
    }

    /// Counts the automatic dials.
    pub(super) fn automatic(&self) -> usize {
        self.open.values().filter(|dial| dial.origin.is_automatic()).count()
    }

    /// Finds a dial to this peer that has the address, if one is given; or to this very address,
    /// where the peer isn't known.
    pub(super) fn find(
        &mut self,
        peer: Option<PeerId>,
        address: Option<&Multiaddr>,
    ) -> Option<&mut Dial> {
        let serves =
            |dial: &&mut Dial| dial.peer == peer && address.is_none_or(|address| dial.has(address));
        self.open.values_mut().find(serves)
    }

    /// Returns the dial that a call waits for.
    pub(super) fn waited_for_by(&self, call: CallId) -> Option<&Dial> {
        self.open.values().find(|dial| dial.waiters.contains(&call))
    }

    #[cfg(test)]
    pub(super) fn any_for_test(&self) -> Option<ConnectionId> {
        self.open.keys().next().copied()
    }

    pub(super) fn any_to(&self, peer: &PeerId) -> bool {
        self.open.values().any(|dial| dial.peer.as_ref() == Some(peer))
    }

    /// Takes a call off the dial it waits for. A dial that nobody waits for any more is aborted; one
    /// that is established at that very moment connects unwanted.
    pub(super) fn leave(&mut self, core: &mut Core, call: CallId) {
        let waits = |(_, dial): &(&ConnectionId, &mut Dial)| dial.waiters.contains(&call);
        let Some((connection, dial)) = self.open.iter_mut().find(waits) else { return };
        dial.waiters.retain(|waiter| *waiter != call);
        if dial.waiters.is_empty() && !dial.origin.is_automatic() {
            let connection = *connection;
            self.abandon(core, |id, _| *id == connection);
        }
    }

    /// Gives up the automatic dials that no call waits for.
    pub(super) fn abandon_automatic(&mut self, core: &mut Core) {
        self.abandon(core, |_, dial| dial.origin.is_automatic() && dial.waiters.is_empty());
    }

    /// Takes out every dial to a peer that is being disconnected, which aborts them.
    pub(super) fn take_all_to(&mut self, peer: &PeerId) -> Vec<Dial> {
        let taken = self.take(|_, dial| dial.peer.as_ref() == Some(peer));
        taken.into_iter().map(|(_, dial)| dial).collect()
    }

    fn abandon(&mut self, core: &mut Core, unwanted: impl Fn(&ConnectionId, &Dial) -> bool) {
        for (connection, _) in self.take(unwanted) {
            core.dial_terms.abort(connection);
        }
    }

    fn take(&mut self, wanted: impl Fn(&ConnectionId, &Dial) -> bool) -> Vec<(ConnectionId, Dial)> {
        let taken: Vec<_> = self.open.extract_if(|id, dial| wanted(id, dial)).collect();
        self.abandoned.extend(taken.iter().map(|(connection, _)| *connection));
        taken
    }
}
