//! Tests of the texts that are read as the address of an API, and that none of them shows its password.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::tests::shown;
use super::{Api, is_loopback_api};
use crate::error::ErrorKind;

const PEER: &str = "12D3KooWAf34NtJmjhKfKBxN9vL2KctPwwEh3zUpga88o7jfewGs";

#[test]
fn an_api_is_read_from_a_url_or_a_multiaddr() {
    let same = [
        ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
        ("HTTP://LocalHost:5001/", "http://localhost:5001"),
        ("http://user:pw@[::1]:5001/api/v0", "http://[::1]:5001"),
        ("https://ipfs.example/api/v0/", "https://ipfs.example:443"),
        ("http://my_node", "http://my_node:80"),
        ("/ip4/127.0.0.1/tcp/5001", "http://127.0.0.1:5001"),
        ("/ip6/::1/tcp/5001/http", "http://[::1]:5001"),
        ("/dns4/ipfs.example/tcp/443/https", "https://ipfs.example:443"),
        ("/dns/ipfs.example/tcp/443/tls/http", "https://ipfs.example:443"),
    ];
    for (text, origin) in same {
        assert_eq!(Api::parse(text).unwrap().to_string(), origin, "{text}");
    }
    assert_eq!(Api::kubo_default().to_string(), "http://127.0.0.1:5001");
    assert_eq!(Api::cluster_default().to_string(), "http://127.0.0.1:9094");

    let api = Api::parse("http://user:SECRET@127.0.0.1:5001").unwrap();
    let shown = format!("{api} {api:?} {:?}", api.authorization());
    assert!(!shown.contains("SECRET") && !shown.contains("U0VDUkVU"), "{shown}");
}

#[test]
fn a_text_that_is_no_api_is_refused_without_quoting_it() {
    let port_of_an_id = format!("/ip4/127.0.0.1/tcp/5001/p2p/{PEER}");
    let long = format!("http://{}", "a".repeat(3000));
    let refused = [
        "",
        "127.0.0.1:5001",
        "user:SECRET@127.0.0.1:5001",
        "ftp://user:SECRET@127.0.0.1",
        "http://",
        "http://user:SECRET@",
        "http://user:SECRET@host:0",
        "http://user:SECRET@host:70000",
        "http://user:SECRET@host:+80",
        "http://user:SECRET@host:",
        "http://user:SECRET@::1",
        "http://user:SECRET@[::1",
        "http://user:SECRET@[::1]5001",
        "http://user:SECRET@[127.0.0.1]:5001",
        "http://user:SECRET@ho st",
        "http://user:SECRET@host\r\nX: y",
        "http://user:SECRET%2@host",
        "http://us%3Aer:SECRET@host",
        "http://user:SEC/RET@host",
        "http://host/webui?SECRET",
        "http://host#SECRET",
        "/ip4/127.0.0.1",
        "/ip4/127.0.0.1/udp/5001",
        "/ip4/127.0.0.1/tcp/0",
        "/ip4/127.0.0.1/tcp/5001/ws",
        "/dnsaddr/host/tcp/5001",
        "/unix/run/ipfs.sock",
        "/user:SECRET@host",
        &port_of_an_id,
        &long,
    ];
    for text in refused {
        let error = Api::parse(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text}");
        let shown = shown(&error);
        assert!(!shown.contains("SEC") && !shown.contains("RET"), "{shown}");
        assert!(shown.len() < 600, "{shown}");
    }
}

#[test]
fn where_a_daemon_is_decides_how_far_it_is_believed() {
    let seen_at = |text| Api::parse(text).unwrap().seen_at().to_string();
    assert_eq!(seen_at("http://127.0.0.1:5001"), "/ip4/127.0.0.1");
    assert_eq!(seen_at("https://u:p@10.1.2.3"), "/ip4/10.1.2.3");
    assert_eq!(seen_at("http://[::1]:5001"), "/ip6/::1");
    assert_eq!(seen_at("/ip6/2001:db8::1/tcp/5001"), "/ip6/2001:db8::1");
    assert_eq!(seen_at("/dns4/localhost/tcp/5001"), "/ip4/127.0.0.1");
    // Nobody answers there; only what the whole Internet can reach would be believed.
    assert_eq!(seen_at("http://nowhere.invalid"), "/dns/nowhere.invalid");
}

