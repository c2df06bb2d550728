//! Tests by random histories: after any of them, lists and counts agree with a naive model, and the
//! bounds hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::memory::DirtyItem;
use super::record::MAX_ADDRS;
use super::tests::{add, addr, at, end, inbound, outbound, peer, told};
use super::*;
use crate::PeerId;
use crate::clock::Timestamp;
use crate::error::ErrorKind;
use crate::model::params::SortBy;
use crate::model::{LastError, Policy, Source};

#[derive(Debug, Clone)]
enum Op {
    Discover(u64, u8),
    Inbound(u64),
    Outbound(u64),
    Identify(u64, usize),
    Close(u64),
    Fail(u64),
    Ping(u64, u32),
    Add(u64),
    Remove(u64),
}

const PEERS: u64 = 40;
const PROTOCOLS: [&[&str]; 4] = [
    &["/ipfs/id/1.0.0"],
    &["/ipfs/kad/1.0.0", "/ipfs/id/1.0.0"],
    &["/meshsub/1.1.0", "/ipfs/id/1.0.0"],
    &["/Bitswap/1.2.0", "/lan/kad/1.0.0", "/floodsub/1.0.0"],
];

fn op() -> impl Strategy<Value = Op> {
    let n = 0..PEERS;
    prop_oneof![
        4 => (n.clone(), 0..3u8).prop_map(|(n, s)| Op::Discover(n, s)),
        2 => n.clone().prop_map(Op::Inbound),
        3 => n.clone().prop_map(Op::Outbound),
        3 => (n.clone(), 0..4usize).prop_map(|(n, p)| Op::Identify(n, p)),
        4 => n.clone().prop_map(Op::Close),
        1 => n.clone().prop_map(Op::Fail),
        2 => (n.clone(), 1..5u32).prop_map(|(n, ms)| Op::Ping(n, ms)),
        1 => n.clone().prop_map(Op::Add),
        1 => n.prop_map(Op::Remove),
    ]
}

/// Applies an operation. Several share a second, so that ties are met.
fn apply(book: &Book, step: usize, op: &Op) {
    let now = at(step as i64 / 3);
    match *op {
        Op::Discover(n, source) => {
            let source = [Source::Mdns, Source::Dht, Source::Bootstrap][source as usize % 3];
            book.discovered(&peer(n), source, &[addr(n), addr(n + step as u64)], now);
        }
        Op::Inbound(n) => {
            inbound(book, n, step as u64, now);
        }
        Op::Outbound(n) => {
            outbound(book, n, step as u64, now);
        }
        Op::Identify(n, p) => book.identified(&peer(n), told("Agent/1", PROTOCOLS[p]), now),
        Op::Close(n) => {
            if let Some(live) = book.get(&peer(n)).and_then(|r| r.connections.first().cloned()) {
                book.connection_closed(&peer(n), live.key, end(now));
            }
        }
        Op::Fail(n) => {
            let error = LastError { code: ErrorKind::DialFailed, message: "no".into(), at: now };
            book.dial_failed(&peer(n), &[addr(n).to_string().into()], error);
        }
        Op::Ping(n, ms) => book.latency(&peer(n), Duration::from_millis(ms.into())),
        Op::Add(n) => {
            let _ = add(book, n, now);
        }
        Op::Remove(n) => {
            book.apply(&UserChange::Remove { id: peer(n) });
        }
    }
}

/// Returns every record, by asking for each peer: lists are compared with these.
fn everything(book: &Book) -> Vec<Arc<Record>> {
    (0..PEERS).filter_map(|n| book.get(&peer(n))).collect()
}

