//! Peers find one another on real networks, each on a host of its own, and no packet leaves that shouldn't.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::netns::{Host, Switch};
use crate::support::{Peer, eventually, some_peer_id};

/// The time within which, with no configuration, everybody knows everybody, as promised.
const FOUND: Duration = Duration::from_secs(10);
/// The time of two passes of peers that make one each second.
const TWO_PASSES: Duration = Duration::from_millis(2500);

/// Returns discovery by no source but what the test configures beside it.
fn alone() -> Value {
    json!({ "mdns": false, "dht": "off", "gossip": false, "interval_s": 1 })
}

fn knows(peer: &Peer, other: &str) -> bool {
    peer.call("get_peer", json!({ "peer_id": other }))["success"] == true
}

/// Returns the remote addresses of a peer's connections to another.
fn connections(peer: &Peer, other: &str) -> Vec<String> {
    if !knows(peer, other) {
        return Vec::new();
    }
    let open = peer.info(other)["connections"].clone();
    open.as_array()
        .unwrap()
        .iter()
        .map(|each| each["address"].as_str().unwrap().to_owned())
        .collect()
}

fn is_connected(peer: &Peer, other: &str) -> bool {
    !connections(peer, other).is_empty()
}

/// Waits for the end of `count` passes.
fn passes(peer: &Peer, count: usize) {
    for _ in 0..count {
        peer.wait_event(FOUND, |event| event["event"] == "discovery");
    }
}

#[test]
fn five_processes_on_one_switch_find_and_know_one_another_within_ten_seconds() {
    let Some(switch) = Switch::new() else { return };
    let dir = tempfile::tempdir().unwrap();
    let hosts: Vec<Host> = (1..=5).map(|n| switch.host(&format!("10.77.0.{n}/24"))).collect();
    let begun = Instant::now();
    let mut peers: Vec<Peer> =
        hosts[1..].iter().map(|host| host.peer(json!({ "profile": "lan" }))).collect();
    let kept = json!({ "profile": "lan", "data_dir": dir.path() });
    peers.push(hosts[0].peer(kept.clone()));
    let pairs = |peers: &[Peer]| -> Vec<(usize, usize)> {
        let all = 0..peers.len();
        all.clone().flat_map(|a| all.clone().map(move |b| (a, b))).filter(|(a, b)| a != b).collect()
    };
    let left = FOUND.saturating_sub(begun.elapsed());
    eventually(left, "everybody knows everybody and is connected", || {
        pairs(&peers).iter().all(|&(a, b)| is_connected(&peers[a], peers[b].id()))
    });
    let mut by_multicast = 0;
    for (a, b) in pairs(&peers) {
        let event = peers[a].wait_for("peer_discovered", peers[b].id());
        let source = event["source"].as_str().unwrap();
        assert!(["mdns", "gossip", "dht", "inbound"].contains(&source), "{event:#}");
        by_multicast += usize::from(source == "mdns");
    }
    assert!(by_multicast >= 5, "only {by_multicast} of 20 were found by multicast");

    // One peer goes and comes back elsewhere.
    let gone = peers.pop().unwrap();
    let id = gone.id().to_owned();
    gone.kill();
    hosts[0].set_ip("10.77.0.99/24");
    let back = hosts[0].peer(kept);
    assert_eq!(back.id(), id);
    eventually(FOUND, "it is connected at its new address", || {
        peers.iter().all(|peer| {
            let at = connections(peer, &id);
            at.iter().any(|address| address.starts_with("/ip4/10.77.0.99/"))
        })
    });
    for peer in &peers {
        let known = peer.info(&id)["multiaddrs"].to_string();
        assert!(known.contains("/ip4/10.77.0.99/"), "{known}");
    }
}

#[test]
fn offline_sends_not_one_packet_unasked() {
    let Some(switch) = Switch::new() else { return };
    let [here, there] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let other = there.peer(json!({ "profile": "lan" }));
    let dir = tempfile::tempdir().unwrap();
    let profile = |profile: &str| {
        let discovery = json!({ "interval_s": 1 });
        json!({ "profile": profile, "data_dir": dir.path(), "discovery": discovery })
    };
    let earlier = here.peer(profile("offline"));
    let address = other.at("tcp").replace("127.0.0.1", "10.77.0.2");
    let known = json!({ "peer_id": other.id(), "multiaddrs": [address] });
    earlier.ok("add_peer", known);
    earlier.ok("add_bootstrap_peer", json!({ "multiaddr": address }));
    drop(earlier);

    let silent = here.peer(profile("offline"));
    assert!(knows(&silent, other.id()));
    passes(&silent, 2);
    let found = silent.ok("discover_peers", json!({}));
    assert_eq!(found["bootstrap_peers"], json!([address]));
    assert_eq!(here.packets_out(), 0, "{found:#}");
    drop(silent);

    let lan = here.peer(profile("lan"));
    lan.wait_for("peer_connected", other.id());
    assert!(here.packets_out() > 0);
}