#[test]
fn only_what_names_this_machine_by_its_text_counts_as_loopback() {
    let loopback = [
        "http://127.0.0.1:5001",
        "https://127.255.255.254",
        "HTTP://LOCALHOST:5001/api/v0",
        "http://user:pw@localhost",
        "http://example.com@127.0.0.1:5001",
        r"http://example.com\@localhost",
        "http://[::1]:5001",
        "http://[0:0:0:0:0:0:0:1]",
        "http://[::ffff:127.0.0.1]:5001",
        "http://[::ffff:7f00:1]",
        "/ip4/127.0.0.1/tcp/5001/http",
        "/ip6/::1/tcp/5001",
        "/ip6/::ffff:127.0.0.1/tcp/5001",
        "/dns/localhost/tcp/5001",
        "/dns4/LocalHost/tcp/5001",
        "/dns6/localhost/tcp/443/tls/http",
        // Asked there and nowhere else, though no name looks like that.
        "/dns4/127.0.0.1/tcp/5001",
    ];
    for text in loopback {
        assert!(is_loopback_api(text), "{text}");
        // The call goes by this address too.
        let reached = Api::parse(text).unwrap().seen_at();
        assert_eq!(crate::addr::scope(&reached), crate::addr::Scope::Loopback, "{text}");
    }
    let elsewhere = [
        // Texts that name another host than it seems.
        "http://127.0.0.1:5001@example.com",
        "http://localhost@example.com:5001",
        "http://localhost%00@example.com",
        r"http://127.0.0.1\@example.com",
        "http://127.0.0.1@localhost@example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://example.com/@127.0.0.1",
        "http://example.com#@127.0.0.1",
        "http://example.com?@127.0.0.1",
        // Names to a resolver, which may answer anything.
        "http://localhost.",
        "http://api.localhost",
        "http://localhost.localdomain",
        "http://127.0.0.1.",
        "http://127.1",
        "http://127.0.1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://127.0.0.01",
        "http://127.0.0.256",
        "http://127%2e0.0.1",
        "/dns/127.1/tcp/5001",
        "/dns4/localhost./tcp/5001",
        // Not loopback, though some of it leads there on some systems.
        "http://0.0.0.0:5001",
        "http://0:5001",
        "http://[::]:5001",
        "http://[::127.0.0.1]",
        "http://[::ffff:10.0.0.1]",
        "http://[::ffff:0:127.0.0.1]",
        "http://[64:ff9b::127.0.0.1]",
        "http://[fe80::1]",
        "http://192.168.1.1:5001",
        "http://169.254.169.254",
        "/ip4/128.0.0.1/tcp/5001",
        "/ip6/::2/tcp/5001",
        // Texts that the call refuses.
        "",
        "localhost",
        "localhost:5001",
        "127.0.0.1:5001",
        "//localhost:5001",
        " http://localhost",
        "http://localhost ",
        "http://local\nhost",
        "http://local\u{200b}host",
        "http://１２７.0.0.1",
        "http://127。0。0。1",
        "http://[::1%25lo]:5001",
        "http://[::1]example.com",
        "http://::1",
        "http:/localhost",
        "http:localhost",
        "http://localhost:5001/../x",
        "http://localhost:5001\r\nHost: example.com",
        "http://localhost:80:80@example.com",
        "ftp://localhost",
        "file:///etc/passwd",
        "unix:///run/ipfs.sock",
        "/unix/run/ipfs.sock",
        "/dnsaddr/localhost/tcp/5001",
        "/ip4/127.0.0.1/udp/5001",
        "/ip4/127.0.0.1/tcp/5001/ip4/10.0.0.1/tcp/5001",
        "/ip4/127.1/tcp/5001",
    ];
    for text in elsewhere {
        assert!(!is_loopback_api(text), "{text}");
    }
}
