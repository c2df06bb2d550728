//! Each rule by itself, with a clock that the test moves.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};

use super::Standing::{Proven, Trusted, Unproven};
use super::*;
use std::time::Instant;

const RULES: Rules = Rules {
    size: 10,
    reserve: 2,
    of_source: 2,
    of_prefix: 3,
    patience: Duration::from_secs(10),
    least_patience: Duration::from_secs(1),
};

fn source(a: u8, b: u8) -> Source {
    Source::from(IpAddr::from(Ipv4Addr::new(11, 0, a, b)))
}

/// Fills the strangers' places, each from a prefix of its own: the keys are 0 to 7.
fn filled(standing: Standing, now: Instant) -> Pool<u32> {
    let mut pool = Pool::new(RULES);
    for nth in 0..8 {
        let from = source(100 + u8::try_from(nth).unwrap(), 1);
        assert_eq!(pool.admit(nth, from, standing, now), Ok(None));
    }
    pool
}

#[test]
fn the_reserve_is_for_who_is_trusted() {
    let now = Instant::now();
    let mut pool = filled(Proven, now);
    assert_eq!(pool.admit(20, source(0, 1), Unproven, now), Err(Refusal::Full));
    assert_eq!(pool.admit(21, source(0, 1), Trusted, now), Ok(None));
    assert_eq!(pool.admit(22, source(0, 1), Trusted, now), Ok(None));
    // With the reserve used up, a trusted one takes the place of the youngest stranger.
    assert_eq!(pool.admit(23, source(0, 1), Trusted, now), Ok(Some(7)));
    for nth in 0..7 {
        assert_eq!(pool.admit(30 + nth, source(0, 1), Trusted, now), Ok(Some(6 - nth)));
    }
    assert_eq!(pool.admit(40, source(0, 1), Trusted, now), Err(Refusal::Full));
    assert_eq!(pool.len(), 10);
}

#[test]
fn the_longest_in_its_handshake_goes_and_never_who_proved_something() {
    let now = Instant::now();
    let mut pool = filled(Unproven, now);
    pool.stand(&0, Proven, now);
    assert_eq!(pool.admit(20, source(1, 1), Unproven, now), Ok(Some(1)));
    for key in [2, 3, 4, 5, 6, 7, 20] {
        pool.stand(&key, Proven, now);
    }
    assert_eq!(pool.admit(21, source(2, 1), Unproven, now), Err(Refusal::Full));
    assert_eq!(pool.admit(21, source(2, 1), Proven, now), Err(Refusal::Full));
    pool.stand(&5, Unproven, now);
    assert_eq!(pool.admit(21, source(2, 1), Unproven, now), Ok(Some(5)));
    assert_eq!((pool.counts().of(Refusal::Full), pool.counts().of(Refusal::Displaced)), (2, 2));
}

#[test]
fn what_a_source_has_beyond_its_share_makes_room_for_others() {
    let now = Instant::now();
    let mut pool = Pool::new(RULES);
    for nth in 0..8 {
        assert_eq!(pool.admit(nth, source(1, 1), Proven, now), Ok(None), "while there is room");
    }
    assert_eq!(pool.admit(20, source(1, 1), Unproven, now), Err(Refusal::Share));
    for nth in 0..6 {
        let from = source(2 + u8::try_from(nth).unwrap(), 1);
        assert_eq!(pool.admit(20 + nth, from, Unproven, now), Ok(Some(7 - nth)));
    }
    // It has its share left, and keeps it; handshakes go for handshakes.
    assert_eq!(pool.admit(30, source(9, 1), Unproven, now), Ok(Some(20)));
    assert!(pool.contains(&0) && pool.contains(&1));
}

#[test]
fn a_crowd_displaces_its_own_handshakes_and_nobody_elses() {
    let now = Instant::now();
    let mut pool = Pool::new(RULES);
    pool.admit(0, source(7, 1), Unproven, now).unwrap();
    for nth in 1..8 {
        pool.admit(nth, source(1, 1), Unproven, now).unwrap();
    }
    for nth in 8..100 {
        assert_eq!(pool.admit(nth, source(1, 1), Unproven, now), Ok(Some(nth - 7)));
    }
    assert!(pool.contains(&0), "the honest one was there first, and stays");
}

