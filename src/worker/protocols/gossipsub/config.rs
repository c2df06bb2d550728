//! How this node speaks gossipsub: the bounds of libp2p's behaviour, and the ids of messages.

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, MaxCountSubscriptionFilter, Message, MessageAuthenticity, MessageId,
    TopicHash, TopicSubscriptionFilter, ValidationMode,
};
use libp2p::identity::Keypair;

use super::Gossipsub;
use super::message_filter::MessageFilter;
use crate::PeerId;
use crate::error::{Error, ErrorKind, Result};
use crate::worker::util::clock::Clock;

/// The longest that is read of a stream at once. Gossipsub holds against it whatever has arrived, be it
/// several messages, and ends the stream: so it's more than the longest message by far. js-libp2p packs
/// what it was asked for into one.
pub(crate) const MAX_READ_BYTES: usize = 256 * 1024;
/// Of that, subscriptions and control messages: 100 of the longest fit.
const MAX_CONTROL_BYTES: usize = 32 * 1024;
/// Ids offered to a neighbour, and asked of it, in a heartbeat. With an id of 46 bytes so many fit into
/// the 16 KiB that other nodes of rust-libp2p read.
const MAX_IDS: usize = 300;
/// Messages waiting for a neighbour that doesn't read: at most 16 MiB.
const MAX_QUEUED: usize = 256;
/// Heartbeats, of a second each, for which a message can still be asked for, and is offered.
const MEMORY_S: usize = 3;
const OFFERED_S: usize = 2;
/// Topics one remote may subscribe to, and in one message; more than a node of ours has.
const MAX_REMOTE_TOPICS: usize = 256;
/// The longest topic, in bytes.
pub(crate) const MAX_TOPIC_BYTES: usize = 256;

/// Which topics remotes may subscribe to: all, in bounded number and length.
pub(super) type Topics = MaxCountSubscriptionFilter<ShortTopics>;

/// Topics that aren't too long.
pub(crate) struct ShortTopics;

impl TopicSubscriptionFilter for ShortTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().len() <= MAX_TOPIC_BYTES
    }
}

/// Scores of neighbours (gossipsub 1.1) are left off: to keep them takes two minutes' memory of every
/// message, so that a flood costs more with them, and they count against a neighbour only after its
/// signatures were verified. Honest nodes of other kinds that hand on what they don't understand would
/// be punished for it. Each neighbour is held to its share instead.
pub(crate) fn behaviour(
    keypair: &Keypair,
    filter: &MessageFilter,
    clock: &Clock,
) -> Result<Gossipsub> {
    let config = ConfigBuilder::default()
        .max_transmit_size(MAX_READ_BYTES)
        .max_control_message_size(MAX_CONTROL_BYTES)
        .max_control_messages_sent(MAX_IDS)
        .connection_handler_queue_len(MAX_QUEUED)
        .history_length(MEMORY_S)
        .history_gossip(OFFERED_S)
        .validation_mode(ValidationMode::Strict)
        .message_id_fn(message_id)
        .validate_messages()
        .build();
    let bug = |what: &str| Error::new(ErrorKind::Panic, format!("gossipsub: {what}"));
    let config = config.map_err(|error| bug(&error.to_string()))?;
    let subscriptions = MaxCountSubscriptionFilter {
        filter: ShortTopics,
        max_subscribed_topics: MAX_REMOTE_TOPICS,
        max_subscriptions_per_request: MAX_REMOTE_TOPICS,
    };
    let inner = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Signed(keypair.clone()),
        config,
        subscriptions,
        filter.clone(),
    );
    Ok(Gossipsub::new(inner.map_err(bug)?, filter.clone(), clock.clone()))
}

/// Author and sequence number, as the specification has it and go-libp2p and js-libp2p do it. By
/// rust-libp2p's own default, a text, they'd never recognise a message they were offered.
fn message_id(message: &Message) -> MessageId {
    let mut id = message.source.map(PeerId::to_bytes).unwrap_or_default();
    id.extend(message.sequence_number.unwrap_or_default().to_be_bytes());
    MessageId::from(id)
}
