//! Multicast DNS tested by promise: what is read and written (`packets`), how often (`pacing`), which
//! addresses belong to an interface (`links`), and real sockets in a network of their own (`network`).

mod links;
mod network;
mod pacing;
mod packets;

use std::net::IpAddr;

use super::socket::{Interface, Subnet};
use crate::{Multiaddr, PeerId};

fn peer(n: u8) -> PeerId {
    libp2p::identity::Keypair::ed25519_from_bytes([n; 32]).unwrap().public().to_peer_id()
}

fn addr(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

/// Makes an interface of these addresses, as `10.77.0.1/24`.
fn interface(subnets: &[&str]) -> Option<Interface> {
    let subnets = subnets.iter().map(|subnet| {
        let (ip, prefix) = subnet.split_once('/').unwrap();
        Subnet { ip: ip.parse::<IpAddr>().unwrap(), prefix: prefix.parse().unwrap() }
    });
    Interface::new("pk0", Some(7), subnets.collect())
}
