//! Tests of the book's promises, with a clock of their own. Random histories are in `model_tests.rs`,
//! the disk's promises in `disk_tests.rs`.

use std::collections::HashSet;
use std::time::Duration;

use super::record::{MAX_ADDRS, MAX_PROTOCOLS};
use super::*;
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::model::event::DisconnectReason;
use crate::model::params::SortBy;
use crate::model::{
    ConnectionInfo, Direction, LastDisconnect, LastError, Source, Text, TransportKind,
};
use crate::{Multiaddr, PeerId};

/// Makes a peer id of a number: an ed25519 key in an identity multihash.
pub(super) fn peer(n: u64) -> PeerId {
    let mut bytes = vec![0, 36, 8, 1, 18, 32];
    // Spread over the key, so that the order of the ids isn't the order of the numbers.
    for round in 1..=4u64 {
        bytes.extend(
            (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(7 * round as u32).to_be_bytes(),
        );
    }
    PeerId::from_bytes(&bytes).unwrap()
}

pub(super) fn at(secs: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + secs * 1_000_000)
}

pub(super) fn addr(n: u64) -> Multiaddr {
    format!("/ip4/10.0.{}.{}/tcp/4001", n / 250 % 250, n % 250).parse().unwrap()
}

pub(super) fn conn(direction: Direction, address: &str, when: Timestamp) -> ConnectionInfo {
    let transport = TransportKind::Tcp;
    ConnectionInfo { address: address.into(), direction, transport, opened_at: when }
}

pub(super) fn end(when: Timestamp) -> Option<LastDisconnect> {
    Some(LastDisconnect { reason: DisconnectReason::RemoteClosed, at: when })
}

pub(super) fn told(agent: &str, protocols: &[&str]) -> Identified {
    Identified {
        agent_version: Some(agent.to_owned()),
        protocols: protocols.iter().map(|p| (*p).to_string()).collect(),
        ..Identified::default()
    }
}

pub(super) fn add(book: &Book, n: u64, now: Timestamp) -> crate::error::Result<()> {
    let change = UserChange::Add { id: peer(n), addrs: vec![addr(n)], now };
    book.plan(&change, 0)?;
    book.apply(&change);
    Ok(())
}

pub(super) fn inbound(book: &Book, n: u64, key: u64, now: Timestamp) -> bool {
    let info = conn(Direction::Inbound, "/ip4/10.9.9.9/tcp/50000", now);
    book.connected(&peer(n), key, info, Source::Inbound, now)
}

pub(super) fn outbound(book: &Book, n: u64, key: u64, now: Timestamp) -> bool {
    let info = conn(Direction::Outbound, &addr(n).to_string(), now);
    book.connected(&peer(n), key, info, Source::Mdns, now)
}

