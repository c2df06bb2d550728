//! Peers find one another, and the peers that have some content, through the DHT; what it doesn't know,
//! by asking the peers they are connected to.

use std::time::{Duration, Instant};

use cid::Cid;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::netns::Switch;
use crate::support::servers::SilentServer;
use crate::support::{Peer, attempts, eventually, failed, some_peer_id, succeeded};

/// The time in which news passes from peer to peer, with no call that waits for it.
const SOON: Duration = Duration::from_secs(10);
const CIDV0: &str = "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKS7QX";

/// Returns a configuration with the DHT and no other source.
fn only_dht(mode: &str, keys: Value) -> Value {
    let mut config = json!({
        "discovery": { "dht": mode, "gossip": false, "mdns": false, "interval_s": 2 },
    });
    for (key, value) in keys.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn with_dht(keys: Value) -> Peer {
    Peer::with(only_dht("server", keys))
}

fn without_dht(keys: Value) -> Peer {
    Peer::with(only_dht("off", keys))
}

/// Starts a peer that answers the DHT, and dials and asks nobody.
fn passive(options: Value) -> Peer {
    let mut all = json!({ "identify": "real", "kad": {} });
    for (key, value) in options.as_object().unwrap() {
        all[key] = value.clone();
    }
    Peer::raw(all)
}

/// Returns the address a raw peer listens at.
fn raw_at(peer: &Peer) -> &str {
    peer.status["listen_addrs"][0].as_str().unwrap()
}

fn one(peer: &str) -> Value {
    json!({ "peer_id": peer })
}

/// Returns the sources that were asked, and how many addresses each knew.
fn lookups(reply: &Value) -> Vec<(&str, u64)> {
    let steps = reply["lookups"].as_array().unwrap().iter();
    steps.map(|step| (step["source"].as_str().unwrap(), step["found"].as_u64().unwrap())).collect()
}

/// Returns the sources of the addresses that were tried, and whether each worked.
fn tried(reply: &Value) -> Vec<(&str, bool)> {
    let attempts = reply["attempts"].as_array().unwrap().iter();
    attempts.map(|a| (a["source"].as_str().unwrap(), a["stage"].is_null())).collect()
}

/// Starts a peer that has joined this one and runs no passes any more.
fn idle_neighbour(of: &Peer, keys: Value) -> Peer {
    let peer = with_dht(keys);
    peer.connect(&of.at("tcp"));
    peer.wait_for("peer_identified", of.id());
    of.wait_for("peer_identified", peer.id());
    peer.ok("stop_discovery", json!({}));
    peer
}

#[test]
fn twenty_processes_given_one_bootstrap_address_know_one_another_within_thirty_seconds() {
    // Unused connections close, so that not everybody is connected to everybody.
    let few = json!({
        "limits": { "low_water": 0 }, "idle_timeout_s": 1,
        "discovery": { "dht": "server", "gossip": false, "mdns": false, "interval_s": 20 },
    });
    let keys = |further: Value| {
        let mut keys = few.clone();
        keys.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        keys
    };
    let first = with_dht(few.clone());
    let bootstrap = first.at("tcp");
    let data_dir = TempDir::new().unwrap();
    let stored = keys(json!({ "data_dir": data_dir.path() }));
    let started = Instant::now();
    let others: Vec<Peer> = std::thread::scope(|scope| {
        let start = |nth: usize| {
            let mut keys = if nth == 0 { stored.clone() } else { few.clone() };
            keys["bootstrap"] = json!([bootstrap]);
            scope.spawn(move || with_dht(keys))
        };
        let starting: Vec<_> = (0..19).map(start).collect();
        starting.into_iter().map(|peer| peer.join().unwrap()).collect()
    });
    let everybody = || others.iter().chain([&first]);
    for peer in everybody() {
        let left = Duration::from_secs(30).saturating_sub(started.elapsed());
        eventually(left, "everybody is known", || {
            everybody().filter(|other| other.id() != peer.id()).count() == peer.ids(None).len()
        });
    }
    eprintln!("everybody knows everybody after {:?}", started.elapsed());

    for nth in 0..19 {
        let (peer, other) = (&others[nth], &others[(nth + 7) % 19]);
        eventually(Duration::from_secs(30), "a pair is left alone", || {
            let connected = peer.ok("connect_peer", one(other.id()));
            connected["already_connected"] == false
        });
    }
    eprintln!("every peer has connected to another by its id after {:?}", started.elapsed());

    first.kill();
    let late = with_dht(keys(json!({ "bootstrap": [others[4].at("tcp")] })));
    for nth in [1, 8, 17] {
        let asked = Instant::now();
        let found = others[nth].ok("find_peer", one(others[nth + 1].id()));
        assert_eq!(found["found_by"], "dht", "{found:#}");
        eprintln!("found without the first after {:?}", asked.elapsed());
    }
    late.wait_for("peer_identified", others[4].id());
    others[11].ok("connect_peer", one(late.id()));

    let restarted = &others[0];
    let (id, other) = (restarted.id().to_owned(), others[13].id());
    succeeded(restarted.call("stop", json!({})));
    restarted.kill();
    let restarted = with_dht(stored.clone());
    let asked = Instant::now();
    let found = restarted.ok("find_peer", one(other));
    let took = asked.elapsed();
    eprintln!("found after the restart after {took:?}: {:?}", lookups(&found));
    assert_eq!((restarted.id(), &found["found_by"]), (id.as_str(), &json!("dht")), "{found:#}");
    assert!(took < Duration::from_secs(1), "{took:?}: {found:#}");
}

#[test]
fn three_peers_given_one_bootstrap_address_know_one_another() {
    let a = with_dht(json!({}));
    let b = with_dht(json!({ "bootstrap": [a.at("tcp")] }));
    let c = with_dht(json!({ "bootstrap": [a.at("quic-v1")] }));
    for (knows, known) in [(&b, &c), (&c, &b), (&a, &b), (&a, &c)] {
        eventually(SOON, "they know one another", || {
            knows.ids(None).iter().any(|id| id == known.id())
        });
    }
    // The address of a is on b's bootstrap list; b or c, or both, discovered the other by the DHT.
    let sources = |peer: &Peer, of: &Peer| peer.info(of.id())["sources"].clone();
    assert!(sources(&b, &a).as_array().unwrap().contains(&json!("bootstrap")));
    let met = [sources(&b, &c), sources(&c, &b)];
    assert!(
        met.iter().any(|sources| sources.as_array().unwrap().contains(&json!("dht"))),
        "{met:?}"
    );
}

#[test]
fn connect_by_id_says_who_knew() {
    let middle = with_dht(json!({}));
    let asker = idle_neighbour(&middle, json!({}));
    // libp2p-kad runs a query of its own after its table has changed, and may meet the peer first.
    let connected = (0..5).find_map(|_| {
        let sought = passive(json!({}));
        middle.connect(raw_at(&sought));
        middle.wait_for("peer_identified", sought.id());
        let connected = asker.ok("connect_peer", one(sought.id()));
        (connected["already_connected"] == false && tried(&connected) == [("dht", true)])
            .then_some(connected)
    });
    let connected = connected.expect("the DHT was asked");
    assert_eq!(lookups(&connected), [("dht", 1)], "{connected:#}");
    let record = asker.info(connected["peer_id"].as_str().unwrap());
    assert!(record["sources"].as_array().unwrap().contains(&json!("dht")), "{record:#}");
}

#[test]
fn with_the_dht_off_connected_peers_are_asked() {
    let [a, b, c] = [(); 3].map(|()| without_dht(json!({})));
    for peer in [&b, &c] {
        peer.connect(&a.at("tcp"));
        a.wait_for("peer_identified", peer.id());
        peer.wait_for("peer_identified", a.id());
    }
    let connected = b.ok("connect_peer", one(c.id()));
    assert_eq!(lookups(&connected)[0], ("dht", 0), "{connected:#}");
    assert_eq!(connected["lookups"][0]["error"], "the DHT is off");
    assert_eq!((lookups(&connected)[1].0, tried(&connected)[0].0), ("exchange", "exchange"));
    assert_eq!(connected["already_connected"], false);
    let found = b.ok("find_peer", one(c.id()));
    assert_eq!(found["found_by"], "exchange", "{found:#}");
}

#[test]
fn a_peer_whose_stored_address_is_dead_is_found_at_its_new_one() {
    for mode in ["off", "server"] {
        let source = if mode == "off" { "exchange" } else { "dht" };
        let [middle, asker] = [(); 2].map(|()| Peer::with(only_dht(mode, json!({}))));
        asker.connect(&middle.at("tcp"));
        asker.wait_for("peer_identified", middle.id());
        asker.ok("stop_discovery", json!({}));
        let moves = |seed: u64| {
            let before = passive(json!({ "seed": seed }));
            asker.connect(raw_at(&before));
            asker.wait_for("peer_identified", before.id());
            before.kill();
            asker.wait_for("peer_disconnected", before.id());
            let after = passive(json!({ "seed": seed }));
            middle.connect(raw_at(&after));
            middle.wait_for("peer_identified", after.id());
            let connected = asker.ok("connect_peer", one(after.id()));
            let dead_first = tried(&connected) == [("user", false), (source, true)];
            dead_first.then_some((after, connected))
        };
        let (after, connected) = (1..6).find_map(moves).expect("others were asked");
        assert_eq!(lookups(&connected).last(), Some(&(source, 1)), "{connected:#}");
        assert!(raw_at(&after).starts_with(connected["address"].as_str().unwrap()));
    }
}

#[test]
fn an_address_that_never_answers_leaves_time_to_ask_others() {
    let [middle, asker] = [(); 2].map(|()| without_dht(json!({})));
    asker.connect(&middle.at("tcp"));
    asker.wait_for("peer_identified", middle.id());
    let sought = without_dht(json!({}));
    sought.connect(&middle.at("tcp"));
    middle.wait_for("peer_identified", sought.id());
    let silent = SilentServer::new();
    asker.ok("add_peer", json!({ "peer_id": sought.id(), "multiaddrs": [silent.address()] }));
    let asked = Instant::now();
    let connected = succeeded(asker.call_within(4000, "connect_peer", one(sought.id())));
    assert_eq!(tried(&connected)[..1], [("user", false)], "{connected:#}");
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
}

#[test]
fn whom_nobody_knows_has_no_addresses() {
    let middle = with_dht(json!({}));
    let asker = idle_neighbour(&middle, json!({}));
    let nobody = failed(asker.call("connect_peer", one(&some_peer_id())), "no_addresses");
    assert_eq!(lookups(&nobody["detail"]), [("dht", 0), ("exchange", 0)], "{nobody:#}");
    assert_eq!(attempts(&nobody).len(), 0);
    let nobody = failed(asker.call("find_peer", one(&some_peer_id())), "peer_not_found");
    assert_eq!(lookups(&nobody["detail"]), [("dht", 0), ("exchange", 0)], "{nobody:#}");
    let alone = with_dht(json!({}));
    let nobody = failed(alone.call("find_peer", one(&some_peer_id())), "peer_not_found");
    let steps = nobody["detail"]["lookups"].as_array().unwrap();
    assert_eq!(steps.iter().filter(|step| step["error"].is_string()).count(), 2, "{nobody:#}");
}

#[test]
fn a_search_among_frozen_peers_ends_in_time_and_can_be_cancelled() {
    let middle = with_dht(json!({}));
    let asker = idle_neighbour(&middle, json!({}));
    middle.freeze();
    for (method, code) in [("find_peer", "timeout"), ("connect_peer", "no_addresses")] {
        let asked = Instant::now();
        let ended = failed(asker.call_within(1500, method, one(&some_peer_id())), code);
        assert!(asked.elapsed() < Duration::from_millis(2500), "{:?}", asked.elapsed());
        assert_eq!(lookups(&ended["detail"]), [("dht", 0), ("exchange", 0)], "{ended:#}");
    }
    let cid = json!({ "cid": CIDV0 });
    for (method, mut params) in [
        ("find_peer", one(&some_peer_id())),
        ("connect_peer", one(&some_peer_id())),
        ("find_providers", cid.clone()),
        ("provide", cid),
    ] {
        params["cancel_token"] = json!(7);
        let call = asker.begin(20_000, method, params);
        eventually(SOON, "the call is there to be cancelled", || {
            asker.call("cancel", json!({ "token": 7 }))["reply"]["cancelled"] == 1
        });
        failed(call.reply(), "cancelled");
    }
    // With time for both steps, the search itself gives up.
    let nobody =
        failed(asker.call_within(9000, "find_peer", one(&some_peer_id())), "peer_not_found");
    assert_eq!(lookups(&nobody["detail"]).len(), 2, "{nobody:#}");
}

#[test]
fn content_is_found_under_every_form_of_its_cid() {
    let v0 = Cid::try_from(CIDV0).unwrap();
    let v1 = Cid::new_v1(0x55, *v0.hash()).to_string();
    let middle = with_dht(json!({}));
    let [a, b] = [(); 2].map(|()| idle_neighbour(&middle, json!({})));
    let none = b.ok("find_providers", json!({ "cid": v1 }));
    assert_eq!(none["peers"], json!([]), "{none:#}");
    let provided = a.ok("provide", json!({ "cid": CIDV0 }));
    assert_eq!(provided["cid"], CIDV0);
    // The sender knows only that the record was sent.
    eventually(SOON, "the provider is found", || {
        let found = b.ok("find_providers", json!({ "cid": v1 }));
        let peers = found["peers"].as_array().unwrap();
        let [provider] = peers.as_slice() else { return false };
        assert_eq!((&found["cid"], &provider["peer_id"]), (&json!(v1), &json!(a.id())));
        provider["multiaddrs"].as_array().unwrap().contains(&json!(a.bare("tcp")))
    });
    let limited = middle.ok("find_providers", json!({ "cid": CIDV0, "limit": 1 }));
    assert_eq!(limited["peers"][0]["peer_id"], a.id());
}

#[test]
fn content_needs_a_dht_with_somebody_in_it() {
    let (off, alone) = (without_dht(json!({})), with_dht(json!({})));
    for method in ["provide", "find_providers"] {
        failed(off.call(method, json!({ "cid": CIDV0 })), "unsupported");
        failed(alone.call(method, json!({ "cid": CIDV0 })), "not_connected");
        failed(alone.call(method, json!({ "cid": "no cid" })), "invalid_argument");
    }
    // The only peer it knows is gone: nothing is claimed.
    let gone = passive(json!({}));
    alone.connect(raw_at(&gone));
    alone.wait_for("peer_identified", gone.id());
    gone.freeze();
    failed(alone.call_within(1000, "provide", json!({ "cid": CIDV0 })), "timeout");
}

/// Tells whether the DHT knows where the peer is, which connects to the middle of the DHT.
fn in_the_table(sought: &Peer) -> bool {
    let middle = with_dht(json!({}));
    sought.connect(&middle.at("tcp"));
    middle.wait_for("peer_identified", sought.id());
    let asker = Peer::with(only_dht("client", json!({})));
    asker.connect(&middle.at("tcp"));
    asker.wait_for("peer_identified", middle.id());
    let found = asker.ok("find_peer", one(sought.id()));
    // A client may ask, and finds the peers that answer.
    assert_eq!(asker.ok("find_peer", one(middle.id()))["found_by"], "dht");
    lookups(&found)[0] != ("dht", 0)
}

#[test]
fn a_client_asks_and_is_in_no_table() {
    assert!(in_the_table(&with_dht(json!({}))));
    assert!(!in_the_table(&Peer::with(only_dht("client", json!({})))));
}

#[test]
fn auto_is_a_client_until_it_can_be_reached() {
    assert!(!in_the_table(&Peer::with(only_dht("auto", json!({})))));
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("/ip4/127.0.0.1/tcp/{free}");
    // An address that isn't announced is no sign that the rest can be reached.
    let shy = json!({ "listen": [listen], "no_announce": ["/ip4/127.0.0.1/tcp/9"] });
    assert!(!in_the_table(&Peer::with(only_dht("auto", shy))));
    let advertised = json!({ "listen": [listen], "advertise": [listen] });
    assert!(in_the_table(&Peer::with(only_dht("auto", advertised))));
}

#[test]
fn dead_peers_leave_the_table() {
    let asker = with_dht(json!({ "limits": { "low_water": 0 } }));
    asker.ok("stop_discovery", json!({}));
    let peers: Vec<Peer> = (0..8).map(|_| passive(json!({}))).collect();
    for peer in &peers {
        asker.connect(raw_at(peer));
        asker.wait_for("peer_identified", peer.id());
    }
    for peer in &peers[1..] {
        peer.kill();
        asker.wait_for("peer_disconnected", peer.id());
    }
    failed(asker.call("find_peer", one(&some_peer_id())), "peer_not_found");
    peers[0].kill();
    asker.wait_for("peer_disconnected", peers[0].id());
    failed(asker.call("find_peer", one(&some_peer_id())), "peer_not_found");
    // The last peer was forgotten in that search.
    eventually(SOON, "nobody is left", || {
        asker.call("find_providers", json!({ "cid": CIDV0 }))["code"] == "not_connected"
    });
}

#[test]
fn connections_that_queries_opened_are_closed_after_use() {
    let middle = with_dht(json!({}));
    let others: Vec<Peer> = (0..6).map(|_| passive(json!({}))).collect();
    for other in &others {
        middle.connect(raw_at(other));
        middle.wait_for("peer_identified", other.id());
    }
    let peer = Peer::with_grace(only_dht("server", json!({ "limits": { "low_water": 2 } })));
    peer.connect(&middle.at("tcp"));
    eventually(SOON, "a query reached the others", || peer.ids(Some("connected")).len() == 7);
    let wanted = others[3].id();
    assert_eq!(peer.ok("connect_peer", one(wanted))["already_connected"], true);
    peer.ok("stop_discovery", json!({}));
    let trimmed = |event: &Value| event["reason"] == "trimmed";
    for _ in 0..5 {
        peer.wait_event(Duration::from_secs(40), trimmed);
    }
    let mut left = peer.ids(Some("connected"));
    left.sort();
    let mut asked_for = vec![middle.id().to_owned(), wanted.to_owned()];
    asked_for.sort();
    assert_eq!(left, asked_for);
}

#[test]
fn a_peer_the_user_disconnected_is_dialled_by_nobody_else() {
    let data_dir = TempDir::new().unwrap();
    let middle = with_dht(json!({ "limits": { "low_water": 0 } }));
    let shunned = passive(json!({}));
    middle.connect(raw_at(&shunned));
    middle.wait_for("peer_identified", shunned.id());
    let stored = json!({
        "data_dir": data_dir.path(), "bootstrap": [middle.at("tcp"), raw_at(&shunned)],
    });
    let peer = with_dht(stored.clone());
    peer.wait_for("peer_identified", shunned.id());
    peer.ok("disconnect_peer", one(shunned.id()));
    let stays_away = |peer: &Peer, connections: u64| {
        for _ in 0..3 {
            // These dial by bootstrap, by the DHT's queries and at the end of a pass.
            peer.ok("discover_peers", json!({}));
            peer.ok("find_peer", one(shunned.id()));
        }
        let record = peer.info(shunned.id());
        assert_eq!(record["connected"], false, "{record:#}");
        assert_eq!(record["successful_connections"], connections, "{record:#}");
    };
    stays_away(&peer, 1);
    succeeded(peer.call("stop", json!({})));
    peer.kill();
    let peer = with_dht(stored);
    peer.wait_for("peer_identified", middle.id());
    stays_away(&peer, 1);
    // The user wants it again.
    assert_eq!(peer.ok("connect_peer", one(shunned.id()))["already_connected"], false);
    peer.ok("disconnect_peer", one(shunned.id()));
    stays_away(&peer, 2);
}

#[test]
fn a_peer_the_user_disconnected_may_come_by_itself() {
    let (us, them) = (with_dht(json!({})), with_dht(json!({})));
    us.connect(&them.at("tcp"));
    them.wait_for("peer_identified", us.id());
    them.ok("stop_discovery", json!({}));
    us.ok("disconnect_peer", one(them.id()));
    them.wait_for("peer_disconnected", us.id());
    us.ok("discover_peers", json!({}));
    them.connect(&us.at("tcp"));
    us.wait_for("peer_identified", them.id());
    them.ok("disconnect_peer", one(us.id()));
    us.wait_for("peer_disconnected", them.id());
    // They connected to us, so automatic dials to them are enabled again.
    let again = |event: &Value| {
        event["event"] == "peer_connected"
            && event["peer_id"] == them.id()
            && event["direction"] == "outbound"
    };
    us.events_so_far();
    us.ok("discover_peers", json!({}));
    us.wait_event(SOON, again);
}

#[test]
fn peers_on_public_addresses_find_one_another() {
    let Some(switch) = Switch::new() else { return };
    let hosts: Vec<_> = (1..=4).map(|n| switch.host(&format!("44.0.0.{n}/24"))).collect();
    let config = |n: usize, bootstrap: Value| {
        let ip = format!("/ip4/44.0.0.{n}/tcp/4001");
        only_dht(
            "server",
            json!({
                "profile": "internet", "listen": [ip], "bootstrap": bootstrap, "protocol_prefix": "/test",
            }),
        )
    };
    let first = hosts[0].peer(config(1, json!([])));
    let others: Vec<_> =
        (2..=4).map(|n| hosts[n - 1].peer(config(n, json!([first.at("tcp")])))).collect();
    for peer in &others {
        eventually(Duration::from_secs(20), "everybody is known", || peer.ids(None).len() == 3);
    }
}
