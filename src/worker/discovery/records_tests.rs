//! The promises of peer records: only the peer itself says where it is, only new records count, and no
//! neighbour's flood costs more than its share.

use proptest::prelude::*;

use super::*;
use crate::worker::util::rate::MAX_PEERS;

const PUBLIC: &str = "/ip4/8.8.8.8/tcp/4001";
const NEIGHBOUR: &str = "/ip4/1.1.1.1/tcp/4001";

/// A record sealed by go-libp2p 0.51.0's `record.Seal`: see the test that opens it.
const BY_GO: &str = "0a2408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c\
    120203011a6a0a26002408011220ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c\
    10959ac5f194d891bd181a0a0a0804c6336407060fa11a190a172920010db800000000000000000000000791020f\
    a1cd031a0f0a0d04c633640791020fa1cd03d1032a40df6880644cf1491fd67bcfa3c3efe21451aee9f869cfa952\
    a153b1e6c300e394250f36e269c2105f18ff682e3f3052ceb93c7ae2679da216ea1487eef7ade903";

fn address(text: &str) -> Multiaddr {
    text.parse().unwrap()
}

fn key() -> Keypair {
    Keypair::generate_ed25519()
}

fn sealed(key: &Keypair, seq: u64) -> Vec<u8> {
    seal(key, [address(PUBLIC)], seq).unwrap()
}

/// Makes an envelope with a record of any peer, under any domain and of any kind.
fn envelope(key: &Keypair, peer: &[u8], addresses: &[&[u8]], domain: &str, kind: &[u8]) -> Vec<u8> {
    let addresses =
        addresses.iter().map(|bytes| AddressInfo { multiaddr: bytes.to_vec() }).collect();
    let record = PeerRecord { peer_id: peer.to_vec(), seq: 1, addresses };
    SignedEnvelope::new(key, domain.to_owned(), kind.to_vec(), record.encode_to_vec())
        .unwrap()
        .into_protobuf_encoding()
}

/// A node with neighbours and a clock.
struct Node {
    records: PeerRecords,
    neighbour: PeerId,
    now: Instant,
}

impl Node {
    fn new() -> Self {
        let records = PeerRecords::new(PeerId::random());
        Node { records, neighbour: PeerId::random(), now: Instant::now() }
    }

    fn hear(&mut self, bytes: &[u8]) -> Result<Received, Refused> {
        self.hear_from(self.neighbour, bytes)
    }

    fn hear_from(&mut self, from: PeerId, bytes: &[u8]) -> Result<Received, Refused> {
        self.records.receive(bytes, &from, &address(NEIGHBOUR), self.now)
    }

    fn after(&mut self, seconds: f64) -> &mut Self {
        self.now += Duration::from_secs_f64(seconds);
        self
    }
}

#[test]
fn what_is_sealed_is_heard() {
    let (mut node, key) = (Node::new(), key());
    let peer = key.public().to_peer_id();
    let own = addr::with_peer_id(&address(PUBLIC), &peer);
    let bytes = seal(&key, [own, address("/ip4/10.0.0.1/tcp/1")], 7).unwrap();
    let heard = node.hear(&bytes).unwrap();
    assert_eq!((heard.peer, heard.seq, &heard.addresses), (peer, 7, &vec![address(PUBLIC)]));
    assert_eq!(heard.dropped, Dropped { scope: 1, ..Dropped::default() });
}

#[test]
fn the_bytes_are_those_of_other_libp2ps() {
    let bytes = multibase::Base::Base16Lower.decode(BY_GO).unwrap();
    let (peer, record) = open(&bytes).unwrap();
    assert_eq!(peer.to_base58(), "12D3KooWRawPbxPtP1eZaJpumGnyWX2DcUyd3RQnydr3eAto4Az7");
    assert_eq!(record.seq, 1763800000123456789);
    let heard = Node::new().hear(&bytes).unwrap();
    assert_eq!(heard.addresses, []);
    assert_eq!(heard.dropped, Dropped { scope: 2, undialable: 1, ..Dropped::default() });

    let standard = libp2p::core::PeerRecord::from_signed_envelope_interop(
        SignedEnvelope::from_protobuf_encoding(&sealed(&key(), 3)).unwrap(),
    );
    let standard = standard.unwrap();
    assert_eq!((standard.seq(), standard.addresses()), (3, [address(PUBLIC)].as_slice()));
}

#[test]
fn every_kind_of_key_signs() {
    let keys = [Keypair::generate_ecdsa(), Keypair::generate_secp256k1()];
    let mut node = Node::new();
    for key in keys {
        let heard = node.hear(&sealed(&key, 1)).unwrap();
        assert_eq!(heard.peer, key.public().to_peer_id());
    }
}

