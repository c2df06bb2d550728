//! Gossipsub: topics of the user's, and the one on which nodes announce where they are.
//!
//! Nothing is passed on before it was looked at: announcements must be signed by whom they are about,
//! a neighbour that floods is cut short (`quiet`, `sieve`), and topics nobody here asked for are ignored.
//! `announce` says what a good announcement is.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Event, IdentTopic, MaxCountSubscriptionFilter, Message,
    MessageAcceptance, MessageAuthenticity, MessageId, PublishError, TopicHash,
    TopicSubscriptionFilter, ValidationMode,
};
use libp2p::identity::Keypair;

use super::announce::{Announcements, Refused};
use super::command::Terms;
use super::quiet::Gossipsub;
use super::sieve::Sieve;
use super::{Timer, Worker, announce};
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::Source;
use crate::model::event::EventKind;
use crate::model::reply::{Published, Topics as TopicsReply};
use crate::{Multiaddr, PeerId, addr, clock};

/// The longest that is read of a stream at once. Gossipsub holds against it whatever has arrived, be it
/// several messages, and ends the stream: so it's more than the longest message by far. js-libp2p packs
/// what it was asked for into one.
const MAX_READ_BYTES: usize = 256 * 1024;
/// Of that, subscriptions and control messages: [`MAX_TOPICS`] of the longest fit.
const MAX_CONTROL_BYTES: usize = 32 * 1024;
/// Ids offered to a neighbour, and asked of it, in a heartbeat. With an id of 46 bytes so many fit into
/// the 16 KiB that other nodes of rust-libp2p read.
const MAX_IDS: usize = 300;
/// Messages waiting for a neighbour that doesn't read: at most 16 MiB.
const MAX_QUEUED: usize = 256;
/// Heartbeats, of a second each, for which a message can still be asked for, and is offered.
const MEMORY_S: usize = 3;
const OFFERED_S: usize = 2;
/// Topics one remote may subscribe to, and in one message; more than [`MAX_TOPICS`].
const MAX_REMOTE_TOPICS: usize = 256;
/// The longest topic, in bytes.
pub(crate) const MAX_TOPIC_BYTES: usize = 256;
/// Topics this node may subscribe to.
const MAX_TOPICS: usize = 100;
/// A node that others have just come to announces itself, but not more often than this.
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(2);

/// Which topics remotes may subscribe to: all, in bounded number and length.
pub(super) type Topics = MaxCountSubscriptionFilter<ShortTopics>;

/// Topics that aren't too long.
pub(super) struct ShortTopics;

impl TopicSubscriptionFilter for ShortTopics {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        topic.as_str().len() <= MAX_TOPIC_BYTES
    }
}

/// Scores of neighbours (gossipsub 1.1) are left off: to keep them takes two minutes' memory of every
/// message, so that a flood costs more with them, and they count against a neighbour only after its
/// signatures were verified. Honest nodes of other kinds that hand on what they don't understand would
/// be punished for it. Each neighbour is held to its share instead.
pub(super) fn behaviour(keypair: &Keypair, sieve: &Sieve) -> Result<Gossipsub> {
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
    let filter = MaxCountSubscriptionFilter {
        filter: ShortTopics,
        max_subscribed_topics: MAX_REMOTE_TOPICS,
        max_subscriptions_per_request: MAX_REMOTE_TOPICS,
    };
    let inner = Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Signed(keypair.clone()),
        config,
        filter,
        sieve.clone(),
    );
    Ok(Gossipsub::new(inner.map_err(bug)?, sieve.clone()))
}

/// Author and sequence number, as the specification has it and go-libp2p and js-libp2p do it. By
/// rust-libp2p's own default, a text, they'd never recognise a message they were offered.
fn message_id(message: &Message) -> MessageId {
    let mut id = message.source.map(PeerId::to_bytes).unwrap_or_default();
    id.extend(message.sequence_number.unwrap_or_default().to_be_bytes());
    MessageId::from(id)
}

/// What the worker keeps of pubsub.
pub(super) struct Pubsub {
    keypair: Keypair,
    /// The user's topics.
    topics: BTreeSet<String>,
    announced_on: IdentTopic,
    announcements: Announcements,
    sieve: Sieve,
    last_announced: Option<Instant>,
    /// The last announcement found somebody to hear it.
    told: bool,
    last_seq: u64,
}