#[test]
fn a_prefix_has_a_share_as_a_source_has() {
    let now = Instant::now();
    let mut pool = Pool::new(RULES);
    for nth in 0..8 {
        pool.admit(nth, source(1, u8::try_from(nth).unwrap()), Proven, now).unwrap();
    }
    assert_eq!(pool.admit(20, source(1, 200), Unproven, now), Err(Refusal::Share));
    assert_eq!(pool.admit(20, source(2, 1), Unproven, now), Ok(Some(7)));
    let v6 = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
    assert_eq!(v6("2001:db8:1:2::1").prefix(), v6("2001:db8:1:3::9").prefix());
    assert_ne!(v6("2001:db8:1:2::1"), v6("2001:db8:1:3::9"));
    assert_ne!(v6("2001:db8:1:2::1").prefix(), v6("2001:db8:2:2::1").prefix());
}

#[test]
fn this_machine_has_no_share_and_the_order_all_the_same() {
    let now = Instant::now();
    let mut pool = Pool::new(RULES);
    let local = |last| Source::from(IpAddr::from(Ipv4Addr::new(127, 0, 0, last)));
    for nth in 0..8 {
        pool.admit(nth, local(1), Unproven, now).unwrap();
    }
    pool.stand(&0, Proven, now);
    assert_eq!(pool.admit(8, local(2), Unproven, now), Ok(Some(1)));
}

#[test]
fn patience_is_shorter_the_fewer_places_are_free() {
    let start = Instant::now();
    let after = |millis| start + Duration::from_millis(millis);
    let mut pool = Pool::new(RULES);
    for nth in 0..4_u32 {
        pool.admit(nth, source(1, 1), Unproven, after(u64::from(nth))).unwrap();
    }
    assert_eq!(pool.patience(), RULES.patience);
    assert_eq!(pool.overdue(after(9_999)), None);
    assert_eq!((pool.overdue(after(10_000)), pool.overdue(after(10_000))), (Some(0), None));
    for nth in 4..9 {
        pool.admit(nth, source(1, 1), Unproven, after(10_000)).unwrap();
    }
    assert_eq!(pool.patience(), RULES.least_patience);
    for key in 1..4 {
        assert_eq!(pool.overdue(after(10_000)), Some(key));
    }
    assert_eq!(pool.overdue(after(10_000)), None, "with more room there is more patience");
    assert_eq!(pool.counts().iter().collect::<Vec<_>>(), [(Refusal::Overdue, 4)]);
}

#[test]
fn who_leaves_leaves_nothing() {
    let now = Instant::now();
    let mut pool = Pool::new(RULES);
    for nth in 0..10_000_u32 {
        let [_, _, a, b] = nth.to_be_bytes();
        pool.admit(nth, source(a, b), Unproven, now).unwrap();
        pool.stand(&nth, Proven, now);
        pool.leave(&nth);
        pool.leave(&nth);
    }
    assert_eq!(pool.held(), 0);
}

#[test]
fn a_source_is_held_to_its_share_of_a_rate_only_while_it_runs_out() {
    let start = Instant::now();
    let mut rate = Rate::new(16);
    let mut come = |from: Source, times, millis: u64| {
        let now = start + Duration::from_millis(millis);
        (0..times).filter(|_| rate.take(from, now).is_ok()).count()
    };
    assert_eq!(come(source(1, 1), 30, 0), 9, "up to half, then no more");
    assert_eq!(come(source(2, 1), 30, 0), 2, "its share");
    assert_eq!(come(source(2, 2), 30, 0), 2, "its share, and with it that of the prefix");
    assert_eq!(come(source(2, 3), 30, 0), 0);
    assert_eq!(come(Source::Local, 30, 0), 3, "what is left");
    assert_eq!(come(source(3, 1), 30, 0), 0);
    assert_eq!(
        come(source(2, 3), 1, 400),
        0,
        "as much comes again as the rate says, to each its share"
    );
    assert_eq!(come(source(3, 1), 30, 400), 2);
    assert_eq!(come(source(1, 1), 30, 2_000), 9);
}
