//! The promise that remotes can't make metrics grow.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::Keypair;

use super::*;
use crate::Multiaddr;

/// Lists the series: names with their labels.
fn series(recorder: &Recorder) -> Vec<String> {
    let mut text = String::new();
    recorder.encode(&mut text).unwrap();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

/// Records the events of a remote that says of itself and of us what it likes.
fn met(recorder: &Recorder, n: usize) {
    let peer = Keypair::generate_ed25519().public();
    // A stack of protocols that is longer with each remote.
    let odd: Multiaddr = format!("/ip4/192.0.2.1/tcp/1{}", "/ws".repeat(n)).parse().unwrap();
    let endpoint = ConnectedPoint::Dialer {
        address: format!("/ip4/192.0.2.1/tcp/{}", n + 1).parse().unwrap(),
        role_override: Endpoint::Dialer,
        port_use: PortUse::Reuse,
    };
    let info = identify::Info {
        protocol_version: format!("odd/{n}"),
        agent_version: format!("agent {n}"),
        listen_addrs: vec![odd.clone()],
        protocols: vec![libp2p::StreamProtocol::try_from_owned(format!("/odd/{n}")).unwrap()],
        observed_addr: odd.clone(),
        signed_peer_record: None,
        public_key: peer.clone(),
    };
    let (peer_id, connection_id) = (peer.to_peer_id(), ConnectionId::new_unchecked(n));
    let identified = identify::Event::Received { connection_id, peer_id, info };
    for event in [
        SwarmEvent::ConnectionEstablished {
            peer_id,
            connection_id,
            endpoint: endpoint.clone(),
            num_established: std::num::NonZeroU32::MIN,
            concurrent_dial_errors: None,
            established_in: std::time::Duration::from_millis(5),
        },
        SwarmEvent::NewExternalAddrCandidate { address: odd.clone() },
        SwarmEvent::ExternalAddrConfirmed { address: odd.clone() },
        SwarmEvent::ExternalAddrExpired { address: odd },
        SwarmEvent::ConnectionClosed {
            peer_id,
            connection_id,
            endpoint,
            num_established: 0,
            cause: None,
        },
    ] {
        recorder.record_swarm::<()>(&event);
    }
    recorder.record_identify(&identified);
}

#[test]
fn nothing_a_remote_says_becomes_a_label() {
    let recorder = Recorder::default();
    met(&recorder, 0);
    let after_one = series(&recorder);
    (1..100).for_each(|n| met(&recorder, n));
    assert_eq!(series(&recorder), after_one);
    assert_eq!(recorder.identify.received.get(), 100);
}
