//! Dials over TCP from a source address of one's choice, which rust-libp2p's own transport doesn't: a
//! machine of the bench plays many.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::{BoxFuture, Pending};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::tcp::tokio::TcpStream;
use libp2p::{Multiaddr, Swarm, Transport, noise, swarm, yamux};
use tokio::net::TcpSocket;

use crate::Result;
use crate::raw::{NEVER, Protocols};

/// A transport that only dials, from this address.
#[derive(Debug, Clone, Copy)]
pub struct Source(pub Ipv4Addr);

impl Transport for Source {
    type Output = TcpStream;
    type Error = io::Error;
    type ListenerUpgrade = Pending<io::Result<TcpStream>>;
    type Dial = BoxFuture<'static, io::Result<TcpStream>>;

    fn listen_on(
        &mut self,
        _: ListenerId,
        address: Multiaddr,
    ) -> std::result::Result<(), TransportError<io::Error>> {
        Err(TransportError::MultiaddrNotSupported(address))
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        _: DialOpts,
    ) -> std::result::Result<Self::Dial, TransportError<io::Error>> {
        let target = socket_address(&address).ok_or(TransportError::MultiaddrNotSupported(address));
        let (source, target) = (self.0, target?);
        Ok(async move { Ok(TcpStream(connect(source, target, None).await?)) }.boxed())
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Pending
    }
}

/// Connects from an address, with a receive buffer of so many bytes where a size is given.
pub async fn connect(
    source: Ipv4Addr,
    target: SocketAddr,
    receive_buffer: Option<u32>,
) -> io::Result<tokio::net::TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(bytes) = receive_buffer {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind((source, 0).into())?;
    let stream = socket.connect(target).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads the IP address and the TCP port of an address.
pub fn socket_address(address: &Multiaddr) -> Option<SocketAddr> {
    let mut parts = address.iter();
    match (parts.next(), parts.next()) {
        (Some(Protocol::Ip4(ip)), Some(Protocol::Tcp(port))) => Some((ip, port).into()),
        _ => None,
    }
}

/// Makes a swarm with a new identity that dials from an address: TCP, Noise and yamux.
pub fn swarm<B: Protocols>(source: Ipv4Addr) -> Result<Swarm<B>> {
    let key = Keypair::generate_ed25519();
    let transport = Source(source)
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key)?)
        .multiplex(yamux::Config::default());
    let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(NEVER);
    Ok(Swarm::new(transport.boxed(), B::new(&key)?, key.public().to_peer_id(), config))
}
