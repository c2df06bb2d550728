//! Gossipsub: topics of the user's, and the one on which nodes announce where they are.
//!
//! Nothing is passed on before it was looked at: announcements must be signed by whom they are about,
//! a neighbour that floods is cut short, and topics nobody here asked for are ignored. `announce` says
//! what a good announcement is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use libp2p::gossipsub::{
    AllowAllSubscriptionFilter, Behaviour, ConfigBuilder, Event, IdentTopic, IdentityTransform,
    MaxCountSubscriptionFilter, Message, MessageAcceptance, MessageAuthenticity, MessageId,
    PublishError, ValidationMode,
};
use libp2p::identity::Keypair;

use super::announce::{Announcements, Refused};
use super::command::Terms;
use super::rate::Rates;
use super::{Timer, Worker, announce};
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::Source;
use crate::model::event::EventKind;
use crate::model::reply::{Published, Topics};
use crate::{Multiaddr, PeerId, addr, clock};

/// A whole message; gossipsub's own default.
const MAX_TRANSMIT_BYTES: usize = 64 * 1024;
/// Topics one remote may subscribe to, and in one message.
const MAX_REMOTE_TOPICS: usize = 100;
/// Topics this node may subscribe to.
const MAX_TOPICS: usize = 100;
/// Messages taken from one neighbour in a second, and at once.
const PER_SECOND: u32 = 200;
const BURST: u32 = 400;
/// A node that has just heard of others announces itself, but not more often than this.
const ANNOUNCE_PAUSE: Duration = Duration::from_secs(2);

pub(super) type Gossipsub =
    Behaviour<IdentityTransform, MaxCountSubscriptionFilter<AllowAllSubscriptionFilter>>;

pub(super) fn behaviour(keypair: &Keypair) -> Result<Gossipsub> {
    let config = ConfigBuilder::default()
        .max_transmit_size(MAX_TRANSMIT_BYTES)
        .validation_mode(ValidationMode::Strict)
        .validate_messages()
        .build();
    let bug = |what: &str| Error::new(ErrorKind::Panic, format!("gossipsub: {what}"));
    let config = config.map_err(|error| bug(&error.to_string()))?;
    let filter = MaxCountSubscriptionFilter {
        filter: AllowAllSubscriptionFilter {},
        max_subscribed_topics: MAX_REMOTE_TOPICS,
        max_subscriptions_per_request: MAX_REMOTE_TOPICS,
    };
    let signed = MessageAuthenticity::Signed(keypair.clone());
    Behaviour::new_with_subscription_filter(signed, config, filter).map_err(bug)
}

/// What the worker keeps of pubsub.
pub(super) struct Pubsub {
    keypair: Keypair,
    /// The user's topics.
    topics: BTreeSet<String>,
    announced_on: IdentTopic,
    announcements: Announcements,
    rates: Rates,
    last_announced: Option<Instant>,
    last_seq: u64,
}

impl Pubsub {
    pub(super) fn new(keypair: &Keypair, settings: &Settings) -> Self {
        Pubsub {
            keypair: keypair.clone(),
            topics: BTreeSet::new(),
            announced_on: IdentTopic::new(settings.discovery.gossip_topic.clone()),
            announcements: Announcements::new(keypair.public().to_peer_id()),
            rates: Rates::new(PER_SECOND, BURST),
            last_announced: None,
            last_seq: 0,
        }
    }

    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.announcements.forget(peer);
        self.rates.forget(peer);
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
        if !self.pubsub.rates.take(from, Instant::now()) {
            self.run.discovery.refused("pubsub.rate");
            return MessageAcceptance::Ignore;
        }
        let topic = message.topic.into_string();
        if !self.pubsub.topics.contains(&topic) {
            return MessageAcceptance::Ignore;
        }
        let kind = EventKind::Message {
            topic: topic.into(),
            message_id: id.to_string(),
            data_base64: BASE64_STANDARD.encode(&message.data),
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
            Ok(announced) => {
                self.drop_learnt(Source::Gossip, &announced.dropped);
                self.found(Source::Gossip, announced.peer, announced.addresses);
                MessageAcceptance::Accept
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
        self.pubsub.last_announced = Some(Instant::now());
        let topic = self.pubsub.announced_on.hash();
        let sent = self.swarm.behaviour_mut().gossipsub.publish(topic, record);
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
        addresses.retain(|address| !never.contains(address));
        addresses.sort_by_key(|address| std::cmp::Reverse(addr::scope(address)));
        addresses.dedup();
        addresses
    }

    pub(super) fn publish(&mut self, topic: String, data: Vec<u8>, terms: Terms<Published>) {
        let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
        let sent = gossipsub.publish(IdentTopic::new(topic.clone()).hash(), data);
        let outcome = sent.map(|id| Published { message_id: id.to_string(), topic });
        terms.reply.send(outcome.map_err(|error| not_published(&error)));
    }

    pub(super) fn subscribe(&mut self, topic: String, terms: Terms<Topics>) {
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
        Ok(self.pubsub.topics.insert(topic))
    }

    pub(super) fn unsubscribe(&mut self, topic: String, terms: Terms<Topics>) {
        let outcome = self.refuse_own(&topic).map(|()| {
            let changed = self.pubsub.topics.remove(&topic);
            if changed {
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

    fn topics(&self, changed: bool) -> Topics {
        Topics { topics: self.pubsub.topics.iter().cloned().collect(), changed }
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
            let most = MAX_TRANSMIT_BYTES;
            invalid_argument(format!("with its signature the message takes more than {most} bytes"))
        }
        PublishError::AllQueuesFull(peers) => {
            Error::new(ErrorKind::Busy, format!("the queues of all {peers} neighbours are full"))
        }
        PublishError::Duplicate => Error::new(ErrorKind::Busy, "that very message was just sent"),
        error => Error::new(ErrorKind::Protocol, format!("the message wasn't sent: {error}")),
    }
}