#[test]
fn nobody_speaks_for_another() {
    let (mut node, victim, liar) = (Node::new(), key().public().to_peer_id().to_bytes(), key());
    let own = liar.public().to_peer_id().to_bytes();
    let addresses = [&address(PUBLIC).to_vec()[..]];
    let mut seal = |peer: &[u8], domain: &str, kind: &[u8]| {
        node.hear(&envelope(&liar, peer, &addresses, domain, kind)).map(|_| ())
    };
    assert_eq!(seal(&victim, DOMAIN, &PAYLOAD_TYPE), Err(Refused::Forged));
    assert_eq!(seal(b"", DOMAIN, &PAYLOAD_TYPE), Err(Refused::Forged));
    assert_eq!(seal(&own, "another domain", &PAYLOAD_TYPE), Err(Refused::Forged));
    assert_eq!(seal(&own, DOMAIN, b"another type"), Err(Refused::Malformed));
    assert_eq!(seal(&own, DOMAIN, &PAYLOAD_TYPE), Ok(()));

    let genuine = sealed(&key(), 1);
    for at in 0..genuine.len() {
        let mut bytes = genuine.clone();
        bytes[at] ^= 1;
        let refused = Node::new().hear(&bytes).unwrap_err();
        assert!(matches!(refused, Refused::Forged | Refused::Malformed), "{at}: {refused:?}");
    }
}

#[test]
fn what_is_cut_short_or_too_long_is_refused() {
    let genuine = sealed(&key(), 1);
    for length in 0..genuine.len() {
        let refused = Node::new().hear(&genuine[..length]).unwrap_err();
        assert!(matches!(refused, Refused::Malformed | Refused::Forged), "{length}: {refused:?}");
    }
    let mut node = Node::new();
    assert_eq!(node.hear(&[0; MAX_ENVELOPE_BYTES + 1]), Err(Refused::TooLarge));
    assert_eq!(node.hear(&[0; MAX_ENVELOPE_BYTES]), Err(Refused::Malformed));
}

#[test]
fn one_unreadable_address_spoils_no_other() {
    let key = key();
    let (good, peer) = (address(PUBLIC).to_vec(), key.public().to_peer_id().to_bytes());
    let addresses: [&[u8]; 4] = [b"", b"\xff\xff", &[4, 1], &good];
    let bytes = envelope(&key, &peer, &addresses, DOMAIN, &PAYLOAD_TYPE);
    let heard = Node::new().hear(&bytes).unwrap();
    assert_eq!((heard.addresses, heard.dropped.undialable), (vec![address(PUBLIC)], 3));
}

#[test]
fn as_much_is_sealed_as_others_take() {
    let key = key();
    let long = |n| address(&format!("/dns4/{}/tcp/{n}", "a".repeat(400)));
    let addresses = [long(0).with(multiaddr::Protocol::Dns("b".repeat(200).into()))]
        .into_iter()
        .chain((1..=20).map(long))
        .chain([Multiaddr::empty(), address(PUBLIC)]);
    let bytes = seal(&key, addresses, 1).unwrap();
    assert!(bytes.len() <= MAX_ENVELOPE_BYTES);
    let heard = Node::new().hear(&bytes).unwrap();
    assert_eq!((heard.addresses.len(), heard.dropped), (11, Dropped::default()));

    let many = (1..=20).map(|n| address(&format!("/ip4/8.8.8.8/tcp/{n}")));
    let heard = Node::new().hear(&seal(&key, many, 1).unwrap()).unwrap();
    assert_eq!((heard.addresses.len(), heard.dropped.too_many), (MAX_ADDRESSES, 0));
}

#[test]
fn sequence_numbers_rise_whatever_the_clock_does() {
    assert_eq!(next_seq(0, Timestamp::from_micros(5)), 5000);
    assert_eq!(next_seq(9000, Timestamp::from_micros(5)), 9001);
    assert_eq!(next_seq(9000, Timestamp::from_micros(-5)), 9001);
    assert_eq!(next_seq(u64::MAX, Timestamp::from_micros(i64::MAX)), u64::MAX);
}

#[test]
fn our_own_come_back_and_are_no_news() {
    let key = key();
    let mut node = Node::new();
    node.records = PeerRecords::new(key.public().to_peer_id());
    assert_eq!(node.hear(&sealed(&key, 1)), Err(Refused::OwnId));
}

#[test]
fn only_what_is_newer_is_news() {
    let (mut node, key) = (Node::new(), key());
    node.hear(&sealed(&key, 5)).unwrap();
    assert_eq!(node.after(30.0).hear(&sealed(&key, 5)), Err(Refused::Stale));
    assert_eq!(node.hear(&sealed(&key, 4)), Err(Refused::Stale));
    assert_eq!(node.hear(&sealed(&key, 6)).map(|heard| heard.seq), Ok(6));
}

