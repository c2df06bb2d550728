//! A build without the feature `metrics` counts nothing.

use libp2p::identify;
use libp2p::swarm::{ConnectionId, SwarmEvent};

use super::protocols::ping::Event as PingEvent;
use crate::PeerId;

/// Takes the place of the counters.
#[derive(Default)]
pub(crate) struct Recorder;

impl Recorder {
    pub(crate) fn record_swarm<E>(&self, _: &SwarmEvent<E>) {}

    pub(crate) fn record_dial(&self, _: Option<PeerId>, _: ConnectionId) {}

    #[cfg(feature = "dht")]
    pub(crate) fn record_kad(&self, _: &libp2p::kad::Event) {}

    #[cfg(feature = "gossip")]
    pub(crate) fn record_gossipsub(&self, _: &libp2p::gossipsub::Event) {}

    pub(crate) fn record_identify(&self, _: &identify::Event) {}

    pub(crate) fn record_ping(&self, _: &PingEvent) {}
}
