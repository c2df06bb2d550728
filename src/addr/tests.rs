//! Tests of reading peer ids and addresses. The vectors were converted with a program of their own
//! (not with multibase) from the public keys of the peer id specification.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use super::*;

/// Three keys, each in base58, base32, base36, base58 multibase, base16, base64url, upper base36.
const SAME_KEY: [[&str; 7]; 3] = [
    [
        "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq",
        "bafzaajaiaejcahwr5d5ofrfbis4l5d6uwr57hu5tjodrypfm6yaq6dsc2r2pzyt6",
        "k51qzi5uqu5dgy8qsq67hbz73jqkw87l3fgf4a91qb0d9b5173tir7n4vxk1oe",
        "z5AanNVJCxnGuh8TJu4nye3dE3NbxAd8FB9cr46uVagyFPuibMxok2R",
        "f01720024080112201ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e",
        "uAXIAJAgBEiAe0ej64sShRLi-j9S0e_PTs0uHHDys9gEPDkLUdPzifg",
        "K51QZI5UQU5DGY8QSQ67HBZ73JQKW87L3FGF4A91QB0D9B5173TIR7N4VXK1OE",
    ],
    [
        "16Uiu2HAmLhLvBoYaoZfaMUKuibM6ac163GwKY74c5kiSLg5KvLpY",
        "bafzaajiiaijcca3xo7uzjzcsyilaj6i54cj44qk7kqzpoao5rti2pjx6udtdbp6kte",
        "kzwfwjn5ji4put13uvtwtc7azzwk42cq2o8ctfnxa6q8n90e72o3pjqbrp3lpcp",
        "zKPJ7QRXxW7mVC8S7Hqn6dy4Hwhu8ik2crFP9Lxo2guGvzV9Ld5L5mxc",
        "f0172002508021221037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99",
        "uAXIAJQgCEiEDd3fplORSwhYE-R3gk85BX1Qy9wHdjNGnpv6g5jC_ypk",
        "KZWFWJN5JI4PUT13UVTWTC7AZZWK42CQ2O8CTFNXA6Q8N90E72O3PJQBRP3LPCP",
    ],
    [
        "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
        "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
        "k2k4r8ncs1yoluq95unsd7x2vfhgve0ncjoggwqx9vyh3vl8warrcp15",
        "zdvgqC3jczfCwLUoSyWT8GLc5UZ9aG4RkAg7XAfidRbX9qVj6",
        "f017212209dff3b17d74cf4d38a50d8b6383e92d181a10395a5e73a726dcccbd21bf6f0b9",
        "uAXISIJ3_OxfXTPTTilDYtjg-ktGBoQOVpec6cm3My9Ib9vC5",
        "K2K4R8NCS1YOLUQ95UNSD7X2VFHGVE0NCJOGGWQX9VYH3VL8WARRCP15",
    ],
];
const ED25519: &str = SAME_KEY[0][0];
const SECP256K1: &str = SAME_KEY[1][0];
const RSA: &str = SAME_KEY[2][0];

fn id(text: &str) -> PeerId {
    parse_peer_id(text).unwrap()
}

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

