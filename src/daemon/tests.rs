//! Tests of the promises of asking a daemon, over real sockets: the right peers of a well-behaved one,
//! and of every other kind an error that says what is wrong, soon, and without a secret.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use libp2p::identity::Keypair;
use serde_json::{Value, json};

use super::gather::{FoundPeer, MAX_ADDRESSES, MAX_ENTRIES, MAX_PEERS};
use super::test_server::{Server, hold, reply};
use super::*;
use crate::Multiaddr;
use crate::error::{Error, ErrorKind, Result};

const KUBO_ID: &str = include_str!("../../tests/fixtures/kubo/id.json");
const KUBO_SWARM: &str = include_str!("../../tests/fixtures/kubo/swarm_peers.json");
const KUBO: &str = "12D3KooWAf34NtJmjhKfKBxN9vL2KctPwwEh3zUpga88o7jfewGs";
const ALICE: &str = "12D3KooWD1siCkkJLqHjU98cMh3RCFkkzdCNY9udzrmnAvgQZucY";
const BOB: &str = "12D3KooWJdhJk2nYiESRWwe9dLi3n9fBfJSjaZ6RZZuseBGV6mfv";

/// A time longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// A time in which loopback and this machine are done with anything honest.
const SOON: Duration = Duration::from_secs(5);

fn kubo(url: &str) -> Result<Found> {
    kubo_peers(&Api::parse(url)?, Instant::now() + PATIENCE, &Questions::default())
}

fn cluster(url: &str) -> Result<Found> {
    cluster_peers(&Api::parse(url)?, Instant::now() + PATIENCE, &Questions::default())
}

fn kubo_with(id: &str, swarm: impl Into<String>) -> Server {
    Server::with([("/api/v0/id", id.to_owned()), ("/api/v0/swarm/peers", swarm.into())])
}

/// Returns each peer as its id, a star if it is a member of the cluster, and its addresses.
fn lines(found: &Found) -> Vec<String> {
    let line = |peer: &FoundPeer| {
        let star = if peer.cluster_member { "*" } else { "" };
        let addresses: Vec<_> = peer.addresses.iter().map(Multiaddr::to_string).collect();
        format!("{}{star} {}", peer.peer_id, addresses.join(" ")).trim_end().to_owned()
    };
    found.peers.iter().map(line).collect()
}

/// Returns everything that a person or a program gets to see of an error.
pub(super) fn shown(error: &Error) -> String {
    format!("{error} {error:?} {} {:?}", json!(error.detail()), error.hint())
}

