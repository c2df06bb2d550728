//! The configuration of gossipsub: the bounds of libp2p's behaviour, and the ids of messages.

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

/// Bytes that may be read of a stream at once. Gossipsub compares all that has arrived with it, even
/// several messages, and above it ends the stream: so it's far more than the longest message.
/// js-libp2p packs all messages it was asked for into one RPC.
pub(crate) const MAX_READ_BYTES: usize = 256 * 1024;
/// Bytes of that for subscriptions and control messages: 100 of the longest fit.
const MAX_CONTROL_BYTES: usize = 32 * 1024;
/// Ids offered to a neighbour, and asked of it, in a heartbeat. At 46 bytes an id, 300 fit into the
/// 16 KiB that other nodes of rust-libp2p read.
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

/// The topics that remotes may subscribe to: all, in bounded number and length.
pub(super) type Topics = MaxCountSubscriptionFilter<ShortTopics>;

/// Topics of at most [`MAX_TOPIC_BYTES`].
pub(crate) struct ShortTopics;

impl TopicSubscriptionFilter for ShortTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().len() <= MAX_TOPIC_BYTES
    }
}

/// Makes the behaviour, without scores of neighbours (gossipsub 1.1): they take two minutes' memory of
/// every message, so that a flood costs more with them, and they count against a neighbour only after
/// its signatures were verified. They would punish honest nodes of other kinds that hand on what they
/// don't understand. Each neighbour is held to its share instead.
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

/// Makes a message's id of author and sequence number, as the specification, go-libp2p and js-libp2p
/// do. By rust-libp2p's own default, a text, they'd never recognise a message they were offered.
fn message_id(message: &Message) -> MessageId {
    let mut id = message.source.map(PeerId::to_bytes).unwrap_or_default();
    id.extend(message.sequence_number.unwrap_or_default().to_be_bytes());
    MessageId::from(id)
}
