//! Tests of what is kept and who gets it: a replay joins the live events without gap and without doubles,
//! the bounds hold in number and in bytes, and a subscription gets events of its own kinds only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::error::ErrorKind;
use crate::model::event::{DisconnectReason, Kind};
use crate::model::{Direction, TransportKind};

/// Makes an event of any kind; of `bytes` and more, if its kind has text.
fn some_kind(number: usize, bytes: usize) -> EventKind {
    let text = || "x".repeat(bytes);
    match number % 3 {
        0 => EventKind::ListenAddr { address: text().into(), active: true },
        1 => EventKind::DialFailed {
            code: ErrorKind::DialFailed,
            error: text(),
            source: crate::model::Source::User,
        },
        _ => EventKind::PeerDisconnected {
            reason: DisconnectReason::Idle,
            inferred: false,
            error: Some(text()),
        },
    }
}

const KINDS: [Kind; 3] = [Kind::ListenAddr, Kind::DialFailed, Kind::PeerDisconnected];

fn publish(hub: &Hub, number: usize, bytes: usize) {
    hub.publish(None, some_kind(number, bytes));
}

fn stop(hub: &Hub) {
    hub.publish(None, EventKind::Stopped { code: ErrorKind::Closed });
}

fn since(since: u64) -> EventsOptions {
    EventsOptions::new().since(since)
}

/// Takes all that is queued; returns the numbers, and the count of those lost.
fn drain(subscription: &Subscription) -> (Vec<u64>, u64) {
    let (mut seqs, mut lagged) = (Vec::new(), 0);
    while let Ok(batch) = subscription.next(Instant::now()) {
        lagged += batch.lagged;
        if batch.events.is_empty() {
            break;
        }
        seqs.extend(batch.events.iter().map(|event| event.seq));
    }
    (seqs, lagged)
}

fn refusal(hub: &Hub, options: &EventsOptions) -> Error {
    let Err(error) = hub.subscribe(options) else { panic!("{options:?} was taken") };
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    error
}

#[test]
fn a_replay_gives_what_is_kept_after_the_number_and_counts_the_rest() {
    let hub = Hub::default();
    let last = HISTORY.events as u64 + 100;
    (0..last as usize).for_each(|number| publish(&hub, number, 1));
    for (from, lost) in [(0, 100), (1, 99), (99, 1), (100, 0), (101, 0), (last - 1, 0), (last, 0)] {
        let subscription = hub.subscribe(&since(from)).unwrap();
        assert_eq!(subscription.last_seq(), last);
        let expected: Vec<u64> = (from.max(100) + 1..=last).collect();
        assert_eq!(drain(&subscription), (expected, lost), "since {from}");
    }
    let live = hub.subscribe(&EventsOptions::new()).unwrap();
    assert_eq!((drain(&live), live.last_seq()), ((vec![], 0), last));
}

#[test]
fn a_number_beyond_the_last_event_is_of_another_run() {
    let hub = Hub::default();
    assert_eq!(refusal(&hub, &since(1)).detail()["last_seq"], 0);
    hub.subscribe(&since(0)).unwrap();
    (0..5).for_each(|number| publish(&hub, number, 1));
    hub.subscribe(&since(5)).unwrap();
    assert_eq!(refusal(&hub, &since(6)).detail()["last_seq"], 5);
    assert_eq!(refusal(&hub, &since(u64::MAX)).detail()["last_seq"], 5);
}

