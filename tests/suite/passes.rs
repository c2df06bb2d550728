//! Passes of discovery: automatic ones at an interval, and requested ones.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::servers::{ApiServer, Page};
use crate::support::{Peer, eventually, failed, some_peer_id};

const SOON: Duration = Duration::from_secs(10);
/// The time within which all but a source that hangs has answered; one that hangs has 10 s.
const PROMPT: Duration = Duration::from_secs(5);

/// Starts a Kubo of three peers, with nobody behind them.
fn three_peers() -> ApiServer {
    let api = ApiServer::start();
    let connection = |_| json!({ "Peer": some_peer_id(), "Addr": "/ip4/127.0.0.1/tcp/1" });
    let connections: Vec<Value> = (0..2).map(connection).collect();
    let addresses = ["/ip4/127.0.0.1/tcp/1"];
    api.json("/api/v0/id", &json!({ "ID": some_peer_id(), "Addresses": addresses }));
    api.json("/api/v0/swarm/peers", &json!({ "Peers": connections }));
    api
}

/// Starts a cluster that doesn't answer.
fn hanging() -> ApiServer {
    let api = ApiServer::start();
    api.page("/id", Page::Silence);
    api
}

/// Starts a peer with these sources that makes no automatic dials, whose discovery was stopped after
/// its first pass, or during it.
fn stopped(keys: Value) -> Peer {
    let mut config = json!({ "limits": { "low_water": 0 } });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    let peer = Peer::with(config);
    eventually(SOON, "its first pass has begun", || {
        let now = peer.ok("get_discovery", json!({}));
        now["complete"] == false || now["last_pass"].is_number()
    });
    peer.ok("stop_discovery", json!({}));
    peer.events_so_far();
    peer
}

fn is_pass(event: &Value) -> bool {
    event["event"] == "discovery"
}

fn is_active(peer: &Peer) -> bool {
    let active = peer.ok("get_discovery", json!({}))["discovery_active"].as_bool().unwrap();
    for operation in ["get_peer_stats", "get_peers_summary"] {
        let reply = peer.ok(operation, json!({}));
        assert_eq!(reply["discovery_active"], active);
        assert_eq!(reply["stats"]["discovery_active"], active);
    }
    active
}

#[test]
fn a_pass_tells_what_it_found_and_by_which_source() {
    let api = three_peers();
    let a = Peer::with(json!({
        "bootstrap_from_ipfs": api.url(), "discovery": { "interval_s": 3600 },
        "limits": { "low_water": 0 },
    }));
    let now = || a.ok("get_discovery", json!({}));
    eventually(SOON, "the first pass is over", || now()["last_pass"].is_number());
    let now = now();
    let pass = now["recent_events"].as_array().unwrap().iter().find(|event| is_pass(event));
    let pass = pass.unwrap_or_else(|| panic!("{now:#}"));
    assert_eq!(pass["found"], json!({ "ipfs": 3 }), "{pass:#}");
    assert!(pass["duration_ms"].as_f64().unwrap() > 0.0 && pass["peer_id"].is_null(), "{pass:#}");
    a.events_so_far();
    assert_eq!(now["discovered_peers"].as_array().unwrap().len(), 3, "{now:#}");
    assert_eq!((&now["total_discovered"], &now["total_peers"]), (&json!(3), &json!(3)));
    assert_eq!((&now["complete"], &now["interval_s"]), (&json!(true), &json!(3600)));
    assert!(now["last_pass"].is_number(), "{now:#}");
    let report = &now["sources"]["ipfs"];
    assert_eq!(
        (&report["found"], &report["total_found"], &report["heard"]),
        (&json!(3), &json!(3), &json!(3))
    );
    assert!(report["note"].is_null() && report["last_found"].is_number(), "{report:#}");
    for off in ["bootstrap", "mdns", "dht", "gossip", "cluster"] {
        assert_eq!(now["sources"][off]["enabled"], false, "{off}");
    }

    // Everything is known by now, and the pass says so.
    let again = a.ok("discover_peers", json!({}));
    assert_eq!((&again["discovered_peers"], &again["total_discovered"]), (&json!([]), &json!(3)));
    let report = &again["sources"]["ipfs"];
    assert_eq!((&report["found"], &report["heard"]), (&json!(0), &json!(6)));
    assert!(report["note"].as_str().unwrap().contains("3 peers, all known"), "{report:#}");
    assert_eq!(a.wait_event(SOON, is_pass)["found"], json!({}));

    let stats = a.ok("get_peer_stats", json!({}))["stats"].clone();
    assert_eq!(stats["total_discovered"], 3);
    assert_eq!(stats["last_discovery"], report["last_found"], "{stats:#}");
}

