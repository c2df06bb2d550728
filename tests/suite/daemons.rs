//! Peers from the IPFS daemon and the ipfs-cluster beside a node: the peers they name are known and
//! connected, and a daemon that is down, wrong or hostile is an error that says so and no more.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::netns::{Host, Switch};
use crate::support::servers::{ApiServer, BODY_OF_A_FAULT, ClosedPort, Page};
use crate::support::{Peer, eventually, failed, loopback, some_peer_id, succeeded};

const SOON: Duration = Duration::from_secs(10);
/// The time within which a fault is reported, and the most by which a deadline is passed.
const PROMPT: Duration = Duration::from_secs(5);
const KUBO_ID: &str = include_str!("../fixtures/kubo/id.json");
const KUBO_SWARM: &str = include_str!("../fixtures/kubo/swarm_peers.json");
/// User, password, and both as they go over the wire.
const CREDENTIALS: [&str; 3] = ["someone", "hunter2", "c29tZW9uZTpodW50ZXIy"];

fn ids(list: &Value) -> Vec<&str> {
    let members = list.as_array().unwrap().iter();
    members.map(|member| member.as_str().or(member["peer_id"].as_str()).unwrap()).collect()
}

fn recorded() -> ApiServer {
    let api = ApiServer::start();
    api.page("/api/v0/id", Page::Json(KUBO_ID.to_owned()));
    api.page("/api/v0/swarm/peers", Page::Json(KUBO_SWARM.to_owned()));
    api
}

/// Returns the reply of a Kubo that is this peer at these addresses.
fn kubo_id(id: &str, addresses: &[String]) -> Value {
    json!({ "ID": id, "Addresses": addresses })
}

#[test]
fn the_peers_of_a_kubo_are_known_and_connected() {
    let (kubo, other, api) = (Peer::start(), Peer::start(), ApiServer::start());
    api.kubo(&kubo, &[&other]);
    let a = Peer::start();
    let reply = a.ok("bootstrap_from_ipfs", json!({ "api": api.url() }));
    assert_eq!(ids(&reply["peers"]), [kubo.id(), other.id()], "{reply:#}");
    assert_eq!(ids(&reply["connected"]), [kubo.id(), other.id()], "{reply:#}");
    assert_eq!(reply["failed"], json!([]), "{reply:#}");
    for peer in [&kubo, &other] {
        let discovered = a.wait_for("peer_discovered", peer.id());
        assert_eq!(discovered["source"], "ipfs", "{discovered:#}");
        assert_eq!(a.info(peer.id())["sources"], json!(["ipfs"]));
        peer.wait_for("peer_connected", a.id());
    }
    let counts = a.ok("get_peer_stats", json!({}))["stats"]["peer_breakdown"].clone();
    assert_eq!(counts["cluster_peers"], 0);
    // Once more, with everything known and connected.
    let again = a.ok("bootstrap_from_ipfs", json!({ "api": api.url() }));
    assert_eq!(again["connected"], reply["connected"]);
}

#[test]
fn what_a_real_kubo_said_is_taken_over_and_nobody_dialled_where_that_is_not_wanted() {
    let api = recorded();
    let a = Peer::start();
    let params = json!({ "api": api.url(), "connect": false });
    let reply = a.ok("bootstrap_from_ipfs", params);
    assert_eq!(reply["peers"].as_array().unwrap().len(), 3, "{reply:#}");
    assert_eq!((&reply["connected"], &reply["failed"]), (&json!([]), &json!([])));
    for row in reply["peers"].as_array().unwrap() {
        assert_eq!(row["connection_attempts"], 0, "{row:#}");
    }
    assert_eq!(a.ok("get_discovery", json!({}))["total_discovered"], 3);
}