#[test]
fn a_number_from_the_far_future_stands_in_nobody_elses_way() {
    let (mut node, hasty, honest) = (Node::new(), key(), key());
    node.hear(&sealed(&hasty, u64::MAX)).unwrap();
    let bytes =
        envelope(&hasty, &honest.public().to_peer_id().to_bytes(), &[], DOMAIN, &PAYLOAD_TYPE);
    assert_eq!(node.after(30.0).hear(&bytes), Err(Refused::Forged));
    assert_eq!(node.hear(&sealed(&hasty, 7)), Err(Refused::Stale));
    node.hear(&sealed(&honest, 7)).unwrap();
}

#[test]
fn one_peer_is_heard_once_a_second() {
    let (mut node, key) = (Node::new(), key());
    node.hear(&sealed(&key, 1)).unwrap();
    assert_eq!(node.after(0.9).hear(&sealed(&key, 2)), Err(Refused::TooMany));
    node.after(0.1).hear(&sealed(&key, 3)).unwrap();
}

/// Counts those of `count` messages that aren't refused for their rate.
fn passing(node: &mut Node, from: PeerId, count: u32) -> u32 {
    let looked_at = |node: &mut Node| node.hear_from(from, b"?") != Err(Refused::TooMany);
    (0..count).map(|_| u32::from(looked_at(node))).sum()
}

#[test]
fn a_flood_from_one_neighbour_leaves_the_others_alone() {
    let (mut node, other) = (Node::new(), PeerId::random());
    let flooder = node.neighbour;
    assert_eq!(passing(&mut node, flooder, 10_000), NEIGHBOUR_BURST);
    node.hear_from(other, &sealed(&key(), 1)).unwrap();
    assert_eq!(node.hear(&sealed(&key(), 1)), Err(Refused::TooMany));
    node.after(1.0);
    assert_eq!(passing(&mut node, flooder, 10_000), NEIGHBOUR_PER_S);
    node.hear_from(other, &sealed(&key(), 1)).unwrap();
}

#[test]
fn many_neighbours_together_have_a_limit_too() {
    let mut node = Node::new();
    let sum: u32 = (0..10).map(|_| passing(&mut node, PeerId::random(), 500)).sum();
    assert_eq!(sum, ALL_BURST);
    node.after(1.0);
    let sum: u32 = (0..10).map(|_| passing(&mut node, PeerId::random(), 500)).sum();
    assert_eq!(sum, ALL_PER_S);
}

#[test]
fn a_thousand_honest_nodes_pass_through_one_neighbour() {
    let mut node = Node::new();
    let relay = node.neighbour;
    assert_eq!(passing(&mut node, relay, 1000), 1000);
    for _ in 0..300 {
        node.after(30.0 / 1000.0);
        assert_eq!(passing(&mut node, relay, 1), 1);
    }
    assert_eq!(passing(node.after(60.0), relay, 1000), 1000);
}

#[test]
fn memory_stays_bounded_and_the_least_recent_is_forgotten() {
    let mut node = Node::new();
    let first = PeerId::random();
    let now = node.now;
    for peer in [first].into_iter().chain((0..MAX_REMEMBERED).map(|_| PeerId::random())) {
        node.records.note(peer, 5, now).unwrap();
        node.records.admit(&peer, now).ok();
    }
    assert_eq!(node.records.last.len(), MAX_REMEMBERED);
    assert_eq!(node.records.neighbours.len(), MAX_PEERS);
    assert_eq!(node.records.note(first, 4, now), Ok(()));

    let neighbour = node.neighbour;
    node.hear(b"?").unwrap_err();
    node.records.forget(&neighbour);
    assert_eq!(node.records.neighbours.len(), MAX_PEERS - 1);
}

proptest! {
    #[test]
    fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let refused = Node::new().hear(&bytes);
        prop_assert!(matches!(refused, Err(Refused::Malformed | Refused::Forged)));
    }

    #[test]
    fn a_signed_record_of_garbage_does_no_harm(
        payload in prop::collection::vec(any::<u8>(), 0..512),
        addresses in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
    ) {
        let key = key();
        let signed = SignedEnvelope::new(&key, DOMAIN.into(), PAYLOAD_TYPE.to_vec(), payload);
        let bytes = signed.unwrap().into_protobuf_encoding();
        prop_assert!(Node::new().hear(&bytes).is_err());

        let addresses: Vec<&[u8]> = addresses.iter().map(Vec::as_slice).collect();
        let peer = key.public().to_peer_id().to_bytes();
        let bytes = envelope(&key, &peer, &addresses, DOMAIN, &PAYLOAD_TYPE);
        let heard = Node::new().hear(&bytes).unwrap();
        prop_assert!(heard.addresses.len() <= MAX_ADDRESSES);
    }
}
