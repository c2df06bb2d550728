//! A connection of rust-libp2p without a swarm: streams are opened by the hand, and the protocols on them
//! written out, so that an attacker isn't held up by what its own library does.

use std::future::poll_fn;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Poll;

use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, Transport, noise, yamux};
use tokio::sync::{mpsc, oneshot};

use super::dial::Source;
use crate::Result;

const MULTISTREAM: &str = "/multistream/1.0.0";
const IDENTIFY: &str = "/ipfs/id/1.0.0";
/// More than any reply of the attacked's takes.
const MAX_MESSAGE: usize = 1 << 20;

pub const OPTS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

/// A connection whose remote takes it for an ordinary peer: it is told who this is when it asks.
#[derive(Clone)]
pub struct Wire {
    wanted: mpsc::Sender<oneshot::Sender<SubstreamBox>>,
}

impl Wire {
    pub async fn connect(source: Ipv4Addr, target: &Multiaddr, key: &Keypair) -> Result<Wire> {
        let mut transport = Source(source)
            .upgrade(Version::V1Lazy)
            .authenticate(noise::Config::new(key)?)
            .multiplex(yamux::Config::default())
            .boxed();
        let (_, muxer) = transport.dial(target.clone(), OPTS)?.await?;
        let (wanted, asked) = mpsc::channel(1);
        tokio::spawn(drive(muxer, identity(key).into(), asked));
        Ok(Wire { wanted })
    }

    /// Opens a stream and says which protocol it is for; the remote's consent is read by the caller.
    pub async fn open(&self, protocol: &str) -> Result<SubstreamBox> {
        let (wanted, stream) = oneshot::channel();
        self.wanted.send(wanted).await?;
        let mut stream = stream.await?;
        stream.write_all(&[word(MULTISTREAM), word(protocol)].concat()).await?;
        Ok(stream)
    }
}

/// Lets a connection go on until its end: opens what is wanted, answers what the remote opens.
async fn drive(
    mut muxer: StreamMuxerBox,
    identity: Arc<[u8]>,
    mut asked: mpsc::Receiver<oneshot::Sender<SubstreamBox>>,
) {
    let mut wanted: Option<oneshot::Sender<SubstreamBox>> = None;
    poll_fn(|context| {
        loop {
            match muxer.poll_inbound_unpin(context) {
                Poll::Ready(Ok(stream)) => {
                    let identity = Arc::clone(&identity);
                    tokio::spawn(async move { drop(answer(stream, &identity).await) });
                    continue;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            if let Poll::Ready(Err(_)) = muxer.poll_unpin(context) {
                return Poll::Ready(());
            }
            if wanted.is_none() {
                match asked.poll_recv(context) {
                    Poll::Ready(Some(next)) => wanted = Some(next),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
            match muxer.poll_outbound_unpin(context) {
                Poll::Ready(Ok(stream)) => {
                    if let Some(wanted) = wanted.take() {
                        drop(wanted.send(stream));
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Answers identify, and declines whatever else is proposed.
async fn answer(mut stream: SubstreamBox, identity: &[u8]) -> Result<()> {
    read_word(&mut stream).await?;
    stream.write_all(&word(MULTISTREAM)).await?;
    loop {
        stream.flush().await?;
        let proposed = read_word(&mut stream).await?;
        if proposed == format!("{IDENTIFY}\n").into_bytes() {
            stream.write_all(&[word(IDENTIFY), framed(identity)].concat()).await?;
            return Ok(stream.close().await?);
        }
        stream.write_all(&word("na")).await?;
    }
}

/// Returns the identify message of an attacker, as protobuf.
fn identity(key: &Keypair) -> Vec<u8> {
    [
        field(1, &key.public().encode_protobuf()),
        field(3, IDENTIFY.as_bytes()),
        field(3, b"/ipfs/id/push/1.0.0"),
        field(5, b"ipfs/0.1.0"),
        field(6, b"attacker"),
    ]
    .concat()
}

/// Writes a field of protobuf that holds bytes.
pub fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &framed(bytes)[..]].concat()
}

/// Writes bytes with their length before them.
pub fn framed(bytes: &[u8]) -> Vec<u8> {
    let (mut length, mut framed) = (bytes.len(), Vec::new());
    while length >= 0x80 {
        framed.push(length as u8 | 0x80);
        length >>= 7;
    }
    framed.push(length as u8);
    framed.extend(bytes);
    framed
}

fn word(text: &str) -> Vec<u8> {
    framed(format!("{text}\n").as_bytes())
}

/// Reads bytes that have their length before them.
pub async fn read_framed(stream: &mut SubstreamBox) -> Result<Vec<u8>> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        length |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] < 0x80 {
            break;
        }
        if shift > 28 {
            return Err("a length that never ends".into());
        }
    }
    if length > MAX_MESSAGE {
        return Err("too long a message".into());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

async fn read_word(stream: &mut SubstreamBox) -> Result<Vec<u8>> {
    read_framed(stream).await
}

/// Reads the remote's consent to a protocol.
pub async fn read_consent(stream: &mut SubstreamBox, protocol: &str) -> Result<()> {
    read_word(stream).await?;
    match read_word(stream).await? == format!("{protocol}\n").into_bytes() {
        true => Ok(()),
        false => Err(format!("the remote doesn't speak {protocol}").into()),
    }
}
