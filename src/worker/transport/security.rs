//! Noise and TLS as one upgrade of a TCP connection, which notes in the dial's progress (`progress`)
//! when the handshake is done. While something stands against this machine's clock (`evidence`), Noise comes first,
//! and whoever dials us is offered nothing else.

use std::future::Future;
use std::io;
use std::sync::Arc;

use futures::future::{BoxFuture, Either, FutureExt, TryFutureExt};
use futures_rustls::TlsStream;
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use libp2p::noise;

use super::evidence::ClockEvidence;
use super::progress::{is_inbound, is_tls_left_out, reached};
use super::tls::{self, Tls};
use crate::PeerId;
use crate::model::DialStage;
use crate::worker::util::clock::Clock;

/// Noise and TLS as one upgrade, TLS preferred as in rust-libp2p's own builder. It notes when the
/// handshake is done and the multiplexer's turn has come.
#[derive(Clone)]
pub(super) struct Security {
    pub tls: Tls,
    pub noise: noise::Config,
    pub evidence: Arc<ClockEvidence>,
    pub clock: Clock,
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
        let tls = SecurityName::Tls(tls::NAME);
        let noise = self.noise.protocol_info().map(SecurityName::Noise);
        let doubtful = self.evidence.stands(|| (self.clock.now(), self.clock.time()));
        let mut names: Vec<_> = noise.collect();
        // A remote that dials and prefers TLS comes to Noise only where it isn't offered TLS.
        let noise_alone = is_tls_left_out() || doubtful && is_inbound();
        if !noise_alone {
            let first = if doubtful { names.len() } else { 0 };
            names.insert(first, tls);
        }
        names.into_iter()
    }
}

type Secured<S> = (PeerId, Either<TlsStream<S>, noise::Output<S>>);

impl<S> OutboundConnectionUpgrade<S> for Security
where
    S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
{
    type Output = Secured<S>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Secured<S>, io::Error>>;

    fn upgrade_outbound(self, socket: S, name: SecurityName) -> Self::Future {
        match name {
            SecurityName::Tls(_) => secured(self.tls.dial(socket), Either::Left),
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
            SecurityName::Tls(_) => secured(self.tls.accept(socket), Either::Left),
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
