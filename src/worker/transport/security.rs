//! Noise and TLS as one upgrade of a TCP connection, which notes in the dial's progress (`progress`)
//! when the handshake is done.

use std::future::Future;
use std::io;

use futures::future::{BoxFuture, Either, FutureExt, TryFutureExt};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::{noise, tls};

use super::progress::reached;
use crate::PeerId;
use crate::model::DialStage;

/// Noise and TLS as one upgrade, TLS preferred as in rust-libp2p's own builder. It notes when the
/// handshake is done and the multiplexer's turn has come.
#[derive(Clone)]
pub(crate) struct Security {
    pub(crate) tls: tls::Config,
    pub(crate) noise: noise::Config,
}

/// The name of one of the two protocols, as it is negotiated.
#[derive(Clone)]
pub(crate) enum SecurityName {
    Tls(&'static str),
    Noise(&'static str),
}

impl AsRef<str> for SecurityName {
    fn as_ref(&self) -> &str {
        match self {
            SecurityName::Tls(name) | SecurityName::Noise(name) => name,
        }
    }
}

impl UpgradeInfo for Security {
    type Info = SecurityName;
    type InfoIter = std::vec::IntoIter<SecurityName>;

    fn protocol_info(&self) -> Self::InfoIter {
        let tls = self.tls.protocol_info().map(SecurityName::Tls);
        let noise = self.noise.protocol_info().map(SecurityName::Noise);
        tls.chain(noise).collect::<Vec<_>>().into_iter()
    }
}

type Secured<S> = (PeerId, Either<tls::TlsStream<S>, noise::Output<S>>);

impl<S> OutboundConnectionUpgrade<S> for Security
where
    S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Secured<S>, io::Error>>;

    fn upgrade_outbound(self, socket: S, name: SecurityName) -> Self::Future {
        match name {
            SecurityName::Tls(name) => {
                secured(self.tls.upgrade_outbound(socket, name), Either::Left)
            }
            SecurityName::Noise(name) => {
                secured(self.noise.upgrade_outbound(socket, name), Either::Right)
            }
        }
    }
}

impl<S> InboundConnectionUpgrade<S> for Security
where
    S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Secured<S>, io::Error>>;

    fn upgrade_inbound(self, socket: S, name: SecurityName) -> Self::Future {
        match name {
            SecurityName::Tls(name) => {
                secured(self.tls.upgrade_inbound(socket, name), Either::Left)
            }
            SecurityName::Noise(name) => {
                secured(self.noise.upgrade_inbound(socket, name), Either::Right)
            }
        }
    }
}

/// Runs a handshake; when it has succeeded the dial is at the multiplexer.
fn secured<A, B, E>(
    handshake: impl Future<Output = Result<(PeerId, A), E>> + Send + 'static,
    wrap: fn(A) -> B,
) -> BoxFuture<'static, Result<(PeerId, B), io::Error>>
where
    A: 'static,
    B: 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    handshake
        .map_ok(move |(peer, stream)| {
            reached(DialStage::Muxer);
            (peer, wrap(stream))
        })
        .map_err(io::Error::other)
        .boxed()
}
