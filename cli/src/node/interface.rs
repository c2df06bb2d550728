//! The interface of a node to the rest of the program: it takes an operation's name and JSON parameters and gives its
//! JSON reply, and hands out events.

use std::time::Duration;

use peerkit::event::EventBatch;
use peerkit::params::EventsOptions;
use serde_json::{Map, Value};

use super::reply::Reply;

/// Something that serves the operations of the catalogue. Calls block; a timeout of zero is the node's default.
pub trait Node: Send + Sync {
    /// Runs an operation by its name or alias.
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply;

    /// Calls with a `cancel_token` that is a random number of this program's: no other
    /// call has it, so that a node in another process cancels the call when this process dies.
    fn call_with_own_token(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: Duration,
    ) -> Reply {
        self.call(method, params, timeout)
    }

    /// Subscribes to events. The error is the failure as a reply.
    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply>;

    /// Ends the calls that carry this `cancel_token`, where that can be done.
    fn cancel(&self, token: u64) {
        let _ = token;
    }
}

/// A subscription to events, of this process's node or another's.
pub trait EventSource: Send {
    /// Takes up to 64 events, oldest first; none where none came in time. After the error nothing more comes.
    fn next(&mut self, timeout: Duration) -> peerkit::Result<EventBatch>;

    /// Gives the number of the last event before the subscription was opened.
    fn last_seq(&self) -> u64;
}

/// The name under which a failure to get events is told.
pub const EVENTS: &str = "events_open";

/// A timeout as the library takes it, where zero means zero.
pub fn given(timeout: Duration) -> Option<Duration> {
    (!timeout.is_zero()).then_some(timeout)
}
