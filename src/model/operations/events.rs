//! Subscriptions to events: what one is opened with. What it delivers is in `model::event`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::event::Kind;

/// Sent by callers.
pub mod params {
    pub use super::EventsOptions;
}

/// Answered to callers.
pub mod reply {
    pub use super::{EventsClosed, EventsOpened};
}

params! {
    /// Options of a subscription to events.
    EventsOptions() {
        /// The number of an event: the subscription begins with those after it that are still kept; 0 for all that
        /// are. Where not given, it begins with what happens from now on.
        pub since: u64,
        /// Only events of these kinds, and `stopped`.
        pub(crate) kinds: Vec<String> = kinds,
    }
}

/// Reply of `peerkit_events_open` in C. In Rust a subscription is [`Events`](crate::Events).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventsOpened {
    /// The subscription's handle, as in the out-parameter.
    pub events_handle: u64,
    /// The number of the last event before this call; what happens from now on comes after it.
    pub last_seq: u64,
}

/// Reply of `peerkit_events_close` in C. In Rust a subscription is closed when it is dropped.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventsClosed {
    /// True where it had been closed before this call.
    pub already_closed: bool,
}
