//! The network that other tests are run on: hosts on a switch reach each other and nobody else, and
//! every change to them shows.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::netns::{Host, Switch};
use crate::support::{Peer, eventually, failed};

/// A time long enough for a call that succeeds here, and short for one that can't.
const SOON_MS: u64 = 1_000;

/// Starts a peer that listens at the host's own address, and looks for nobody: every packet is one that
/// a test asked for.
fn lan(host: &Host) -> Peer {
    let listen = format!("/ip4/{}/tcp/0", host.ip());
    let discovery = json!({ "mdns": false, "dht": "off", "gossip": false });
    host.peer(json!({ "profile": "lan", "listen": [listen], "discovery": discovery }))
}

/// Makes two hosts with a peer each.
fn two(switch: &Switch) -> [(Host, Peer); 2] {
    ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| {
        let host = switch.host(ip);
        let peer = lan(&host);
        (host, peer)
    })
}

#[test]
fn peers_connect_over_a_switch_and_every_packet_counts() {
    let Some(switch) = Switch::new() else { return };
    let [(host_a, a), (host_b, b)] = two(&switch);
    assert_eq!((host_a.packets_out(), host_b.packets_out()), (0, 0), "nobody was told to send");
    a.connect(&b.at("tcp"));
    assert!(host_a.packets_out() > 5 && host_b.packets_out() > 5);
    a.connect(&host_b.raw(json!({ "listen": "/ip4/10.77.0.2/tcp/0" })).at("tcp"));
    // The far side sees where it comes from: no other address is between them.
    b.wait_for("peer_connected", a.id());
    let remote = b.info(a.id())["connections"][0]["address"].as_str().unwrap().to_owned();
    assert!(remote.starts_with("/ip4/10.77.0.1/tcp/"), "{remote}");
}

#[test]
fn switches_are_strangers_to_each_other_and_to_the_machine() {
    let (Some(one), Some(other)) = (Switch::new(), Switch::new()) else { return };
    let [(_, a), _kept] = two(&one);
    let [_, (other_host, b)] = two(&other);
    let same_port = b.at("tcp");
    let refused = a.call_within(SOON_MS, "connect_peer", json!({ "multiaddr": same_port }));
    failed(refused, "dial_failed");
    assert_eq!(other_host.packets_out(), 0);
    let outside = Peer::start();
    let unreachable =
        a.call_within(SOON_MS, "connect_peer", json!({ "multiaddr": outside.at("tcp") }));
    failed(unreachable, "dial_failed");
}

#[test]
fn a_cut_cable_is_noticed_and_a_mended_one_too() {
    let Some(switch) = Switch::new() else { return };
    let [(_host_a, a), (host_b, b)] = two(&switch);
    a.connect(&b.at("tcp"));
    let ping = json!({ "peer_id": b.id() });
    a.ok("ping_peer", ping.clone());
    host_b.cut();
    failed(a.call_within(SOON_MS, "ping_peer", ping.clone()), "timeout");
    host_b.mend();
    a.ok("ping_peer", ping);
}

#[test]
fn a_host_comes_back_at_another_address() {
    let Some(switch) = Switch::new() else { return };
    let [(_host_a, a), (host_b, b)] = two(&switch);
    let before = b.at("tcp");
    drop(b);
    host_b.set_ip("10.77.0.9/24");
    let connect = json!({ "multiaddr": before });
    assert_eq!(a.call_within(SOON_MS, "connect_peer", connect)["success"], false);
    let back = lan(&host_b);
    assert!(back.at("tcp").starts_with("/ip4/10.77.0.9/tcp/"));
    a.connect(&back.at("tcp"));
}

#[test]
fn multicast_reaches_every_host_of_the_switch() {
    let Some(switch) = Switch::new() else { return };
    let records = json!({ "here.test": { "A": ["10.77.0.2"] } });
    let hosts = ["10.77.0.1/24", "10.77.0.2/24", "10.77.0.3/24"].map(|ip| switch.host(ip));
    let servers: Vec<Peer> = hosts[1..]
        .iter()
        .map(|host| host.dns(json!({ "listen": "0.0.0.0:53", "records": records })))
        .collect();
    let asker = hosts[0].dns(json!({ "listen": "127.0.0.1:53" }));
    // All hosts of a network are members of this group.
    let question = json!({ "server": "224.0.0.1:53", "name": "here.test", "type": "A" });
    let answer = asker.ok("ask", question);
    assert_eq!(answer["answers"], json!(["10.77.0.2"]));
    for server in &servers {
        let heard = || server.ok("questions", json!({}))["questions"] == json!(["here.test A"]);
        eventually(Duration::from_secs(5), "it was asked", heard);
    }
}

#[test]
fn a_dnsaddr_resolves_through_the_name_server_of_the_host_and_connects() {
    let Some(switch) = Switch::new() else { return };
    let [(_host_a, a), (_host_b, b)] = two(&switch);
    let text = |address: &str| json!({ "TXT": [format!("dnsaddr={address}")] });
    let host = switch.host("10.77.0.3/24").with_dns(json!({
        "_dnsaddr.peer.test": text(&b.at("tcp")),
        "host.test": { "A": ["10.77.0.2"] },
    }));
    let c = lan(&host);
    let connected = c.connect(&format!("/dnsaddr/peer.test/p2p/{}", b.id()));
    assert_eq!(connected["peer_id"], b.id());
    let asked = |name: &str| {
        let questions = host.name_server().ok("questions", json!({}))["questions"].clone();
        questions.as_array().unwrap().contains(&json!(name))
    };
    assert!(asked("_dnsaddr.peer.test TXT"));

    // Connects by a name of this host alone, and again once the name leads to another peer.
    c.ok("disconnect_peer", json!({ "peer_id": b.id() }));
    let port = b.bare("tcp").rsplit('/').next().unwrap().to_owned();
    c.connect(&format!("/dns4/host.test/tcp/{port}/p2p/{}", b.id()));
    assert!(asked("host.test A"));
    host.name_server().ok("set_records", json!({ "_dnsaddr.peer.test": text(&a.at("tcp")) }));
    c.connect(&format!("/dnsaddr/peer.test/p2p/{}", a.id()));
}

#[test]
fn a_test_that_the_machine_does_not_permit_fails_in_ci_and_is_told_of_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let unshare = dir.path().join("unshare");
    std::fs::write(&unshare, "#!/bin/sh\necho not permitted >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&unshare, Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let run = |ci: &str| {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        tests.args(["--exact", "namespaces::multicast_reaches_every_host_of_the_switch"]);
        let ran = tests.env("PATH", &path).env("CI", ci).output().unwrap();
        (ran.status.success(), String::from_utf8(ran.stderr).unwrap())
    };
    let (passed, told) = run("");
    assert!(passed && told.contains("skipped: network namespaces can't be made here"), "{told}");
    assert!(!run("true").0, "CI takes it for a success");
}
