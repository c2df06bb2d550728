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

/// Who is to be connected: a peer, an address, or a peer at an address.
pub(crate) struct Target {
    pub peer: Option<PeerId>,
    /// Without `/p2p/`.
    pub address: Option<Multiaddr>,
}

/// A `connect_peer` that waits.
pub(super) struct Connect {
    pub target: Target,
    pub started: Instant,
    pub deadline: Instant,
    pub reply: Reply<Connected>,
    /// What became of the addresses tried by now.
    pub attempts: Vec<Attempt>,
    pub already_connected: bool,
    pub state: State,
    /// Who was asked for addresses; None before anybody was.
    pub lookups: Option<Vec<Lookup>>,
}

/// What a connect waits for.
pub(super) enum State {
    /// A dial. `hurried`: it has only a part of the time, since others can be asked for addresses.
    Dialling { hurried: bool },
    /// Others who may know where the peer is: `asked`, since then. `failure` is in what the addresses
    /// known before that ended.
    LookingUp { failure: Error, asked: Source, since: Instant },
    /// The peer's acceptance: there is a connection.
    Accepting { peer: PeerId },
}

impl Connect {
    /// The peer whose acceptance it waits for.
    pub(super) fn accepting(&self) -> Option<PeerId> {
        match self.state {
            State::Accepting { peer } => Some(peer),
            State::Dialling { .. } | State::LookingUp { .. } => None,
        }
    }

    /// Who was asked, the step under way included; `late`: why nothing came of that.
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

    /// Whether an address was tried by now.
    pub(super) fn has_tried(&self, text: &Text) -> bool {
        self.attempts.iter().any(|attempt| attempt.address == *text)
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
