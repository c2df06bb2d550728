//! The table of sources, and what comes from them beside the swarm. A new source is its own file, lines
//! here, and its configuration key.

use libp2p::identity::Keypair;

use super::bootstrap::BootstrapSource;
#[cfg(feature = "daemons")]
use super::daemons::{Answered, DaemonSource};
#[cfg(feature = "dht")]
use super::dht::DhtSource;
#[cfg(feature = "gossip")]
use super::gossip::GossipSource;
#[cfg(feature = "mdns")]
use super::mdns::MdnsSource;
use super::source::DiscoverySource;
use crate::config::Settings;
#[cfg(feature = "daemons")]
use crate::model::Source;
#[cfg(feature = "mdns")]
use crate::worker::protocols::mdns::Discovered;

/// Every source that this build has.
pub(super) struct Sources {
    pub(super) bootstrap: BootstrapSource,
    #[cfg(feature = "gossip")]
    pub(super) gossip: GossipSource,
    #[cfg(feature = "dht")]
    pub(super) dht: DhtSource,
    #[cfg(feature = "mdns")]
    pub(super) mdns: MdnsSource,
    #[cfg(feature = "daemons")]
    pub(super) ipfs: DaemonSource,
    #[cfg(feature = "daemons")]
    pub(super) cluster: DaemonSource,
}

impl Sources {
    pub(super) fn new(keypair: &Keypair, settings: &Settings) -> Self {
        #[cfg(not(feature = "gossip"))]
        let _ = (keypair, settings);
        Sources {
            bootstrap: BootstrapSource::default(),
            #[cfg(feature = "gossip")]
            gossip: GossipSource::new(keypair, settings),
            #[cfg(feature = "dht")]
            dht: DhtSource,
            #[cfg(feature = "mdns")]
            mdns: MdnsSource::default(),
            #[cfg(feature = "daemons")]
            ipfs: DaemonSource::new(Source::Ipfs),
            #[cfg(feature = "daemons")]
            cluster: DaemonSource::new(Source::Cluster),
        }
    }

    /// The sources in the order a pass asks them.
    pub(super) fn table(&mut self) -> impl Iterator<Item = &mut dyn DiscoverySource> {
        let sources: [&mut dyn DiscoverySource; _] = [
            &mut self.bootstrap,
            #[cfg(feature = "gossip")]
            &mut self.gossip,
            #[cfg(feature = "dht")]
            &mut self.dht,
            #[cfg(feature = "mdns")]
            &mut self.mdns,
            #[cfg(feature = "daemons")]
            &mut self.ipfs,
            #[cfg(feature = "daemons")]
            &mut self.cluster,
        ];
        sources.into_iter()
    }

    /// Waits for an event from beside the swarm.
    pub(super) async fn next(&mut self) -> Arrived {
        let next = std::future::pending();
        #[cfg(feature = "mdns")]
        let next = or(next, self.mdns.next(), Arrived::Mdns);
        #[cfg(feature = "daemons")]
        let next = or(next, self.ipfs.next(), Arrived::Daemon);
        #[cfg(feature = "daemons")]
        let next = or(next, self.cluster.next(), Arrived::Daemon);
        next.await
    }

    #[cfg(feature = "daemons")]
    pub(super) fn daemon(&mut self, source: Source) -> &mut DaemonSource {
        if source == Source::Cluster { &mut self.cluster } else { &mut self.ipfs }
    }
}

/// An event that came from beside the swarm.
pub(crate) enum Arrived {
    #[cfg(feature = "mdns")]
    Mdns(Discovered),
    #[cfg(feature = "daemons")]
    Daemon(Answered),
}

/// Waits for whichever is ready first.
async fn or<T>(
    one: impl Future<Output = Arrived>,
    other: impl Future<Output = T>,
    arrived: fn(T) -> Arrived,
) -> Arrived {
    tokio::select! {
        it = one => it,
        it = other => arrived(it),
    }
}