#[test]
fn each_source_says_why_it_found_nothing() {
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24");
    let nobody = format!("/ip4/10.77.0.1/tcp/1/p2p/{}", some_peer_id());
    let peer = host.peer(json!({
        "profile": "lan",
        "bootstrap": [nobody],
        "bootstrap_from_ipfs": "http://127.0.0.1:1",
        "bootstrap_from_cluster": "http://127.0.0.1:1",
    }));
    // The first pass discovered the peers that the list names.
    passes(&peer, 1);
    let found = peer.ok("discover_peers", json!({}));
    assert_eq!((&found["discovered_peers"], &found["complete"]), (&json!([]), &json!(true)));
    let sources = &found["sources"];
    for (source, words) in [
        ("mdns", "nothing heard on eth0"),
        ("bootstrap", "connection refused"),
        ("dht", "no peer that takes part in this DHT is known"),
        ("gossip", "no connected peer takes part"),
        ("ipfs", "127.0.0.1:1"),
        ("cluster", "127.0.0.1:1"),
    ] {
        let report = &sources[source];
        assert_eq!((&report["enabled"], &report["found"]), (&json!(true), &json!(0)), "{source}");
        let note = report["note"].as_str().unwrap_or_default();
        assert!(note.contains(words), "{source}: {report:#}");
    }
    for source in ["bootstrap", "ipfs", "cluster"] {
        assert_eq!(sources[source]["last_error"]["code"], "dial_failed", "{source}: {sources:#}");
    }

    let offline = Peer::start();
    let sources = offline.ok("discover_peers", json!({}))["sources"].clone();
    for (source, report) in sources.as_object().unwrap() {
        assert_eq!(report["enabled"], false, "{source}");
    }
    assert_eq!(sources.as_object().unwrap().len(), 6, "{sources:#}");
}

#[test]
fn a_host_without_a_network_says_so() {
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24");
    host.switch_eth0(false);
    let peer = host.peer(json!({ "profile": "lan" }));
    let sources = peer.ok("discover_peers", json!({}))["sources"].clone();
    let note = sources["mdns"]["note"].as_str().unwrap_or_default();
    assert!(note.contains("no network interface"), "{sources:#}");

    // A network comes, with a peer in it that dials nobody.
    let other = switch.host("10.77.0.2/24");
    let other = other.peer(json!({ "profile": "lan", "limits": { "low_water": 0 } }));
    host.switch_eth0(true);
    host.set_ip("10.77.0.9/24");
    eventually(FOUND, "who is there is found", || is_connected(&peer, other.id()));
}

#[test]
fn a_dnsaddr_bootstrap_entry_is_resolved() {
    let Some(switch) = Switch::new() else { return };
    let hosts = ["10.77.0.2/24", "10.77.0.3/24"].map(|ip| switch.host(ip));
    let [unnamed, named] = hosts.each_ref().map(|host| {
        let listen = format!("/ip4/{}/tcp/0", host.ip());
        host.peer(json!({ "profile": "lan", "listen": [listen], "discovery": alone() }))
    });
    let text = |peer: &Peer| json!({ "TXT": [format!("dnsaddr={}", peer.at("tcp"))] });
    let host = switch.host("10.77.0.1/24").with_dns(json!({
        "_dnsaddr.boot.test": text(&unnamed),
        "_dnsaddr.named.test": text(&named),
    }));
    let named_entry = format!("/dnsaddr/named.test/p2p/{}", named.id());
    let peer = host.peer(json!({
        "profile": "lan",
        "bootstrap": ["/dnsaddr/boot.test", named_entry],
        "discovery": alone(),
    }));
    peer.wait_for("peer_connected", unnamed.id());
    peer.wait_for("peer_connected", named.id());
    let sources = peer.info(named.id())["sources"].clone();
    assert!(sources.as_array().unwrap().contains(&json!("bootstrap")), "{sources}");

    // The peer that answered by the name isn't dialled again by each pass.
    peer.events_so_far();
    passes(&peer, 2);
    let asked = host.name_server().ok("questions", json!({}))["questions"].clone();
    let by_name = asked.as_array().unwrap().iter().filter(|name| *name == "_dnsaddr.boot.test TXT");
    assert_eq!(by_name.count(), 1, "{asked}");
}

