//! Connections that nobody asked for one by one: with few peers connected the worker dials what
//! discovery found, with too many it closes the least useful.
//!
//! Nothing here dials a peer the user disconnected, one whose turn hasn't come again, or an address the
//! profile forbids to dial unasked.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use libp2p::swarm::ConnectionId;

use crate::clock;
use crate::error::Error;
use crate::model::event::DisconnectReason;
use crate::model::{Direction, Source, Text};
use crate::worker::connections::peer::Connection;
use crate::worker::dialing::{Dial, Plan};
use crate::worker::transport::wrappers::Begun;
use crate::worker::{Timer, Worker};
use crate::{Multiaddr, PeerId, addr};

/// Peers that discovery tries to be connected to, where `low_water` isn't less (Kubo's low water).
const WANTED: u32 = 32;
/// Dials of this kind at once.
const AT_ONCE: usize = 8;
/// Peers never reached before that are dialled in a second, and at once; and the addresses tried of one.
pub(crate) const STRANGERS_PER_S: u32 = 4;
pub(crate) const STRANGERS_AT_ONCE: u32 = 32;
const STRANGERS_ADDRESSES: usize = 4;
const STRANGERS_PAUSE: Duration = Duration::from_millis(250);
/// How long one may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// What is found comes in flocks; a look at what to dial waits so long for the rest.
const SOON: Duration = Duration::from_millis(50);
/// The first retry of a peer that couldn't be dialled comes after this, each further one after twice
/// the time before, at most the longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(3600);
/// A connection isn't trimmed at this age (Kubo's `GracePeriod`).
pub(crate) const TRIM_GRACE: Duration = Duration::from_secs(20);

impl Worker {
    /// There may be something to dial.
    pub(crate) fn tend_soon(&mut self) {
        if !self.tending {
            self.tending = true;
            self.timers.set(Instant::now() + SOON, Timer::Tend);
        }
    }

    /// Dials what is worth it, while few peers are connected.
    pub(crate) fn tend(&mut self) {
        self.tending = false;
        self.close_used();
        if !self.run.discovery.active() {
            return;
        }
        let wanted = self.wanted_connections();
        let unasked = self.dials.unasked();
        let lacking = wanted.saturating_sub(self.peers.len() + unasked);
        let mut most = lacking.min(AT_ONCE.saturating_sub(unasked));
        if most == 0 {
            return;
        }
        for record in self.run.book.dial_candidates(clock::now()) {
            let mut addresses = record.dial_addresses();
            if !addresses.iter().any(|(text, source)| self.may_dial_unasked(text, *source)) {
                continue;
            }
            let dialled = match self.run.bootstrap.names(&record.id) {
                true => self.dial_listed(record.id),
                false if self.dials.any_to(&record.id) => None,
                false => {
                    if !record.was_reached() {
                        if !self.strangers.take(Instant::now()) {
                            return self.tend_again();
                        }
                        addresses.truncate(STRANGERS_ADDRESSES);
                    }
                    self.dial_unasked(Some(record.id), addresses, Source::Book)
                }
            };
            most -= usize::from(dialled.is_some());
            if most == 0 {
                return;
            }
        }
    }

    /// What is left to dial has to wait: whoever makes up peers must not make us dial at his rate.
    fn tend_again(&mut self) {
        self.tending = true;
        self.timers.set(Instant::now() + STRANGERS_PAUSE, Timer::Tend);
    }

    /// How many peers to be connected to for its own sake. With an idle timeout none: whoever is dialled
    /// for nothing would be closed as idle, and dialled again.
    fn wanted_connections(&self) -> usize {
        let settings = &self.run.settings;
        match settings.idle_timeout {
            Some(_) => 0,
            None => WANTED.min(settings.limits.low_water) as usize,
        }
    }

    /// Dials a peer of the bootstrap list where that says it is, unless it is being dialled already.
    pub(crate) fn dial_listed(&mut self, peer: PeerId) -> Option<ConnectionId> {
        if self.dials.any_to(&peer) {
            return None;
        }
        self.dial_bootstrap(Some(peer), self.run.bootstrap.addresses_of(&peer))
    }

    /// Dials addresses of the bootstrap list.
    pub(crate) fn dial_bootstrap(
        &mut self,
        peer: Option<PeerId>,
        addresses: impl IntoIterator<Item = Multiaddr>,
    ) -> Option<ConnectionId> {
        let text = |address: Multiaddr| (Text::from(address.to_string()), Source::Bootstrap);
        self.dial_unasked(peer, addresses.into_iter().map(text).collect(), Source::Bootstrap)
    }

    /// Dials without having been asked to; none where nothing may be dialled.
    pub(crate) fn dial_unasked(
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
        let dial = Dial {
            peer,
            addresses: plan.dialable,
            untried: plan.untried,
            deadline,
            counted,
            begun: Begun::default(),
            waiters: Vec::new(),
            unasked: Some(source),
        };
        self.start_dial(dial, None)
    }

    /// Discovery stops: what it dials isn't wanted any more. A dial by address alone ends by itself.
    pub(crate) fn abandon_unasked(&mut self) {
        for peer in self.dials.take_unasked() {
            self.abort_pending(peer);
        }
    }

