//! Checks that everything named is kept: each reason, source and filter that a schema has occurs or
//! answers, and each part that isn't built yet says so.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::process::Command;

use peerkit::ops;
use serde_json::{Value, json};

use crate::support::netns::Switch;
use crate::support::servers::Meddler;
use crate::support::{Peer, failed, some_peer_id};

/// The reasons for which a connection ends, each with a test in which it does.
const REASONS: [(&str, &str); 8] = [
    (
        "local_request",
        "connecting::peers_connect_are_listed_answer_pings_and_part_over_tcp_and_quic",
    ),
    ("remote_closed", "dead_peers::a_killed_peer_is_noticed_at_once_on_tcp"),
    (
        "ping_dead",
        "dead_peers::frozen_and_killed_peers_are_noticed_within_a_minute_on_tcp_and_quic_and_idle_ones_kept",
    ),
    ("idle", "dead_peers::an_idle_timeout_that_was_asked_for_is_kept"),
    (
        "trimmed",
        "trimming::strangers_who_came_last_are_trimmed_down_to_low_water_and_whoever_was_asked_for_stays",
    ),
    ("over_budget", "work::streams_opened_and_reset_end_the_connection_and_a_bystander_is_served"),
    ("shutdown", "promises::a_stop_is_the_reason_of_its_disconnects"),
    ("error", "promises::a_connection_that_breaks_ends_in_an_error_that_says_why"),
];
/// The reasons that come with a part that isn't built yet: here, with policies.
const REASONS_TO_COME: [&str; 1] = ["blocked"];

#[test]
fn every_reason_of_a_disconnect_that_the_schema_names_occurs() {
    let schema: Value =
        serde_json::from_str(include_str!("../snapshots/event_schema.json")).unwrap();
    let kinds = schema["oneOf"].as_array().unwrap();
    let kind =
        kinds.iter().find(|kind| kind["properties"]["event"]["const"] == "peer_disconnected");
    let reasons = kind.unwrap()["properties"]["reason"]["oneOf"].as_array().unwrap();
    let named: BTreeSet<_> =
        reasons.iter().map(|reason| reason["const"].as_str().unwrap()).collect();
    let occur = REASONS.iter().map(|(reason, _)| *reason).chain(REASONS_TO_COME);
    assert_eq!(named, occur.collect());

    let list = Command::new(std::env::current_exe().unwrap()).arg("--list").output().unwrap();
    let tests = String::from_utf8(list.stdout).unwrap();
    for (reason, test) in REASONS {
        assert!(tests.lines().any(|line| line == format!("{test}: test")), "{reason}: no {test}");
    }
}

#[test]
fn a_connection_that_breaks_ends_in_an_error_that_says_why() {
    let a = Peer::start();
    for security in ["tls", "noise"] {
        let b = Peer::raw(json!({ "security": security, "identify": "real" }));
        let between = Meddler::before(&b);
        a.connect(&format!("{}/p2p/{}", between.address(), b.id()));
        between.garble();
        let gone = a.wait_for("peer_disconnected", b.id());
        // The connection breaks though neither side closed it, and neither is dead.
        assert_eq!(gone["reason"], "error", "{security}: {gone:#}");
        assert!(gone["error"].as_str().is_some_and(|error| !error.is_empty()), "{gone:#}");
        assert_eq!(a.info(b.id())["last_disconnect"]["reason"], "error");
        a.connect(&b.at("tcp"));
    }
}

#[test]
fn a_stop_is_the_reason_of_its_disconnects() {
    let (a, b) = (Peer::start(), Peer::start());
    a.connect(&b.at("tcp"));
    a.ok("stop", json!({}));
    let gone = a.wait_for("peer_disconnected", b.id());
    assert_eq!(
        (&gone["reason"], &gone["inferred"]),
        (&json!("shutdown"), &json!(false)),
        "{gone:#}"
    );
}

#[test]
fn lookups_name_those_who_are_asked_and_the_book_is_not_among_them() {
    let a = Peer::start();
    let known = some_peer_id();
    let address = "/ip4/127.0.0.1/tcp/1";
    a.ok("add_peer", json!({ "peer_id": known, "multiaddrs": [address] }));
    let found = a.ok("find_peer", json!({ "peer_id": known }));
    assert_eq!((&found["found_by"], &found["multiaddrs"]), (&json!("book"), &json!([address])));
    let asked = found["lookups"].as_array().unwrap().iter();
    let asked: Vec<_> = asked.map(|lookup| lookup["source"].as_str().unwrap()).collect();
    assert_eq!(asked, ["dht", "exchange"], "{found:#}");
    // The schema promises the same to agents, who read it.
    let schema = serde_json::to_value(ops::find("find_peer").unwrap().reply_schema()).unwrap();
    let lookup = &schema["properties"]["lookups"]["items"]["properties"]["source"];
    let told = lookup["description"].as_str().unwrap_or_else(|| panic!("{schema:#}"));
    let named: Vec<_> = told.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, ["dht", "exchange"], "{told}");
}

#[test]
fn a_filter_by_what_no_peer_can_have_yet_is_unsupported() {
    let a = Peer::start();
    let known = some_peer_id();
    a.ok("add_peer", json!({ "peer_id": known }));
    for (name, value) in
        [("tag", "friend"), ("policy", "keep"), ("policy", "off"), ("policy", "blocked")]
    {
        let refused = failed(a.call("list_peers", json!({ name: value })), "unsupported");
        assert!(refused["error"].as_str().unwrap().contains(name), "{refused:#}");
        assert_eq!(refused["detail"]["parameter"], name, "{refused:#}");
        assert_eq!(refused["peers"], json!([]), "{refused:#}");
    }
    // The policy `normal` is that of every peer.
    assert_eq!(a.info(&known)["policy"], "normal");
    let all = a.ok("list_peers", json!({ "policy": "normal" }));
    assert_eq!(
        (&all["pagination"]["total"], &all["peers"][0]["peer_id"]),
        (&json!(1), &json!(known))
    );
}

#[test]
fn interfaces_that_multicast_dns_leaves_out_are_told_of() {
    /// The most interfaces that peerkit speaks multicast DNS on.
    const MOST: usize = 32;
    let Some(switch) = Switch::new() else { return };
    let host = switch.host("10.77.0.1/24");
    let peer = |interfaces: usize| {
        let mut commands = String::new();
        for n in 0..interfaces / 2 {
            let _ = write!(
                commands,
                "link add a{n} type veth peer name b{n}\n\
                 address add 10.78.{n}.1/24 dev a{n}\naddress add 10.79.{n}.1/24 dev b{n}\n\
                 link set a{n} up\nlink set b{n} up\n"
            );
        }
        host.ip_commands(&commands);
        host.peer(json!({ "profile": "lan", "limits": { "low_water": 0 } }))
    };
    let note = |peer: &Peer| {
        let found = peer.ok("discover_peers", json!({}));
        found["sources"]["mdns"]["note"].as_str().unwrap_or_default().to_owned()
    };
    let few = peer(0);
    assert!(!note(&few).contains("interfaces"), "{}", note(&few));
    drop(few);
    // The number counts `eth0` as well.
    let many = peer(MOST + 2);
    assert!(
        note(&many).contains("3 interfaces"),
        "it doesn't say that 3 are left out: {}",
        note(&many)
    );
}
