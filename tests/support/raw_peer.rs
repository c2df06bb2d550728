//! A plain rust-libp2p peer, as odd as its options say, all optional:
//!
//! - `listen`: a multiaddr (TCP on loopback);
//! - `blocks`: ids of peers whose connections it refuses once it knows their identity;
//! - `security`: "noise" or "tls" alone (Noise); false for one that nobody speaks;
//! - `muxer`: false for none that anybody speaks;
//! - `close_after_ms`: closes each connection this time after it was established;
//! - `calls`: an address that it dials, and again whenever that fails or has ended;
//! - `identify`: "real", "none", "silent" (takes the stream, says nothing), or an object for a
//!   message made by hand: `agent`, `agent_bytes` of that many letters, `protocols` in number;
//! - `pushes`: an object, for one that pushes its identify: `raw_push` has its options;
//! - `topics`: speaks gossipsub and subscribes to these; `raw_gossip` has its calls then.
//! - `seed`: the same number makes the same identity;
//! - `kad`: an object, for one of the DHT: `raw_kad` has its options;
//! - `perf`: an object, for one that speaks perf: `raw_perf` has its option and its call.
//!
//! It prints `{"peer_id": .., "listen_addrs": [..]}` and lives until its input ends.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::autonat;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox};
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::{
    DeniedUpgrade, InboundConnectionUpgrade, InboundUpgrade, OutboundConnectionUpgrade,
    UpgradeInfo, Version,
};
use libp2p::core::{ConnectedPoint, Transport as _};
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    Config, ConnectionHandler, ConnectionHandlerEvent, NetworkBehaviour, Stream, StreamProtocol,
    SubstreamProtocol, Swarm, SwarmEvent,
};
use libp2p::{Multiaddr, PeerId, gossipsub, identify, noise, quic, tcp, tls, yamux};
use serde_json::{Value, json};

use super::each_connection::EachConnection;
use super::raw_gossip::{self, Gossip};
use super::raw_kad::{self, RawKad};
use super::raw_perf::{self, RawPerf};
use super::raw_push::{self, RawPush};
use super::record::{field, varint};

#[derive(NetworkBehaviour)]
struct Behaviour {
    blocked: allow_block_list::Behaviour<BlockedPeers>,
    identify: Toggle<identify::Behaviour>,
    own_words: Toggle<EachConnection<Speaker>>,
    gossipsub: Toggle<gossipsub::Behaviour>,
    kad: Toggle<RawKad>,
    autonat: Toggle<autonat::v2::server::Behaviour>,
    perf: Toggle<RawPerf>,
    push: Toggle<RawPush>,
}

/// Runs until the input ends.
pub fn run(options: &str) {
    let options: Value = serde_json::from_str(options).expect("the options are JSON");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (asking, requests) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines() {
            let Ok(line) = line else { break };
            let request: Value = serde_json::from_str(&line).expect("a request is JSON");
            let _ = asking.send(request);
        }
    });
    runtime.block_on(async {
        let mut swarm = swarm(&options);
        let listen = options["listen"].as_str().unwrap_or("/ip4/127.0.0.1/tcp/0");
        swarm.listen_on(listen.parse().unwrap()).unwrap();
        serve(&mut swarm, &options, requests).await;
    });
}