#[test]
fn stop_discovery_falls_silent() {
    let Some(switch) = Switch::new() else { return };
    let [here, there] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let every_second = json!({ "interval_s": 1 });
    // An address at which nobody listens is dialled again and again.
    let nobody = format!("/ip4/10.77.0.2/tcp/1/p2p/{}", some_peer_id());
    let peer = here.peer(json!({
        "profile": "lan", "discovery": every_second, "bootstrap": [nobody],
    }));
    passes(&peer, 1);
    let stopped = peer.ok("stop_discovery", json!({}));
    assert_eq!(stopped["discovery_active"], false);
    assert_eq!(stopped["complete"], true, "a pass under way ends: {stopped:#}");
    // A peer comes and asks.
    let asker = there.peer(json!({ "profile": "lan", "discovery": every_second }));
    let mut last = (here.packets_out(), Instant::now());
    // The system says good-bye to the multicast group, twice within a second.
    eventually(Duration::from_secs(8), "it is silent", || {
        let now = here.packets_out();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > TWO_PASSES
    });
    assert!(!knows(&asker, peer.id()) && !knows(&peer, asker.id()));
    assert_eq!(peer.ok("start_discovery", json!({}))["discovery_active"], true);
    peer.wait_for("peer_connected", asker.id());

    // A requested pass is made even while the node is silent.
    peer.ok("stop_discovery", json!({}));
    let late = switch.host("10.77.0.3/24");
    let late = late.peer(json!({ "profile": "lan", "limits": { "low_water": 0 } }));
    eventually(FOUND, "a pass finds it", || {
        peer.ok("discover_peers", json!({ "timeout": 3 }));
        knows(&peer, late.id())
    });
}

#[test]
fn a_flood_of_fake_mdns_answers_is_bounded() {
    const PACKETS: u64 = 40_000;
    const MOST_KIB: u64 = 16 * 1024;
    const MAX_PEERS: u64 = 5000;

    let Some(switch) = Switch::new() else { return };
    let [here, there, third] =
        ["10.77.0.1/24", "10.77.0.2/24", "10.77.0.3/24"].map(|ip| switch.host(ip));
    let dir = tempfile::tempdir().unwrap();
    let victim = here.peer(json!({
        "profile": "lan",
        "data_dir": dir.path(),
        "limits": { "max_peers": MAX_PEERS },
        "discovery": { "interval_s": 2 },
    }));
    let sender = there.flood();
    passes(&victim, 1);
    let before = rss_kib(&victim);
    let lies = json!({ "packets": PACKETS, "victim": victim.id(), "network": "10.77.0" });
    let flood = sender.begin(60_000, "flood", lies);
    let mut took = Vec::new();
    while flood.still_waits_after(Duration::from_millis(50)) {
        let asked = Instant::now();
        victim.ok("get_peer_stats", json!({}));
        victim.ok("unsubscribe", json!({ "topic": "none" }));
        took.push(asked.elapsed());
    }
    // A single call is as late as the machine is busy with other tests: the median counts.
    took.sort();
    let (usual, slowest) = (took[took.len() / 2], took[took.len() - 1]);
    let in_time = usual < Duration::from_millis(100) && slowest < Duration::from_secs(2);
    assert!(in_time, "two calls took {usual:?} as a rule and up to {slowest:?}");
    victim.ok("discover_peers", json!({}));
    let stats = victim.ok("get_peer_stats", json!({}))["stats"].clone();
    let grown = rss_kib(&victim).saturating_sub(before);
    assert!(grown < MOST_KIB, "grown by {grown} KiB");
    let peers = stats["total_peers"].as_u64().unwrap();
    assert!(peers <= MAX_PEERS / 10, "{peers} peers are in the book");
    for reason in ["mdns.rate", "mdns.address", "mdns.own_id", "mdns.malformed", "mdns.oversize"] {
        let count = stats["dropped"][reason].as_u64().unwrap_or(0);
        assert!(count > 0, "{reason}: {}", stats["dropped"]);
    }
    let genuine = third.peer(json!({ "profile": "lan" }));
    eventually(FOUND, "who is there is found", || is_connected(&victim, genuine.id()));
}

