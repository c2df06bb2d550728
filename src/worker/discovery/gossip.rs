//! Gossip as a source: nodes publish signed records of where they are on a topic of gossipsub.
//!
//! Nothing is passed on before it was checked: a record must be signed by the peer it is about.
//! `records` does that.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use libp2p::gossipsub::{IdentTopic, MessageAcceptance, PublishError, TopicHash};
use libp2p::identity::Keypair;

use super::passes::Pass;
use super::records::{self, PeerRecords, Refused};
use super::source::{DiscoverySource, note_left_out};
use crate::config::Settings;
use crate::model::Source;
use crate::worker::core::Core;
use crate::worker::core::timers::Timer;
use crate::{Multiaddr, PeerId, Timestamp, addr};

/// Least time from a record that was published to one for peers that have just subscribed.
const PUBLISH_PAUSE: Duration = Duration::from_secs(2);

pub(super) struct GossipSource {
    keypair: Keypair,
    topic: IdentTopic,
    records: PeerRecords,
    /// True while it takes part.
    started: bool,
    last_published: Option<Instant>,
    /// True where the last record was sent to at least one peer.
    received: bool,
    last_seq: u64,
}

impl DiscoverySource for GossipSource {
    fn source(&self) -> Source {
        Source::Gossip
    }

    fn is_on(&self, core: &Core) -> bool {
        core.shared.settings.discovery.gossip
    }

    fn listens(&self) -> bool {
        true
    }

    fn is_costly(&self) -> bool {
        true
    }

    fn start(&mut self, core: &mut Core) {
        if self.is_on(core) {
            self.started = true;
            let subscribed = core.swarm.behaviour_mut().gossipsub.subscribe(&self.topic);
            if let Err(error) = subscribed {
                tracing::warn!(%error, "can't take part in gossip");
            }
        }
    }

    fn stop(&mut self, core: &mut Core) {
        if std::mem::take(&mut self.started) {
            core.swarm.behaviour_mut().gossipsub.unsubscribe(&self.topic);
        }
    }

    fn ask(&mut self, core: &mut Core, pass: &mut Pass) {
        // With no subscriber it costs the network nothing, and notes that there is none.
        match pass.backs_off && self.received {
            true => note_left_out(core, Source::Gossip),
            false => self.publish(core),
        }
    }

    fn peer_gone(&mut self, peer: &PeerId) {
        self.records.forget(peer);
    }
}

impl GossipSource {
    pub(super) fn new(keypair: &Keypair, settings: &Settings) -> Self {
        GossipSource {
            keypair: keypair.clone(),
            topic: IdentTopic::new(settings.discovery.gossip_topic.clone()),
            records: PeerRecords::new(keypair.public().to_peer_id()),
            started: false,
            last_published: None,
            received: false,
            last_seq: 0,
        }
    }

    /// Tells whether the topic is the one of peer records.
    pub(super) fn is_topic(&self, topic: &TopicHash) -> bool {
        *topic == self.topic.hash()
    }

    /// Takes a peer's record that a neighbour handed on.
    pub(super) fn on_record(
        &mut self,
        core: &mut Core,
        from: &PeerId,
        data: &[u8],
    ) -> MessageAcceptance {
        if !self.started {
            return MessageAcceptance::Ignore;
        }
        let Some(seen_at) = core.peers.seen_at(from) else { return MessageAcceptance::Ignore };
        match self.records.receive(data, from, &seen_at, core.now) {
            Ok(mut record) => {
                // Profile "lan" dials no public address, so there the nearer ones are kept.
                if record.peer != *from && !core.shared.settings.local_only() {
                    record.believe_farthest();
                }
                // The number of a record is the time at which it was made, in nanoseconds.
                let signed = Timestamp::from_micros((record.seq / 1000) as i64);
                core.shared.clock_evidence.announced(signed, (core.now, core.time));
                core.count_dropped(Source::Gossip, &record.dropped);
                // A neighbour near us would believe addresses that were left out here for their scope, so
                // such a record isn't passed on.
                let misleading = record.addresses.is_empty() && record.dropped.scope > 0;
                core.discovered(Source::Gossip, record.peer, &record.addresses);
                if misleading { MessageAcceptance::Ignore } else { MessageAcceptance::Accept }
            }
            Err(refused) => {
                core.shared.discovery.dropped(Source::Gossip, refused.as_str(), 1);
                match refused {
                    // A neighbour that hands on a forgery hasn't checked it.
                    Refused::Malformed | Refused::Forged | Refused::TooLarge => {
                        MessageAcceptance::Reject
                    }
                    _ => MessageAcceptance::Ignore,
                }
            }
        }
    }

    /// Publishes the record soon: peers have come that don't know us yet.
    pub(super) fn publish_soon(&mut self, core: &mut Core) {
        let at = self.last_published.map_or(core.now, |last| last + PUBLISH_PAUSE);
        core.timers.set(at, Timer::PublishRecord);
    }

    /// Publishes the record, unless that was done meanwhile.
    pub(super) fn publish_if_due(&mut self, core: &mut Core) {
        if self.last_published.is_none_or(|last| core.now >= last + PUBLISH_PAUSE) {
            self.publish(core);
        }
    }

    /// Publishes on the topic where this node is.
    fn publish(&mut self, core: &mut Core) {
        if !self.started {
            return;
        }
        let addresses = advertised(core);
        self.last_seq = records::next_seq(self.last_seq, core.time);
        let Ok(record) = records::seal(&self.keypair, addresses, self.last_seq) else { return };
        let sent = core.swarm.behaviour_mut().gossipsub.publish(self.topic.hash(), record);
        self.received = sent.is_ok();
        if self.received {
            self.last_published = Some(core.now);
        }
        let note = match sent {
            Ok(_) => "nobody announced a peer that wasn't known".to_owned(),
            Err(PublishError::NoPeersSubscribedToTopic) => {
                format!("no connected peer takes part on {}", self.topic)
            }
            Err(error) => format!("the announcement wasn't sent: {error}"),
        };
        core.shared.discovery.note(Source::Gossip, note);
    }
}

/// Returns the addresses that this node advertises, the largest scope first.
fn advertised(core: &Core) -> Vec<Multiaddr> {
    let settings = &core.shared.settings;
    let mut addresses: Vec<_> = core.swarm.external_addresses().cloned().collect();
    addresses.extend(core.swarm.listeners().cloned());
    let least = settings.least_advertised();
    addresses
        .retain(|address| !settings.no_announce.contains(address) && addr::scope(address) >= least);
    let order = |address: &Multiaddr| (Reverse(addr::scope(address)), address.to_string());
    addresses.sort_by_cached_key(order);
    addresses.dedup();
    addresses
}
