//! Closes what is too many: with more connections than `high_water`, those of the least useful peers,
//! until `low_water` are left; with more peers than `low_water`, those that only a query of the DHT
//! wanted and has had time to use.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::PeerId;
use crate::book::Origin;
use crate::model::Direction;
use crate::model::event::DisconnectReason;
use crate::worker::core::Core;
use crate::worker::core::timers::Timer;

/// A connection isn't trimmed before this age (Kubo's `GracePeriod`).
const TRIM_GRACE: Duration = Duration::from_secs(20);

/// The age before which nothing is trimmed; tests of the whole node may shorten it.
fn trim_grace() -> Duration {
    #[cfg(feature = "fault-injection")]
    if let Some(millis) = std::env::var("PEERKIT_TRIM_GRACE_MS").ok().and_then(|ms| ms.parse().ok())
    {
        return Duration::from_millis(millis);
    }
    TRIM_GRACE
}

/// Looks whether anything is too many, and closes it.
pub(crate) fn trim(core: &mut Core) {
    close_used(core);
    close_surplus(core);
}

/// Closes connections of queries that are old enough, of as many peers as are over `low_water`.
fn close_used(core: &mut Core) {
    let surplus = core.peers.len().saturating_sub(core.shared.settings.limits.low_water as usize);
    let (mut used, mut next) = (Vec::new(), None);
    for (peer, state) in core.peers.iter() {
        let mut live = state.live().peekable();
        if live.peek().is_none() || !live.all(|open| open.origin == Some(Origin::Query)) {
            continue;
        }
        let youngest = state.live().map(|open| open.since + trim_grace()).max();
        match youngest.filter(|old_at| *old_at > core.now) {
            Some(old_at) => next = Some(next.map_or(old_at, |next: Instant| next.min(old_at))),
            None if used.len() < surplus && !core.calls.need(peer) => used.push(*peer),
            None => {}
        }
    }
    close(core, used, "a query of the DHT has used it");
    if let Some(next) = next {
        core.timers.set_at_latest(next, Timer::Trim);
    }
}

fn close_surplus(core: &mut Core) {
    let limits = &core.shared.settings.limits;
    let open: usize = core.peers.iter().map(|(_, state)| state.live().count()).sum();
    if open <= limits.high_water as usize {
        return;
    }
    let surplus = open - limits.low_water as usize;
    let candidates = core.peers.iter().filter_map(|(peer, state)| {
        let since = state.live().map(|connection| connection.since).min()?;
        let kept = core.shared.book.get(peer).is_some_and(|record| record.is_protected());
        let ours = state.live().any(|open| open.direction == Direction::Outbound);
        let connections = state.live().count();
        let trimmable = !kept && !core.calls.need(peer);
        trimmable.then_some(Candidate { peer: *peer, ours, since, connections })
    });
    let (victims, again) = choose_victims(candidates.collect(), surplus, core.now);
    close(core, victims, "there are more connections than limits.high_water");
    if let Some(again) = again {
        core.timers.set_at_latest(again, Timer::Trim);
    }
}

fn close(core: &mut Core, peers: Vec<PeerId>, why: &str) {
    for peer in peers {
        tracing::info!(%peer, why, "trims a peer");
        core.close_peer(&peer, DisconnectReason::Trimmed);
    }
}

/// A connected peer that may be trimmed.
#[derive(Clone, Copy)]
struct Candidate {
    peer: PeerId,
    /// Whether we opened a connection to it: somebody here wanted it.
    ours: bool,
    since: Instant,
    connections: usize,
}

/// Chooses whose connections to close so that `surplus` are, the least useful first: those of peers
/// that only came to us before those we dialled, and of each the youngest first, since whoever opens
/// connections in masses can't make them old (docs/adr/0011). Those in their grace period are spared;
/// where that leaves too many, also gives when to look again.
fn choose_victims(
    mut candidates: Vec<Candidate>,
    surplus: usize,
    now: Instant,
) -> (Vec<PeerId>, Option<Instant>) {
    candidates.sort_unstable_by_key(|candidate| (candidate.ours, Reverse(candidate.since)));
    let (mature, young): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.since + trim_grace() <= now);
    let mut closed = 0;
    let victims = mature.into_iter().take_while(|victim| {
        let wanted = closed < surplus;
        closed += victim.connections;
        wanted
    });
    let victims: Vec<_> = victims.map(|victim| victim.peer).collect();
    let next = young.iter().map(|candidate| candidate.since + trim_grace()).min();
    (victims, next.filter(|_| closed < surplus))
}

#[cfg(test)]
#[path = "trim_tests.rs"]
mod tests;