#[test]
fn who_cannot_be_connected_is_told_of_by_peer_and_code() {
    let (b, port, api) = (Peer::start(), ClosedPort::new(), ApiServer::start());
    let dead = some_peer_id();
    api.json("/api/v0/id", &kubo_id(&dead, &[port.address()]));
    let stranger = json!({ "Peer": some_peer_id(), "Addr": b.bare("tcp") });
    let good = json!({ "Peer": b.id(), "Addr": b.bare("quic-v1") });
    api.json("/api/v0/swarm/peers", &json!({ "Peers": [stranger, good] }));
    let a = Peer::start();
    let reply = a.ok("bootstrap_from_ipfs", json!({ "api": api.url() }));
    assert_eq!(ids(&reply["connected"]), [b.id()], "{reply:#}");
    let failures = reply["failed"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{reply:#}");
    assert_eq!(failures[0]["peer_id"], json!(dead));
    assert_eq!(failures[0]["address"], json!(port.address()));
    assert_eq!(failures[0]["code"], "dial_failed");
    assert!(failures[0]["error"].as_str().unwrap().contains("refused"), "{reply:#}");
    assert_eq!(failures[1]["code"], "wrong_peer_id", "{reply:#}");
}

#[test]
fn the_members_of_a_cluster_are_counted_as_such_also_after_a_restart() {
    let data_dir = TempDir::new().unwrap();
    let (one, two, ipfs) = (Peer::start(), Peer::start(), Peer::start());
    let api = ApiServer::start();
    let member = |peer: &Peer, beside: Value| json!({ "id": peer.id(), "addresses": peer.status["listen_addrs"], "error": "", "ipfs": beside });
    let beside = json!({ "id": ipfs.id(), "addresses": ipfs.status["listen_addrs"] });
    let (one_told, two_told) = (member(&one, beside), member(&two, Value::Null));
    api.json("/id", &one_told);
    // The reply is one JSON value after the other, as ipfs-cluster 1.x sends them.
    api.page("/peers", Page::Json(format!("{one_told}\n{two_told}\n")));
    let a = Peer::with(json!({ "data_dir": data_dir.path() }));
    let reply = a.ok("bootstrap_from_cluster", json!({ "api": api.url() }));
    assert_eq!(ids(&reply["peers"]), [one.id(), ipfs.id(), two.id()], "{reply:#}");
    assert_eq!(reply["connected"].as_array().unwrap().len(), 3, "{reply:#}");
    let check = |a: &Peer| {
        let members = [(&one, true), (&ipfs, false), (&two, true)];
        for (peer, member) in members {
            assert_eq!(a.info(peer.id())["cluster_peer"], member);
        }
        let counts = a.ok("get_peer_stats", json!({}))["stats"]["peer_breakdown"].clone();
        assert_eq!(counts["cluster_peers"], 2, "{counts}");
    };
    check(&a);
    assert!(a.info(one.id())["sources"].as_array().unwrap().contains(&json!("cluster")));
    a.ok("stop", json!({}));
    drop(a);
    check(&Peer::with(json!({ "data_dir": data_dir.path() })));
}

#[test]
fn a_configured_daemon_is_asked_in_each_pass() {
    let (b, c, api) = (Peer::start(), Peer::start(), ApiServer::start());
    api.kubo(&b, &[]);
    let a = Peer::with(json!({
        "bootstrap_from_ipfs": api.url_as("someone:hunter2"), "discovery": { "interval_s": 1 },
    }));
    eventually(SOON, "they are connected", || {
        a.call("get_peer", json!({ "peer_id": b.id() }))["peer_info"]["connected"] == true
    });
    // Peers that the daemon learns of later come with a later pass.
    api.kubo(&b, &[&c]);
    let discovered = a.wait_for("peer_discovered", c.id());
    assert_eq!(discovered["source"], "ipfs");
    let report = a.ok("get_discovery", json!({}))["sources"]["ipfs"].clone();
    assert_eq!((&report["enabled"], &report["total_found"]), (&json!(true), &json!(2)));
    let requests = api.requests();
    assert!(requests.iter().all(|head| head.contains(CREDENTIALS[2])), "{requests:?}");
    // Without an `api` of its own, the operation asks the same daemon.
    let reply = a.ok("bootstrap_from_ipfs", json!({}));
    assert_eq!(ids(&reply["peers"]), [b.id(), c.id()]);
    assert_no_secrets(&a);
}

#[test]
fn a_daemon_that_is_down_is_told_of_by_its_source_and_asked_again() {
    let (b, api) = (Peer::start(), ApiServer::start());
    let a = Peer::with(json!({
        "bootstrap_from_cluster": api.url_as("someone:hunter2"), "discovery": { "interval_s": 1 },
    }));
    let report = || a.ok("get_discovery", json!({}))["sources"]["cluster"].clone();
    eventually(SOON, "the failure shows", || report()["last_error"]["code"] == "protocol");
    assert!(report()["note"].as_str().unwrap().contains("404"), "{:#}", report());
    assert_no_secrets(&a);
    api.cluster(&[&b]);
    a.wait_for("peer_connected", b.id());
}

/// Checks that nothing a user sees of this peer shows the credentials.
#[track_caller]
fn assert_no_secrets(a: &Peer) {
    let mut shown = json!(a.events_so_far()).to_string();
    for operation in ["status", "get_peer_stats", "get_peers_summary", "get_discovery"] {
        shown += &a.ok(operation, json!({})).to_string();
    }
    for secret in CREDENTIALS.into_iter().chain([BODY_OF_A_FAULT]) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn a_faulty_daemon_is_an_error_with_its_code_and_nothing_of_what_it_sent() {
    let log = TempDir::new().unwrap();
    let log = log.path().join("log");
    let a = Peer::with(json!({ "log": { "level": "trace", "file": log } }));
    let hundred_mb = 100 << 20;
    let recorded = || Page::Json(KUBO_ID.to_owned());
    let faults = [
        (Page::Status("302 Found"), "protocol", "302"),
        (Page::Status("401 Unauthorized"), "protocol", "401"),
        (Page::Status("403 Forbidden"), "protocol", "403"),
        (Page::Status("404 Not Found"), "protocol", "404"),
        (Page::Status("500 Internal Server Error"), "protocol", "500"),
        (Page::Json(BODY_OF_A_FAULT.to_owned()), "protocol", "no JSON"),
        (Page::Json(format!("{{\"Peers\":\"{BODY_OF_A_FAULT}\"}}")), "protocol", "another shape"),
        (Page::Flood { bytes: hundred_mb, told: true }, "limit_reached", "more than is read"),
        (Page::Flood { bytes: hundred_mb, told: false }, "limit_reached", "more than is read"),
    ];
    for (fault, code, why) in faults {
        let api = ApiServer::start();
        api.page("/api/v0/id", recorded());
        api.page("/api/v0/swarm/peers", fault.clone());
        api.page("/id", fault);
        for operation in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
            let begun = Instant::now();
            let reply = a.call(operation, json!({ "api": api.url_as("someone:hunter2") }));
            assert!(begun.elapsed() < PROMPT, "{operation} {why}: {:?}", begun.elapsed());
            let reply = failed(reply, code);
            assert!(reply["error"].as_str().unwrap().contains(why), "{why}: {reply:#}");
            assert!(reply["error"].as_str().unwrap().contains(&api.url()), "{reply:#}");
            assert_eq!(reply["peers"], json!([]), "{reply:#}");
            let text = reply.to_string();
            for secret in CREDENTIALS.into_iter().chain([BODY_OF_A_FAULT]) {
                assert!(!text.contains(secret), "{secret} in {text}");
            }
        }
    }
    let down = ClosedPort::new().address();
    let reply = failed(a.call("bootstrap_from_ipfs", json!({ "api": down })), "dial_failed");
    assert!(reply["hint"].as_str().unwrap().contains("daemon"), "{reply:#}");
    assert_eq!(a.ok("get_peers", json!({}))["total"], 0);
    assert_no_secrets(&a);
    a.ok("stop", json!({}));
    let log = std::fs::read_to_string(log).unwrap();
    for secret in CREDENTIALS.into_iter().chain([BODY_OF_A_FAULT]) {
        assert!(!log.contains(secret), "{secret} in the log");
    }
}

#[test]
fn no_error_about_an_api_that_cannot_be_read_shows_its_password() {
    let a = Peer::start();
    for bad in ["ftp://someone:hunter2@host", "http://someone:hunter2@host/x", "someone:hunter2"] {
        let reply =
            failed(a.call("bootstrap_from_ipfs", json!({ "api": bad })), "invalid_argument");
        assert!(!reply.to_string().contains("hunter2"), "{reply:#}");
    }
    let url = "http://someone:hunter2@127.0.0.1:5001";
    let other = json!({ "bootstrap_from_ipfs": url });
    let conflict = failed(a.call("start", json!({ "config": other })), "config_conflict");
    assert_eq!(conflict["detail"]["keys"], json!(["bootstrap_from_ipfs"]));
    assert!(!conflict.to_string().contains("hunter2"), "{conflict:#}");
}

#[test]
fn a_daemon_that_hangs_costs_no_more_than_the_deadline_and_can_be_cancelled() {
    let api = ApiServer::start();
    api.page("/api/v0/id", Page::Silence);
    api.page("/id", Page::Silence);
    let a = Peer::start();
    for operation in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
        let begun = Instant::now();
        let late = a.call_within(400, operation, json!({ "api": api.url() }));
        failed(late, "timeout");
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(390) && took < PROMPT, "{took:?}");

        let waiting = a.begin(20_000, operation, json!({ "api": api.url(), "cancel_token": 7 }));
        assert!(!api.requests().is_empty());
        eventually(SOON, "it is cancelled", || {
            a.ok("cancel", json!({ "token": 7 }))["reply"]["cancelled"] == 1
        });
        failed(waiting.reply(), "cancelled");
    }
    assert!(a.ok("status", json!({}))["uptime_seconds"].as_f64().unwrap() < 10.0);
    // A stop doesn't wait for it either.
    let waiting = a.begin(20_000, "bootstrap_from_ipfs", json!({ "api": api.url() }));
    let begun = Instant::now();
    eventually(SOON, "it is under way", || api.requests().len() >= 5);
    a.ok("stop", json!({}));
    assert!(begun.elapsed() < PROMPT);
    failed(waiting.reply(), "closed");
}

