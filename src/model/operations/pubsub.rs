//! Messages by topic.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Data;

/// Sent by callers.
pub mod params {
    pub use super::{Publish, Topic};
}

/// Answered to callers.
pub mod reply {
    pub use super::{Published, Topics};
}

params! {
    /// Parameters of `publish`.
    Publish(
        /// The topic, 1 to 256 bytes.
        topic: String = text,
        /// The message, base64 in JSON, at most 60 KiB decoded.
        data: Data = bytes [serde(rename = "data_base64")],
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `subscribe` and `unsubscribe`.
    Topic(
        /// The topic, 1 to 256 bytes.
        topic: String = text,
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `publish`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Published {
    /// The id of the message, in hexadecimal, as in the `message` events it causes.
    pub message_id: String,
    /// The topic.
    pub topic: String,
}

/// Reply of `subscribe` and `unsubscribe`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Topics {
    /// The topics this node subscribes to now, sorted.
    pub topics: Vec<String>,
    /// True if this call changed that.
    pub changed: bool,
}
