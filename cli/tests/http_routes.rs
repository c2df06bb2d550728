//! REST: what the routes answer, with a real second peer.

use serde_json::{Value, json};

use crate::support::http::{Answer, Server, tcp_address};
use crate::support::process::Running;

/// The thirteen routes under one prefix, by what they do.
struct Prefix {
    peers: &'static str,
    rest: &'static str,
    connect: fn(&str) -> String,
    disconnect: fn(&str) -> String,
}

const PREFIXES: [Prefix; 2] = [
    Prefix {
        peers: "/api/peers",
        rest: "/api/peers",
        connect: |id| format!("/api/peers/{id}/connect"),
        disconnect: |id| format!("/api/peers/{id}/disconnect"),
    },
    Prefix {
        peers: "/api/v0/libp2p/peers",
        rest: "/api/v0/libp2p",
        connect: |id| format!("/api/v0/libp2p/peers/connect/{id}"),
        disconnect: |id| format!("/api/v0/libp2p/peers/disconnect/{id}"),
    },
];

#[test]
fn a_whole_number_may_be_written_as_a_float_and_never_as_a_text() {
    let server = Server::start(&[]);
    let list = "/api/call/list_peers";
    let page = server.post(list, r#"{"limit": 10.0, "offset": 1e1}"#).with_status(200);
    assert_eq!(
        (&page["pagination"]["limit"], &page["pagination"]["offset"]),
        (&json!(10), &json!(10))
    );
    let page = server.get("/api/peers/list?limit=1e1").data();
    assert_eq!(page["pagination"]["limit"], 10);
    for (bad, hint) in [("10.5", Value::Null), ("\"10\"", json!("write it without quotes: 10"))] {
        let refused = server.post(list, &format!(r#"{{"limit": {bad}}}"#)).with_status(400);
        let error = refused["error"].as_str().unwrap();
        assert_eq!(error, format!("`limit` must be a whole number from 1 to 500, not {bad}"));
        assert_eq!(refused["hint"], hint);
    }
}

#[test]
fn the_thirteen_routes_of_each_prefix_do_what_they_say() {
    for prefix in PREFIXES {
        let server = Server::start(&[]);
        let other = Running::node();
        let address = tcp_address(&other.first_line);
        let id = other.first_line["peer_id"].as_str().unwrap();
        let mut client = server.client();
        let Prefix { peers, rest, .. } = prefix;

        let unknown = client.get(&format!("{peers}/{id}"));
        assert_eq!(unknown.refused(404), "peer_not_found");

        // The address in a body under one prefix, in the query under the other.
        let connect = (prefix.connect)(id);
        let connected: Answer = match peers {
            "/api/peers" => client.post(&connect, &json!({"multiaddr": address}).to_string()),
            _ => client.post(&format!("{connect}?multiaddr={address}&timeout_ms=10000"), ""),
        };
        let reply = connected.with_status(200);
        assert_eq!(reply["data"]["peer_id"], id);
        assert_eq!(reply["data"]["already_connected"], false);
        assert!(reply["message"].as_str().unwrap().starts_with("connected"));

        let summary = client.get(&format!("{peers}/summary")).data();
        assert_eq!((&summary["total_peers"], &summary["connected_peers"]), (&json!(1), &json!(1)));
        assert!(summary["recent_events"].is_array() && summary["protocols"].is_object());

        let list =
            client.get(&format!("{peers}/list?limit=1&offset=0&filter_connected=true")).data();
        assert_eq!(list["peers"][0]["peer_id"], id);
        assert_eq!(list["pagination"]["limit"], 1);
        let none = client.get(&format!("{peers}/list?filter_protocol=/no/such/1.0.0")).data();
        assert_eq!(none["peers"], json!([]));

        let found = client.get(&format!("{peers}/search?query={}", &id[20..30])).data();
        assert_eq!((&found["total"], &found["peers"][0]["peer_id"]), (&json!(1), &json!(id)));

        let peer = client.get(&format!("{peers}/{id}")).data();
        assert_eq!(peer["peer"]["connected"], true);
        assert_eq!(peer["metadata"], json!({}));
        assert_eq!(peer["connection_history"].as_array().unwrap().len(), 1);
        let nothing = json!({"pins": [], "files": [], "metadata": {}, "knowledge_base": {}, "available": false});
        assert_eq!(peer["shared_content"], nothing);
        assert_eq!(client.get(&format!("{peers}/{id}/content")).data(), nothing);

        let stats = client.get(&format!("{rest}/network/stats")).data();
        assert_eq!(stats["connected_peers"], 1);
        assert_eq!(stats["host_id"], server.peer_id());
        assert_eq!(stats["stats"]["total_peers"], 1);

        discovery(&server, rest);
        bootstrap(&server, rest, &address);

        let disconnected = client.post(&(prefix.disconnect)(id), "").with_status(200);
        assert_eq!(disconnected["data"]["was_connected"], true);
        assert!(disconnected["message"].is_string());
        assert_eq!(client.get(&format!("{peers}/{id}")).data()["peer"]["connected"], false);
    }
}

fn discovery(server: &Server, rest: &str) {
    let active = || {
        let status = server.get(&format!("{rest}/discovery/status")).data();
        let fields: Vec<_> = status.as_object().unwrap().keys().map(String::as_str).collect();
        let expected = [
            "discovery_active",
            "total_discovered",
            "discovery_events",
            "bootstrap_peers",
            "supported_protocols",
        ];
        assert_eq!(fields, expected);
        assert!(status["discovery_events"].as_array().unwrap().len() <= 10);
        assert!(!status["supported_protocols"].as_array().unwrap().is_empty());
        status["discovery_active"].as_bool().unwrap()
    };
    let started = server.post(&format!("{rest}/discovery/start"), "").with_status(200);
    assert_eq!(started["message"], "Peer discovery started");
    assert!(active());
    let stopped = server.post(&format!("{rest}/discovery/stop"), "").with_status(200);
    assert_eq!(stopped["message"], "Peer discovery stopped");
    assert!(!active());
}

fn bootstrap(server: &Server, rest: &str, address: &str) {
    let body = json!({"multiaddr": address}).to_string();
    let added = server.post(&format!("{rest}/bootstrap/add"), &body).with_status(200);
    assert_eq!(added["data"]["bootstrap_peers"], json!([address]));
    assert_eq!(added["message"], "Bootstrap peer added");
    let again =
        server.post(&format!("{rest}/bootstrap/add?multiaddr={address}"), "").with_status(200);
    assert_eq!(again["message"], "Bootstrap peer was in the list already");
    let removed = server.post(&format!("{rest}/bootstrap/remove"), &body).with_status(200);
    assert_eq!(removed["data"]["bootstrap_peers"], json!([]));
}

#[test]
fn what_a_peer_shares_is_there_empty_and_said_to_be_unknown() {
    let server = Server::start(&[]);
    let other = Running::node();
    let id = other.first_line["peer_id"].as_str().unwrap();
    let address = tcp_address(&other.first_line);
    server
        .post("/api/call/add_peer", &json!({"multiaddrs": [address]}).to_string())
        .with_status(200);
    for (part, name, nothing) in [
        ("metadata", "metadata", json!({})),
        ("pinset", "pins", json!([])),
        ("files", "files", json!([])),
    ] {
        let data = server.get(&format!("/api/v0/libp2p/peers/{id}/{part}")).data();
        assert_eq!(data, json!({"peer_id": id, name: nothing, "available": false}));
        let nobody = server.get(&format!("/api/v0/libp2p/peers/{}/{part}", server.peer_id()));
        assert_eq!(nobody.refused(404), "peer_not_found");
    }
}

#[test]
fn any_operation_is_called_by_its_name_and_answers_with_the_plain_envelope() {
    let server = Server::start(&[]);
    let reply = server.post("/api/call/list_peers", r#"{"limit": 3}"#).with_status(200);
    assert_eq!((&reply["method"], &reply["source"]), (&json!("list_peers"), &json!("peerkit")));
    assert_eq!(reply["pagination"]["limit"], 3);
    let alias = server.post("/api/call/get_peer_info", r#"{"peer_id": "12D3KooW"}"#);
    assert_eq!(alias.refused(400), "invalid_peer_id");
    assert_eq!(server.post("/api/call/no_such", "").refused(404), "unknown_method");
    let slow = server.post("/api/call/discover_peers?timeout_ms=3600001", "");
    assert_eq!(slow.refused(400), "invalid_argument");
    assert_eq!(server.post("/api/call/list_peers?limit=3", "").refused(400), "invalid_argument");
}

#[test]
fn statuses_say_what_went_wrong() {
    let server = Server::start(&[]);
    let id = server.peer_id();
    let call =
        |op: &str, params: Value| server.post(&format!("/api/call/{op}"), &params.to_string());
    assert_eq!(call("connect_peer", json!({"peer_id": id})).refused(400), "self_dial");
    let refused = call("connect_peer", json!({"multiaddr": "/ip4/127.0.0.1/tcp/1"}));
    assert_eq!(refused.refused(424), "dial_failed");
    let stranger = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
    assert_eq!(call("connect_peer", json!({"peer_id": stranger})).refused(404), "no_addresses");
    assert_eq!(
        call("disconnect_peer", json!({"peer_id": stranger})).refused(404),
        "peer_not_found"
    );
    call("add_peer", json!({"multiaddrs": [format!("/ip4/127.0.0.1/tcp/1/p2p/{stranger}")]}));
    assert_eq!(call("ping_peer", json!({"peer_id": stranger})).refused(409), "not_connected");
    let query = server.get("/api/peers/list?limti=3").with_status(400);
    assert_eq!(query["detail"]["nearest"], "limit");
    for wrong in ["limit=0", "limit=501", "limit=x", "filter_connected=perhaps", "sort=beauty"] {
        assert_eq!(
            server.get(&format!("/api/peers/list?{wrong}")).refused(400),
            "invalid_argument"
        );
    }
}

#[test]
fn a_failure_says_which_route_helps() {
    let server = Server::start(&[]);
    let stranger = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
    let hint = |answer: Answer| answer.json()["hint"].as_str().unwrap().to_owned();
    // As an envelope, in the shape of the Python project's routes, and where a stranger asks.
    let known = "`POST /api/call/connect_peer` or `POST /api/call/add_peer` with an address makes a peer known";
    let params = json!({"peer_id": stranger}).to_string();
    assert_eq!(hint(server.post("/api/call/get_peer", &params)), known);
    assert_eq!(hint(server.get(&format!("/api/peers/{stranger}"))), known);
    assert_eq!(hint(server.stranger().get(&format!("/api/peers/{stranger}/content"))), known);
    server.post(
        "/api/call/add_peer",
        &json!({"multiaddrs": [format!("/ip4/127.0.0.1/tcp/1/p2p/{stranger}")]}).to_string(),
    );
    let ping = server.post("/api/call/ping_peer", &params);
    assert_eq!(hint(ping), "connect first: `POST /api/peers/{peer_id}/connect`");
}

#[test]
fn what_is_not_there_is_said_in_json() {
    let server = Server::start(&[]);
    assert_eq!(server.get("/api/nothing").refused(404), "unknown_method");
    let mut client = server.client();
    let wrong = client.request("DELETE", "/api/peers/list", "");
    assert_eq!(wrong.refused(405), "invalid_argument");
    assert_eq!(wrong.header("allow"), Some("GET,HEAD"));
    assert_eq!(client.get("/api/peers/discovery/start").status, 405);
    assert_eq!(client.request("OPTIONS", "/api/peers/list", "").status, 405, "no CORS");
}

#[test]
fn the_page_metrics_and_health_are_served_with_their_types() {
    let server = Server::start(&[]);
    let mut client = server.stranger();
    let page = client.get("/");
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.body.contains("/app.js"));
    assert_eq!(
        client.get("/app.js").header("content-type"),
        Some("text/javascript; charset=utf-8")
    );
    assert_eq!(client.get("/healthz").with_status(200), json!({"status": "ok"}));
    let metrics = client.get("/metrics");
    assert_eq!(metrics.status, 200);
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}