#[test]
fn the_end_is_replayed_too_and_then_comes_closed() {
    let hub = Hub::default();
    publish(&hub, 0, 1);
    stop(&hub);
    publish(&hub, 1, 1);
    let late = hub.subscribe(&since(0).kinds([Kind::PeerConnected])).unwrap();
    let batch = late.next(Instant::now()).unwrap();
    assert!(matches!(batch.events[..], [ref last] if last.kind.name() == "stopped"));
    assert_eq!(late.next(Instant::now()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn only_the_kinds_asked_for_come_and_only_they_count_as_lost() {
    let hub = Hub::default();
    let none = hub.subscribe(&EventsOptions::new().kinds([Kind::PeerConnected])).unwrap();
    let one =
        hub.subscribe(&EventsOptions::new().kinds([Kind::DialFailed, Kind::DialFailed])).unwrap();
    let count = 3 * (QUEUE.events + 10);
    (0..count).for_each(|number| publish(&hub, number, 1));
    let (seqs, lagged) = drain(&one);
    assert_eq!((seqs.len(), lagged), (QUEUE.events, 10));
    assert!(seqs.iter().all(|seq| seq % 3 == 2), "numbers stay as they are");
    assert_eq!(drain(&none), (vec![], 0));
    stop(&hub);
    for subscription in [none, one] {
        assert_eq!(drain(&subscription), (vec![count as u64 + 1], 0), "`stopped` always comes");
    }
}

#[test]
fn what_is_lost_before_a_replay_is_told_even_with_no_event_and_only_where_it_may_be_of_the_kinds() {
    let hub = Hub::default();
    let last = HISTORY.events + 30;
    (0..last).for_each(|number| publish(&hub, number, 1));
    assert_eq!(drain(&hub.subscribe(&since(last as u64)).unwrap()), (vec![], 0));
    let none = hub.subscribe(&since(0).kinds([Kind::PeerConnected])).unwrap();
    assert_eq!(drain(&none), (vec![], 0), "there never was one");
    for kind in KINDS {
        assert_eq!(drain(&hub.subscribe(&since(0).kinds([kind])).unwrap()).1, 10, "{kind}");
        // Those that are lost are among the first thirty.
        assert_eq!(drain(&hub.subscribe(&since(30).kinds([kind])).unwrap()).1, 0);
    }
}

#[test]
fn a_kind_that_is_not_known_is_named_with_the_nearest() {
    let hub = Hub::default();
    // Options read from JSON, as callers give them.
    let kinds = |names: &[&str]| -> EventsOptions {
        serde_json::from_value(serde_json::json!({ "kinds": names })).unwrap()
    };
    let error = refusal(&hub, &kinds(&["stopped", "peer_conected"]));
    assert_eq!(error.detail()["nearest"], "peer_connected");
    assert!(error.message().contains("`peer_conected`"), "{error}");
    refusal(&hub, &kinds(&[]));
    refusal(&hub, &kinds(&[""]));
    let long = refusal(&hub, &kinds(&[&"ä".repeat(500_000)]));
    assert!(long.message().len() < 300, "{long}");
    hub.subscribe(&kinds(EventKind::NAMES)).unwrap();
}

#[test]
fn a_reader_pins_no_more_than_its_bytes_and_the_newest_always_comes() {
    let hub = Hub::default();
    let slow = hub.subscribe(&EventsOptions::new()).unwrap();
    let bytes = 64 << 10;
    (0..1000).for_each(|number| publish(&hub, number, bytes));
    let pinned = slow.queue.lock().events.bytes();
    assert!((QUEUE.bytes - 2 * bytes..=QUEUE.bytes).contains(&pinned), "{pinned}");
    let kept = hub.inner.lock().history.bytes();
    assert!((HISTORY.bytes - 2 * bytes..=HISTORY.bytes).contains(&kept), "{kept}");
    let (seqs, lagged) = drain(&slow);
    assert_eq!(seqs, (lagged + 1..=1000).collect::<Vec<_>>());
    assert_eq!(slow.queue.lock().events.bytes(), 0);

    // An event that is larger than the whole bound.
    publish(&hub, 0, QUEUE.bytes + 1);
    publish(&hub, 1, QUEUE.bytes + 1);
    assert_eq!(drain(&slow), (vec![1002], 1));
    // The summary shows its twenty events however large they are.
    assert_eq!(hub.recent().len(), RECENT);
    assert_eq!(hub.recent().last().map(|event| event.seq), Some(1002));
}

#[test]
fn a_thousand_readers_that_never_read_share_their_events() {
    let hub = Hub::default();
    let open = || hub.subscribe(&EventsOptions::new()).unwrap();
    let never_read: Vec<Arc<Subscription>> = (0..MAX_SUBSCRIPTIONS - 1).map(|_| open()).collect();
    let reader = open();
    let full = hub.subscribe(&EventsOptions::new()).err().map(|error| error.kind());
    assert_eq!(full, Some(ErrorKind::LimitReached));
    for number in 0..QUEUE.events + 5 {
        publish(&hub, number, 100);
        let batch = reader.next(Instant::now()).unwrap();
        assert_eq!((batch.events.len(), batch.lagged), (1, 0), "other readers are unhurt");
    }
    let first = |subscription: &Subscription| {
        let batch = subscription.next(Instant::now()).unwrap();
        assert_eq!((batch.lagged, batch.events[0].seq), (5, 6));
        Arc::clone(&batch.events[0])
    };
    let (one, another) = (first(&never_read[0]), first(&never_read[500]));
    assert!(Arc::ptr_eq(&one, &another));
}

/// Publishes from two threads while one subscribes again and again, each time from the number that
/// came last, and so has to come by everything once.
fn gapless(seed: u64, filtered: bool) {
    // Unfiltered, more is published than is kept; filtered, all of it is kept, to compare with at the end.
    let each = if filtered { HISTORY.events / 2 - 10 } else { HISTORY.events };
    let hub = Hub::default();
    let over = AtomicBool::new(false);
    let (mut got, mut last, mut lagged) = (Vec::new(), 0, 0);
    std::thread::scope(|scope| {
        let writing: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    for number in 0..each {
                        publish(&hub, number, number % 100);
                        if number % 50 == 0 {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let (hub, over) = (&hub, &over);
        scope.spawn(move || {
            writing.into_iter().for_each(|thread| thread.join().unwrap());
            over.store(true, Ordering::Release);
            stop(hub);
        });
        for round in 0u64.. {
            let options = since(last);
            let options = if filtered { options.kinds([KINDS[0]]) } else { options };
            let subscription = hub.subscribe(&options).unwrap();
            let opened_at = subscription.last_seq();
            // Enough batches for some to be live, and their number differs from round to round.
            let batches = (seed + round * 7) % 5 + 1;
            for _ in 0..batches {
                let deadline = Instant::now() + Duration::from_millis(1);
                let Ok(batch) = subscription.next(deadline) else { return };
                lagged += batch.lagged;
                got.extend(batch.events.iter().map(|event| event.seq));
                // With a filter, all that was replayed and isn't of the kind is behind us too.
                let behind = if subscription.queued() == 0 { opened_at } else { 0 };
                last = got.last().copied().unwrap_or(0).max(if filtered { behind } else { 0 });
            }
            if over.load(Ordering::Acquire) && got.last() == Some(&(2 * each as u64 + 1)) {
                return;
            }
        }
    });
    let all = 2 * each as u64 + 1;
    assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order, none twice");
    assert_eq!(got.last(), Some(&all));
    if filtered {
        let kept = hub.subscribe(&since(0).kinds([KINDS[0]])).unwrap();
        assert_eq!((got, lagged), drain(&kept), "none missing");
    } else {
        assert_eq!(got.len() as u64 + lagged, all, "every gap is told");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn replay_and_live_events_join_without_gap_and_without_doubles(
        seed in 0..1000u64, filtered: bool
    ) {
        gapless(seed, filtered);
    }
}

/// Makes an event about one of the peers, or of a topic.
fn about(kind: Kind, subject: u8, bytes: usize) -> (Option<Text>, EventKind) {
    let text: Text = format!("{subject} {}", "x".repeat(bytes)).into();
    match kind {
        Kind::Message => {
            let (topic, data) = (format!("topic {subject}").into(), vec![0; bytes]);
            (None, EventKind::Message { topic, message_id: String::new(), data })
        }
        Kind::PeerIdentified => {
            let protocols = [text].into();
            let kind = EventKind::PeerIdentified { agent_version: None, protocols, coalesced: 0 };
            (Some(format!("peer {subject}").into()), kind)
        }
        Kind::PeerConnected => {
            let (direction, transport) = (Direction::Inbound, TransportKind::Tcp);
            let kind = EventKind::PeerConnected { address: text, direction, transport };
            (Some(format!("peer {subject}").into()), kind)
        }
        _ => (None, EventKind::ListenAddr { address: text, active: true }),
    }
}

const SORTS: [Kind; 4] =
    [Kind::Message, Kind::PeerIdentified, Kind::PeerConnected, Kind::ListenAddr];

/// Publishes `count` events of a kind about one subject.
fn flood(hub: &Hub, kind: Kind, subject: u8, count: usize, bytes: usize) {
    for _ in 0..count {
        let (peer, kind) = about(kind, subject, bytes);
        hub.publish(peer, kind);
    }
}

#[test]
fn a_flood_of_one_kind_leaves_the_others_their_share_whatever_it_is_made_of() {
    let share = HISTORY.events / 16;
    for (flooded, count, bytes) in
        [(Kind::PeerIdentified, 9000, 10), (Kind::Message, 1000, 60_000), (Kind::Message, 9000, 1)]
    {
        let hub = Hub::default();
        let others = SORTS.into_iter().filter(|kind| *kind != flooded);
        let others: Vec<_> = others.collect();
        others.iter().for_each(|kind| flood(&hub, *kind, 1, share, 10));
        // Of many subjects, so that it isn't held down by being one's alone.
        (0..count).for_each(|number| flood(&hub, flooded, number as u8, 1, bytes));
        for kind in others {
            let (kept, lagged) = drain(&hub.subscribe(&since(0).kinds([kind])).unwrap());
            assert_eq!((kept.len(), lagged), (share, 0), "{kind} beside {flooded}");
        }
        let (kept, lagged) = drain(&hub.subscribe(&since(0)).unwrap());
        assert!(kept.is_sorted() && lagged > 0);
        assert_eq!(kept.len() as u64 + lagged, hub.counts().published, "every loss is told");
        let (kept, lagged) = drain(&hub.subscribe(&since(0).kinds([flooded])).unwrap());
        assert_eq!(kept.len() as u64 + lagged, count as u64);
        assert_eq!(kept.last(), Some(&hub.counts().published));
    }
}

#[test]
fn a_subject_that_changes_all_the_time_makes_room_at_its_own_cost() {
    for kind in [Kind::PeerConnected, Kind::PeerIdentified, Kind::Message] {
        let hub = Hub::default();
        (0..100).for_each(|bystander| flood(&hub, kind, bystander, 2, 10));
        flood(&hub, kind, 200, 3 * HISTORY.events, 10);
        let batch = hub.subscribe(&since(0).kinds([kind])).unwrap();
        let (kept, lagged) = drain(&batch);
        assert_eq!(kept[..200], (1..=200).collect::<Vec<_>>(), "all of the bystanders");
        assert_eq!((kept.len(), lagged), (HISTORY.events, 2 * HISTORY.events as u64 + 200));
        // A reader that saw the bystanders' last is told of what it missed of the other.
        let (later, lagged) = drain(&hub.subscribe(&since(200)).unwrap());
        assert_eq!((later.len(), lagged), (HISTORY.events - 200, 2 * HISTORY.events as u64 + 200));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Compares with a list that forgets nothing.
    #[test]
    fn a_replay_keeps_the_bounds_the_order_and_the_shares_and_tells_every_loss(
        floods in prop::collection::vec(
            (0..4usize, 0..40u8, 1..900usize,
             prop_oneof![5 => 0..300usize, 1 => 10_000..70_000usize, 1 => Just(300_000)]), 1..30),
        at in 0..=1000u64,
        wanted in prop::option::of(0..4usize),
    ) {
        let hub = Hub::default();
        let mut all: Vec<(Kind, usize)> = Vec::new();
        for (kind, subject, count, bytes) in floods {
            // A few megabytes are enough of each.
            for number in 0..count.min(20_000_000 / (bytes + 100)) {
                let (peer, kind) = about(SORTS[kind], subject ^ (number % 3) as u8, bytes);
                let seq = all.len() as u64 + 1;
                let event = Event { seq, timestamp: clock::now(), peer_id: peer.clone(), kind };
                all.push((event.kind.kind(), event.cost()));
                hub.publish(peer, event.kind);
            }
        }
        let last = all.len() as u64;
        let from = last * at / 1000;
        let (everything, lost) = drain(&hub.subscribe(&since(0)).unwrap());
        prop_assert!(everything.is_sorted_by(|one, next| one < next));
        prop_assert_eq!(everything.last(), Some(&last));
        prop_assert_eq!(everything.len() as u64 + lost, last);
        let of = |seq: &u64| all[*seq as usize - 1];
        let bytes: usize = everything.iter().map(|seq| of(seq).1).sum();
        prop_assert!(everything.len() <= HISTORY.events);
        prop_assert!(bytes <= HISTORY.bytes || everything.len() <= HISTORY.at_least);
        for kind in SORTS {
            let happened = all.iter().filter(|(of, _)| *of == kind);
            let kept = everything.iter().map(of).filter(|(of, _)| *of == kind);
            let (sum, largest) = (kept.clone().map(|(_, cost)| cost).sum::<usize>(),
                happened.clone().map(|(_, cost)| *cost).max().unwrap_or(0));
            let whole = kept.clone().count() == happened.count();
            let share = kept.count() >= HISTORY.events / 16 || sum + largest >= HISTORY.bytes / 16;
            prop_assert!(whole || share || largest > HISTORY.bytes / 16, "{kind}: {sum}");
        }

        let options = wanted.map_or(since(from), |kind| since(from).kinds([SORTS[kind]]));
        let (got, lagged) = drain(&hub.subscribe(&options).unwrap());
        let wanted = |seq: &u64| wanted.is_none_or(|kind| of(seq).0 == SORTS[kind]);
        let expected: Vec<_> =
            everything.iter().copied().filter(|seq| *seq > from && wanted(seq)).collect();
        let happened = (from + 1..=last).filter(wanted).count();
        let missing = (happened - expected.len()) as u64;
        prop_assert_eq!(got, expected);
        prop_assert!(lagged >= missing && (lagged == 0) == (missing == 0), "{lagged} {missing}");
        let exact = options.kinds.is_none() || from == 0;
        prop_assert!(!exact || lagged == missing);
    }
}