#[test]
fn pages_by_cursor_never_repeat_a_peer_while_peers_come_and_go() {
    for sort in [SortBy::LastSeen, SortBy::FirstSeen, SortBy::PeerId] {
        let book = Book::new(100_000);
        for n in 0..300 {
            book.discovered(&peer(n), Source::Mdns, &[addr(n)], at(n as i64));
        }
        let (mut seen, mut next, mut clock) = (HashSet::new(), 300, 1000);
        let mut query = ListQuery { sort, limit: 7, ..ListQuery::default() };
        loop {
            let page = book.list(&query).unwrap();
            for row in &page.rows {
                assert!(seen.insert(row.id), "{sort:?}: {} came twice", row.id);
            }
            for n in 0..5 {
                clock += 1;
                book.discovered(&peer((clock as u64 * 13 + n) % next), Source::Dht, &[], at(clock));
                book.apply(&UserChange::Remove { id: peer((clock as u64 * 29) % 300) });
            }
            book.discovered(&peer(next), Source::Mdns, &[], at(clock));
            next += 1;
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
    }
}

#[test]
fn a_cursor_that_is_malformed_or_of_another_sort_is_refused_by_name() {
    let book = Book::new(100);
    for n in 0..9 {
        book.discovered(&peer(n), Source::Mdns, &[], at(1));
    }
    let page = book.list(&ListQuery { limit: 4, ..ListQuery::default() }).unwrap();
    let good = page.next_cursor.unwrap();
    let refused = |cursor: &str, sort| {
        let query =
            ListQuery { sort, limit: 4, cursor: Some(cursor.into()), ..ListQuery::default() };
        let error = book.list(&query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("cursor"));
    };
    refused(&good, SortBy::Latency);
    for bad in ["", "x", "AQAA", "%%%", &good[..good.len() - 5], &format!("{good}AAAA")] {
        refused(bad, SortBy::LastSeen);
    }
}

#[test]
fn records_known_only_from_inbound_connections_are_at_most_a_tenth() {
    let book = Book::new(100);
    for n in 0..60 {
        inbound(&book, n, n, at(n as i64));
        book.identified(&peer(n), told("x", &["/a"]), at(n as i64));
        book.connection_closed(&peer(n), n, end(at(n as i64)));
    }
    assert_eq!(book.counts().total, 10);
    assert!(book.get(&peer(59)).is_some() && book.get(&peer(49)).is_none(), "the oldest go first");
}

#[test]
fn an_inbound_stranger_is_neither_stored_nor_kept() {
    let book = Book::new(100);
    assert!(inbound(&book, 1, 7, at(1)));
    assert!(book.get(&peer(1)).unwrap().addrs.is_empty(), "an ephemeral port is no address");
    assert!(!book.has_dirty());
    assert_eq!(book.connection_closed(&peer(1), 7, end(at(2))), 0);
    assert!(book.get(&peer(1)).is_none());
    inbound(&book, 1, 8, at(3));
    book.identified(&peer(1), told("x", &["/a"]), at(3));
    assert!(book.has_dirty());
    book.connection_closed(&peer(1), 8, end(at(4)));
    assert_eq!(book.get(&peer(1)).unwrap().last_seen, Some(at(4)));
}

#[test]
fn a_book_full_of_records_that_must_stay_refuses_more() {
    let book = Book::new(5);
    (0..5).for_each(|n| add(&book, n, at(0)).unwrap());
    assert_eq!(book.discovered(&peer(9), Source::Mdns, &[], at(1)), Discovered::Refused);
    let error = add(&book, 9, at(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LimitReached);
    add(&book, 3, at(2)).unwrap();
    assert!(outbound(&book, 9, 1, at(3)), "a connected peer is always kept");
    assert_eq!(book.counts().total, 6);
    book.connection_closed(&peer(9), 1, end(at(4)));
    assert_eq!(book.counts().total, 5);
}

#[test]
fn the_most_useful_address_stands_first() {
    let book = Book::new(10);
    let id = peer(1);
    let text = |n: u64| -> Text { addr(n).to_string().into() };
    let first = |book: &Book| book.get(&id).unwrap().dial_addresses()[0].0.clone();
    book.discovered(&id, Source::Mdns, &[addr(1), addr(2)], at(0));
    add(&book, 1, at(0)).unwrap();
    let change = UserChange::Add { id, addrs: vec![addr(3)], now: at(1) };
    book.apply(&change);
    assert_eq!(first(&book), text(3));
    let worked = format!("{}/p2p/{id}", addr(2));
    book.connected(&id, 1, conn(Direction::Outbound, &worked, at(2)), Source::Mdns, at(2));
    assert_eq!(first(&book), text(2));
    book.discovered(&id, Source::Dht, &[addr(4)], at(3));
    for step in 0..12 {
        let error =
            LastError { code: ErrorKind::DialFailed, message: "no".into(), at: at(10 + step) };
        book.dial_failed(&id, &[text(2), text(3), text(4)], error);
    }
    let left: Vec<Text> = book.get(&id).unwrap().addrs.iter().map(|a| a.text.clone()).collect();
    assert_eq!(
        left,
        [text(1), text(3), text(2)],
        "4 is hopeless, 2 worked lately, the user's stay"
    );
    assert!(book.get(&id).unwrap().last_error.is_some());
    outbound(&book, 1, 2, at(30));
    assert!(book.get(&id).unwrap().last_error.is_none());
}

#[test]
fn a_remote_can_not_make_a_record_grow_without_bound() {
    let book = Book::new(10);
    book.discovered(&peer(1), Source::Dht, &(0..500).map(addr).collect::<Vec<_>>(), at(0));
    let names = (0..5000).map(|n| format!("/p/{n}")).collect();
    let flood = Identified { protocols: names, ..Identified::default() };
    book.identified(&peer(1), flood, at(1));
    let record = book.get(&peer(1)).unwrap();
    assert_eq!((record.addrs.len(), record.protocols.len()), (MAX_ADDRS, MAX_PROTOCOLS));
    assert_eq!(book.protocols(3).len(), 3);
    book.apply(&UserChange::Remove { id: peer(1) });
    assert_eq!(book.state.read().interner.held(), (0, 0, 0));
    assert!(book.protocols(10).is_empty());
}

#[test]
fn pings_leave_last_seen_alone_and_stopping_disconnects_everyone() {
    let book = Book::new(10);
    outbound(&book, 1, 1, at(1));
    book.latency(&peer(1), Duration::from_micros(1500));
    let record = book.get(&peer(1)).unwrap();
    assert_eq!((record.last_seen, record.row().latency_ms), (Some(at(1)), Some(1.5)));
    book.disconnect_all(at(5), DisconnectReason::Shutdown);
    let info = book.get(&peer(1)).unwrap().info();
    assert!(!info.row.connected && info.connections.is_empty());
    assert_eq!(info.last_disconnect.unwrap().reason, DisconnectReason::Shutdown);
    assert_eq!(book.counts().connected, 0);
}

#[test]
fn waits_after_failed_dials_can_be_forgotten_whatever_their_number() {
    let book = Book::new(20_000);
    for n in 0..10_000 {
        book.discovered(&peer(n), Source::Dht, &[addr(n)], at(0));
        if n % 2 == 0 {
            book.back_off(&peer(n), at(0), |_| Duration::from_secs(3600));
        }
    }
    assert_eq!(book.dial_candidates(at(1)).1, Some(at(3600)), "the next turn");
    assert_eq!(book.forget_waits(), 5_000);
    assert_eq!(book.dial_candidates(at(1)).1, None);
    assert_eq!(
        book.back_off(&peer(0), at(1), |failures| Duration::from_secs(failures.into())),
        Some(Duration::from_secs(1)),
        "counted anew"
    );
}