impl Pubsub {
    pub(super) fn new(keypair: &Keypair, settings: &Settings, sieve: Sieve) -> Self {
        Pubsub {
            keypair: keypair.clone(),
            topics: BTreeSet::new(),
            announced_on: IdentTopic::new(settings.discovery.gossip_topic.clone()),
            announcements: Announcements::new(keypair.public().to_peer_id()),
            sieve,
            last_announced: None,
            told: false,
            last_seq: 0,
        }
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.announcements.forget(peer);
    }

    /// Whether whoever is on the topic was told where this node is.
    pub(super) fn has_told(&self) -> bool {
        self.told
    }
}

impl Worker {
    pub(super) fn on_pubsub(&mut self, event: Event) {
        match event {
            Event::Message { propagation_source, message_id, message } => {
                let acceptance = self.on_message(&propagation_source, &message_id, message);
                let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
                gossipsub.report_message_validation_result(
                    &message_id,
                    &propagation_source,
                    acceptance,
                );
            }
            Event::Subscribed { topic, .. } if topic == self.pubsub.announced_on.hash() => {
                self.announce_soon();
            }
            _ => {}
        }
    }

    fn on_message(&mut self, from: &PeerId, id: &MessageId, message: Message) -> MessageAcceptance {
        if message.topic == self.pubsub.announced_on.hash() {
            return self.on_announcement(from, &message.data);
        }
        let topic = message.topic.into_string();
        if !self.pubsub.topics.contains(&topic) {
            return MessageAcceptance::Ignore;
        }
        let kind = EventKind::Message {
            topic: topic.into(),
            message_id: id.to_string(),
            data: message.data,
        };
        let author = message.source.map(|author| author.to_string().into());
        self.run.hub.publish(author, kind);
        MessageAcceptance::Accept
    }

    fn on_announcement(&mut self, from: &PeerId, data: &[u8]) -> MessageAcceptance {
        if !self.discovering() || !self.run.settings.discovery.gossip {
            return MessageAcceptance::Ignore;
        }
        let Some(seen_at) = self.seen_at(from) else { return MessageAcceptance::Ignore };
        match self.pubsub.announcements.receive(data, from, &seen_at, Instant::now()) {
            Ok(mut announced) => {
                // On a local network no public address is of use, whoever hands it on.
                if announced.peer != *from && !self.run.settings.local_only() {
                    announced.believe_farthest();
                }
                self.drop_learnt(Source::Gossip, &announced.dropped);
                // Nor may a neighbour of ours, for whom we are near, believe what is left out here.
                let misleading = announced.addresses.is_empty() && announced.dropped.scope > 0;
                self.found(Source::Gossip, announced.peer, announced.addresses);
                if misleading { MessageAcceptance::Ignore } else { MessageAcceptance::Accept }
            }
            Err(refused) => {
                self.run.discovery.dropped(Source::Gossip, refused.as_str(), 1);
                match refused {
                    // Whoever hands on a forgery hasn't looked at it.
                    Refused::Malformed | Refused::Forged | Refused::TooLarge => {
                        MessageAcceptance::Reject
                    }
                    _ => MessageAcceptance::Ignore,
                }
            }
        }
    }

    /// Takes part in announcements, or no longer.
    pub(super) fn listen_for_peers(&mut self, active: bool) {
        if !self.run.settings.discovery.gossip {
            return;
        }
        let topic = self.pubsub.announced_on.clone();
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        let outcome = match active {
            true => gossipsub.subscribe(&topic).map(drop),
            false => {
                gossipsub.unsubscribe(&topic);
                Ok(())
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "announcements");
        }
    }

    /// Others have come that don't know us yet.
    fn announce_soon(&mut self) {
        let last = self.pubsub.last_announced;
        let at = last.map_or(Instant::now(), |last| last + ANNOUNCE_PAUSE);
        self.timers.set(at, Timer::Announce);
    }

    /// The time for an announcement has come, unless there was one meanwhile.
    pub(super) fn on_announce_timer(&mut self) {
        let last = self.pubsub.last_announced;
        if last.is_none_or(|last| Instant::now() >= last + ANNOUNCE_PAUSE) {
            self.announce();
        }
    }