#[test]
fn a_call_answers_once_it_has_what_it_wanted() {
    let (ipfs, cluster) = (three_peers(), hanging());
    let a = stopped(json!({
        "bootstrap_from_ipfs": ipfs.url(), "bootstrap_from_cluster": cluster.url(),
    }));
    // The pass of the start has discovered these; the call wants new ones.
    eventually(SOON, "the first pass has its answer", || {
        a.ok("get_discovery", json!({}))["total_discovered"] == 3
    });
    let connection = |_| json!({ "Peer": some_peer_id(), "Addr": "/ip4/127.0.0.1/tcp/1" });
    let connections: Vec<Value> = (0..2).map(connection).collect();
    ipfs.json("/api/v0/swarm/peers", &json!({ "Peers": connections }));
    let begun = Instant::now();
    let reply = a.ok("discover_peers", json!({ "limit": 1 }));
    assert!(begun.elapsed() < PROMPT, "{:?}", begun.elapsed());
    assert_eq!(reply["discovered_peers"].as_array().unwrap().len(), 1, "{reply:#}");
    assert_eq!(reply["complete"], false, "{reply:#}");
}

#[test]
fn a_deadline_is_an_answer_and_leaves_the_pass_under_way() {
    let cluster = hanging();
    let a = stopped(json!({ "bootstrap_from_cluster": cluster.url() }));
    eventually(SOON, "the first pass has asked", || cluster.requests().len() == 1);
    for (timeout_ms, params) in [(20_000, json!({ "timeout": 0.3 })), (300, json!({}))] {
        let begun = Instant::now();
        let reply = crate::support::succeeded(a.call_within(timeout_ms, "discover_peers", params));
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(290) && took < PROMPT, "{took:?}");
        assert_eq!((&reply["complete"], &reply["discovered_peers"]), (&json!(false), &json!([])));
    }
    // The second call joined the first one's pass.
    assert_eq!(cluster.requests().len(), 2);
    assert_eq!(a.ok("get_discovery", json!({}))["complete"], false);

    let waiting = a.begin(20_000, "discover_peers", json!({ "cancel_token": 5 }));
    eventually(SOON, "it is cancelled", || {
        a.ok("cancel", json!({ "token": 5 }))["reply"]["cancelled"] == 1
    });
    failed(waiting.reply(), "cancelled");
}

#[test]
fn a_stop_ends_the_pass_under_way() {
    let cluster = hanging();
    let a = Peer::with(json!({ "bootstrap_from_cluster": cluster.url() }));
    let waiting = a.begin(20_000, "discover_peers", json!({}));
    assert!(waiting.still_waits_after(Duration::from_millis(300)));
    let begun = Instant::now();
    let reply = a.ok("stop_discovery", json!({}));
    assert!(begun.elapsed() < PROMPT);
    assert_eq!((&reply["discovery_active"], &reply["complete"]), (&json!(false), &json!(true)));
    a.wait_event(Duration::from_secs(1), is_pass);
    // A stop ends even a pass that a call requested while discovery was stopped.
    let waiting = a.begin(20_000, "discover_peers", json!({}));
    eventually(SOON, "it is under way", || a.ok("get_discovery", json!({}))["complete"] == false);
    a.ok("stop_discovery", json!({}));
    assert_eq!(crate::support::succeeded(waiting.reply())["complete"], true);
}

#[test]
fn a_pass_can_be_asked_for_while_discovery_is_stopped() {
    let api = ApiServer::start();
    api.json("/api/v0/id", &json!({ "ID": some_peer_id(), "Addresses": [] }));
    api.json("/api/v0/swarm/peers", &json!({ "Peers": null }));
    let b = Peer::start();
    let a = stopped(json!({ "bootstrap_from_ipfs": api.url() }));
    api.kubo(&b, &[]);
    let reply = a.ok("discover_peers", json!({}));
    assert_eq!(reply["discovered_peers"][0]["peer_id"], b.id(), "{reply:#}");
    assert_eq!((&reply["discovery_active"], &reply["complete"]), (&json!(false), &json!(true)));
    // It dials nobody because of it.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(a.info(b.id())["connection_attempts"], 0);
}

#[test]
fn discovery_is_on_where_there_is_anything_to_go_by_unless_the_user_stopped_it() {
    let address = || format!("/ip4/127.0.0.1/tcp/1/p2p/{}", some_peer_id());
    let add = |peer: &Peer| peer.ok("add_bootstrap_peer", json!({ "multiaddr": address() }));
    let a = Peer::start();
    assert!(!is_active(&a));
    add(&a);
    assert!(is_active(&a));
    assert_eq!(a.ok("stop_discovery", json!({}))["discovery_active"], false);
    add(&a);
    assert!(!is_active(&a));
    assert_eq!(a.ok("start_discovery", json!({}))["discovery_active"], true);
    a.wait_event(SOON, is_pass);

    // This one is stopped before there is anything to stop.
    let b = Peer::start();
    b.ok("stop_discovery", json!({}));
    add(&b);
    assert!(!is_active(&b));
    b.ok("start_discovery", json!({}));
    assert!(is_active(&b));
    assert!(is_active(&Peer::with(json!({ "bootstrap": [address()] }))));
}

