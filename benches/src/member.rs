//! Plain rust-libp2p with the protocols that peerkit speaks: identify, ping, kad, gossipsub and
//! request-response, each with its defaults, used as their documentation shows. One program for all
//! comparisons: it joins a DHT, looks for peers, sends and receives messages.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use futures::StreamExt;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, PublishError};
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{self, GetClosestPeersError, QueryId, QueryResult};
use libp2p::request_response::{self, ProtocolSupport, cbor};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use crate::raw::{self, Protocols};
use crate::stats::Samples;
use crate::{Result, clocks, line};

/// The names of the DHT and of the find-peer protocol: peerkit's own, so that they meet.
const DHT: StreamProtocol = StreamProtocol::new("/peerkit/kad/1.0.0");
const EXCHANGE: StreamProtocol = StreamProtocol::new("/peerkit/find-peer/1.0.0");
/// The time to wait for others to learn of a subscription, and for messages.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(NetworkBehaviour)]
pub struct Full {
    identify: identify::Behaviour,
    ping: libp2p_ping::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
    gossipsub: gossipsub::Behaviour,
    exchange: cbor::Behaviour<Vec<u8>, Vec<Vec<u8>>>,
}

impl Protocols for Full {
    fn new(key: &Keypair) -> Result<Self> {
        let local = key.public().to_peer_id();
        let store = MemoryStore::new(local);
        let mut kad = kad::Behaviour::with_config(local, store, kad::Config::new(DHT));
        kad.set_mode(Some(kad::Mode::Server));
        let signed = MessageAuthenticity::Signed(key.clone());
        Ok(Full {
            identify: raw::identify(key),
            ping: libp2p_ping::Behaviour::default(),
            kad,
            gossipsub: gossipsub::Behaviour::new(signed, gossipsub::Config::default())?,
            exchange: cbor::Behaviour::new(
                [(EXCHANGE, ProtocolSupport::Full)],
                request_response::Config::default(),
            ),
        })
    }

    fn identified(event: &FullEvent) -> Option<PeerId> {
        match event {
            FullEvent::Identify(identify::Event::Received { peer_id, .. }) => Some(*peer_id),
            _ => None,
        }
    }
}

/// A swarm that obeys commands between its own affairs.
struct Member {
    swarm: Swarm<Full>,
    /// The peers it has received from any source.
    known: HashSet<PeerId>,
    identified: HashSet<PeerId>,
    /// Queries of the DHT that are over, and the peers they found.
    closest: Vec<(QueryId, Vec<PeerId>)>,
    joining: bool,
    /// Connections made so far, by either side.
    connections: u64,
    /// The age of messages when the swarm's loop had them.
    in_loop: Samples,
    to_reader: Sender<u64>,
}

/// Plays the role "member IP MODE [BOOTSTRAP]": MODE is "server" or "client", BOOTSTRAP a peer's address.
pub fn serve(arguments: &[&str]) -> Result<()> {
    let [ip, mode, ref bootstrap @ ..] = *arguments else { return Err("member IP MODE".into()) };
    let runtime = raw::runtime()?;
    let (mut swarm, addresses) = runtime.block_on(raw::listening::<Full>(ip))?;
    if mode == "client" {
        swarm.behaviour_mut().kad.set_mode(Some(kad::Mode::Client));
    }
    let ready = json!({ "addrs": addresses, "peer_id": swarm.local_peer_id().to_string() });
    let (to_reader, from_loop) = crossbeam_channel::unbounded();
    let mut member = Member {
        swarm,
        known: HashSet::new(),
        identified: HashSet::new(),
        closest: Vec::new(),
        joining: !bootstrap.is_empty(),
        connections: 0,
        in_loop: Samples::default(),
        to_reader,
    };
    let inside = runtime.enter();
    for address in bootstrap {
        member.swarm.dial(address.parse::<Multiaddr>()?)?;
    }
    drop(inside);
    let (commands, mut asked) =
        mpsc::unbounded_channel::<(Value, oneshot::Sender<Result<Value>>)>();
    std::thread::spawn(move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    command = asked.recv() => {
                        let Some((command, reply)) = command else { return };
                        let _ = reply.send(member.command(&command).await);
                    }
                    () = member.turn() => {}
                }
            }
        })
    });
    line::serve(&ready, |command| {
        if command["cmd"] == "hear" {
            return hear(&from_loop, line::number(command, "n")?);
        }
        let (reply, answer) = oneshot::channel();
        commands.send((command.clone(), reply))?;
        answer.blocking_recv()?
    })
}

/// Measures the age of `messages` messages in a reader's thread.
fn hear(from_loop: &Receiver<u64>, messages: u64) -> Result<Value> {
    let mut samples = Samples::default();
    for _ in 0..messages {
        let sent_ns = from_loop.recv_timeout(PATIENCE)?;
        samples.push(Duration::from_nanos(clocks::shared_ns().saturating_sub(sent_ns)));
    }
    Ok(samples.summary())
}

