//! The transport stack: TCP with Noise or TLS and yamux, QUIC, DNS before both; with a private
//! network's key in front of TCP's handshakes where one is configured.

use std::sync::Arc;
use std::time::Duration;

use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::dummy::DummyTransport;
use libp2p::core::transport::{Boxed, OptionalTransport, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::pnet::{PnetConfig, PreSharedKey};
use libp2p::{dns, noise, quic, tcp, tls, yamux};

use super::counted::{Counted, Traffic};
use super::security::Security;
use super::terms::DialTerms;
use super::wrappers::{Attempted, Reach};
use crate::PeerId;
use crate::config::{MAX_TIMEOUT, Settings};
use crate::error::{Error, ErrorKind, Result};

/// Time without a packet after which QUIC closes a connection; well inside the 60 s within which dead
/// peers are noticed.
const QUIC_IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Builds the stack. Dials go under the `terms` that stand when they start.
pub(crate) fn build(
    keypair: &Keypair,
    settings: &Settings,
    terms: DialTerms,
    traffic: Arc<Traffic>,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let local_only = settings.local_only();
    let psk = settings.swarm_key.as_ref().map(|key| PreSharedKey::new(key.bytes()));

    let security = Security {
        tls: tls::Config::new(keypair).map_err(unusable_key)?,
        noise: noise::Config::new(keypair).map_err(unusable_key)?,
    };
    let tcp = Reach::tcp(tcp::tokio::Transport::new(tcp::Config::default()), local_only)
        .and_then(move |socket, _| async move {
            match psk {
                Some(key) => PnetConfig::new(key).handshake(socket).await.map(Either::Left),
                None => Ok(Either::Right(socket)),
            }
        })
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex(yamux::Config::default())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));

    // QUIC has no pre-shared key, so a private network has no QUIC.
    let quic = match psk {
        Some(_) => OptionalTransport::none(),
        None => OptionalTransport::some(
            Reach::quic(quic::tokio::Transport::new(quic_config(keypair)), local_only)
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))),
        ),
    };

    let either = quic.or_transport(tcp).map(|connection, _| connection.into_inner());
    let named = with_dns(either)?;
    let counted = named.map(move |(peer, muxer), _| {
        (peer, StreamMuxerBox::new(Counted::new(muxer, traffic.clone())))
    });
    Ok(Attempted::new(counted, terms).boxed())
}

fn quic_config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.max_idle_timeout = QUIC_IDLE_TIMEOUT.as_millis() as u32;
    // A dial ends at its own deadline, an inbound handshake by `Attempted`'s timeout.
    config.handshake_timeout = MAX_TIMEOUT;
    config
}

/// Wraps a transport in DNS by the system's name servers. A machine that has none configured can still
/// run a node; only its DNS addresses fail.
fn with_dns<T>(inner: T) -> Result<dns::tokio::Transport<T>> {
    let configured = dns::tokio::Transport::system(DummyTransport::<()>::new()).is_ok();
    if configured {
        return dns::tokio::Transport::system(inner)
            .map_err(|error| Error::new(ErrorKind::Unsupported, format!("no resolver: {error}")));
    }
    let (config, options) = (dns::ResolverConfig::default(), dns::ResolverOpts::default());
    Ok(dns::tokio::Transport::custom(inner, config, options))
}

fn unusable_key(error: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Identity,
        format!("the private key can't be used for the handshakes: {error}"),
    )
}
