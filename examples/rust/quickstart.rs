//! Start a peer, connect to another one, list who we know, disconnect, stop.
//!
//!     cargo run --example quickstart -- ADDRESS/p2p/ID
//!
//! Every call blocks until it has an answer or its deadline passes; there is no async in sight.

use std::time::Duration;

use peerkit::params::{ConnectPeer, DisconnectPeer, ListPeers};
use peerkit::{Config, PeerManager, Profile};

const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> peerkit::Result<()> {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: quickstart ADDRESS/p2p/ID");
        std::process::exit(2);
    };

    // "offline" listens on loopback only, and sends nothing that wasn't asked for.
    let manager = PeerManager::start(&Config::new().profile(Profile::Offline), TIMEOUT)?;
    println!("we are {}", manager.peer_id());

    let peer = manager.connect_peer(ConnectPeer::at(address), TIMEOUT)?;
    println!(
        "connected to {} over {:?} after {:.1} ms",
        peer.peer_id, peer.transport, peer.duration_ms
    );

    for row in manager.list_peers(ListPeers::new().filter_connected(true))?.peers {
        println!(
            "  {} {}",
            row.peer_id,
            row.agent_version.as_deref().unwrap_or("(tells no agent)")
        );
    }

    let gone = manager.disconnect_peer(DisconnectPeer::new(peer.peer_id), TIMEOUT)?;
    println!("{}", gone.message);

    manager.stop(TIMEOUT)?;
    println!("stopped");
    Ok(())
}
