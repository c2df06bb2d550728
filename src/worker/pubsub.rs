//! Pubsub: topics of the user's over gossipsub, whose messages come as events.

use std::collections::BTreeSet;

use libp2p::gossipsub::{IdentTopic, Message, MessageAcceptance, MessageId, PublishError};

use super::core::Core;
use super::protocols::gossipsub::config::MAX_READ_BYTES;
use super::protocols::gossipsub::message_filter::MessageFilter;
use super::reply::Terms;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::event::EventKind;
use crate::model::reply::{Published, Topics};

/// Topics this node may subscribe to.
const MAX_TOPICS: usize = 100;

/// Calls about topics; each is answered at once.
pub(crate) enum PubsubCommand {
    Publish { topic: String, data: Vec<u8>, terms: Terms<Published> },
    Subscribe { topic: String, terms: Terms<Topics> },
    Unsubscribe { topic: String, terms: Terms<Topics> },
}

/// The user's topics.
pub(crate) struct Pubsub {
    topics: BTreeSet<String>,
    filter: MessageFilter,
}

impl Pubsub {
    pub(crate) fn new(filter: MessageFilter) -> Self {
        Pubsub { topics: BTreeSet::new(), filter }
    }

    pub(crate) fn command(&mut self, core: &mut Core, command: PubsubCommand) {
        match command {
            PubsubCommand::Publish { topic, data, terms } => {
                terms.reply.send(publish(core, topic, data));
            }
            PubsubCommand::Subscribe { topic, terms } => {
                let changed = self.subscribe(core, topic);
                terms.reply.send(changed.map(|changed| self.reply(changed)));
            }
            PubsubCommand::Unsubscribe { topic, terms } => {
                let changed = self.unsubscribe(core, topic);
                terms.reply.send(changed.map(|changed| self.reply(changed)));
            }
        }
    }

    pub(crate) fn on_message(
        &mut self,
        core: &Core,
        id: &MessageId,
        message: Message,
    ) -> MessageAcceptance {
        let topic = message.topic.into_string();
        if !self.topics.contains(&topic) {
            return MessageAcceptance::Ignore;
        }
        let kind = EventKind::Message {
            topic: topic.into(),
            message_id: id.to_string(),
            data: message.data,
        };
        let author = message.source.map(|author| author.to_string().into());
        core.shared.hub.publish(author, kind);
        MessageAcceptance::Accept
    }

    fn subscribe(&mut self, core: &mut Core, topic: String) -> Result<bool> {
        refuse_own(core, &topic)?;
        if self.topics.contains(&topic) {
            return Ok(false);
        }
        if self.topics.len() >= MAX_TOPICS {
            let message = format!("this node subscribes to {MAX_TOPICS} topics already");
            return Err(Error::new(ErrorKind::LimitReached, message));
        }
        let gossipsub = &mut core.swarm.behaviour_mut().gossipsub;
        gossipsub.subscribe(&IdentTopic::new(topic.clone())).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("the topic can't be subscribed to: {error}"))
        })?;
        self.topics.insert(topic);
        self.filter.set_wanted(true);
        Ok(true)
    }

    fn unsubscribe(&mut self, core: &mut Core, topic: String) -> Result<bool> {
        refuse_own(core, &topic)?;
        let changed = self.topics.remove(&topic);
        if changed {
            self.filter.set_wanted(!self.topics.is_empty());
            core.swarm.behaviour_mut().gossipsub.unsubscribe(&IdentTopic::new(topic));
        }
        Ok(changed)
    }

    fn reply(&self, changed: bool) -> Topics {
        Topics { topics: self.topics.iter().cloned().collect(), changed }
    }
}

fn publish(core: &mut Core, topic: String, data: Vec<u8>) -> Result<Published> {
    refuse_own(core, &topic)?;
    let gossipsub = &mut core.swarm.behaviour_mut().gossipsub;
    let sent = gossipsub.publish(IdentTopic::new(topic.clone()).hash(), data);
    let id = sent.map_err(|error| not_published(&error))?;
    Ok(Published { message_id: id.to_string(), topic })
}

fn refuse_own(core: &Core, topic: &str) -> Result<()> {
    match topic == core.shared.settings.discovery.gossip_topic {
        true => Err(invalid_argument(format!("`{topic}` is peerkit's own topic"))),
        false => Ok(()),
    }
}

fn not_published(error: &PublishError) -> Error {
    match error {
        PublishError::NoPeersSubscribedToTopic => {
            Error::new(ErrorKind::NotConnected, "no connected peer subscribes to the topic")
                .with_hint(
                    "connect to a peer that does; a new subscription takes a moment to be heard of",
                )
        }
        PublishError::MessageTooLarge => {
            invalid_argument(format!("the message takes more than {MAX_READ_BYTES} bytes"))
        }
        PublishError::AllQueuesFull(peers) => {
            Error::new(ErrorKind::Busy, format!("the queues of all {peers} neighbours are full"))
        }
        PublishError::Duplicate => Error::new(ErrorKind::Busy, "that very message was just sent"),
        error => Error::new(ErrorKind::Protocol, format!("the message wasn't sent: {error}")),
    }
}