fn naive(all: &[Arc<Record>], filter: &Filter, sort: SortBy) -> Vec<PeerId> {
    let mut rows: Vec<&Arc<Record>> = all
        .iter()
        .filter(|r| filter.connected.is_none_or(|c| r.connected() == c))
        .filter(|r| filter.protocol.as_ref().is_none_or(|p| r.protocols.iter().any(|q| **q == **p)))
        .filter(|r| {
            filter.search.as_ref().is_none_or(|s| {
                let s = s.to_lowercase();
                let addrs = r.addrs.iter().map(|a| a.text.clone());
                let mut texts =
                    addrs.chain(r.protocols.iter().cloned()).chain(r.agent_version.clone());
                texts.any(|t| t.to_lowercase().contains(&s))
                    || r.id_text.to_lowercase().contains(&s)
            })
        })
        .filter(|r| filter.policy.is_none_or(|p| r.policy == p))
        .collect();
    let newest = |t: Option<Timestamp>| (t.is_none(), std::cmp::Reverse(t));
    rows.sort_by(|a, b| {
        let order = match sort {
            SortBy::LastSeen => newest(a.last_seen).cmp(&newest(b.last_seen)),
            SortBy::FirstSeen => newest(a.first_seen).cmp(&newest(b.first_seen)),
            SortBy::Latency => {
                (a.latency_us.is_none(), a.latency_us).cmp(&(b.latency_us.is_none(), b.latency_us))
            }
            SortBy::PeerId => std::cmp::Ordering::Equal,
        };
        order.then_with(|| a.id_text.cmp(&b.id_text))
    });
    rows.iter().map(|r| r.id).collect()
}

fn ids(rows: &[Arc<Record>]) -> Vec<PeerId> {
    rows.iter().map(|r| r.id).collect()
}

fn filters() -> Vec<Filter> {
    let search = |s: &str| Filter { search: Some(s.into()), ..Filter::default() };
    let mut filters =
        vec![Filter::default(), search("KAD"), search("0.3/"), search("aGent"), search("é")];
    filters.push(search(&peer(3).to_base58()[20..28].to_uppercase()));
    for connected in [true, false] {
        filters.push(Filter { connected: Some(connected), ..Filter::default() });
        filters.push(Filter { connected: Some(connected), ..search("bitswap") });
    }
    filters.push(Filter { protocol: Some("/ipfs/id/1.0.0".into()), ..Filter::default() });
    filters.push(Filter { policy: Some(Policy::Keep), ..Filter::default() });
    filters
}

const SORTS: [SortBy; 4] = [SortBy::LastSeen, SortBy::FirstSeen, SortBy::Latency, SortBy::PeerId];

fn check_lists(book: &Book) {
    let all = everything(book);
    for filter in filters() {
        for sort in SORTS {
            let want = naive(&all, &filter, sort);
            for (offset, limit) in [(0, 3), (2, 5), (7, 100), (1000, 5)] {
                let query = ListQuery {
                    filter: filter.clone(),
                    sort,
                    limit,
                    offset: offset as u64,
                    cursor: None,
                };
                let page = book.list(&query).unwrap();
                let rows: Vec<_> = want.iter().skip(offset).take(limit).copied().collect();
                assert_eq!(ids(&page.rows), rows, "{filter:?} {sort:?} {offset} {limit}");
                assert_eq!(page.total, want.len() as u64);
                assert_eq!(page.has_more, offset + limit < want.len());
                assert_eq!(page.next_cursor.is_some(), page.has_more);
            }
            let mut walked = Vec::new();
            let mut query =
                ListQuery { filter: filter.clone(), sort, limit: 4, ..ListQuery::default() };
            loop {
                let page = book.list(&query).unwrap();
                assert_eq!(page.offset, walked.len() as u64);
                walked.extend(ids(&page.rows));
                query.cursor = page.next_cursor;
                if query.cursor.is_none() {
                    break;
                }
            }
            assert_eq!(walked, want, "by cursor: {filter:?} {sort:?}");
        }
    }
}