#[test]
fn a_peer_id_reads_the_same_in_every_form() {
    for forms in SAME_KEY {
        for form in forms {
            for text in [
                form.to_owned(),
                format!("/p2p/{form}"),
                format!("/ipfs/{form}"),
                format!("/ip4/192.0.2.1/tcp/4001/p2p/{form}"),
                format!("/dns4/p2p/udp/4001/quic-v1/ipfs/{form}"),
                format!("/ip4/192.0.2.1/tcp/4001/p2p/{RSA}/p2p-circuit/p2p/{form}"),
            ] {
                let read = parse_peer_id(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
                assert_eq!(read.to_base58(), forms[0], "{text}");
            }
        }
    }
}

#[test]
fn what_is_no_peer_id_is_refused_with_the_reason() {
    let long = "1".repeat(513);
    let relay_only = format!("/ip4/192.0.2.1/tcp/1/p2p/{RSA}/p2p-circuit");
    let twice = format!("/ip4/192.0.2.1/tcp/1/p2p/{RSA}/p2p/{ED25519}");
    let spaced = format!(" {ED25519}");
    let newline = format!("{ED25519}\n");
    for (text, reason) in [
        ("", "empty"),
        ("  ", "white space"),
        (&spaced, "white space"),
        (&newline, "white space"),
        (&long, "513 bytes"),
        ("11", "no public key"),
        ("1", "cut short"),
        (&ED25519[..40], "cut short"),
        (&RSA[..45], "cut short"),
        ("12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pO0", "base58"),
        ("1AoaTEP2ooCZLMpiqnVnrnPHUDFJEfasL7xgUjQQ6L3S86", "no public key"),
        (
            "8VsvgckfDytGP5ZR1Pm4ssgy8bCb9B5pXfEU4n72cgfh4v8VQ3EXqjANeqBDpi4DBZM95ae3YbUT9dnzM1XxA8wiEJ",
            "begins like neither",
        ),
        (
            "bafzbgqaha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqobyha4dqo",
            "hash function 0x13",
        ),
        ("z2AkTFqduBVmVaum6oUDV5bFjLHC", "16 bytes"),
        ("bafybeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe", "dag-pb"),
        ("bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xq", "cut short"),
        ("k51", "cut short"),
        ("b", "cut short"),
        ("bob!", "doesn't fit its base"),
        ("alice", "begins like neither"),
        ("/p2p/", "empty"),
        ("/p2p", "nothing follows"),
        ("/", "empty part"),
        ("/ip4/192.0.2.1/tcp/4001", "no /p2p/ part"),
        (&relay_only, "no peer behind it"),
        (&twice, "only at its end"),
    ] {
        let error = parse_peer_id(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidPeerId, "{text}");
        assert!(error.message().contains(reason), "{text}: {}", error.message());
        assert!(error.message().chars().count() < 400);
    }
}

#[test]
fn a_generated_key_of_any_type_has_a_valid_id() {
    use libp2p::identity::Keypair;
    for key in
        [Keypair::generate_ed25519(), Keypair::generate_secp256k1(), Keypair::generate_ecdsa()]
    {
        let peer = key.public().to_peer_id();
        assert_eq!(id(&peer.to_base58()), peer);
    }
}

#[test]
fn an_address_is_taken_apart_from_its_peer() {
    let relay = format!("/ip4/192.0.2.1/tcp/4001/p2p/{RSA}/p2p-circuit");
    for (text, addr, peer) in [
        ("/ip4/192.0.2.1/tcp/4001".to_owned(), "/ip4/192.0.2.1/tcp/4001", None),
        (
            format!("/ip6/::1/udp/1/quic-v1/ipfs/{}", SAME_KEY[0][2]),
            "/ip6/::1/udp/1/quic-v1",
            Some(ED25519),
        ),
        (format!("/dns4/ipfs/tcp/1/p2p/{}", SAME_KEY[1][1]), "/dns4/ipfs/tcp/1", Some(SECP256K1)),
        (format!("{relay}/p2p/{}", SAME_KEY[0][1]), &relay, Some(ED25519)),
        (relay.clone(), &relay, None),
        (
            format!("/dnsaddr/bootstrap.libp2p.io/p2p/{RSA}"),
            "/dnsaddr/bootstrap.libp2p.io",
            Some(RSA),
        ),
        ("/ip4/192.0.2.1/tcp/80/tls/ws".to_owned(), "/ip4/192.0.2.1/tcp/80/tls/ws", None),
    ] {
        let read = parse_address(&text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(read.addr, address(addr), "{text}");
        assert_eq!(read.peer_id.map(PeerId::to_base58).as_deref(), peer, "{text}");
        if let Some(peer) = read.peer_id {
            let whole = with_peer_id(&read.addr, &peer);
            assert_eq!(parse_address(&whole.to_string()).unwrap(), read);
            assert_eq!(with_peer_id(&whole, &peer), whole);
        }
    }
}

#[test]
fn what_is_no_address_is_refused_with_the_reason() {
    let long = format!("/dns4/{}/tcp/1", "a".repeat(2048));
    let bare = format!("/p2p/{ED25519}");
    let twice = format!("/ip4/192.0.2.1/tcp/1/p2p/{RSA}/p2p/{RSA}");
    for (text, reason) in [
        ("", "empty"),
        (" /ip4/192.0.2.1/tcp/1", "white space"),
        ("192.0.2.1:4001", "begins with a slash"),
        ("/ip4/192.0.2.1/tcp/99999", "ports go from 0 to 65535"),
        ("/ip4/192.0.2.1/tcp/http", "ports go from 0 to 65535"),
        ("/ip4/192.0.2.1/udp/-1/quic-v1", "ports go from 0 to 65535"),
        ("/ip4/300.0.2.1/tcp/1", "no IPv4 address"),
        ("/ip6/fe80::1%eth0/tcp/1", "no IPv6 address"),
        ("/ip4/192.0.2.1/tcp", "nothing follows /tcp"),
        ("/ip4/192.0.2.1/tcp/1/", "empty part"),
        ("//ip4/192.0.2.1", "empty part"),
        ("/ipv4/192.0.2.1/tcp/1", "no protocol"),
        ("/dns4//tcp/1", "no host name"),
        ("/dns4/a b/tcp/1", "no host name"),
        ("/ip4/192.0.2.1/tcp/1/p2p/11", "in its /p2p/ part, it holds no public key"),
        (
            "/ip4/192.0.2.1/tcp/1/p2p/bafybeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe",
            "dag-pb",
        ),
        (&bare, "no transport"),
        (&twice, "only at its end"),
        (&long, "at most 2048"),
    ] {
        let error = parse_address(text).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidMultiaddr, "{text}");
        assert!(error.message().contains(reason), "{text}: {}", error.message());
    }
}

#[test]
fn a_refused_text_cannot_garble_a_terminal() {
    let error = parse_peer_id("\u{1b}[31mred").unwrap_err();
    assert!(!error.message().contains('\u{1b}'));
}

#[test]
fn scope_says_how_far_an_address_reaches() {
    use super::scope::Scope::{LinkLocal, Loopback, Name, Private, Public};
    for (text, expected) in [
        ("/ip4/127.8.0.1/tcp/1", Loopback),
        ("/ip4/0.0.0.0/tcp/1", Loopback),
        ("/ip6/::/tcp/1", Loopback),
        ("/ip6/::1/tcp/1", Loopback),
        ("/ip6/::ffff:127.0.0.1/tcp/1", Loopback),
        ("/dns4/localhost/tcp/1", Loopback),
        ("/ip4/169.254.1.1/tcp/1", LinkLocal),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1", LinkLocal),
        ("/ip4/10.0.0.1/tcp/1", Private),
        ("/ip4/172.31.0.1/tcp/1", Private),
        ("/ip4/192.168.1.1/tcp/1", Private),
        ("/ip4/100.64.0.1/tcp/1", Private),
        ("/ip4/100.127.255.255/tcp/1", Private),
        ("/ip6/fd00::1/tcp/1", Private),
        ("/ip6/::ffff:10.0.0.1/tcp/1", Private),
        ("/ip6/64:ff9b::a00:1/tcp/1", Private),
        ("/ip6/2002:7f00:1::/tcp/1", Private),
        ("/ip4/203.0.113.1/tcp/1", Private),
        ("/ip4/224.0.0.251/udp/1", Private),
        ("/ip4/255.255.255.255/udp/1", Private),
        ("/ip6/2001:db8::1/tcp/1", Private),
        ("/ip4/172.32.0.1/tcp/1", Public),
        ("/ip4/100.128.0.1/tcp/1", Public),
        ("/ip4/8.8.8.8/tcp/1", Public),
        ("/ip6/2606:4700::1111/tcp/1", Public),
        ("/ip6/64:ff9b::808:808/tcp/1", Public),
        ("/dns4/example.com/tcp/1", Name),
        ("/dnsaddr/bootstrap.libp2p.io", Name),
        ("/memory/1", Name),
    ] {
        assert_eq!(scope(&address(text)), expected, "{text}");
    }
}

#[cfg(all(feature = "dns", feature = "quic"))]
#[test]
fn transport_and_dialable_say_what_this_build_can_reach() {
    use TransportKind::{Quic, Tcp};
    let certhash = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g";
    for (text, transport, dialable) in [
        ("/ip4/1.2.3.4/tcp/1".to_owned(), Some(Tcp), true),
        (format!("/dns/a/tcp/1/p2p/{RSA}"), Some(Tcp), true),
        ("/ip6/::1/udp/1/quic-v1".to_owned(), Some(Quic), true),
        (format!("/dns6/a/udp/1/quic-v1/p2p/{RSA}"), Some(Quic), true),
        ("/dnsaddr/bootstrap.libp2p.io".to_owned(), None, true),
        (format!("/dnsaddr/bootstrap.libp2p.io/p2p/{RSA}"), None, true),
        ("/dnsaddr/a/tcp/1".to_owned(), None, false),
        (format!("/ip4/1.2.3.4/udp/1/quic-v1/certhash/{certhash}"), None, false),
        (format!("/ip4/1.2.3.4/udp/1/quic-v1/webtransport/certhash/{certhash}"), None, false),
        ("/ip4/1.2.3.4/udp/1/quic".to_owned(), None, false),
        ("/ip4/1.2.3.4/udp/1".to_owned(), None, false),
        ("/ip4/1.2.3.4".to_owned(), None, false),
        ("/ip4/1.2.3.4/tcp/1/ws".to_owned(), None, false),
        ("/dns4/a/tcp/443/wss".to_owned(), None, false),
        ("/dns4/a/tcp/443/tls/ws".to_owned(), None, false),
        (format!("/ip4/1.2.3.4/tcp/1/p2p/{RSA}/p2p-circuit"), None, false),
        (format!("/ip4/1.2.3.4/tcp/1/p2p/{RSA}/p2p-circuit/p2p/{ED25519}"), None, false),
        ("/ip6zone/eth0/ip6/fe80::1/tcp/1".to_owned(), None, false),
        ("/memory/1".to_owned(), None, false),
        ("/unix/a".to_owned(), None, false),
    ] {
        let addr = address(&text);
        assert_eq!(transport_of(&addr), transport, "{text}");
        assert_eq!(is_dialable(&addr), dialable, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_readers_panic(text in "\\PC{0,80}", path in "(/(ip4|tcp|p2p|ipfs|dns|p2p-circuit|1|[a-zA-Z0-9]{1,60})){0,8}") {
        for text in [text, path] {
            let _ = parse_peer_id(&text);
            let _ = parse_address(&text);
        }
    }
}

#[test]
fn an_ipv4_address_in_an_ipv6_one_is_read_as_itself() {
    let read = |text: &str| parse_address(text).unwrap().addr.to_string();
    assert_eq!(read("/ip6/::ffff:192.0.2.1/tcp/4001"), "/ip4/192.0.2.1/tcp/4001");
    assert_eq!(read("/ip6/::ffff:c000:201/udp/1/quic-v1"), "/ip4/192.0.2.1/udp/1/quic-v1");
    for other in ["/ip6/::1/tcp/1", "/ip6/64:ff9b::c000:201/tcp/1", "/ip6/::192.0.2.1/tcp/1"] {
        assert!(read(other).starts_with("/ip6/"), "{other}");
    }
}