fn rss_kib(peer: &Peer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", peer.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn private_addresses_learnt_from_public_peers_are_never_dialled() {
    let Some(switch) = Switch::new() else { return };
    let [here, both, far, nobody] =
        ["44.0.0.1/8", "44.0.0.2/8", "44.0.0.3/8", "10.1.2.3/8"].map(|ip| switch.host(ip));
    here.add_ip("10.0.0.1/8");
    both.add_ip("10.0.0.2/8");
    let internet = |host: &Host, keys: Value| {
        let mut config = json!({
            "profile": "internet",
            "protocol_prefix": "/lan-test",
            "listen": ["/ip4/0.0.0.0/tcp/4001"],
            "discovery": { "dht": "server", "interval_s": 1 },
        });
        config.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        host.peer(config)
    };
    let both = internet(&both, json!({}));
    // A remote on the Internet claims an address of our network as well. It dials nobody else.
    let far = internet(
        &far,
        json!({
            "bootstrap": [format!("/ip4/44.0.0.2/tcp/4001/p2p/{}", both.id())],
            "advertise": ["/ip4/10.1.2.3/tcp/4001"],
            "limits": { "low_water": 1 },
        }),
    );
    both.wait_for("peer_identified", far.id());
    // A friend next door advertises it to us, by gossip alone.
    let peer = internet(
        &here,
        json!({
            "bootstrap": [format!("/ip4/10.0.0.2/tcp/4001/p2p/{}", both.id())],
            "discovery": { "dht": "off", "interval_s": 1 },
        }),
    );
    peer.wait_for("peer_connected", both.id());
    peer.wait_for("peer_connected", far.id());
    peer.ok("discover_peers", json!({}));
    let info = peer.info(far.id());
    assert!(!info["multiaddrs"].to_string().contains("10.1.2.3"), "{info:#}");
    let dropped = peer.ok("get_peer_stats", json!({}))["stats"]["dropped"].clone();
    assert!(dropped.to_string().contains(".scope"), "it was told: {dropped}");
    assert_eq!(nobody.packets_out(), 0, "somebody asked for 10.1.2.3");
}

#[test]
fn a_peer_on_two_networks_is_found_on_both_and_tells_each_its_own_address() {
    let (Some(one), Some(other)) = (Switch::new(), Switch::new()) else { return };
    let between = one.host("10.77.0.1/24");
    between.plug(&other, "eth1", "10.88.0.1/24");
    let hosts = [one.host("10.77.0.2/24"), other.host("10.88.0.2/24")];
    let quiet = json!({ "profile": "lan", "limits": { "low_water": 0 } });
    let both = between.peer(quiet.clone());
    let neighbour = between.peer(quiet.clone());
    both.wait_for("peer_discovered", neighbour.id());
    let peers = hosts.each_ref().map(|host| host.peer(quiet.clone()));
    for (peer, own) in peers.iter().zip(["10.77.0.1", "10.88.0.1"]) {
        both.wait_for("peer_discovered", peer.id());
        neighbour.wait_for("peer_discovered", peer.id());
        let found = peer.wait_for("peer_discovered", both.id());
        assert_eq!(found["source"], "mdns");
        let told = found["multiaddrs"].as_array().unwrap();
        let is_its_own = |at: &Value| at.as_str().unwrap().contains(own);
        assert!(!told.is_empty() && told.iter().all(is_its_own), "{told:?}");
    }
    assert!(!knows(&peers[0], peers[1].id()), "the networks are strangers");
}

#[test]
fn a_go_peer_and_we_find_each_other_by_multicast() {
    let Some(switch) = Switch::new() else { return };
    let [here, there] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let quiet = json!({ "low_water": 0 });
    let us = here.peer(json!({ "profile": "lan", "limits": quiet }));
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/go/bin/interop");
    assert!(Path::new(program).exists(), "there is no Go peer: run `make go-peer`");
    let mut command = there.command(program);
    command.args(["-listen", "/ip4/10.77.0.2/tcp/0", "-mdns"]);
    let go = Peer::spawn(&mut command).expect("the Go peer starts");
    // It dials us: we dial nobody.
    assert_eq!(us.wait_for("peer_connected", go.id())["direction"], "inbound");
    // We discover it too.
    eventually(FOUND, "we heard of it", || {
        us.info(go.id())["sources"].as_array().unwrap().contains(&json!("mdns"))
    });
    assert!(us.info(go.id())["multiaddrs"].to_string().contains("/ip4/10.77.0.2/tcp/"));
}
