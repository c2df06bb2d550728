//! A connection whose frames of yamux are written by the hand: rust-libp2p's handshakes, and below its
//! multiplexer what an attacker likes.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::{Ready, ready};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite};
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, Version};
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, Transport, noise};

use super::dial::Source;
use super::wire::OPTS;
use crate::Result;

const YAMUX: &str = "/yamux/1.0.0";

/// Connects, and returns the two halves of what frames are read from and written to.
pub async fn connect(
    source: Ipv4Addr,
    target: &Multiaddr,
    key: &Keypair,
) -> Result<(impl AsyncRead + Unpin + Send, impl AsyncWrite + Unpin + Send)> {
    let mut transport = Source(source)
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key)?)
        .multiplex(Agree);
    let (_, Bare(socket)) = transport.dial(target.clone(), OPTS)?.await?;
    Ok(socket.split())
}

/// An upgrade that agrees on yamux, and does nothing more.
#[derive(Debug, Clone)]
struct Agree;

impl UpgradeInfo for Agree {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once(YAMUX)
    }
}

impl<C> InboundConnectionUpgrade<C> for Agree {
    type Output = Bare<C>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Bare<C>, Infallible>>;

    fn upgrade_inbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Bare(socket)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Agree {
    type Output = Bare<C>;
    type Error = Infallible;
    type Future = Ready<std::result::Result<Bare<C>, Infallible>>;

    fn upgrade_outbound(self, socket: C, _: &'static str) -> Self::Future {
        ready(Ok(Bare(socket)))
    }
}

/// A connection that passes for a multiplexer, for rust-libp2p to hand it out; it is never polled.
struct Bare<C>(C);

impl<C: AsyncRead + AsyncWrite> StreamMuxer for Bare<C> {
    type Substream = C;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<C>> {
        Poll::Pending
    }

    fn poll_outbound(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<C>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Poll::Pending
    }
}