impl Member {
    async fn turn(&mut self) {
        match self.swarm.select_next_some().await {
            SwarmEvent::Behaviour(event) => self.on_event(event),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                self.connections += 1;
                self.known.insert(peer_id);
            }
            SwarmEvent::NewExternalAddrOfPeer { peer_id, .. } => {
                self.known.insert(peer_id);
            }
            _ => {}
        }
    }

    fn on_event(&mut self, event: FullEvent) {
        match event {
            FullEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.known.insert(peer_id);
                self.identified.insert(peer_id);
                let kad = &mut self.swarm.behaviour_mut().kad;
                if info.protocols.contains(&DHT) {
                    info.listen_addrs.into_iter().for_each(|address| {
                        kad.add_address(&peer_id, address);
                    });
                    if std::mem::take(&mut self.joining) {
                        let _ = kad.bootstrap();
                    }
                }
            }
            FullEvent::Kad(event) => self.on_kad(event),
            FullEvent::Gossipsub(gossipsub::Event::Message { message, .. }) => {
                if let Ok(sent_ns) = message.data[..8].try_into().map(u64::from_be_bytes) {
                    let age = clocks::shared_ns().saturating_sub(sent_ns);
                    self.in_loop.push(Duration::from_nanos(age));
                    let _ = self.to_reader.send(sent_ns);
                }
            }
            _ => {}
        }
    }

    fn on_kad(&mut self, event: kad::Event) {
        match event {
            kad::Event::RoutingUpdated { peer, .. }
            | kad::Event::UnroutablePeer { peer }
            | kad::Event::RoutablePeer { peer, .. }
            | kad::Event::PendingRoutablePeer { peer, .. } => {
                self.known.insert(peer);
            }
            kad::Event::OutboundQueryProgressed {
                id,
                result: QueryResult::GetClosestPeers(result),
                step,
                ..
            } if step.last => {
                let peers = match result {
                    Ok(found) => found.peers,
                    Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
                };
                self.known.extend(peers.iter().map(|info| info.peer_id));
                let located = peers.into_iter().filter(|info| !info.addrs.is_empty());
                self.closest.push((id, located.map(|info| info.peer_id).collect()));
            }
            _ => {}
        }
    }

    async fn command(&mut self, command: &Value) -> Result<Value> {
        match line::text(command, "cmd")? {
            "connect" => self.connect(line::text(command, "addr")?.parse()?).await,
            "await-peers" => self.await_peers(command).await,
            "find" => self.find(command).await,
            "state" => Ok(json!({ "connections": self.connections })),
            "subscribe" => {
                let topic = IdentTopic::new(line::text(command, "topic")?);
                Ok(json!({ "new": self.swarm.behaviour_mut().gossipsub.subscribe(&topic)? }))
            }
            "tell" => self.tell(command).await,
            "in-loop" => Ok(std::mem::take(&mut self.in_loop).summary()),
            other => Err(format!("unknown command {other}").into()),
        }
    }

    async fn connect(&mut self, address: Multiaddr) -> Result<Value> {
        let peer = address.iter().last();
        let Some(libp2p::multiaddr::Protocol::P2p(peer)) = peer else {
            return Err(format!("{address} names no peer").into());
        };
        self.swarm.dial(address)?;
        let identified = async {
            while !self.identified.contains(&peer) {
                self.turn().await;
            }
        };
        tokio::time::timeout(PATIENCE, identified).await?;
        Ok(json!({}))
    }

    /// Waits until `n` peers are known.
    async fn await_peers(&mut self, command: &Value) -> Result<Value> {
        let wanted = line::number(command, "n")? as usize;
        let limit = Duration::from_millis(line::number(command, "ms")?);
        let knowing = async {
            while self.known.len() < wanted {
                self.turn().await;
            }
        };
        let _ = tokio::time::timeout(limit, knowing).await;
        Ok(json!({ "known": self.known.len(), "at_ns": clocks::shared_ns() }))
    }

    /// Looks for peers, one after the other, each to the end of its query.
    async fn find(&mut self, command: &Value) -> Result<Value> {
        let (mut samples, mut found) = (Samples::default(), 0);
        for peer in line::texts(command, "peers") {
            let peer: PeerId = peer.parse()?;
            let started = Instant::now();
            let query = self.swarm.behaviour_mut().kad.get_closest_peers(peer);
            let peers = loop {
                if let Some(at) = self.closest.iter().position(|(id, _)| *id == query) {
                    break self.closest.swap_remove(at).1;
                }
                self.turn().await;
            };
            samples.push(started.elapsed());
            found += u64::from(peers.contains(&peer));
        }
        self.closest.clear();
        let mut summary = samples.summary();
        summary["all_us"] = json!(samples.all_us());
        summary["found"] = json!(found);
        summary["connected"] = json!(self.swarm.connected_peers().count());
        Ok(summary)
    }

    /// Sends messages that carry the time at which they were sent.
    async fn tell(&mut self, command: &Value) -> Result<Value> {
        let topic = IdentTopic::new(line::text(command, "topic")?).hash();
        let pause = Duration::from_micros(line::number(command, "pause_us")?);
        let mut sent = 0;
        let begun = Instant::now();
        while sent < line::number(command, "n")? {
            let mut message = clocks::shared_ns().to_be_bytes().to_vec();
            message.resize(64, 0);
            let gossipsub = &mut self.swarm.behaviour_mut().gossipsub;
            match gossipsub.publish(topic.clone(), message) {
                Ok(_) => sent += 1,
                Err(PublishError::NoPeersSubscribedToTopic) if begun.elapsed() < PATIENCE => {}
                Err(error) => return Err(error.into()),
            }
            let until = tokio::time::Instant::now() + pause;
            while tokio::time::timeout_at(until, self.turn()).await.is_ok() {}
        }
        Ok(json!({}))
    }
}
