//! Where operations go. A [`Node`] takes an operation's name and JSON parameters and gives its JSON reply,
//! and hands out events; nobody above this module knows more of the library than that.
//!
//! `own` is the manager of this process, `attached` one in another process, reached by the control socket;
//! `host` is for what stays up (`run`, `serve`, `mcp`): whichever of the two can be had at the moment;
//! `open` is for commands that end: attach, or run a node meanwhile.

mod attached;
mod host;
mod open;
mod own;
mod reply;

use std::time::Duration;

use peerkit::event::EventBatch;
use peerkit::params::EventsOptions;
use serde_json::{Map, Value};

pub use self::host::Host;
pub use self::open::{Needs, Opened, Setup, open};
pub use self::reply::Reply;

/// Something that serves the operations of the catalogue. Calls block; a timeout of zero is the node's default.
pub trait Node: Send + Sync {
    /// Runs an operation by its name or alias.
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply;

    /// As [`call`](Self::call), for a call with a `cancel_token` that is a random number of this program's: no other
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
    /// Up to 64 events, oldest first; empty when none came in time. After the error nothing more comes.
    fn next(&mut self, timeout: Duration) -> peerkit::Result<EventBatch>;

    /// The number of the last event before the subscription was opened.
    fn last_seq(&self) -> u64;
}

/// The name under which a failure to get events is told.
const EVENTS: &str = "events_open";
