//! The operations on topics: publishing a message, and subscribing to them.

use std::time::Duration;

use super::PeerManager;
use super::check::required;
use crate::error::{Result, invalid_argument};
use crate::model::params::{Publish, Topic};
use crate::model::reply::{Published, Topics};
use crate::worker::{MAX_TOPIC_BYTES, PubsubCommand};

/// The longest message, in bytes: gossipsub's 64 KiB less room for signature, key and topic.
const MAX_MESSAGE_BYTES: usize = 60 * 1024;

impl PeerManager {
    /// Publishes a message on a topic, signed by this node; it reaches the topic's subscribers by way of connected
    /// ones. The module [`event`](crate::event) has an example.
    ///
    /// # Errors
    /// `not_connected` where no connected peer subscribes to the topic; `invalid_argument` for a message of more than
    /// 60 KiB, a topic of none or more than 256 bytes, and the topic of peer records.
    pub fn publish(
        &self,
        params: Publish,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Published> {
        let deadline = self.act(timeout)?;
        let topic = topic(params.topic)?;
        let data = required(params.data, "data_base64")?.into_bytes("data_base64")?;
        if data.len() > MAX_MESSAGE_BYTES {
            return Err(invalid_argument(format!(
                "the message has {} bytes; at most {MAX_MESSAGE_BYTES} are sent",
                data.len()
            )));
        }
        self.ask(deadline, params.cancel_token, |terms| PubsubCommand::Publish {
            topic,
            data,
            terms,
        })
    }

    /// Subscribes to a topic; its messages come as `message` events. The module [`event`](crate::event) has
    /// an example.
    ///
    /// # Errors
    /// `limit_reached` with 100 topics; `invalid_argument` for a topic of none or more than 256 bytes, and the topic of
    /// peer records.
    pub fn subscribe(&self, params: Topic, timeout: impl Into<Option<Duration>>) -> Result<Topics> {
        let deadline = self.act(timeout)?;
        let topic = topic(params.topic)?;
        self.ask(deadline, params.cancel_token, |terms| PubsubCommand::Subscribe { topic, terms })
    }

    /// Ends the subscription to a topic. The module [`event`](crate::event) has an example.
    pub fn unsubscribe(
        &self,
        params: Topic,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Topics> {
        let deadline = self.act(timeout)?;
        let topic = topic(params.topic)?;
        self.ask(deadline, params.cancel_token, |terms| PubsubCommand::Unsubscribe { topic, terms })
    }
}

fn topic(given: Option<String>) -> Result<String> {
    let topic = required(given, "topic")?;
    match topic.is_empty() || topic.len() > MAX_TOPIC_BYTES {
        true => Err(invalid_argument(format!("`topic` must have 1 to {MAX_TOPIC_BYTES} bytes"))),
        false => Ok(topic),
    }
}
