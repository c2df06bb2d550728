//! Plain rust-libp2p, as a program gets it that uses it directly. The same version, transports,
//! handshakes and multiplexer as peerkit, on one current-thread runtime, with identify and ping; or, by
//! the protocols of `member`, with those that peerkit speaks too.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, identify, noise, tcp, tls, yamux};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};

use crate::stats::Samples;
use crate::{Result, line};

/// Handshakes of a crowd at once: a thousand would take longer than QUIC waits.
const AT_ONCE: usize = 50;
const DIAL_TIMEOUT: Duration = Duration::from_secs(60);
const LOOPBACK: &str = "127.0.0.1";
/// The time after which a connection that isn't used is closed: none.
pub const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The protocols a swarm speaks.
pub trait Protocols: NetworkBehaviour<ToSwarm: Send> + Send + Sized {
    fn new(key: &Keypair) -> Result<Self>;

    /// Returns the peer that identify has just named.
    fn identified(event: &Self::ToSwarm) -> Option<PeerId>;
}

#[derive(NetworkBehaviour)]
pub struct Plain {
    identify: identify::Behaviour,
    ping: libp2p_ping::Behaviour,
}

impl Protocols for Plain {
    fn new(key: &Keypair) -> Result<Self> {
        Ok(Plain { identify: identify(key), ping: libp2p_ping::Behaviour::default() })
    }

    fn identified(event: &PlainEvent) -> Option<PeerId> {
        match event {
            PlainEvent::Identify(identify::Event::Received { peer_id, .. }) => Some(*peer_id),
            _ => None,
        }
    }
}

pub fn identify(key: &Keypair) -> identify::Behaviour {
    identify::Behaviour::new(
        identify::Config::new("ipfs/0.1.0".to_owned(), key.public())
            .with_agent_version("raw-libp2p".to_owned())
            .with_push_listen_addr_updates(true),
    )
}

fn swarm<B: Protocols>() -> Result<Swarm<B>> {
    let key = Keypair::generate_ed25519();
    let behaviour = B::new(&key)?;
    let built = SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            (tls::Config::new, noise::Config::new),
            yamux::Config::default,
        )?
        .with_quic()
        .with_dns()?
        .with_behaviour(|_| behaviour)?
        .with_swarm_config(|config| config.with_idle_connection_timeout(NEVER))
        .with_connection_timeout(DIAL_TIMEOUT)
        .build();
    Ok(built)
}

/// Makes a swarm that listens at an IP address over TCP and QUIC; returns its addresses too.
pub async fn listening<B: Protocols>(ip: &str) -> Result<(Swarm<B>, Vec<Multiaddr>)> {
    let mut swarm = swarm()?;
    swarm.listen_on(format!("/ip4/{ip}/tcp/0").parse()?)?;
    swarm.listen_on(format!("/ip4/{ip}/udp/0/quic-v1").parse()?)?;
    let mut addresses = Vec::new();
    while addresses.len() < 2 {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            addresses.push(address.with(Protocol::P2p(*swarm.local_peer_id())));
        }
    }
    Ok((swarm, addresses))
}

pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Plays the role "raw": a swarm that dials as it is told.
pub fn serve_dialer() -> Result<()> {
    let started = Instant::now();
    let runtime = runtime()?;
    let (mut swarm, addresses) = runtime.block_on(listening::<Plain>(LOOPBACK))?;
    let start_us = started.elapsed().as_secs_f64() * 1e6;
    let ready = json!({ "start_us": start_us, "addrs": addresses });
    line::serve(&ready, |command| {
        let address = line::text(command, "addr")?.parse()?;
        let dials = line::number(command, "n")?;
        runtime.block_on(bench_dial(&mut swarm, &address, dials))
    })
}

/// Plays the role "raw-hold [IP]": a swarm that accepts every connection.
pub fn serve_holder<B: Protocols>(ip: &[&str]) -> Result<()> {
    let runtime = runtime()?;
    let ip = ip.first().unwrap_or(&LOOPBACK);
    let (mut swarm, addresses) = runtime.block_on(listening::<B>(ip))?;
    std::thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                swarm.select_next_some().await;
            }
        })
    });
    line::serve(&json!({ "addrs": addresses }), |command| {
        Err(format!("not done here: {command}").into())
    })
}

/// Measures dial to identify received, one at a time, and disconnects in between.
async fn bench_dial(swarm: &mut Swarm<Plain>, address: &Multiaddr, dials: u64) -> Result<Value> {
    let mut samples = Samples::default();
    for _ in 0..dials {
        let started = Instant::now();
        let peer = connect(swarm, address).await?;
        samples.push(started.elapsed());
        if swarm.disconnect_peer_id(peer).is_err() {
            return Err("the remote hung up".into());
        }
        while swarm.is_connected(&peer) {
            swarm.select_next_some().await;
        }
    }
    Ok(samples.summary())
}

/// Connects, and waits for the remote's identify.
pub async fn connect<B: Protocols>(swarm: &mut Swarm<B>, address: &Multiaddr) -> Result<PeerId> {
    let Some(Protocol::P2p(peer)) = address.iter().last() else {
        return Err(format!("{address} names no peer").into());
    };
    let opts =
        DialOpts::peer_id(peer).condition(PeerCondition::Always).addresses(vec![address.clone()]);
    swarm.dial(opts.build())?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(event) if B::identified(&event) == Some(peer) => {
                return Ok(peer);
            }
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
}

/// Plays the role "crowd": `n` swarms, each with an identity of its own, that connect to an address
/// when told and stay connected.
pub fn serve_crowd<B: Protocols>() -> Result<()> {
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    // It keeps the swarms alive while this thread waits for commands.
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    line::serve(&json!({}), |command| {
        let address: Multiaddr = line::text(command, "addr")?.parse()?;
        let swarms = line::number(command, "n")? as usize;
        handle.block_on(gather::<B>(&address, swarms))?;
        Ok(json!({ "connected": swarms }))
    })
}

async fn gather<B: Protocols>(address: &Multiaddr, swarms: usize) -> Result<()> {
    let (connected, mut outcomes) = mpsc::channel(swarms);
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    for _ in 0..swarms {
        let (address, connected) = (address.clone(), connected.clone());
        let mut swarm = swarm::<B>()?;
        let turn = Arc::clone(&turns).acquire_owned().await?;
        tokio::spawn(async move {
            let outcome = connect(&mut swarm, &address).await.map(drop);
            drop(turn);
            let _ = connected.send(outcome).await;
            loop {
                swarm.select_next_some().await;
            }
        });
    }
    for _ in 0..swarms {
        outcomes.recv().await.ok_or("the crowd is gone")??;
    }
    Ok(())
}