async fn serve(
    swarm: &mut Swarm<Behaviour>,
    options: &Value,
    mut requests: tokio::sync::mpsc::UnboundedReceiver<Value>,
) {
    let (mut gossip, mut runs) = (Gossip::default(), raw_perf::Runs::default());
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let patience = options["close_after_ms"].as_u64().map(Duration::from_millis);
    let calls: Option<Multiaddr> =
        options["calls"].as_str().map(|address| address.parse().unwrap());
    let call = |swarm: &mut Swarm<Behaviour>| {
        calls.iter().for_each(|address| swarm.dial(address.clone()).unwrap());
    };
    call(swarm);
    let mut closing = futures::stream::FuturesUnordered::new();
    loop {
        tokio::select! {
            event = swarm.select_next_some() => match event {
                SwarmEvent::NewListenAddr { address, .. } => {
                    let address = format!("{address}/p2p/{}", swarm.local_peer_id());
                    let peer_id = swarm.local_peer_id().to_string();
                    println!("{}", json!({ "peer_id": peer_id, "listen_addrs": [address] }));
                }
                SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                    if let Some(patience) = patience {
                        closing.push(tokio::time::sleep(patience).map(move |()| connection_id));
                    }
                }
                SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
                    call(swarm);
                }
                SwarmEvent::Behaviour(BehaviourEvent::Gossipsub(event)) => gossip.on_event(event),
                SwarmEvent::Behaviour(BehaviourEvent::Perf(event)) => {
                    let perf = swarm.behaviour_mut().perf.as_mut().unwrap();
                    runs.on_event(perf, event).iter().for_each(|answer| println!("{answer}"));
                }
                _ => {}
            },
            request = requests.recv() => {
                let Some(request) = request else { return };
                if request["call"] == "perf" {
                    let perf = swarm.behaviour_mut().perf.as_mut().unwrap();
                    runs.on_request(perf, &request).iter().for_each(|answer| println!("{answer}"));
                } else if let Some(reply) = gossip.on_request(&request) {
                    println!("{}", json!({ "id": request["id"], "reply": reply }));
                }
            }
            _ = ticks.tick() => {
                if let Some(gossipsub) = swarm.behaviour_mut().gossipsub.as_mut() {
                    gossip.work(gossipsub).iter().for_each(|answer| println!("{answer}"));
                }
            }
            Some(connection) = closing.next() => { swarm.close_connection(connection); }
        }
    }
}

fn swarm(options: &Value) -> Swarm<Behaviour> {
    let keypair = match options["seed"].as_u64() {
        Some(seed) => Keypair::ed25519_from_bytes([seed as u8; 32]).unwrap(),
        None => Keypair::generate_ed25519(),
    };
    let local = keypair.public().to_peer_id();
    let identify = &options["identify"];
    let mut behaviour = Behaviour {
        blocked: allow_block_list::Behaviour::default(),
        identify: Toggle::from(matches!(identify.as_str(), Some("real")).then(|| {
            identify::Behaviour::new(identify::Config::new("raw/1".to_owned(), keypair.public()))
        })),
        own_words: Toggle::from(match identify {
            Value::Object(_) => Some(own_words(Some(message(&keypair, identify)))),
            Value::String(kind) if kind == "silent" => Some(own_words(None)),
            _ => None,
        }),
        gossipsub: raw_gossip::behaviour(&keypair, &options["topics"]).into(),
        kad: raw_kad::behaviour(&options["kad"], local).into(),
        autonat: Toggle::from(
            (options["autonat"] == true).then(autonat::v2::server::Behaviour::default),
        ),
        perf: raw_perf::behaviour(&options["perf"]).into(),
        push: raw_push::behaviour(&keypair, &options["pushes"]).into(),
    };
    for peer in options["blocks"].as_array().into_iter().flatten() {
        behaviour.blocked.block_peer(peer.as_str().unwrap().parse().unwrap());
    }
    let transport = transport(&keypair, options);
    let forever = Config::with_tokio_executor().with_idle_connection_timeout(Duration::MAX / 4);
    Swarm::new(transport, behaviour, keypair.public().to_peer_id(), forever)
}

fn transport(keypair: &Keypair, options: &Value) -> Boxed<(PeerId, StreamMuxerBox)> {
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let tcp = tcp::tokio::Transport::new(tcp::Config::default()).upgrade(Version::V1);
    let (noise, tls) = (noise::Config::new(keypair), tls::Config::new(keypair));
    let (noise, tls) = (noise.unwrap(), tls.unwrap());
    let yamux = yamux::Config::default();
    let tcp = match options["security"].as_str() {
        Some("tls") => tcp.authenticate(tls).multiplex(yamux).map(either_muxer).boxed(),
        _ if options["security"] == false => {
            tcp.authenticate(NoSecurity).multiplex(yamux).map(either_muxer).boxed()
        }
        _ if options["muxer"] == false => {
            tcp.authenticate(noise).multiplex(NoMuxer).map(either_muxer).boxed()
        }
        _ => tcp.authenticate(noise).multiplex(yamux).map(either_muxer).boxed(),
    };
    quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed()
}

fn either_muxer<M>((peer, muxer): (PeerId, M), _: ConnectedPoint) -> (PeerId, StreamMuxerBox)
where
    M: StreamMuxer + Send + 'static,
    M::Substream: Send + 'static,
    M::Error: Send + Sync,
{
    (peer, StreamMuxerBox::new(muxer))
}

