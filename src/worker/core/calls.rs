//! The calls that wait for the worker: the tokens by which they can be cancelled, the peers they need,
//! and the parts that answer them. Only its part knows what a call is for.

use std::collections::HashMap;
use std::time::Instant;

use crate::PeerId;
use crate::error::{Error, ErrorKind};
use crate::worker::reply::{Reply, Terms};

/// Calls that may wait at once.
const MAX_WAITING: usize = 4096;

/// Names a waiting call; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallId(u64);

impl CallId {
    /// Returns the number of the call, for behaviours that know calls by number.
    pub(crate) const fn number(self) -> u64 {
        self.0
    }

    /// Returns the call of a number that [`number`](Self::number) gave.
    pub(crate) const fn of_number(number: u64) -> Self {
        CallId(number)
    }
}

/// The part that answers a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Connections,
    #[cfg(feature = "dht")]
    Content,
    Dialing,
    Discovery,
    Lookups,
}

/// The reason why a call ends before its work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Deadline,
    Cancelled,
}

impl Ending {
    /// Returns the error for a call that has nothing else to answer; `late` says what didn't come in time.
    pub(crate) fn error(self, late: &str) -> Error {
        match self {
            Ending::Deadline => Error::new(ErrorKind::Timeout, late),
            Ending::Cancelled => cancelled(),
        }
    }
}

/// Returns the error for a call whose token was cancelled.
fn cancelled() -> Error {
    Error::new(ErrorKind::Cancelled, "the call was cancelled")
}

struct Call {
    owner: Owner,
    cancel_token: Option<u64>,
    /// The peer it needs to stay connected to.
    peer: Option<PeerId>,
}

/// Every waiting call.
#[derive(Default)]
pub(crate) struct Calls {
    last: u64,
    waiting: HashMap<CallId, Call>,
}

impl Calls {
    /// Registers a call, before any of its work begins; above [`MAX_WAITING`] answers it `busy`.
    pub(super) fn register<T>(
        &mut self,
        owner: Owner,
        terms: Terms<T>,
    ) -> Option<(CallId, Instant, Reply<T>)> {
        let Terms { deadline, cancel_token, reply } = terms;
        if self.waiting.len() >= MAX_WAITING {
            let error = Error::new(ErrorKind::Busy, format!("{MAX_WAITING} calls wait already"));
            reply.send(Err(error));
            return None;
        }
        self.last += 1;
        let id = CallId(self.last);
        self.waiting.insert(id, Call { owner, cancel_token, peer: None });
        Some((id, deadline, reply))
    }

    pub(super) fn remove(&mut self, id: CallId) {
        self.waiting.remove(&id);
    }

    pub(crate) fn owner(&self, id: CallId) -> Option<Owner> {
        self.waiting.get(&id).map(|call| call.owner)
    }

    /// Notes which peer's connections the call needs.
    pub(crate) fn needs_peer(&mut self, id: CallId, peer: PeerId) {
        if let Some(call) = self.waiting.get_mut(&id) {
            call.peer = Some(peer);
        }
    }

    /// Tells whether a call needs connections of this peer.
    pub(crate) fn need(&self, peer: &PeerId) -> bool {
        self.waiting.values().any(|call| call.peer.as_ref() == Some(peer))
    }

    /// Returns the calls that carry the token.
    pub(crate) fn with_token(&self, token: u64) -> Vec<CallId> {
        let carrying = self.waiting.iter().filter(|(_, call)| call.cancel_token == Some(token));
        carrying.map(|(id, _)| *id).collect()
    }
}