fn check_counts(book: &Book) {
    let all = everything(book);
    let count = |f: &dyn Fn(&Record) -> bool| all.iter().filter(|r| f(r)).count() as u64;
    let counts = book.counts();
    assert_eq!(counts.total, all.len() as u64);
    assert_eq!(counts.connected, count(&|r| r.connected()));
    assert_eq!(counts.dht, count(&|r| r.protocols.iter().any(|p| p.contains("/kad/"))));
    let pubsub = |r: &Record| {
        r.protocols.iter().any(|p| p.starts_with("/meshsub/") || p.starts_with("/floodsub/"))
    };
    assert_eq!(counts.gossipsub, count(&pubsub));
    assert_eq!(book.connected_ids().len() as u64, counts.connected);
    for (name, speakers) in book.protocols(100) {
        assert_eq!(speakers, count(&|r| r.protocols.contains(&name)), "{name}");
    }
}

/// Checks the bounds that hold after any history.
fn check_bounds(book: &Book, max: usize) {
    let all = everything(book);
    let evictable = all.iter().filter(|r| !r.connected() && !r.is_protected());
    assert!(all.len() <= max || evictable.count() == 0, "over max_peers with records to evict");
    let unverified = |r: &&Arc<Record>| r.is_unverified();
    let idle =
        all.iter().filter(unverified).filter(|r| !r.connected() && !r.is_protected()).count();
    assert!(idle == 0 || all.iter().filter(unverified).count() <= (max / 10).max(1));
    assert!(
        all.iter().all(|r| r.connected() || r.is_storable()),
        "a stranger outlived its connection"
    );
    assert!(all.iter().all(|r| r.addrs.len() <= MAX_ADDRS));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lists_and_counts_agree_with_a_naive_model(
        max in prop_oneof![Just(1000usize), Just(12)],
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let book = Book::new(max);
        for (step, op) in ops.iter().enumerate() {
            apply(&book, step, op);
            check_bounds(&book, max);
        }
        check_counts(&book);
        check_lists(&book);
    }

    #[test]
    fn eviction_takes_no_protected_and_no_connected_record(ops in proptest::collection::vec(op(), 1..300)) {
        let book = Book::new(10);
        for (step, op) in ops.iter().enumerate() {
            let must_stay: Vec<PeerId> = everything(&book)
                .iter()
                .filter(|r| r.connected() || r.is_protected())
                .map(|r| r.id)
                .collect();
            apply(&book, step, op);
            for id in must_stay {
                let own = matches!(*op, Op::Remove(n) | Op::Close(n) if peer(n) == id);
                prop_assert!(own || book.get(&id).is_some(), "{:?} cost {}", op, id);
            }
        }
    }

    #[test]
    fn what_is_taken_dirty_rebuilds_the_storable_book(
        ops in proptest::collection::vec(op(), 1..200),
        flush_every in 1usize..20,
    ) {
        let book = Book::new(12);
        let mut disk = HashMap::new();
        let mut flush = |book: &Book, fail: bool| {
            loop {
                let items = book.take_dirty(3);
                if fail {
                    book.mark_dirty_again(items);
                    break;
                }
                if items.is_empty() {
                    break;
                }
                for item in items {
                    match item {
                        DirtyItem::Put(record) => drop(disk.insert(record.id, record)),
                        DirtyItem::Delete(id) => drop(disk.remove(&id)),
                    }
                }
            }
            disk.clone()
        };
        for (step, op) in ops.iter().enumerate() {
            match *op {
                // The user's changes reach the disk by themselves; here observations alone do.
                Op::Add(_) | Op::Remove(_) => {}
                ref op => apply(&book, step, op),
            }
            if step % flush_every == 0 {
                flush(&book, step % 2 == 1);
            }
        }
        let disk = flush(&book, false);
        let storable: Vec<_> = everything(&book).into_iter().filter(|r| r.is_storable()).collect();
        prop_assert_eq!(disk.len(), storable.len());
        for record in storable {
            prop_assert_eq!(disk.get(&record.id), Some(&record));
        }
        prop_assert!(!book.has_dirty());
    }
}
