//! Packets, honest and hostile, as they are read, and ours as others expect them.

use std::net::Ipv4Addr;

use hickory_proto::op::{Message, OpCode, Query};
use hickory_proto::rr::rdata::{PTR, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::Refusal;
use super::super::packet::{
    self, Instance, MAX_ADDRESSES, MAX_BYTES, MAX_PEERS, Packet, QUERY, Told,
};
use super::{addr, interface, peer};
use crate::{Multiaddr, PeerId};

const IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

fn captured(name: &str) -> Vec<u8> {
    let mut lines = include_str!("captured.txt").lines().filter_map(|line| line.split_once(' '));
    let (_, hex) = lines.find(|(known, _)| *known == name).unwrap();
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn told(bytes: &[u8]) -> Told {
    let link = interface(&["10.77.0.1/24"]).unwrap();
    Packet::read(bytes).unwrap().told(&peer(0), |addr| link.reaches(addr))
}

fn asks(bytes: &[u8]) -> bool {
    let packet = Packet::read(bytes).unwrap();
    packet.is_query() && packet.asks_for(&name("me._p2p._udp.local."))
}

fn parsed(id: &str, addresses: &[&str]) -> Vec<(PeerId, Vec<Multiaddr>)> {
    vec![(id.parse().unwrap(), addresses.iter().map(|text| addr(text)).collect())]
}

/// Makes an answer with the records a test wants.
fn answer(records: impl IntoIterator<Item = Record>) -> Message {
    let mut message = Message::response(0, OpCode::Query);
    message.add_additionals(records);
    message
}

fn text(owner: &str, strings: &[&str]) -> Record {
    let strings = strings.iter().map(ToString::to_string).collect();
    Record::from_rdata(name(owner), 120, RData::TXT(TXT::new(strings)))
}

fn dnsaddr(n: u8, port: usize) -> String {
    format!("dnsaddr=/ip4/10.77.0.9/tcp/{port}/p2p/{}", peer(n))
}

#[test]
fn go_libp2p_is_understood() {
    let id = "12D3KooWFP6c2cjth445angSs3nqTsWpRrdtLeAKk6SvRi2UMWPK";
    let addresses = ["/ip4/10.77.0.1/tcp/45959", "/ip4/10.77.0.1/udp/37541/quic-v1"];
    for packet in ["go_answer", "go_announcement"] {
        let told = told(&captured(packet));
        assert_eq!(told.peers, parsed(id, &addresses), "{packet}");
        assert_eq!((told.refused, told.own), (2, false), "its two loopback addresses are refused");
    }
    assert!(asks(&captured("go_query")));
    assert!(!asks(&captured("go_probe")), "a probe asks for a name that isn't ours");
    assert!(told(&captured("go_goodbye")).peers.is_empty());
}

#[test]
fn rust_libp2p_is_understood() {
    let id = "12D3KooWFsehexdRRijKKsfQEcHCTtFBrbvgEW4bsPhEXw4uKGW1";
    // Its name for itself is a bare label, not one under the service.
    assert_eq!(told(&captured("rust_answer")).peers, parsed(id, &["/ip4/10.77.0.1/tcp/35559"]));
}

#[test]
fn our_question_is_the_one_of_the_specification() {
    let read = Message::from_vec(QUERY).unwrap();
    let mut wanted = Message::new(0, hickory_proto::op::MessageType::Query, OpCode::Query);
    wanted.add_query(Query::query(name("_p2p._udp.local."), RecordType::PTR));
    assert_eq!(read, wanted);
    assert!(packet::concerns_us(QUERY) && asks(QUERY));
}

#[test]
fn our_answer_has_what_every_implementation_wants() {
    let told = [addr("/ip4/10.77.0.1/tcp/4001"), addr("/ip6/2001:db9::1/udp/4001/quic-v1")];
    let made = Instance::new(&peer(1), IP, &told).unwrap().unwrap();
    assert!(packet::concerns_us(&made.answer));
    let message = Message::from_vec(&made.answer).unwrap();
    assert!(message.queries.is_empty() && message.metadata.authoritative);
    let label = made.name.iter().next().unwrap();
    assert!((32..=63).contains(&label.len()) && label.is_ascii());

    let [pointer] = &message.answers[..] else { panic!("{message}") };
    assert_eq!(pointer.name, name("_p2p._udp.local."));
    assert_eq!(pointer.data, RData::PTR(PTR(made.name.clone())));
    assert!(!pointer.mdns_cache_flush, "others have such a record too");

    let kinds: Vec<_> = message.additionals.iter().map(Record::record_type).collect();
    assert_eq!(kinds, [RecordType::SRV, RecordType::TXT, RecordType::A, RecordType::AAAA]);
    assert!(message.additionals.iter().all(|record| record.mdns_cache_flush));
    assert!(message.all_sections().all(|record| record.ttl == 120));
    let RData::SRV(srv) = &message.additionals[0].data else { panic!("{message}") };
    assert_eq!((srv.port, &srv.target), (4001, &message.additionals[2].name));
}

#[test]
fn a_name_is_new_each_time_and_there_is_none_without_addresses() {
    let told = [addr("/ip4/10.77.0.1/tcp/4001")];
    let made = |addresses: &[Multiaddr]| Instance::new(&peer(1), IP, addresses).unwrap();
    assert_ne!(made(&told).unwrap().name, made(&told).unwrap().name);
    assert!(made(&[]).is_none());
}

#[test]
fn an_answer_fits_a_frame_and_no_string_is_over_255_bytes() {
    let long = addr(&format!("/dns/{}/tcp/4001", "x.".repeat(90)));
    let mut addresses = vec![long];
    addresses
        .extend((0..100).map(|port| addr(&format!("/ip4/10.77.0.1/udp/{}/quic-v1", 60000 + port))));
    let made = Instance::new(&peer(1), IP, &addresses).unwrap().unwrap();
    assert!(made.answer.len() <= 1472, "{}", made.answer.len());
    let told = told(&made.answer);
    assert!(told.peers[0].1.len() >= 10 && told.refused == 0, "{:?}", told.peers);
    assert_eq!(told.peers[0].1[0], addresses[1], "the long one is passed over");
}

#[test]
fn strings_may_stand_in_one_record_or_several_in_any_section() {
    let (a, b, c) = (dnsaddr(1, 1), dnsaddr(1, 2), dnsaddr(1, 3));
    let mut message = answer([text("x._P2P._udp.LOCAL.", &[&a, "other=thing", ""])]);
    message.add_answer(text("x._p2p._udp.local.", &[&b]));
    message.add_authority(text("x._p2p._udp.local.", &[&c, &a]));
    let mut told = told(&message.to_vec().unwrap());
    told.peers[0].1.sort();
    let ports = (1..=3).map(|port| addr(&format!("/ip4/10.77.0.9/tcp/{port}")));
    assert_eq!(told.peers, [(peer(1), ports.collect::<Vec<_>>())]);
    assert_eq!((told.refused, told.surplus), (0, 0));
}

#[test]
fn records_of_other_services_tell_nothing() {
    let a = dnsaddr(1, 1);
    for owner in
        ["x._ipp._udp.local.", "_p2p._udp.local.", "y.x._p2p._udp.local.", "x._p2p._udp.example."]
    {
        let message = answer([text(owner, &[&a]), text("z._p2p._udp.local.", &[""])]);
        assert!(told(&message.to_vec().unwrap()).peers.is_empty(), "{owner}");
    }
}

#[test]
fn what_cannot_be_dialled_or_is_no_address_is_counted() {
    let id = peer(1);
    let bad = [
        "dnsaddr=".to_owned(),
        "dnsaddr=/ip4/10.77.0.9/tcp/1".to_owned(),
        "dnsaddr=/ip4/10.77.0.9/tcp/1/p2p/11".to_owned(),
        format!("dnsaddr=/ip4/10.77.0.9/tcp/1/p2p/{id}/p2p-circuit/p2p/{id}"),
        format!("dnsaddr=/ip4/10.77.0.9/tcp/1/ws/p2p/{id}"),
        format!("dnsaddr=/ip4/10.77.0.9/p2p/{id}"),
        format!("dnsaddr=/p2p/{id}"),
        format!("dnsaddr=/dnsaddr/example.com/p2p/{id}"),
        format!("dnsaddr=/ip4/127.0.0.1/tcp/1/p2p/{id}"),
        format!("dnsaddr=/ip4/1.1.1.1/tcp/1/p2p/{id}"),
    ];
    let strings: Vec<&str> = bad.iter().map(String::as_str).collect();
    let told = told(&answer([text("x._p2p._udp.local.", &strings)]).to_vec().unwrap());
    assert!(told.peers.is_empty());
    assert_eq!(told.refused, bad.len() as u64);
}

#[test]
fn our_own_id_is_known_and_dropped() {
    let message = answer([text("x._p2p._udp.local.", &[&dnsaddr(0, 1), &dnsaddr(1, 1)])]);
    let told = told(&message.to_vec().unwrap());
    assert!(told.own);
    assert_eq!(told.peers.len(), 1);
}

#[test]
fn at_most_8_peers_of_16_addresses_are_heeded() {
    let many = (1..=20).map(|n| {
        let strings: Vec<String> = (1..=20).map(|port| dnsaddr(n, port)).collect();
        let strings: Vec<&str> = strings.iter().map(String::as_str).collect();
        text("x._p2p._udp.local.", &strings)
    });
    let told = told(&answer(many).to_vec().unwrap());
    assert_eq!(told.peers.len(), MAX_PEERS);
    assert!(told.peers.iter().all(|(_, addresses)| addresses.len() == MAX_ADDRESSES));
    assert_eq!(told.surplus, 20 * 20 - (MAX_PEERS * MAX_ADDRESSES) as u64);
}

#[test]
fn a_packet_of_too_many_records_is_refused_by_its_header() {
    for field in 0..4 {
        let mut bytes = QUERY.to_vec();
        bytes[4 + 2 * field] = 0xff;
        assert_eq!(Packet::read(&bytes).err(), Some(Refusal::Oversize), "{field}");
    }
}

#[test]
fn questions_are_told_apart() {
    let ask = |owner: &str, kind, class| {
        let mut message = Message::new(0, hickory_proto::op::MessageType::Query, OpCode::Query);
        let mut query = Query::query(name(owner), kind);
        query.set_query_class(class);
        message.add_query(Query::query(name("_ipp._tcp.local."), RecordType::PTR)).add_query(query);
        asks(&message.to_vec().unwrap())
    };
    let unicast = DNSClass::from(0x8001);
    assert!(ask("_p2p._udp.local.", RecordType::PTR, DNSClass::IN));
    assert!(ask("_P2P._UDP.local.", RecordType::ANY, unicast));
    assert!(ask("me._p2p._udp.local.", RecordType::TXT, DNSClass::IN));
    assert!(!ask("_p2p._udp.local.", RecordType::A, DNSClass::IN));
    assert!(!ask("you._p2p._udp.local.", RecordType::TXT, DNSClass::IN));
    assert!(!ask("_services._dns-sd._udp.local.", RecordType::PTR, DNSClass::IN));
}

#[test]
fn only_standard_messages_without_an_error_are_read() {
    for (at, bits) in [(2, 0x28), (3, 0x03)] {
        let mut bytes = QUERY.to_vec();
        bytes[at] |= bits;
        assert_eq!(Packet::read(&bytes).err(), Some(Refusal::Malformed));
    }
}

#[test]
fn a_packet_cut_short_anywhere_is_malformed() {
    for whole in [captured("go_announcement"), captured("rust_answer"), QUERY.to_vec()] {
        for length in 0..whole.len() {
            assert_eq!(Packet::read(&whole[..length]).err(), Some(Refusal::Malformed), "{length}");
        }
    }
}

#[test]
fn compression_that_loops_is_malformed() {
    // A question whose name points at itself, at its own middle, and forward.
    for pointer in [12, 17, 19, 40] {
        let mut bytes = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x04_p2p".to_vec();
        bytes.extend([0xc0, pointer, 0, 12, 0, 1]);
        assert_eq!(Packet::read(&bytes).err(), Some(Refusal::Malformed), "{pointer}");
    }
}

/// Checks that no more than the limits comes of a packet, whatever is in it.
fn check(bytes: &[u8]) {
    let Ok(packet) = Packet::read(bytes) else { return };
    packet.asks_for(&name("me._p2p._udp.local."));
    let told = packet.told(&peer(0), |_| true);
    assert!(told.peers.len() <= MAX_PEERS);
    for (_, addresses) in told.peers {
        assert!(!addresses.is_empty() && addresses.len() <= MAX_ADDRESSES);
        assert!(addresses.iter().all(|addr| addr.to_string().len() <= 255));
    }
}

proptest! {
    #[test]
    fn garbage_is_read_without_a_panic(bytes in vec(any::<u8>(), 0..MAX_BYTES)) {
        packet::concerns_us(&bytes);
        check(&bytes);
    }

    #[test]
    fn damaged_packets_are_read_without_a_panic(
        which in 0..5usize,
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let names = ["go_answer", "go_announcement", "go_goodbye", "go_probe", "rust_answer"];
        let mut bytes = captured(names[which]);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        check(&bytes);
        check(&bytes[..cut.index(bytes.len())]);
    }

    #[test]
    fn what_we_tell_is_what_is_heard(n in 1..=255u8, ports in vec(any::<u16>(), 1..8), quic in any::<bool>()) {
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for port in ports {
            let tail = if quic { format!("udp/{port}/quic-v1") } else { format!("tcp/{port}") };
            let address = addr(&format!("/ip4/10.77.0.1/{tail}"));
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let made = Instance::new(&peer(n), IP, &addresses).unwrap().unwrap();
        prop_assert_eq!(told(&made.answer).peers, vec![(peer(n), addresses)]);
    }
}