    /// A dial that nobody asked for failed: another may take its place.
    pub(crate) fn unasked_dial_failed(&mut self, dial: &Dial, failure: &Error) {
        if let Some(peer) = &dial.peer {
            self.back_off(peer);
        }
        if dial.unasked == Some(Source::Bootstrap) {
            self.source_failed(Source::Bootstrap, failure);
        }
        self.tend_soon();
    }

    fn may_dial_unasked(&self, address: &Text, source: Source) -> bool {
        let listed = matches!(source, Source::Bootstrap | Source::User);
        let scope = address.parse::<Multiaddr>().map(|address| addr::scope(&address));
        scope.is_ok_and(|scope| self.run.settings.may_dial_unasked(scope, listed))
    }

    /// A dial of ours failed: the peer's next turn comes later each time.
    pub(crate) fn back_off(&mut self, peer: &PeerId) {
        let wait = self.run.book.back_off(peer, clock::now(), wait_after);
        if let Some(wait) = wait
            && self.run.discovery.active()
        {
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
    pub(crate) fn trim(&mut self) {
        let limits = &self.run.settings.limits;
        let open: usize = self.peers.values().map(|peer| peer.live().count()).sum();
        if open <= limits.high_water as usize {
            return;
        }
        let surplus = open - limits.low_water as usize;
        let candidates = self.peers.iter().filter_map(|(peer, state)| {
            let since = state.live().map(|connection| connection.since).min()?;
            let kept = self.run.book.get(peer).is_some_and(|record| record.is_protected());
            let ours = state.live().any(|open| open.direction == Direction::Outbound);
            let connections = state.live().count();
            (!kept && !self.calls.needs(peer)).then_some(Trimmable {
                peer: *peer,
                ours,
                since,
                connections,
            })
        });
        let (victims, again) = choose_victims(candidates.collect(), surplus, Instant::now());
        for peer in victims {
            self.close_trimmed(peer);
        }
        if let Some(again) = again {
            self.timers.set(again, Timer::Trim);
        }
    }
}

/// How long to wait after so many failures in a row.
fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_RETRY * 2u32.pow(doublings)).min(LONGEST_RETRY)
}

/// A connected peer that may be trimmed.
#[derive(Clone, Copy)]
struct Trimmable {
    peer: PeerId,
    /// Whether we opened a connection to it: somebody here wanted it.
    ours: bool,
    since: Instant,
    connections: usize,
}

/// Whose connections to close so that `surplus` are, the least useful first: those of peers that came
/// to us, then the youngest, since who opens connections in masses can't make them old. Those in
/// their grace period are spared; where that leaves too many, also when to look again.
fn choose_victims(
    mut candidates: Vec<Trimmable>,
    surplus: usize,
    now: Instant,
) -> (Vec<PeerId>, Option<Instant>) {
    candidates.sort_unstable_by_key(|candidate| (candidate.ours, Reverse(candidate.since)));
    let (mature, young): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|candidate| candidate.since + TRIM_GRACE <= now);
    let mut closed = 0;
    let victims = mature.into_iter().take_while(|victim| {
        let wanted = closed < surplus;
        closed += victim.connections;
        wanted
    });
    let victims: Vec<_> = victims.map(|victim| victim.peer).collect();
    let next = young.iter().map(|candidate| candidate.since + TRIM_GRACE).min();
    (victims, next.filter(|_| closed < surplus))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By age in seconds, and whether we opened the connection.
    fn trimmable(now: Instant, age: u64, ours: bool, connections: usize) -> Trimmable {
        let since = now - Duration::from_secs(age);
        Trimmable { peer: PeerId::random(), ours, since, connections }
    }

    #[test]
    fn the_youngest_that_came_to_us_go_first_and_no_more_than_needed() {
        let now = Instant::now() + Duration::from_secs(1000);
        let [old, middle, young] = [500, 300, 100].map(|age| trimmable(now, age, false, 1));
        let ours = trimmable(now, 50, true, 1);
        let double = trimmable(now, 60, false, 2);
        let all = || vec![old, ours, middle, young, double];
        let chosen = |surplus| choose_victims(all(), surplus, now).0;
        assert_eq!(chosen(1), [double.peer]);
        assert_eq!(chosen(2), [double.peer]);
        assert_eq!(chosen(3), [double.peer, young.peer]);
        assert_eq!(chosen(9), [double.peer, young.peer, middle.peer, old.peer, ours.peer]);
    }

    #[test]
    fn those_in_their_grace_period_are_spared_until_it_is_over() {
        let now = Instant::now() + Duration::from_secs(1000);
        let [new, newer, old] = [15, 5, 30].map(|age| trimmable(now, age, false, 1));
        let (victims, again) = choose_victims(vec![new, newer, old], 2, now);
        assert_eq!(victims, [old.peer]);
        assert_eq!(again, Some(new.since + TRIM_GRACE));
        assert_eq!(choose_victims(vec![new, newer, old], 1, now), (vec![old.peer], None));
        assert_eq!(choose_victims(vec![new], 0, now), (vec![], None));
        let later = now + Duration::from_secs(5);
        assert_eq!(choose_victims(vec![new, newer], 1, later).0, [new.peer]);
    }

    #[test]
    fn each_wait_is_twice_the_last_up_to_an_hour() {
        let seconds = |failures| wait_after(failures).as_secs();
        assert_eq!([1, 2, 3, 10].map(seconds), [5, 10, 20, 2560]);
        assert_eq!([11, 12, 1000, u32::MAX].map(seconds), [3600; 4]);
    }
}
