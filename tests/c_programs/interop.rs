//! Peers of go-libp2p: they are dialled and they dial, over TCP and QUIC, with every type of key, and some of
//! them misbehave.

use serde_json::{Value, json};

use crate::contract::{LISTEN, keeps_its_promises};
use crate::peers::{GoPeer, Watch};

/// A C program goes through the whole life of connections to a Go peer, over TCP and over QUIC.
fn we_dial(flags: &[&str]) {
    let go = GoPeer::start(flags);
    keeps_its_promises("connect", &[&go.tcp(), &go.quic()]);
}

#[test]
fn we_dial_a_go_peer_with_an_ed25519_key() {
    we_dial(&["-key", "ed25519"]);
}

#[test]
fn we_dial_a_go_peer_with_an_rsa_key() {
    we_dial(&["-key", "rsa"]);
}

#[test]
fn we_dial_a_go_peer_with_a_secp256k1_key() {
    we_dial(&["-key", "secp256k1"]);
}

#[test]
fn we_dial_a_go_peer_with_an_ecdsa_key() {
    we_dial(&["-key", "ecdsa"]);
}

#[test]
fn we_dial_a_go_peer_that_speaks_noise_only() {
    we_dial(&["-security", "noise"]);
}

#[test]
fn we_dial_a_go_peer_that_speaks_tls_only() {
    we_dial(&["-security", "tls"]);
}

#[test]
fn we_dial_a_go_peer_whose_agent_fills_identify() {
    we_dial(&["-agent-bytes", "3500"]);
}

/// A Go peer dials a process of ours; both sides then list the other.
fn go_dials(flags: &[&str], quic: bool) {
    let mut go = GoPeer::start(&[flags, &["-agent", "go/1"]].concat());
    let mut watch = Watch::start(&[&LISTEN[..], &["--name", "watched"]].concat());
    let us = watch.id.clone();
    let address = if quic { watch.quic() } else { watch.tcp() };

    go.ask(json!({"cmd": "connect", "addr": address}));
    watch.talker.wait_for(&format!("connected: we were called by {}", go.id));
    watch.talker.wait_for(&format!("identified: {} runs go/1", go.id));
    let row = watch.row(&go.id);
    let over = if quic { "quic" } else { "tcp" };
    assert!(row.contains("connected") && row.contains(over) && row.contains("go/1"), "{row}");

    let seen = go.peer(&us);
    assert_eq!(seen["agent_version"], "watch/watched");
    assert_eq!(seen["conns"][0]["direction"], "Outbound");
    assert_eq!(seen["conns"][0]["transport"], if quic { "quic-v1" } else { "tcp" });
    let pings = go.ask(json!({"cmd": "ping", "peer": us, "n": 3}));
    assert_eq!(pings["rtts_us"].as_array().map(Vec::len), Some(3));

    go.ask(json!({"cmd": "close", "peer": us}));
    watch.talker.wait_for(&format!("disconnected: {}, because: remote_closed", go.id));
    watch.stop();
}

#[test]
fn a_go_peer_dials_us_over_tcp() {
    for key in ["ed25519", "rsa", "secp256k1", "ecdsa"] {
        go_dials(&["-key", key], false);
    }
}

#[test]
fn a_go_peer_dials_us_over_quic() {
    for key in ["ed25519", "rsa", "secp256k1", "ecdsa"] {
        go_dials(&["-key", key], true);
    }
}

#[test]
fn a_go_peer_that_speaks_noise_only_or_tls_only_dials_us() {
    go_dials(&["-security", "noise"], false);
    go_dials(&["-security", "tls"], false);
}

/// Remotes whose identify messages are oversized, and one that sends none.
const UNIDENTIFIED: [&[&str]; 4] = [
    &["-agent-bytes", "1000000"],
    &["-protocols", "1000"],
    &["-addrs", "120000"],
    &["-no-identify"],
];

#[test]
fn a_megabyte_of_agent_protocols_or_addresses_is_dropped_and_the_peer_is_usable() {
    for flags in UNIDENTIFIED {
        let go = GoPeer::start(flags);
        keeps_its_promises("connect", &["unidentified", &go.tcp(), &go.quic()]);
    }
}

#[test]
fn a_megabyte_from_peers_that_dial_us_does_no_harm() {
    let mut watch = Watch::start(&LISTEN);
    for (i, flags) in UNIDENTIFIED.iter().enumerate() {
        let mut go = GoPeer::start(flags);
        let address = if i % 2 == 0 { watch.quic() } else { watch.tcp() };
        go.ask(json!({"cmd": "connect", "addr": address}));
        watch.talker.wait_for(&format!("connected: we were called by {}", go.id));
        go.ask(json!({"cmd": "ping", "peer": watch.id, "n": 3}));
        let row = watch.row(&go.id);
        assert!(row.contains("connected") && row.len() < 200, "{row}");
    }
    go_is_welcome(&mut watch);
    watch.stop();
}

/// An honest peer is served as ever.
fn go_is_welcome(watch: &mut Watch) {
    let mut go = GoPeer::start(&[]);
    let answer = go.ask(json!({"cmd": "connect", "addr": watch.tcp()}));
    assert_eq!(
        answer["agent_version"].as_str().map(|agent| agent.starts_with("peerkit/")),
        Some(true)
    );
}

#[test]
fn a_peer_that_blocks_us_is_dial_failed_at_stage_accept() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    let data_dir = dir.path().join("data").display().to_string();
    let watch = Watch::start(&[&LISTEN[..], &["--data-dir", &data_dir]].concat());
    let us = watch.id.clone();
    watch.stop();
    let config = json!({"profile": "offline", "data_dir": data_dir}).to_string();
    let mut go = GoPeer::start(&["-block", &us]);
    for address in [go.tcp(), go.quic()] {
        keeps_its_promises("connect", &["expect", "dial_failed", "accept", &address, &config]);
    }
    go.ask(json!({"cmd": "unblock", "peer": us}));
    let mut watch = Watch::start(&[&LISTEN[..], &["--data-dir", &data_dir]].concat());
    watch.talker.say(&format!("connect {}", go.tcp()));
    watch.talker.wait_for(&format!("connect: {} answered", go.id));
    watch.stop();
}

#[test]
fn a_stopped_peer_says_goodbye_to_its_go_peer() {
    let mut go = GoPeer::start(&[]);
    let mut watch = Watch::start(&LISTEN);
    let us = watch.id.clone();
    watch.talker.say(&format!("connect {}", go.quic()));
    watch.talker.wait_for(&format!("connect: {} answered", go.id));
    watch.stop();
    go.ask(json!({"cmd": "wait-peer", "peer": us, "connected": false, "timeout_ms": 3000}));
    let lost: Value = go.try_ask(&json!({"cmd": "ping", "peer": us}));
    assert_eq!(lost["ok"], false, "{lost}");
}
