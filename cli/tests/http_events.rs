//! Events over HTTP: in order, resumed, lost ones told.

use serde_json::json;

use crate::support::http::{Server, tcp_address, wait_for};
use crate::support::process::Running;

#[test]
fn events_come_as_they_happen_and_go_on_after_the_last_id() {
    let server = Server::start(&[]);
    let other = Running::node();
    let id = other.first_line["peer_id"].as_str().unwrap();
    let mut stream = server.stranger().events("/api/events?kinds=peer_connected,peer_disconnected");
    let opened = stream.next().unwrap();
    assert_eq!(opened.name, "opened");
    assert_eq!(stream.last_id.clone().unwrap(), opened.data["last_seq"].to_string());

    let body = json!({"multiaddr": tcp_address(&other.first_line)}).to_string();
    server.post(&format!("/api/peers/{id}/connect"), &body).with_status(200);
    let connected = stream.next().unwrap();
    assert_eq!(
        (connected.name.as_str(), &connected.data["peer_id"]),
        ("peer_connected", &json!(id))
    );
    assert_eq!(stream.last_id.clone().unwrap(), connected.data["seq"].to_string());

    // The browser that was cut off asks for the same again, and says where it was.
    let last = stream.last_id.clone().unwrap();
    drop(stream);
    server.post(&format!("/api/peers/{id}/disconnect"), "").with_status(200);
    let resumed = server.stranger().with(&format!("last-event-id: {last}"));
    let mut resumed = resumed.events("/api/events?since=0&kinds=peer_connected,peer_disconnected");
    assert_eq!(resumed.next().unwrap().name, "opened");
    let disconnected = resumed.next().unwrap();
    assert_eq!(disconnected.name, "peer_disconnected");
    assert_eq!(disconnected.data["reason"], "local_request");
}

#[test]
fn a_number_of_an_earlier_run_begins_anew_and_a_wrong_one_is_refused() {
    let server = Server::start(&[]);
    let mut stream = server.stranger().with("last-event-id: 1000000").events("/api/events");
    assert_eq!(stream.next().unwrap().name, "reset");
    assert_eq!(stream.next().unwrap().data["seq"], 1);
    let refused = |target: &str| server.get(target).refused(400);
    assert_eq!(refused("/api/events?since=1000000"), "invalid_argument");
    assert_eq!(refused("/api/events?since=x"), "invalid_argument");
    assert_eq!(refused("/api/events?kinds=no_such"), "invalid_argument");
    assert_eq!(refused("/api/events?knids=stopped"), "invalid_argument");
}

#[test]
fn a_reader_that_stops_reading_loses_the_oldest_and_is_told_and_costs_little() {
    const READERS: usize = 4;
    let server = Server::start(&[]);
    let mut stuck: Vec<_> =
        (0..READERS).map(|_| server.stranger().events("/api/events?kinds=message")).collect();
    let before = server.memory_kb();
    // 40 MB: more than the queue of a subscription and the buffers of a socket hold while nobody reads.
    flood(&server, 500);
    let grown = server.memory_kb().saturating_sub(before);
    assert!(grown < 100 << 10, "{grown} KiB more for {READERS} readers of 40 MB");
    for stream in &mut stuck {
        let lagged = stream.await_named("lagged").data["lagged"].as_u64().unwrap();
        assert!(lagged > 0);
        // From there on without a gap.
        let first = stream.next().unwrap().data["seq"].as_u64().unwrap();
        assert_eq!(stream.next().unwrap().data["seq"].as_u64().unwrap(), first + 1);
    }
}

/// Lets another peer publish until so many messages have come, the largest events there are.
fn flood(server: &Server, count: u64) {
    let other = Server::start(&[]);
    for peer in [server, &other] {
        peer.post("/api/call/subscribe", r#"{"topic": "flood"}"#).with_status(200);
    }
    let address = json!({"multiaddr": server.address()}).to_string();
    other.post("/api/call/connect_peer", &address).with_status(200);
    let last = || {
        server.stranger().events("/api/events").next().unwrap().data["last_seq"].as_u64().unwrap()
    };
    let enough = last() + count;
    let body = json!({"topic": "flood", "data_base64": "A".repeat(80_000)}).to_string();
    let mut client = other.client();
    wait_for("so many messages", || {
        (0..50).for_each(|_| drop(client.post("/api/call/publish", &body)));
        last() >= enough
    });
}

#[test]
fn the_end_of_the_server_ends_its_streams_in_order() {
    let mut server = Server::start(&[]);
    let mut stream = server.stranger().events("/api/events");
    stream.next().unwrap();
    server.signal("-TERM");
    assert!(stream.next().is_none_or(|told| told.name == "stopped"));
    assert_eq!(server.ended(), Some(0));
}

#[test]
fn the_end_of_the_node_is_told_and_clears_the_id() {
    // The node is another process'; the server follows it, and runs one itself when that one is gone.
    let owner = crate::support::process::Home::new();
    let args = owner.args(&["run", "--json"]);
    let node = Running::start(&args);
    let server = Server::at(owner, &[]);
    assert_eq!(server.line["peer_id"], node.first_line["peer_id"]);
    assert!(server.line["attached_to"].is_number());
    let mut stream = server.stranger().events("/api/events");
    stream.next().unwrap();
    drop(node);
    assert!(stream.next().is_none_or(|told| told.name == "stopped"), "killed without a word");
    wait_for("a node of its own", || server.get("/healthz").status == 200);
    assert_eq!(server.get("/api/peers/list").status, 200);
}

#[test]
fn streams_are_counted() {
    let server = Server::start(&[]);
    let strangers: Vec<_> = (0..48).map(|_| server.stranger().events("/api/events")).collect();
    assert_eq!(server.stranger().get("/api/events").refused(503), "busy");
    let holders: Vec<_> = (0..16).map(|_| server.client().events("/api/events")).collect();
    assert_eq!(server.get("/api/events").refused(503), "busy");
    assert_eq!(server.get("/api/peers/list").status, 200, "others aren't kept");
    drop((strangers, holders));
    wait_for("room for a stream", || {
        let mut client = server.stranger();
        client.ask("GET", "/api/events", "");
        client.answer().status == 200
    });
}
