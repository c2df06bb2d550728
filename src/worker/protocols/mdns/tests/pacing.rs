//! The limits on how often anything is sent, read, or reported again.

use std::time::{Duration, Instant};

use super::super::Discovered;
use super::super::pace::{BURST_FRAMES, Budget, FRAMES_PER_SECOND, Pace, Recent};
use super::{addr, peer};

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

#[test]
fn the_same_is_sent_at_most_once_a_second_however_often_it_is_wanted() {
    let start = Instant::now();
    let mut pace = Pace::default();
    let mut sent = Vec::new();
    for ms in 0..5000 {
        let now = start + ms * MS;
        pace.want(now + 20 * MS);
        if pace.take(now) {
            sent.push(ms);
        }
    }
    assert_eq!(sent, [20, 1020, 2020, 3020, 4020]);
}

#[test]
fn a_turn_wanted_at_once_comes_before_one_wanted_later() {
    let start = Instant::now();
    let mut pace = Pace::default();
    pace.want(start + 100 * MS);
    assert!(!pace.take(start));
    pace.want(start);
    assert_eq!(pace.due(), Some(start));
    assert!(pace.take(start) && !pace.take(start + SECOND));
}

#[test]
fn a_flood_is_read_up_to_the_rate_and_a_long_packet_costs_what_it_weighs() {
    let start = Instant::now();
    let mut budget = Budget::new();
    let read =
        |budget: &mut Budget, bytes, now| (0..100_000).filter(|_| budget.take(bytes, now)).count();
    assert_eq!(read(&mut budget, 100, start), BURST_FRAMES as usize);
    assert_eq!(read(&mut budget, 100, start + SECOND), FRAMES_PER_SECOND as usize);
    assert_eq!(read(&mut budget, 9000, start + 2 * SECOND), FRAMES_PER_SECOND as usize / 6);
    // Silence earns no more than one burst.
    assert_eq!(read(&mut budget, 100, start + 3600 * SECOND), BURST_FRAMES as usize);
}

#[test]
fn a_repeat_is_told_again_after_a_second_and_not_before() {
    let start = Instant::now();
    let mut recent = Recent::default();
    let told = |n, port: u16| Discovered {
        peer: peer(n),
        addresses: vec![addr(&format!("/ip4/10.0.0.1/tcp/{port}"))],
    };
    assert!(!recent.is_repeat(&told(1, 1), start));
    assert!(recent.is_repeat(&told(1, 1), start + 999 * MS));
    assert!(!recent.is_repeat(&told(1, 2), start), "another address is news");
    assert!(!recent.is_repeat(&told(2, 1), start), "another peer is news");
    assert!(!recent.is_repeat(&told(1, 1), start + SECOND));
    // The memory is bounded: the oldest report is forgotten.
    for port in 1000..1256 {
        assert!(!recent.is_repeat(&told(3, port), start + SECOND));
    }
    assert!(!recent.is_repeat(&told(1, 1), start + SECOND));
}