/// Secures connections by a protocol that nobody else speaks, so none comes about.
#[derive(Clone)]
struct NoSecurity;

impl UpgradeInfo for NoSecurity {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/nobody-secures-by-this/1.0.0")
    }
}

impl<S: Send + 'static> InboundConnectionUpgrade<S> for NoSecurity {
    type Output = (PeerId, S);
    type Error = io::Error;
    type Future = futures::future::Ready<Result<Self::Output, io::Error>>;

    fn upgrade_inbound(self, _: S, _: Self::Info) -> Self::Future {
        futures::future::ready(Err(io::Error::other("no security")))
    }
}

impl<S: Send + 'static> OutboundConnectionUpgrade<S> for NoSecurity {
    type Output = (PeerId, S);
    type Error = io::Error;
    type Future = futures::future::Ready<Result<Self::Output, io::Error>>;

    fn upgrade_outbound(self, _: S, _: Self::Info) -> Self::Future {
        futures::future::ready(Err(io::Error::other("no security")))
    }
}

/// A multiplexer by a name that nobody else speaks.
#[derive(Clone)]
struct NoMuxer;

impl UpgradeInfo for NoMuxer {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/nobody-speaks-this/1.0.0")
    }
}

impl<S: Send + 'static> InboundConnectionUpgrade<S> for NoMuxer {
    type Output = yamux::Muxer<futures::io::Cursor<Vec<u8>>>;
    type Error = io::Error;
    type Future = futures::future::Ready<Result<Self::Output, io::Error>>;

    fn upgrade_inbound(self, _: S, _: Self::Info) -> Self::Future {
        futures::future::ready(Err(io::Error::other("no multiplexer")))
    }
}

impl<S: Send + 'static> OutboundConnectionUpgrade<S> for NoMuxer {
    type Output = yamux::Muxer<futures::io::Cursor<Vec<u8>>>;
    type Error = io::Error;
    type Future = futures::future::Ready<Result<Self::Output, io::Error>>;

    fn upgrade_outbound(self, _: S, _: Self::Info) -> Self::Future {
        futures::future::ready(Err(io::Error::other("no multiplexer")))
    }
}

/// Makes an identify message, length in front.
pub fn message(keypair: &Keypair, identify: &Value) -> Vec<u8> {
    const PUBLIC_KEY: u8 = 1;
    const PROTOCOL: u8 = 3;
    const AGENT: u8 = 6;
    let letters = "a".repeat(identify["agent_bytes"].as_u64().unwrap_or(0) as usize);
    let agent = identify["agent"].as_str().unwrap_or(&letters);
    let mut message = field(PUBLIC_KEY, &keypair.public().encode_protobuf());
    message.extend(field(AGENT, agent.as_bytes()));
    for number in 0..identify["protocols"].as_u64().unwrap_or(0) {
        message.extend(field(PROTOCOL, format!("/p/{number}").as_bytes()));
    }
    [varint(message.len() as u64), message].concat()
}

/// Answers identify with bytes made by hand; with none, never.
struct Speaker(Words);

fn own_words(words: Option<Vec<u8>>) -> EachConnection<Speaker> {
    EachConnection::new(move || Speaker(Words(words.clone())))
}

impl ConnectionHandler for Speaker {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Words;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Words> {
        // As long as a test may take, so that a silent one isn't ended by libp2p.
        SubstreamProtocol::new(self.0.clone(), ()).with_timeout(Duration::from_secs(600))
    }

    fn on_behaviour_event(&mut self, never: Infallible) {
        match never {}
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        Poll::Pending
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, Words, DeniedUpgrade>) {}
}

#[derive(Clone)]
struct Words(Option<Vec<u8>>);

impl UpgradeInfo for Words {
    type Info = StreamProtocol;
    type InfoIter = std::iter::Once<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(StreamProtocol::new("/ipfs/id/1.0.0"))
    }
}

impl InboundUpgrade<Stream> for Words {
    type Output = ();
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<()>>;

    fn upgrade_inbound(self, mut stream: Stream, _: StreamProtocol) -> Self::Future {
        async move {
            let Some(bytes) = self.0 else {
                return stream.read_exact(&mut [0]).await;
            };
            stream.write_all(&bytes).await?;
            stream.close().await
        }
        .boxed()
    }
}
