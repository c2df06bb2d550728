//! Trimming in process, by a clock that the tests move.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::json;

use super::*;
use crate::worker::core::testing::core;

fn small(low: u32, high: u32) -> Core {
    let limits = json!({ "low_water": low, "high_water": high });
    core(json!({ "profile": "offline", "limits": limits })).0
}

fn trimmed(core: &Core) -> Vec<PeerId> {
    let closing = core.peers.iter().filter(|(_, state)| state.live().next().is_none());
    closing.map(|(peer, _)| *peer).collect()
}

fn age(core: &mut Core, seconds: u64) {
    core.now += Duration::from_secs(seconds);
}

#[tokio::test]
async fn a_crowd_is_trimmed_to_low_water_when_its_grace_period_is_over() {
    let mut core = small(2, 4);
    let first = PeerId::random();
    core.connect_for_test(first, None);
    age(&mut core, 1);
    let crowd = [(); 4].map(|()| PeerId::random());
    for peer in crowd {
        core.connect_for_test(peer, None);
    }
    trim(&mut core);
    assert!(trimmed(&core).is_empty(), "the grace period");
    let look_at = core.timers.at(Timer::Trim).unwrap();
    assert_eq!(look_at, core.now - Duration::from_secs(1) + TRIM_GRACE);
    age(&mut core, 20);
    trim(&mut core);
    let gone = trimmed(&core);
    assert_eq!((gone.len(), gone.contains(&first)), (3, false), "the youngest go");
}

#[tokio::test]
async fn a_further_connection_counts_and_a_protected_peer_stays() {
    let mut core = small(1, 2);
    let [protected, busy] = [(); 2].map(|()| PeerId::random());
    core.connect_for_test(protected, None);
    core.shared.book.discovered(&protected, crate::model::Source::User, &[], core.time);
    core.connect_for_test(busy, None);
    age(&mut core, 30);
    trim(&mut core);
    assert!(trimmed(&core).is_empty(), "two connections are allowed");
    core.connect_for_test(busy, None);
    trim(&mut core);
    assert_eq!(trimmed(&core), [busy]);
}

#[tokio::test]
async fn a_query_s_connections_go_once_they_are_used_and_too_many_peers_are_connected() {
    let mut core = small(1, 9);
    let [query, wanted, call] = [(); 3].map(|()| PeerId::random());
    core.connect_for_test(query, Some(Origin::Query));
    core.connect_for_test(wanted, Some(Origin::Call));
    trim(&mut core);
    assert!(trimmed(&core).is_empty());
    assert_eq!(core.timers.at(Timer::Trim), Some(core.now + TRIM_GRACE));
    age(&mut core, 20);
    let (terms, _answer) = crate::worker::core::testing::terms::<bool>(&core, TRIM_GRACE);
    let owner = crate::worker::core::calls::Owner::Connections;
    let (id, ..) = core.register(owner, terms).unwrap();
    core.calls.needs_peer(id, query);
    trim(&mut core);
    assert!(trimmed(&core).is_empty(), "a call needs it");
    core.finish(id);
    trim(&mut core);
    assert_eq!(trimmed(&core), [query]);
    core.connect_for_test(call, Some(Origin::Call));
    age(&mut core, 100);
    trim(&mut core);
    assert_eq!(
        trimmed(&core),
        [query],
        "what a call or the auto dialer opened stays below high_water"
    );
}
