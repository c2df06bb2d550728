//! Trims connections: with more than `high_water`, those of the least useful peers, until `low_water`
//! are left; with more peers than `low_water`, those that only a query of the DHT wanted and has had
//! time to use. `crowd` says who is least useful.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use super::crowd::{self, Candidate, Room};
use crate::PeerId;
use crate::admission::Rules;
use crate::book::Origin;
use crate::model::Direction;
use crate::model::event::DisconnectReason;
use crate::worker::core::Core;
use crate::worker::core::timers::Timer;

/// The age before which a connection isn't trimmed (Kubo's `GracePeriod`).
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
    let room = Room {
        low_water: limits.low_water as usize,
        high_water: limits.high_water as usize,
        // Grace has the places up to here, which is `high_water` unless that was set lower.
        grace: limits.high_water.max(limits.max_connections / 4 * 3) as usize,
        shares: Rules::of(limits.max_connections as usize),
    };
    let candidates = core.peers.iter().filter_map(|(peer, state)| {
        let since = state.live().map(|connection| connection.since).min()?;
        let kept = core.shared.book.get(peer).is_some_and(|record| record.is_protected());
        let ours = state.live().any(|open| open.direction == Direction::Outbound);
        Some(Candidate {
            peer: *peer,
            ours,
            kept: kept || core.calls.need(peer),
            source: state.live().next()?.source,
            age: core.since(since),
            connections: state.live().count(),
        })
    });
    let (victims, next) = crowd::choose(candidates.collect(), &room, trim_grace());
    close(core, victims, "there are more connections than limits.high_water");
    if let Some(next) = next {
        core.timers.set_at_latest(core.now + next, Timer::Trim);
    }
}

/// Closes a connection whose place another got.
pub(crate) fn make_room(core: &mut Core, peer: PeerId, connection: ConnectionId) {
    tracing::info!(%peer, why = "its place was needed", "trims a connection");
    let state = core.peers.get_mut(&peer);
    if let Some(open) = state.and_then(|state| state.connection(connection)) {
        open.closing.get_or_insert(DisconnectReason::Trimmed);
    }
    core.swarm.close_connection(connection);
}

fn close(core: &mut Core, peers: Vec<PeerId>, why: &str) {
    for peer in peers {
        tracing::info!(%peer, why, "trims a peer");
        core.close_peer(&peer, DisconnectReason::Trimmed);
    }
}

#[cfg(test)]
#[path = "trim_tests.rs"]
mod tests;
