//! The state of a `connect_peer`: it dials, or looks for further addresses, or waits until the remote
//! has accepted.

use std::collections::HashMap;
use std::time::Instant;

use crate::error::Error;
use crate::model::reply::{Connected, Lookup};
use crate::model::{Attempt, Source, Text};
use crate::worker::core::Core;
use crate::worker::core::calls::CallId;
use crate::worker::reply::Reply;
use crate::worker::util::millis;
use crate::{Multiaddr, PeerId};

/// The target of a connect: a peer, an address, or a peer at an address.
pub(crate) struct Target {
    pub peer: Option<PeerId>,
    /// The address, without `/p2p/`.
    pub address: Option<Multiaddr>,
}

/// A `connect_peer` that waits.
pub(super) struct Connect {
    pub target: Target,
    pub started: Instant,
    pub deadline: Instant,
    pub reply: Reply<Connected>,
    /// The outcomes of the addresses tried by now.
    pub attempts: Vec<Attempt>,
    pub already_connected: bool,
    pub state: State,
    /// The steps of the look-up for further addresses; None before it begins.
    pub lookups: Option<Vec<Lookup>>,
}

/// The state of a connect: the thing it waits for.
pub(super) enum State {
    /// A dial. `hurried`: it has only a part of the time, since others can be asked for addresses.
    Dialling { hurried: bool },
    /// A look-up, whose step asks `asked` since then. `failure` is the error in which the addresses known
    /// before it ended.
    LookingUp { failure: Error, asked: Source, since: Instant },
    /// The peer's acceptance: there is a connection.
    Accepting { peer: PeerId },
}

impl Connect {
    /// Returns the peer whose acceptance it waits for.
    pub(super) fn accepting(&self) -> Option<PeerId> {
        match self.state {
            State::Accepting { peer } => Some(peer),
            State::Dialling { .. } | State::LookingUp { .. } => None,
        }
    }

    /// Returns the steps of the look-up, the one under way included; `late`: why that one found nothing.
    pub(super) fn asked_so_far(&self, now: Instant, late: Option<&str>) -> Vec<Lookup> {
        let mut steps = self.lookups.clone().unwrap_or_default();
        if let State::LookingUp { asked, since, .. } = &self.state {
            steps.push(Lookup {
                source: *asked,
                found: 0,
                duration_ms: millis(now.saturating_duration_since(*since)),
                error: late.map(str::to_owned),
            });
        }
        steps
    }

    /// Tells whether an address was tried by now.
    pub(super) fn has_tried(&self, text: &Text) -> bool {
        self.attempts.iter().any(|attempt| attempt.known_by() == text)
    }
}

/// Every `connect_peer` that waits.
#[derive(Default)]
pub(super) struct Connects(pub(super) HashMap<CallId, Connect>);

impl Connects {
    pub(super) fn get_mut(&mut self, call: CallId) -> Option<&mut Connect> {
        self.0.get_mut(&call)
    }

    /// Takes out a connect that is about to be answered.
    pub(super) fn finish(&mut self, core: &mut Core, call: CallId) -> Option<Connect> {
        let connect = self.0.remove(&call)?;
        core.finish(call);
        Some(connect)
    }

    pub(super) fn matching(&self, wanted: impl Fn(&Connect) -> bool) -> Vec<CallId> {
        let matching = self.0.iter().filter(|(_, connect)| wanted(connect));
        matching.map(|(call, _)| *call).collect()
    }
}
