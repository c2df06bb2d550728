//! Connections that nobody asked for one by one: with few peers connected the worker dials what
//! discovery found, with too many it closes the least useful.
//!
//! Nothing here dials a peer the user disconnected, one whose turn hasn't come again, or an address the
//! profile forbids to dial unasked.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use super::dial::{Dial, Plan};
use super::layers::Begun;
use super::peer::Connection;
use super::{Timer, Worker};
use crate::book::Record;
use crate::bootstrap::Entry;
use crate::clock;
use crate::model::event::DisconnectReason;
use crate::model::{Source, Text};
use crate::{Multiaddr, PeerId, addr};

/// Peers that discovery tries to be connected to, where `low_water` isn't less (Kubo's low water).
const WANTED: u32 = 32;
/// Dials of this kind at once.
const AT_ONCE: usize = 8;
/// How long one may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// What is found comes in flocks; a look at what to dial waits so long for the rest.
const SOON: Duration = Duration::from_millis(50);
/// The first retry of a peer that couldn't be dialled comes after this, each further one after twice
/// the time before, at most the longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// A connection isn't trimmed at this age (Kubo's `GracePeriod`).
pub(super) const TRIM_GRACE: Duration = Duration::from_secs(20);

impl Worker {
    /// There may be something to dial.
    pub(super) fn tend_soon(&mut self) {
        if !self.tending {
            self.tending = true;
            self.timers.set(Instant::now() + SOON, Timer::Tend);
        }
    }

    /// Dials what is worth it, while few peers are connected.
    pub(super) fn tend(&mut self) {
        self.tending = false;
        self.close_used();
        if !self.run.discovery.active() {
            return;
        }
        let limits = &self.run.settings.limits;
        let wanted = WANTED.min(limits.low_water) as usize;
        let unasked = self.dials.unasked();
        let lacking = wanted.saturating_sub(self.peers.len() + unasked);
        let most = lacking.min(AT_ONCE.saturating_sub(unasked));
        if most == 0 {
            return;
        }
        let may_dial = |record: &Record| {
            record
                .dial_addresses()
                .iter()
                .any(|(text, source)| self.may_dial_unasked(text, *source))
        };
        for record in self.run.book.dial_candidates(most, clock::now(), may_dial) {
            if !self.dials.any_to(&record.id) {
                self.dial_unasked(Some(record.id), record.dial_addresses(), Source::Book);
            }
        }
    }

    /// Dials an entry of the bootstrap list; `asked`: whether or not its turn has come.
    pub(super) fn dial_bootstrap(&mut self, entry: &Entry, asked: bool) -> Option<ConnectionId> {
        let address = (Text::from(entry.addr.to_string()), Source::Bootstrap);
        let Some(peer) = entry.peer_id else {
            return self.dial_unasked(None, vec![address], Source::Bootstrap);
        };
        let record = self.run.book.get(&peer)?;
        let in_time = asked || record.may_retry(clock::now());
        if record.held_off || !in_time || self.dials.any_to(&peer) || peer == self.run.peer_id {
            return None;
        }
        self.dial_unasked(Some(peer), vec![address], Source::Bootstrap)
    }

    /// Dials without having been asked to; none where nothing may be dialled.
    pub(super) fn dial_unasked(
        &mut self,
        peer: Option<PeerId>,
        mut addresses: Vec<(Text, Source)>,
        source: Source,
    ) -> Option<ConnectionId> {
        addresses.retain(|(text, source)| self.may_dial_unasked(text, *source));
        let plan = Plan::new(None, addresses, self.run.settings.swarm_key.is_some());
        if plan.dialable.is_empty() {
            return None;
        }
        let deadline = Instant::now() + DIAL_TIMEOUT;
        let counted = peer.is_some_and(|peer| self.run.book.dial_started(&peer, clock::now()));
        self.start_dial(Dial {
            peer,
            addresses: plan.dialable,
            untried: plan.untried,
            deadline,
            counted,
            begun: Begun::default(),
            waiters: Vec::new(),
            unasked: Some(source),
        })
    }

    fn may_dial_unasked(&self, address: &Text, source: Source) -> bool {
        let listed = matches!(source, Source::Bootstrap | Source::User);
        let scope = address.parse::<Multiaddr>().map(|address| addr::scope(&address));
        scope.is_ok_and(|scope| self.run.settings.may_dial_unasked(scope, listed))
    }

    /// A dial of ours failed: the peer's next turn comes later each time.
    pub(super) fn back_off(&mut self, peer: &PeerId) {
        let Some(record) = self.run.book.get(peer) else { return };
        let doublings = record.failures_in_a_row().saturating_sub(1).min(16);
        let wait = (FIRST_RETRY * 2u32.pow(doublings)).min(LONGEST_RETRY);
        self.run.book.retry_at(peer, clock::now().after(wait));
        if self.run.discovery.active() {
            self.timers.set(Instant::now() + wait, Timer::Tend);
        }
    }

    /// With more peers connected than `low_water`, closes what queries of the DHT opened and have
    /// had time to use.
    fn close_used(&mut self) {
        let surplus = self.peers.len().saturating_sub(self.run.settings.limits.low_water as usize);
        let old = |connection: &Connection| connection.since.elapsed() >= TRIM_GRACE;
        let mut used: Vec<PeerId> = Vec::new();
        for (peer, state) in &self.peers {
            let is_used = state.live().all(|open| open.for_query && old(open));
            if is_used && used.len() < surplus && !self.calls.needs(peer) {
                used.push(*peer);
            }
        }
        for peer in used {
            self.close_trimmed(peer);
        }
    }

    fn close_trimmed(&mut self, peer: PeerId) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.close_all(DisconnectReason::Trimmed);
        }
        let _ = self.swarm.disconnect_peer_id(peer);
    }

    /// With more connections than `high_water`, closes the least useful down to `low_water`.
    pub(super) fn trim(&mut self) {
        let limits = &self.run.settings.limits;
        let open: usize = self.peers.values().map(|peer| peer.live().count()).sum();
        if open <= limits.high_water as usize {
            return;
        }
        let surplus = open - limits.low_water as usize;
        let idle_since = Instant::now().checked_sub(TRIM_GRACE);
        let mut victims: Vec<_> = self
            .peers
            .iter()
            .filter_map(|(peer, state)| {
                let oldest = state.live().map(|connection| connection.since).min()?;
                let kept = self.run.book.get(peer).is_some_and(|record| record.is_protected());
                let spared = kept || self.calls.needs(peer) || Some(oldest) > idle_since;
                (!spared).then_some((oldest, *peer))
            })
            .collect();
        victims.sort_unstable();
        for (_, peer) in victims.into_iter().take(surplus) {
            self.close_trimmed(peer);
        }
    }
}