#[test]
fn passes_keep_their_interval() {
    let a = Peer::with(
        json!({ "bootstrap": ["/dnsaddr/x.invalid"], "discovery": { "interval_s": 2 } }),
    );
    let times: Vec<f64> =
        (0..3).map(|_| a.wait_event(SOON, is_pass)["timestamp"].as_f64().unwrap()).collect();
    for pair in times.windows(2) {
        assert!((1.5..3.5).contains(&(pair[1] - pair[0])), "{times:?}");
    }
    a.ok("stop_discovery", json!({}));
    a.events_so_far();
    std::thread::sleep(Duration::from_millis(3000));
    assert!(!a.events_so_far().iter().any(is_pass));
}

#[test]
fn passes_that_find_nobody_leave_the_network_alone_until_there_is_news() {
    let peer = |dht: &str| {
        Peer::with(json!({
            "discovery": { "dht": dht, "gossip": true, "interval_s": 2 },
            "limits": { "low_water": 0 },
        }))
    };
    let (a, b) = (peer("off"), peer("off"));
    let (c, d) = (peer("server"), peer("server"));
    a.connect(&b.at("tcp"));
    c.connect(&d.at("tcp"));
    let heard = || b.ok("get_discovery", json!({}))["sources"]["gossip"]["heard"].as_u64().unwrap();
    let searches = || {
        let text = c.ok("get_metrics", json!({}))["metrics"].as_str().unwrap().to_owned();
        let series = "libp2p_kad_query_result_num_requests_count{type=\"GetClosestPeers\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(series));
        count.map_or(0, |count| count.parse::<u64>().unwrap())
    };
    let note = |peer: &Peer, source: &str| {
        let source = peer.ok("get_discovery", json!({}))["sources"][source].clone();
        source["note"].as_str().unwrap_or_default().to_owned()
    };
    eventually(SOON, "both rest", || {
        note(&a, "gossip").contains("left out") && note(&c, "dht").contains("left out")
    });
    let before = (heard(), searches());
    let mut passes = 0;
    while passes < 6 {
        passes += usize::from(is_pass(&c.wait_event(SOON, |_| true)));
    }
    // One pass of the six asks, or two do: in each, b receives one announcement, and the DHT is searched twice.
    assert!(heard() - before.0 <= 2, "{} announcements", heard() - before.0);
    assert!(searches() - before.1 <= 4, "{} searches", searches() - before.1);

    // A requested pass always asks.
    let before = searches();
    c.ok("discover_peers", json!({}));
    assert!(searches() >= before + 2);
    // A newcomer soon receives even peers that aren't its neighbours.
    let newcomer = peer("off");
    newcomer.connect(&b.at("tcp"));
    let told = newcomer.wait_event(Duration::from_secs(6), |event| {
        event["event"] == "peer_discovered" && event["peer_id"] == a.id()
    });
    assert_eq!(told["source"], "gossip", "{told:#}");
}

#[test]
fn passes_go_on_where_one_takes_longer_than_the_interval() {
    let sources = json!({ "interval_s": 1, "gossip": true, "dht": "server" });
    let b = Peer::with(json!({ "discovery": sources }));
    let a = Peer::with(json!({ "discovery": sources, "bootstrap": [b.at("tcp")] }));
    for _ in 0..4 {
        a.wait_event(SOON, is_pass);
    }
}

#[test]
fn the_first_pass_of_a_node_asks_the_dht_that_its_bootstrap_peer_belongs_to() {
    let with_dht = |keys: Value| {
        let mut config = json!({ "discovery": { "dht": "server", "interval_s": 3600 }, "limits": { "low_water": 0 } });
        for (key, value) in keys.as_object().unwrap() {
            config[key] = value.clone();
        }
        Peer::with(config)
    };
    let hub = with_dht(json!({}));
    let others: Vec<Peer> =
        (0..2).map(|_| with_dht(json!({ "bootstrap": [hub.at("tcp")] }))).collect();
    for other in &others {
        hub.wait_for("peer_identified", other.id());
    }
    let a = with_dht(json!({ "bootstrap": [hub.at("tcp")] }));
    let reply = a.ok("discover_peers", json!({}));
    for other in &others {
        let info = a.info(other.id());
        assert!(info["sources"].as_array().unwrap().contains(&json!("dht")), "{info:#}");
    }
    assert!(reply["sources"]["dht"]["heard"].as_u64().unwrap() >= 2, "{reply:#}");
    let breakdown = a.ok("get_peer_stats", json!({}));
    assert_eq!(breakdown["stats"]["peer_breakdown"]["dht_peers"], 3, "{breakdown:#}");
    assert!(
        breakdown["protocols_supported"].as_array().unwrap().contains(&json!("/peerkit/kad/1.0.0"))
    );
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let a = Peer::start();
    for params in [
        json!({ "limit": 0 }),
        json!({ "limit": 1001 }),
        json!({ "timeout": -1 }),
        json!({ "timeout": 1e300 }),
        json!({ "timeout": "1" }),
    ] {
        failed(a.call("discover_peers", params), "invalid_argument");
    }
    let reply = a.ok("discover_peers", json!({ "limit": 1000, "timeout": 1e6 }));
    assert_eq!((&reply["complete"], &reply["discovery_active"]), (&json!(true), &json!(false)));
}
