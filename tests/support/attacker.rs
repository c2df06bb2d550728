//! Plays peers that have a node work: in this process, over yamux frames made by hand behind a real handshake of
//! Noise, over QUIC's streams, and by identify pushes.

use std::cell::Cell;
use std::future::{Future, Ready, poll_fn, ready};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, select};
use futures::io::Cursor;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::transport::{DialOpts, PortUse, Transport};
use libp2p::core::upgrade::{
    InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version,
};
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, SwarmBuilder, identify, noise, quic, tcp, yamux};

use super::Peer;

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const SYN: u16 = 1;
const RST: u16 = 8;

/// Where an attacker's frames come from, and how fast.
#[derive(Clone, Copy)]
pub struct Pace {
    /// Rounds sent at once, each of some frames.
    pub at_once: u32,
    /// The time between.
    pub pause: Duration,
    /// Rounds after which it is over.
    pub most: u32,
}

/// The time in which a node that has been sent too much closes the connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// As fast as it goes.
pub const FAST: Pace = Pace { at_once: 500, pause: Duration::ZERO, most: 2_000_000 };

/// The outcome of an attack.
#[derive(Debug)]
pub struct Outcome {
    /// Rounds sent.
    pub sent: u32,
    /// True where the node closed the connection.
    pub closed: bool,
}

/// A peer with an identity of its own, which it keeps from attack to attack.
pub struct Attacker {
    keypair: Keypair,
}

/// Makes the frames of one round; each round has a number.
pub type Round = fn(u32) -> Vec<u8>;

/// Opens a stream and resets it.
pub fn open_and_reset(round: u32) -> Vec<u8> {
    let id = stream(round);
    [frame(WINDOW_UPDATE, SYN, id, 0), frame(WINDOW_UPDATE, RST, id, 0)].concat()
}

/// Opens a stream and says nothing on it.
pub fn open(round: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, SYN, stream(round), 0)
}

/// Sends a ping of yamux's, which is to be answered.
pub fn ping(round: u32) -> Vec<u8> {
    frame(PING, SYN, 0, round)
}

/// Tells of no more room on a stream that isn't there.
pub fn window_update(_: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, 77_777, 0)
}

/// Asks on one stream for the list of protocols, again and again.
pub fn negotiate(round: u32) -> Vec<u8> {
    const HEADER: &[u8] = b"\x13/multistream/1.0.0\n";
    if round == 0 {
        return [frame(DATA, SYN, 1, HEADER.len() as u32), HEADER.to_vec()].concat();
    }
    // Room for the answers, which a remote that reads would make.
    let room = frame(WINDOW_UPDATE, 0, 1, 1 << 20);
    [room, data(1, &b"\x03ls\n".repeat(1000))].concat()
}

/// Opens a stream for pings, and then sends 32 bytes after 32.
pub fn ping_protocol(round: u32) -> Vec<u8> {
    const NAMES: &[u8] = b"\x13/multistream/1.0.0\n\x11/ipfs/ping/1.0.0\n";
    if round == 0 {
        return [frame(DATA, SYN, 1, NAMES.len() as u32), NAMES.to_vec()].concat();
    }
    [frame(WINDOW_UPDATE, 0, 1, 1 << 15), data(1, &[7; 32 * 500])].concat()
}

fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    [frame(DATA, 0, stream, bytes.len() as u32), bytes.to_vec()].concat()
}

/// Returns the number of a stream that the side which dialled opens.
fn stream(round: u32) -> u32 {
    2 * round + 1
}

fn frame(kind: u8, flags: u16, stream: u32, length: u32) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(flags.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame
}

impl Attacker {
    pub fn new() -> Attacker {
        Attacker { keypair: Keypair::generate_ed25519() }
    }

    pub fn id(&self) -> String {
        self.keypair.public().to_peer_id().to_string()
    }

    /// Sends frames over one connection, until the node closes it or all were sent.
    pub fn frames(&self, node: &Peer, round: Round, pace: Pace) -> Outcome {
        let address: Multiaddr = node.bare("tcp").parse().unwrap();
        run(async {
            let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
                .upgrade(Version::V1)
                .authenticate(noise::Config::new(&self.keypair).unwrap())
                .multiplex(ByHand)
                // Boxed as it is, not as a muxer.
                .map(|wire, _| wire)
                .boxed();
            let Ok((_, Wire(socket))) = transport.dial(address, NEW).unwrap().await else {
                return Outcome { sent: 0, closed: true };
            };
            let (reader, mut writer) = socket.split();
            let sent = Cell::new(0);
            let sending = pin!(send_rounds(&mut writer, round, pace, &sent));
            let closed = match select(sending, pin!(read_all(reader))).await {
                Either::Left((Err(_), _)) | Either::Right(_) => true,
                Either::Left((Ok(()), closed)) => {
                    tokio::time::timeout(PATIENCE, closed).await.is_ok()
                }
            };
            Outcome { sent: sent.get(), closed }
        })
    }