    /// Tells everyone on the topic where this node is.
    pub(super) fn announce(&mut self) {
        if !self.discovering() || !self.run.settings.discovery.gossip {
            return;
        }
        let addresses = self.told_addresses();
        self.pubsub.last_seq = announce::next_seq(self.pubsub.last_seq, clock::now());
        let record = announce::seal(&self.pubsub.keypair, addresses, self.pubsub.last_seq);
        let Ok(record) = record else { return };
        let topic = self.pubsub.announced_on.hash();
        let sent = self.swarm.behaviour_mut().gossipsub.publish(topic, record);
        self.pubsub.told = sent.is_ok();
        if self.pubsub.told {
            self.pubsub.last_announced = Some(Instant::now());
        }
        let note = match sent {
            Ok(_) => "nobody announced a peer that wasn't known".to_owned(),
            Err(PublishError::NoPeersSubscribedToTopic) => {
                format!("no connected peer takes part on {}", self.pubsub.announced_on)
            }
            Err(error) => format!("the announcement wasn't sent: {error}"),
        };
        self.run.discovery.note(Source::Gossip, note);
    }

    /// Where this node says it is, the farthest reaching first.
    fn told_addresses(&self) -> Vec<Multiaddr> {
        let never = &self.run.settings.no_announce;
        let mut addresses: Vec<_> = self.swarm.external_addresses().cloned().collect();
        addresses.extend(self.swarm.listeners().cloned());
        let least = self.run.settings.least_told();
        addresses.retain(|address| !never.contains(address) && addr::scope(address) >= least);
        let order = |address: &Multiaddr| (Reverse(addr::scope(address)), address.to_string());
        addresses.sort_by_cached_key(order);
        addresses.dedup();
        addresses
    }

    pub(super) fn publish(&mut self, topic: String, data: Vec<u8>, terms: Terms<Published>) {
        let outcome = self.refuse_own(&topic).and_then(|()| {
            let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
            let sent = gossipsub.publish(IdentTopic::new(topic.clone()).hash(), data);
            let id = sent.map_err(|error| not_published(&error))?;
            Ok(Published { message_id: id.to_string(), topic })
        });
        terms.reply.send(outcome);
    }

    pub(super) fn subscribe(&mut self, topic: String, terms: Terms<TopicsReply>) {
        let outcome = self.try_subscribe(topic);
        terms.reply.send(outcome.map(|changed| self.topics(changed)));
    }

    fn try_subscribe(&mut self, topic: String) -> Result<bool> {
        self.refuse_own(&topic)?;
        if self.pubsub.topics.contains(&topic) {
            return Ok(false);
        }
        if self.pubsub.topics.len() >= MAX_TOPICS {
            let message = format!("this node subscribes to {MAX_TOPICS} topics already");
            return Err(Error::new(ErrorKind::LimitReached, message));
        }
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        gossipsub.subscribe(&IdentTopic::new(topic.clone())).map_err(|error| {
            Error::new(ErrorKind::Protocol, format!("the topic can't be subscribed to: {error}"))
        })?;
        self.pubsub.topics.insert(topic);
        self.pubsub.sieve.set_wanted(true);
        Ok(true)
    }

    pub(super) fn unsubscribe(&mut self, topic: String, terms: Terms<TopicsReply>) {
        let outcome = self.refuse_own(&topic).map(|()| {
            let changed = self.pubsub.topics.remove(&topic);
            if changed {
                self.pubsub.sieve.set_wanted(!self.pubsub.topics.is_empty());
                self.swarm.behaviour_mut().gossipsub.unsubscribe(&IdentTopic::new(topic));
            }
            self.topics(changed)
        });
        terms.reply.send(outcome);
    }

    fn refuse_own(&self, topic: &str) -> Result<()> {
        match topic == self.run.settings.discovery.gossip_topic {
            true => Err(invalid_argument(format!("`{topic}` is peerkit's own topic"))),
            false => Ok(()),
        }
    }

    fn topics(&self, changed: bool) -> TopicsReply {
        TopicsReply { topics: self.pubsub.topics.iter().cloned().collect(), changed }
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
