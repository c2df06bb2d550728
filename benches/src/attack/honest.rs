//! The role "honest": peers that mean well, each in a swarm and at a prefix of its own. Some settle and stay;
//! newcomers dial, are identified, and stand for a while.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, identify};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::runtime::{Handle, Runtime};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::dial;
use super::ground::in_prefix;
use super::tally::Tally;
use crate::raw::{self, Plain, Protocols};
use crate::stats::Samples;
use crate::{Result, line};

/// The time that a newcomer waits to be identified, and that it must stand afterwards: an identity that is
/// accepted and then closed wasn't served.
const PATIENCE: Duration = Duration::from_secs(3);
pub const STAND: Duration = Duration::from_millis(500);
const SETTLING: Duration = Duration::from_secs(20);
const PING_EVERY: Duration = Duration::from_secs(1);

#[derive(NetworkBehaviour)]
struct Settler {
    identify: identify::Behaviour,
    ping: libp2p_ping::Behaviour,
}

impl Protocols for Settler {
    fn new(key: &Keypair) -> Result<Self> {
        let config = libp2p_ping::Config::new().with_interval(PING_EVERY);
        Ok(Settler { identify: raw::identify(key), ping: libp2p_ping::Behaviour::new(config) })
    }

    fn identified(event: &SettlerEvent) -> Option<PeerId> {
        match event {
            SettlerEvent::Identify(identify::Event::Received { peer_id, .. }) => Some(*peer_id),
            _ => None,
        }
    }
}

/// Those that settled.
#[derive(Default)]
struct Settled {
    all: usize,
    lost: usize,
    pings: Samples,
}

pub fn serve(runtime: Runtime) -> Result<()> {
    let handle = runtime.handle().clone();
    std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    let settled = Arc::new(Mutex::new(Settled::default()));
    line::serve(&json!({}), |command| match line::text(command, "cmd")? {
        "settle" => settle(&handle, command, &settled),
        "settled" => {
            let mut settled = settled.lock();
            let mut summary = std::mem::take(&mut settled.pings).summary();
            summary["served"] = json!(settled.all - settled.lost);
            summary["asked"] = json!(settled.all);
            Ok(summary)
        }
        "newcomers" => handle.block_on(newcomers(command)),
        other => Err(format!("unknown command {other}").into()),
    })
}

/// Connects `n` peers that stay.
fn settle(handle: &Handle, command: &Value, settled: &Arc<Mutex<Settled>>) -> Result<Value> {
    let target: Multiaddr = line::text(command, "target")?.parse()?;
    let source: Ipv4Addr = line::text(command, "source")?.parse()?;
    let peers = line::number(command, "n")?;
    let _inside = handle.enter();
    for n in 0..peers {
        let mut swarm = dial::swarm::<Settler>(in_prefix(source, n as u32))?;
        handle.block_on(async { timeout(SETTLING, raw::connect(&mut swarm, &target)).await })??;
        settled.lock().all += 1;
        handle.spawn(stay(swarm, Arc::clone(settled)));
    }
    Ok(json!({}))
}

/// Stays connected, pings, and notes when the connection is lost.
async fn stay(mut swarm: Swarm<Settler>, settled: Arc<Mutex<Settled>>) {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::Behaviour(SettlerEvent::Ping(libp2p_ping::Event {
                result: Ok(rtt),
                ..
            })) => {
                settled.lock().pings.push(rtt);
            }
            SwarmEvent::ConnectionClosed { .. } => break settled.lock().lost += 1,
            _ => {}
        }
    }
}

/// Lets newcomers dial at a rate, each once; tells how long the served took, and who they were.
async fn newcomers(command: &Value) -> Result<Value> {
    let target: Multiaddr = line::text(command, "target")?.parse()?;
    let source: Ipv4Addr = line::text(command, "source")?.parse()?;
    let (per_s, ms) = (line::number(command, "per_s")?, line::number(command, "ms")?);
    let mut pace = interval(Duration::from_secs(1) / per_s as u32);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    let mut tried = Vec::new();
    while begun.elapsed() < Duration::from_millis(ms) {
        pace.tick().await;
        let source = in_prefix(source, tried.len() as u32);
        let swarm = dial::swarm::<Plain>(source)?;
        tried.push(tokio::spawn(newcomer(swarm, target.clone())));
    }
    let (mut tally, mut peers) = (Tally::default(), Vec::new());
    for attempt in tried {
        match attempt.await? {
            Ok((took, peer)) => {
                tally.served(took);
                peers.push(peer.to_string());
            }
            Err(why) => tally.refused(why),
        }
    }
    let mut summary = tally.summary();
    summary["peers"] = json!(peers);
    Ok(summary)
}

/// Connects a swarm; returns how long that took, and its identity.
async fn newcomer(
    mut swarm: Swarm<Plain>,
    target: Multiaddr,
) -> std::result::Result<(Duration, PeerId), &'static str> {
    let begun = Instant::now();
    match timeout(PATIENCE, raw::connect(&mut swarm, &target)).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) => return Err("no connection"),
        Err(_) => return Err("not identified"),
    }
    let took = begun.elapsed();
    let closed = async {
        while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionClosed { .. }) {}
    };
    match timeout(STAND, closed).await {
        Ok(()) => Err("closed again"),
        Err(_) => Ok((took, *swarm.local_peer_id())),
    }
}