    /// Opens streams over QUIC and drops them at once.
    pub fn quic_streams(&self, node: &Peer, most: u32) -> Outcome {
        let address: Multiaddr = node.bare("quic-v1").parse().unwrap();
        run(async {
            let mut transport =
                quic::tokio::Transport::new(quic::Config::new(&self.keypair)).boxed();
            let Ok((_, mut muxer)) = transport.dial(address, NEW).unwrap().await else {
                return Outcome { sent: 0, closed: true };
            };
            for sent in 0..most {
                let opened = poll_fn(|cx| {
                    let _ = Pin::new(&mut muxer).poll(cx)?;
                    Pin::new(&mut muxer).poll_outbound(cx)
                });
                let Ok(mut stream) = opened.await else { return Outcome { sent, closed: true } };
                if stream.write_all(b"x").await.is_err() {
                    return Outcome { sent, closed: true };
                }
            }
            Outcome { sent: most, closed: false }
        })
    }

    /// Pushes its identify, until the node closes the connection or this many were sent.
    pub fn identify_pushes(&self, node: &Peer, most: u32) -> Outcome {
        let (id, address) = (node.id().parse().unwrap(), node.at("tcp").parse::<Multiaddr>());
        run(async {
            let mut swarm = SwarmBuilder::with_existing_identity(self.keypair.clone())
                .with_tokio()
                .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
                .unwrap()
                .with_behaviour(|key| {
                    identify::Behaviour::new(identify::Config::new("a/1".to_owned(), key.public()))
                })
                .unwrap()
                .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::MAX / 4))
                .build();
            swarm.dial(address.unwrap()).unwrap();
            let mut sent = 0;
            while sent < most {
                match swarm.select_next_some().await {
                    // Each push is begun when the one before has gone out.
                    SwarmEvent::Behaviour(identify::Event::Received { .. }) => {
                        swarm.behaviour_mut().push([id]);
                    }
                    SwarmEvent::Behaviour(identify::Event::Pushed { .. }) => {
                        sent += 1;
                        swarm.behaviour_mut().push([id]);
                    }
                    SwarmEvent::ConnectionClosed { .. } => return Outcome { sent, closed: true },
                    SwarmEvent::OutgoingConnectionError { .. } => {
                        return Outcome { sent, closed: true };
                    }
                    _ => {}
                }
            }
            Outcome { sent, closed: false }
        })
    }
}

const NEW: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

async fn send_rounds(
    writer: &mut (impl AsyncWrite + Unpin),
    round: Round,
    pace: Pace,
    sent: &Cell<u32>,
) -> io::Result<()> {
    while sent.get() < pace.most {
        let next = sent.get()..pace.most.min(sent.get() + pace.at_once);
        let frames: Vec<u8> = next.clone().flat_map(round).collect();
        writer.write_all(&frames).await?;
        writer.flush().await?;
        sent.set(next.end);
        tokio::time::sleep(pace.pause).await;
    }
    Ok(())
}

/// Reads until the connection ends.
async fn read_all(mut reader: impl AsyncRead + Unpin) {
    let mut buffer = vec![0; 1 << 16];
    while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
}

/// A secured connection with the name of yamux negotiated, and nothing that speaks it.
struct Wire(Box<dyn Socket>);

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl StreamMuxer for Wire {
    type Substream = Cursor<Vec<u8>>;
    type Error = io::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Poll::Pending
    }
}

#[derive(Clone)]
struct ByHand;

impl UpgradeInfo for ByHand {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> InboundConnectionUpgrade<S> for ByHand {
    type Output = Wire;
    type Error = io::Error;
    type Future = Ready<io::Result<Wire>>;

    fn upgrade_inbound(self, socket: S, _: &'static str) -> Self::Future {
        ready(Ok(Wire(Box::new(socket))))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> OutboundConnectionUpgrade<S> for ByHand {
    type Output = Wire;
    type Error = io::Error;
    type Future = Ready<io::Result<Wire>>;

    fn upgrade_outbound(self, socket: S, _: &'static str) -> Self::Future {
        ready(Ok(Wire(Box::new(socket))))
    }
}

fn run<T>(attack: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(attack)
}