#[test]
fn a_cancel_while_its_peers_are_being_connected_ends_the_call() {
    let (silent, api) = (crate::support::servers::SilentServer::new(), ApiServer::start());
    api.json("/api/v0/id", &kubo_id(&some_peer_id(), &[silent.address()]));
    api.json("/api/v0/swarm/peers", &json!({ "Peers": null }));
    let a = Peer::start();
    let params = json!({ "api": api.url(), "cancel_token": 9 });
    let waiting = a.begin(20_000, "bootstrap_from_ipfs", params.clone());
    eventually(SOON, "it dials", || {
        let peers = a.ok("get_peers", json!({}))["peers"].clone();
        peers.as_array().unwrap().iter().any(|row| row["connection_attempts"] == 1)
    });
    assert_eq!(a.ok("cancel", json!({ "token": 9 }))["reply"]["cancelled"], 1);
    failed(waiting.reply(), "cancelled");
    // At the deadline the answer is the peers reached, and the others are listed as failed.
    let reply = succeeded(a.call_within(500, "bootstrap_from_ipfs", params));
    assert_eq!(reply["failed"][0]["code"], "dial_timeout", "{reply:#}");
}

#[test]
fn a_daemon_on_another_machine_is_not_believed_about_loopback() {
    let Some(switch) = Switch::new() else { return };
    let [ours, theirs] = ["10.77.0.1/24", "10.77.0.2/24"].map(|ip| switch.host(ip));
    let told = ["/ip4/127.0.0.1/tcp/4001", "/ip4/10.1.2.3/tcp/4001", "/ip4/8.8.8.8/tcp/4001"];
    let pages = json!({
        "/api/v0/id": kubo_id(&some_peer_id(), &told.map(str::to_owned)),
        "/api/v0/swarm/peers": { "Peers": null },
    });
    let (_kubo, port) = theirs.http(pages);
    let taken = |host: &Host, ip: &str| {
        let a = host.peer(loopback(json!({})));
        let params = json!({ "api": format!("http://{ip}:{port}"), "connect": false });
        let peers = a.ok("bootstrap_from_ipfs", params)["peers"].clone();
        (peers[0]["multiaddrs"].clone(), a)
    };
    let (beside, _near) = taken(&theirs, "127.0.0.1");
    assert_eq!(beside.as_array().unwrap().len(), 3, "{beside}");
    let (far_off, far) = taken(&ours, "10.77.0.2");
    assert!(!far_off.to_string().contains("127.0.0.1"), "{far_off}");
    assert_eq!(far_off.as_array().unwrap().len(), 2, "{far_off}");
    let dropped = far.ok("get_peer_stats", json!({}))["stats"]["dropped"].clone();
    assert_eq!(dropped["ipfs.scope"], 1, "{dropped:#}");
}

#[test]
#[ignore = "needs the URL of a running Kubo's API in KUBO_API"]
fn a_live_kubo_gives_its_peers() {
    let url = std::env::var("KUBO_API").expect("KUBO_API names a Kubo");
    let a = Peer::start();
    let reply = a.ok("bootstrap_from_ipfs", json!({ "api": url }));
    assert!(!reply["peers"].as_array().unwrap().is_empty(), "{reply:#}");
    assert!(!reply["connected"].as_array().unwrap().is_empty(), "{reply:#}");
    let kubo = reply["connected"][0].as_str().unwrap();
    eventually(SOON, "it is identified", || {
        a.info(kubo)["agent_version"].as_str().is_some_and(|agent| agent.starts_with("kubo/"))
    });
}
