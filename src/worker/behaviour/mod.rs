//! The node's protocols, and the swarm that runs them. `gater` and `limits` admit connections, `bans` ends
//! those of peers that were over a budget of work.

mod bans;
mod gater;
pub(crate) mod limits;

use std::num::NonZeroU8;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::identify;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Config, NetworkBehaviour, Swarm};
use tokio::sync::Notify;

use self::bans::Bans;
use self::gater::Gater;
use super::protocols::autonat::Autonat;
use super::protocols::find_peer::{self, FindPeer};
#[cfg(feature = "gossip")]
use super::protocols::gossipsub::{self, Gossipsub, message_filter::MessageFilter};
#[cfg(feature = "dht")]
use super::protocols::kad::Dht;
use super::protocols::{perf, ping};
use super::shared::Shared;
use super::transport;
use super::transport::counted::Counters;
use super::transport::terms::DialTerms;
use super::util::clock::Clock;
use crate::config::{DhtMode, Settings};
use crate::error::Result;

/// The protocol family that identify advertises, as Kubo and go-libp2p do.
const PROTOCOL_VERSION: &str = "ipfs/0.1.0";
/// Addresses of one peer that the transport is given at once, as many as a dial has. It lets those over
/// its own number wait for their turn, but not for ever.
const DIAL_CONCURRENCY: NonZeroU8 = match NonZeroU8::new(16) {
    Some(most) => most,
    None => NonZeroU8::MIN,
};
/// A time that never passes: a hundred years, since the swarm adds it to the present moment.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The protocols every connection speaks. The gater stands first: what it refuses, no other sees.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    gater: Gater,
    bans: Bans,
    identify: identify::Behaviour,
    pub(crate) ping: ping::Behaviour,
    #[cfg(feature = "dht")]
    pub(crate) dht: Toggle<Dht>,
    #[cfg(feature = "gossip")]
    pub(crate) gossipsub: Gossipsub,
    pub(crate) find_peer: FindPeer,
    pub(crate) perf: perf::Behaviour,
    autonat: Toggle<Autonat>,
}

/// Makes a swarm that listens nowhere yet. `crashed` is told when a connection's task panics, which
/// tokio would otherwise swallow, and the connection look open for ever.
pub(crate) fn swarm(
    shared: &Arc<Shared>,
    keypair: &Keypair,
    terms: &DialTerms,
    clock: &Clock,
    crashed: Arc<Notify>,
) -> Result<Swarm<Behaviour>> {
    let settings = &shared.settings;
    let (names, budgets) = (Arc::clone(&shared.names), Arc::clone(&shared.budgets));
    let counters = Counters { traffic: Arc::clone(&shared.traffic), budgets };
    let evidence = Arc::clone(&shared.clock_evidence);
    let (watch, dials) = (&shared.watch, terms.clone());
    let transport = transport::build(keypair, settings, dials, names, watch, evidence, &counters)?;
    let reachability = settings.discovery.dht == DhtMode::Auto;
    let behaviour = Behaviour {
        gater: Gater::new(Arc::clone(shared), terms.clone(), clock.clone()),
        bans: Bans::new(counters.budgets, terms.clone()),
        identify: identify(keypair, settings),
        ping: ping::Behaviour::new(clock.clone()),
        #[cfg(feature = "dht")]
        dht: dht(shared, terms)?.into(),
        #[cfg(feature = "gossip")]
        gossipsub: gossipsub(shared, keypair, clock)?,
        find_peer: find_peer::behaviour(settings)?,
        perf: perf::Behaviour::new(settings.serve_perf, clock.clone()),
        autonat: reachability.then(Autonat::default).into(),
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
    Ok(Swarm::new(transport, behaviour, shared.peer_id, config))
}

fn identify(keypair: &Keypair, settings: &Settings) -> identify::Behaviour {
    identify::Behaviour::new(
        identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
            .with_agent_version(settings.agent_version.clone())
            .with_push_listen_addr_updates(true)
            .with_interval(identify_interval(settings.idle_timeout))
            // The peer book is the one place that remembers addresses.
            .with_cache_size(0)
            // With addresses to keep to ourselves, the worker advertises the others itself.
            .with_hide_listen_addrs(!settings.no_announce.is_empty()),
    )
}

#[cfg(feature = "dht")]
fn dht(shared: &Shared, terms: &DialTerms) -> Result<Option<Dht>> {
    let (log, budgets) = (Arc::clone(&shared.discovery), Arc::clone(&shared.budgets));
    Dht::new(shared.peer_id, &shared.settings, terms.clone(), log, budgets)
}

#[cfg(feature = "gossip")]
fn gossipsub(shared: &Shared, keypair: &Keypair, clock: &Clock) -> Result<Gossipsub> {
    let filter = MessageFilter::new(Arc::clone(&shared.discovery), clock.clone());
    gossipsub::behaviour(keypair, &filter, clock)
}

/// Returns the time between two identify requests to a peer. Each counts as use of the connection, so
/// it must be longer than the idle timeout.
fn identify_interval(idle_timeout: Option<Duration>) -> Duration {
    const USUAL: Duration = Duration::from_secs(5 * 60);
    idle_timeout.map_or(USUAL, |idle| USUAL.max(idle * 2))
}
