//! Connections that nobody asked for one by one: with few peers connected the worker dials what
//! discovery found, with too many it closes the least useful.
//!
//! Nothing here dials a peer the user disconnected, one whose turn hasn't come again, or an address the
//! profile forbids to dial unasked.

use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use super::dial::{Dial, Plan};
use super::layers::Begun;
use super::{Timer, Worker};
use crate::bootstrap::Entry;
use crate::clock;
use crate::error::Error;
use crate::model::event::DisconnectReason;
use crate::model::{LastError, Source, Text};
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
const TRIM_GRACE: Duration = Duration::from_secs(20);

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
        for (peer, addresses) in self.run.book.dial_candidates(most, clock::now()) {
            if !self.dials.any_to(&peer) {
                self.dial_unasked(Some(peer), addresses, Source::Book);
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
        let settings = &self.run.settings;
        addresses.retain(|(text, source)| {
            let listed = matches!(source, Source::Bootstrap | Source::User);
            let address = text.parse::<Multiaddr>();
            address.is_ok_and(|address| settings.may_dial_unasked(addr::scope(&address), listed))
        });
        let plan = Plan::new(None, addresses, settings.swarm_key.is_some());
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

    /// A dial that nobody asked for failed: another may take its place.
    pub(super) fn unasked_dial_failed(&mut self, dial: &Dial, failure: &Error) {
        if dial.unasked == Some(Source::Bootstrap) {
            let (code, message) = (failure.kind(), failure.message().to_owned());
            let failure = LastError { code, message, at: clock::now() };
            self.run.discovery.failed(Source::Bootstrap, failure);
        }
        self.tend_soon();
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

    /// With more connections than `high_water`, closes the least useful down to `low_water`.
    pub(super) fn trim(&mut self) {
        let limits = &self.run.settings.limits;
        let open: usize = self.peers.values().map(|peer| peer.connections.len()).sum();
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
            if let Some(state) = self.peers.get_mut(&peer) {
                state.close_all(DisconnectReason::Trimmed);
            }
            let _ = self.swarm.disconnect_peer_id(peer);
        }
    }
}
