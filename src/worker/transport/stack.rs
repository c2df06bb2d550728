//! The transport stack: TCP with Noise or TLS and metered yamux, QUIC beside it; with a private network's key in
//! front of TCP's handshakes where one is configured.

use std::sync::Arc;

use futures::future::Either;
use libp2p::core::muxing::StreamMuxerBox;
#[cfg(feature = "quic")]
use libp2p::core::transport::OptionalTransport;
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::pnet::{PnetConfig, PreSharedKey};
#[cfg(feature = "quic")]
use libp2p::quic;
use libp2p::{noise, tcp};

#[cfg(feature = "quic")]
use super::counted::Counted;
use super::counted::Counters;
use super::evidence::ClockEvidence;
use super::fallback::NoiseInstead;
use super::listening::{Listening, Watch};
use super::metered::Metered;
use super::names::Names;
#[cfg(feature = "quic")]
use super::quic::config as quic_config;
use super::security::Security;
use super::terms::DialTerms;
use super::tls::Tls;
use super::wrappers::{Attempted, Reach};
use crate::PeerId;
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};

/// Builds the stack. Dials go under the `terms` that stand when they start.
pub(crate) fn build(
    keypair: &Keypair,
    settings: &Settings,
    terms: DialTerms,
    names: Arc<Names>,
    watch: &Arc<Watch>,
    evidence: Arc<ClockEvidence>,
    counters: &Counters,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let local_only = settings.local_only();
    let psk = settings.swarm_key.as_ref().map(|key| PreSharedKey::new(key.bytes()));

    let clock = terms.clock().clone();
    let security = Security {
        tls: Tls::new(keypair, Arc::clone(&evidence), clock.clone()).map_err(unusable_key)?,
        noise: noise::Config::new(keypair).map_err(unusable_key)?,
        evidence: Arc::clone(&evidence),
        clock,
    };
    let counting = counters.clone();
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    let tcp = Reach::tcp(Listening::new(tcp, Arc::clone(watch)), local_only)
        .and_then(move |socket, _| async move {
            match psk {
                Some(key) => PnetConfig::new(key).handshake(socket).await.map(Either::Left),
                None => Ok(Either::Right(socket)),
            }
        })
        .upgrade(Version::V1Lazy)
        .authenticate(security)
        .multiplex_ext(move |peer, _| Metered {
            meter: counting.budgets.connection(*peer),
            traffic: Arc::clone(&counting.traffic),
        })
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));

    let connected = NoiseInstead::new(tcp);
    #[cfg(feature = "quic")]
    let connected = {
        // QUIC has no pre-shared key, so a private network has no QUIC.
        let quic = match psk {
            Some(_) => OptionalTransport::none(),
            None => {
                let Counters { traffic, budgets } = counters.clone();
                let quic = quic::tokio::Transport::new(quic_config(keypair));
                OptionalTransport::some(
                    Reach::quic(Listening::new(quic, Arc::clone(watch)), local_only).map(
                        move |(peer, muxer), _| {
                            let meter = budgets.connection(peer);
                            let muxer = Counted::counting_streams(muxer, traffic.clone(), meter);
                            (peer, StreamMuxerBox::new(muxer))
                        },
                    ),
                )
            }
        };
        quic.or_transport(connected).map(|connection, _| connection.into_inner())
    };
    Ok(Attempted::new(connected, terms, names, evidence).boxed())
}

fn unusable_key(error: impl std::fmt::Display) -> Error {
    Error::new(
        ErrorKind::Identity,
        format!("the private key can't be used for the handshakes: {error}"),
    )
}