#[test]
fn the_recorded_kubo_gives_itself_and_then_its_peers() {
    let server = kubo_with(KUBO_ID, KUBO_SWARM);
    let found = kubo(&server.url()).unwrap();

    let expected = [
        format!("{KUBO} /ip4/127.0.0.1/tcp/32913 /ip4/127.0.0.1/udp/34301/quic-v1"),
        format!("{ALICE} /ip4/127.0.0.1/tcp/33135"),
        format!("{BOB} /ip4/127.0.0.1/udp/57521/quic-v1"),
    ];
    assert_eq!((lines(&found), found.dropped), (expected.to_vec(), 0));

    let requests = server.requests();
    assert!(requests[0].starts_with("POST /api/v0/id HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("POST /api/v0/swarm/peers HTTP/1.1\r\n"), "{requests:?}");
    for request in &requests {
        let head = request.to_ascii_lowercase();
        assert!(head.contains(&format!("\r\nhost: 127.0.0.1:{}\r\n", server.port)), "{head}");
        assert!(head.contains(concat!(
            "\r\nuser-agent: peerkit/",
            env!("CARGO_PKG_VERSION"),
            "\r\n"
        )));
        assert!(head.contains("\r\ncontent-length: 0\r\n"), "{head}");
        // Kubo takes whoever sends one of these for a page in a browser.
        for browser in ["origin:", "referer:", "mozilla"] {
            assert!(!head.contains(browser), "{head}");
        }
    }
}

#[test]
fn each_peer_comes_once_with_what_can_be_dialled() {
    let long_name = "a".repeat(250);
    let id = json!({"ID": KUBO, "Addresses": [
        format!("/ip4/192.0.2.1/tcp/4001/p2p/{KUBO}"),
        "/ip4/192.0.2.1/tcp/4001",
        // Addresses that this build can't dial, with nothing wrong in them.
        format!("/ip4/192.0.2.1/tcp/4001/ws/p2p/{KUBO}"),
        "/ip4/192.0.2.1/udp/4001/quic-v1/webtransport",
        format!("/ip4/192.0.2.9/tcp/4001/p2p/{BOB}/p2p-circuit/p2p/{KUBO}"),
        // Wrong: four.
        format!("/ip4/192.0.2.2/tcp/4001/p2p/{BOB}"),
        "/ip4/192.0.2.2/tcp/70000",
        "",
        format!("/dns4/{long_name}/tcp/1/p2p-circuit/dns4/{long_name}/tcp/1"),
    ]});
    let connection = |peer: &str, address: &str| json!({"Peer": peer, "Addr": address});
    let mut connections = vec![
        connection(ALICE, "/ip4/192.0.2.3/tcp/1"),
        connection("bafyNobody", "/ip4/192.0.2.4/tcp/1"),
        connection(BOB, "/ip4/192.0.2.5/tcp/1/ws"),
        connection(ALICE, "/ip4/192.0.2.3/tcp/1"),
    ];
    connections.extend((0..20).map(|n| connection(KUBO, &format!("/ip4/192.0.2.7/tcp/{}", 9 + n))));
    let server = kubo_with(&id.to_string(), json!({"Peers": connections}).to_string());

    let found = kubo(&server.url()).unwrap();
    let expected = [format!("{ALICE} /ip4/192.0.2.3/tcp/1"), BOB.to_owned()];
    assert_eq!(lines(&found)[1..], expected);
    assert_eq!(found.peers[0].addresses.len(), MAX_ADDRESSES);
    // Four addresses and one id that are wrong, and five addresses that are too many.
    assert_eq!(found.dropped, 4 + 1 + 5);

    // Go writes an empty list as null.
    let alone = kubo_with(&json!({"ID": KUBO, "Addresses": null}).to_string(), r#"{"Peers":null}"#);
    assert_eq!(lines(&kubo(&alone.url()).unwrap()), [KUBO]);
}

#[test]
fn a_thousand_peers_are_taken_and_the_rest_counted() {
    const TOLD: u64 = 35_000;

    // Real keys only as far as they are looked at.
    let real: Vec<_> =
        (0..MAX_ENTRIES).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect();
    let peer = |n: u64| real.get(n as usize).map_or(KUBO.to_owned(), ToString::to_string);
    let connections: Vec<_> = (0..TOLD)
        .map(|n| json!({"Peer": peer(n), "Addr": format!("/ip4/10.0.0.1/tcp/{}", n + 1)}))
        .collect();
    let server = kubo_with(KUBO_ID, json!({"Peers": connections}).to_string());

    let found = kubo(&server.url()).unwrap();
    assert_eq!(found.peers.len(), MAX_PEERS);
    assert_eq!(found.peers[0].peer_id.to_string(), KUBO);
    assert_eq!(found.peers[999].peer_id, real[998]);
    assert_eq!(found.dropped, TOLD - 999);
}

#[test]
fn a_cluster_gives_its_members_and_their_daemons_from_a_stream_or_an_array() {
    let member = |id: &str, port: u16, ipfs: Value| {
        let addresses =
            [format!("/ip4/10.0.0.1/tcp/{port}/ipfs/{id}"), "/ip4/10.0.0.1/tcp/1/ws".to_owned()];
        json!({"id": id, "addresses": addresses, "cluster_peers": [ALICE, BOB], "version": "1.1.5",
            "error": "", "ipfs": ipfs, "peername": "n"})
    };
    let daemon = json!({"id": KUBO, "addresses": [format!("/ip4/10.0.0.1/tcp/4001/p2p/{KUBO}")], "error": ""});
    let no_daemon = json!({"id": "", "addresses": null, "error": "connection refused"});
    let us = member(ALICE, 9096, daemon);
    let members = [
        member(BOB, 9097, no_daemon),
        us.clone(),
        json!({"id": "", "addresses": null, "error": "dial backoff", "ipfs": null}),
        json!({"id": "nobody", "addresses": [], "error": ""}),
    ];
    let stream: String = members.iter().map(|member| format!("{member}\n")).collect();
    let expected = [
        format!("{ALICE}* /ip4/10.0.0.1/tcp/9096"),
        format!("{KUBO} /ip4/10.0.0.1/tcp/4001"),
        format!("{BOB}* /ip4/10.0.0.1/tcp/9097"),
    ];
    for body in [stream, json!(members).to_string()] {
        let server = Server::with([("/id", us.to_string()), ("/peers", body)]);
        let url = server.url().replace("http://", "HTTP://us%65r:p%40ss:word@") + "/";
        let found = cluster(&url).unwrap();
        assert_eq!((lines(&found), found.dropped), (expected.to_vec(), 1));

        let requests = server.requests();
        assert!(requests[0].starts_with("GET /id HTTP/1.1\r\n"), "{requests:?}");
        assert!(requests[1].starts_with("GET /peers HTTP/1.1\r\n"), "{requests:?}");
        // `user:p@ss:word`
        let header = "authorization: Basic dXNlcjpwQHNzOndvcmQ=\r\n";
        assert!(requests.iter().all(|request| request.contains(header)), "{requests:?}");
    }
}

#[test]
fn a_status_other_than_200_is_told_with_a_hint_and_without_the_body() {
    let elsewhere = Server::with([]);
    let cases = [
        ("301 Moved Permanently", 301, "final address"),
        ("307 Temporary Redirect", 307, "final address"),
        ("401 Unauthorized", 401, "user:password@"),
        ("403 Forbidden", 403, "user:password@"),
        ("404 Not Found", 404, "this is not"),
        ("405 Method Not Allowed", 405, "this is not"),
        ("500 Internal Server Error", 500, "log"),
        ("204 No Content", 204, "None"),
    ];
    for (line, status, hint) in cases {
        let head = format!("{line}\r\nLocation: {}/api/v0/id", elsewhere.url());
        let server = Server::new(move |_, stream| reply(stream, &head, r#"{"Message":"BODY"}"#));
        for ask in [kubo, cluster] {
            let error = ask(&server.url().replace("//", "//user:SECRET@")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
            assert_eq!(error.detail()["status"], status, "{error}");
            assert_eq!(error.detail()["api"], server.url(), "{error}");
            assert!(format!("{:?}", error.hint()).contains(hint), "{:?}", error.hint());
            let shown = shown(&error);
            assert!(!shown.contains("BODY") && !shown.contains("SECRET"), "{shown}");
        }
    }
    assert_eq!(elsewhere.requests(), [""; 0], "a redirect was followed");
}

#[test]
fn what_is_no_answer_of_such_an_api_is_told_without_quoting_it() {
    let nobody = r#"{"ID":"BODY","id":"BODY"}"#;
    for body in
        ["<html>BODY", "", "{", r#""BODY""#, "{}", "[]", r#"{"ID":7,"id":["BODY"]}"#, nobody]
    {
        for ask in [kubo, cluster] {
            let pages = ["/api/v0/id", "/id", "/peers"].map(|path| (path, body.to_owned()));
            let error = ask(&Server::with(pages).url()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{body}: {error}");
            assert!(!shown(&error).contains("BODY"), "{}", shown(&error));
        }
    }
    for swarm in [r#"{"Peers":"BODY"}"#, r#"{"Peers":[{"Peer":1}]}"#, "{}"] {
        let error = kubo(&kubo_with(KUBO_ID, swarm).url()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
    let multistream = Server::raw(|stream| {
        let _ = stream.write_all(b"\x13/multistream/1.0.0\n");
    });
    let cut = Server::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
    });
    for server in [multistream, cut] {
        let error = kubo(&server.url()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
    }
}

#[test]
fn a_daemon_that_dawdles_is_left_at_the_deadline() {
    const DEADLINE: Duration = Duration::from_millis(300);

    fn drip(stream: &mut std::net::TcpStream, head: &[u8]) {
        let mut sent = stream.write_all(head);
        while sent.is_ok() {
            thread::sleep(Duration::from_millis(20));
            sent = stream.write_all(b" ");
        }
    }
    let servers = [
        ("http", Server::new(|_, stream| hold(stream))),
        ("https", Server::raw(hold)),
        ("http", Server::new(|_, stream| drip(stream, b"HTTP/1.1 200 OK\r\n\r\n"))),
        ("http", Server::new(|_, stream| drip(stream, b"HTTP/1.1 200 OK\r\nX: "))),
    ];
    for (scheme, server) in servers {
        let api = Api::parse(&server.url().replace("http", scheme)).unwrap();
        let start = Instant::now();
        let error = kubo_peers(&api, start + DEADLINE, &Questions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        assert!((DEADLINE..SOON).contains(&start.elapsed()), "{:?}", start.elapsed());
    }
    let passed = Instant::now();
    let untouched = kubo_with(KUBO_ID, KUBO_SWARM);
    let error = kubo_peers(&Api::parse(&untouched.url()).unwrap(), passed, &Questions::default())
        .unwrap_err();
    assert_eq!((error.kind(), untouched.requests().len()), (ErrorKind::Timeout, 0));
}

#[test]
fn a_reply_without_end_is_not_read_to_the_end() {
    const ENDLESS: usize = 100_000_000;
    /// The bytes that are read, and those that the system takes in on both sides while nobody reads.
    const PLENTY: usize = MAX_READ + 16_000_000;
    const MAX_READ: usize = 4 * 1024 * 1024;

    let heads = [
        "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5f5e100\r\n".to_owned(),
        // All that follows is a header.
        "HTTP/1.1 200 OK\r\nX: ".to_owned(),
    ];
    for head in heads {
        let (count, counted) = mpsc::channel();
        let shown = head.clone();
        let server = Server::new(move |_, stream| {
            let mut written = 0;
            let mut sent = stream.write_all(head.as_bytes());
            while sent.is_ok() && written < ENDLESS {
                sent = stream.write_all(&[b' '; 10_000]);
                written += 10_000;
            }
            let _ = count.send(written);
        });
        let start = Instant::now();
        let error = cluster(&server.url()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LimitReached, "{shown:?}: {error}");
        assert!(start.elapsed() < SOON, "{shown:?}: {:?}", start.elapsed());
        let written = counted.recv_timeout(PATIENCE).unwrap();
        assert!(written < PLENTY, "{shown:?}: {written} bytes went out");
    }
}

#[test]
fn a_daemon_that_cannot_be_reached_is_told_from_one_that_is_wrong() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // No resolver asks anybody about a label of 64 letters.
    let no_name = format!("http://{}.invalid:5001", "a".repeat(64));
    let plain = Server::raw(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        hold(stream);
    });
    let hangs_up = Server::raw(|_| ());
    let cases = [
        (format!("http://{closed}"), "refused"),
        (no_name, "resolved"),
        (plain.url().replace("http", "https"), "TLS"),
    ];
    for (url, why) in cases {
        let error = kubo(&url).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DialFailed, "{error}");
        assert!(error.message().contains(why), "{error}");
        assert_eq!(error.detail()["api"], url);
    }
    // The system decides whether the hang-up comes before or while the first of TLS is written.
    let error = kubo(&hangs_up.url().replace("http", "https")).unwrap_err();
    let told = error.message().contains("TLS") || error.message().contains("closed the connection");
    assert!(told, "{error}");
}

#[test]
#[ignore = "needs the URL of a running Kubo's API in KUBO_API"]
fn a_live_kubo_gives_itself() {
    let url = std::env::var("KUBO_API").expect("KUBO_API has the URL");
    let found = kubo(&url).unwrap();
    println!("{:#?} dropped: {}", lines(&found), found.dropped);
    assert!(!found.peers[0].addresses.is_empty());
}
