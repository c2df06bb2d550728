//! The node's protocols, and the swarm that runs them.

use std::num::NonZeroU8;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::autonat;
use libp2p::identify;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Config, NetworkBehaviour, Swarm};
use tokio::sync::Notify;

use crate::config::DhtMode;
use crate::error::Result;
use crate::worker::connections::gater::Gate;
use crate::worker::lookup::ask_peers::{self, Exchange};
use crate::worker::protocols::gossipsub::Gossipsub;
use crate::worker::protocols::gossipsub::message_filter::Sieve;
use crate::worker::protocols::kad::Dht;
use crate::worker::pubsub;
use crate::worker::transport::wrappers::DialTerms;
use crate::worker::{Node, protocols::ping, transport};

/// What identify announces as the protocol family, as Kubo and go-libp2p do.
const PROTOCOL_VERSION: &str = "ipfs/0.1.0";
/// Addresses dialled at once for one peer.
const DIAL_CONCURRENCY: NonZeroU8 = match NonZeroU8::new(8) {
    Some(most) => most,
    None => NonZeroU8::MIN,
};
/// Long enough to be never; the swarm adds it to the present moment.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The protocols every connection speaks. Gates stand first: what they refuse, no other sees.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    gate: Gate,
    blocked: allow_block_list::Behaviour<BlockedPeers>,
    identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    pub(crate) dht: Toggle<Dht>,
    pub(crate) gossipsub: Gossipsub,
    pub(crate) exchange: Exchange,
    autonat: Toggle<autonat::v2::client::Behaviour>,
}

/// A swarm that listens nowhere yet. `crashed` is told when a connection's task panics, which
/// tokio would otherwise swallow, and the connection look open for ever.
pub(crate) fn swarm(
    node: &Node,
    terms: DialTerms,
    sieve: &Sieve,
    crashed: Arc<Notify>,
) -> Result<Swarm<Behaviour>> {
    let Node { keypair, settings, traffic, book, discovery, metrics } = node;
    let local = keypair.public().to_peer_id();
    let transport = transport::build(keypair, settings, terms.clone(), Arc::clone(traffic))?;
    let reachability = settings.discovery.dht == DhtMode::Auto;
    let behaviour = Behaviour {
        gate: Gate::new(settings, terms, Arc::clone(book)),
        blocked: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(
            identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
                .with_agent_version(settings.agent_version.clone())
                .with_push_listen_addr_updates(true)
                .with_interval(identify_interval(settings.idle_timeout))
                // The peer book is the one place that remembers addresses.
                .with_cache_size(0)
                // With addresses to keep to ourselves, the worker announces the others itself.
                .with_hide_listen_addrs(!settings.no_announce.is_empty()),
        ),
        ping: ping::Behaviour::default(),
        dht: Dht::new(local, settings, Arc::clone(discovery), Arc::clone(metrics))?.into(),
        gossipsub: pubsub::behaviour(keypair, sieve)?,
        exchange: ask_peers::behaviour(settings)?,
        autonat: reachability.then(autonat::v2::client::Behaviour::default).into(),
    };
    let executor = move |task: BoxFuture<'static, ()>| {
        let crashed = Arc::clone(&crashed);
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                crashed.notify_one();
            }
        });
    };
    let config = Config::with_executor(executor)
        .with_dial_concurrency_factor(DIAL_CONCURRENCY)
        .with_idle_connection_timeout(settings.idle_timeout.unwrap_or(NEVER));
    Ok(Swarm::new(transport, behaviour, local, config))
}

/// How often identify is asked again. Each asking counts as use of the connection, so it must be
/// rarer than the idle timeout.
fn identify_interval(idle_timeout: Option<Duration>) -> Duration {
    const USUAL: Duration = Duration::from_secs(5 * 60);
    idle_timeout.map_or(USUAL, |idle| USUAL.max(idle * 2))
}
