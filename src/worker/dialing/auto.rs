//! The auto dialer: while few peers are connected, each look dials some that the book knows; it also
//! dials the bootstrap peers that discovery wants dialled. It dials no peer whose intent forbids it,
//! and no address that the profile keeps from automatic dials.

use std::time::Duration;

use super::acceptance::tell_failure;
use super::dial::{Dial, Plan};
use super::dials::{Dials, FailedDial, NewDial};
use crate::admission::TokenBucket;
use crate::book::{Intent, LONGEST_WAIT, Origin, Record, may_dial};
use crate::error::Error;
use crate::model::{LastError, Source, Text};
use crate::worker::core::Core;
use crate::worker::core::notes::{ListedDial, ListedDialEnd, Note};
use crate::worker::core::timers::Timer;
use crate::{Multiaddr, PeerId, addr};

/// Connected peers that the auto dialer aims at, where `low_water` isn't less (Kubo's low water).
pub(super) const WANTED: u32 = 32;
/// Automatic dials at once.
const AT_ONCE: usize = 8;
/// Unproven peers that are dialled in a second, and at once; and the addresses tried of one.
const UNPROVEN_PER_S: u32 = 4;
const UNPROVEN_AT_ONCE: u32 = 32;
const UNPROVEN_ADDRESSES: usize = 4;
const UNPROVEN_PAUSE: Duration = Duration::from_millis(250);
/// Time that one automatic dial may take.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a look for peers to dial waits: discovered peers come many at a time.
const SOON: Duration = Duration::from_millis(50);
/// Time before the first retry of a peer that couldn't be dialled; each further one comes after twice
/// the time before, at most after [`LONGEST_WAIT`].
const FIRST_RETRY: Duration = Duration::from_secs(5);

pub(super) struct Auto {
    /// The rate at which unproven peers are dialled.
    unproven: TokenBucket,
}

impl Default for Auto {
    fn default() -> Self {
        Auto { unproven: TokenBucket::new(UNPROVEN_PER_S, UNPROVEN_AT_ONCE) }
    }
}

/// Has the dialer look after [`SOON`]: there may be a peer to dial.
pub(super) fn look_soon(core: &mut Core) {
    core.timers.set_at_latest(core.now + SOON, Timer::AutoDial);
}

impl Auto {
    /// Dials peers of the book while few are connected.
    pub(super) fn look(&mut self, core: &mut Core, dials: &mut Dials) {
        if !core.shared.discovery.active() {
            return;
        }
        let automatic = dials.automatic();
        let lacking = wanted_peers(core).saturating_sub(core.peers.len() + automatic);
        let mut most = lacking.min(AT_ONCE.saturating_sub(automatic));
        if most == 0 {
            return;
        }
        let (candidates, next) = core.shared.book.dial_candidates(core.time);
        for record in candidates {
            if dials.any_to(&record.id) {
                continue;
            }
            let mut addresses = record.dial_addresses();
            if !any_dialable(core, &record, &addresses) {
                continue;
            }
            let bootstrap = &core.shared.bootstrap;
            let dialled = if bootstrap.names(&record.id) {
                let target = (Some(record.id), listed(bootstrap.addresses_of(&record.id)));
                self.dial(core, dials, target, Origin::Bootstrap, None)
            } else {
                if !record.was_reached() {
                    // A remote that makes up peers must not make us dial as fast as it sends them.
                    if !self.unproven.take(core.now) {
                        let again = core.now + UNPROVEN_PAUSE;
                        return core.timers.set_at_latest(again, Timer::AutoDial);
                    }
                    addresses.truncate(UNPROVEN_ADDRESSES);
                }
                self.dial(core, dials, (Some(record.id), addresses), Origin::Auto, None)
            };
            most -= usize::from(dialled);
            if most == 0 {
                return;
            }
        }
        if let Some(next) = next {
            core.timers.set_at_latest(core.now + next.since(core.time), Timer::AutoDial);
        }
    }

    /// Dials a peer of the bootstrap list at its listed addresses, or a listed address that names no peer.
    pub(super) fn dial_listed(&mut self, core: &mut Core, dials: &mut Dials, dial: ListedDial) {
        let ListedDial { peer, addresses, ticket } = dial;
        let dialling = peer.is_some_and(|peer| dials.any_to(&peer));
        let target = (peer, listed(addresses));
        if dialling || !self.dial(core, dials, target, Origin::Bootstrap, Some(ticket)) {
            let (answered, connected) = (None, false);
            core.note(Note::ListedDialEnded(ListedDialEnd { ticket, answered, connected }));
        }
    }

    /// Makes an automatic dial; false where none begins.
    fn dial(
        &mut self,
        core: &mut Core,
        dials: &mut Dials,
        (peer, mut addresses): (Option<PeerId>, Vec<(Text, Source)>),
        origin: Origin,
        ticket: Option<u64>,
    ) -> bool {
        let record = peer.and_then(|peer| core.shared.book.get(&peer));
        let intent = record.map_or(Intent::Allowed, |record| Intent::in_the_end(&record));
        addresses.retain(|address| may_dial_address(core, intent, origin, address));
        let plan = Plan::new(None, addresses, core.shared.settings.swarm_key.is_some());
        if plan.dialable.is_empty() {
            return false;
        }
        let deadline = core.now + DIAL_TIMEOUT;
        let new = NewDial { peer, plan, deadline, origin, waiter: None, ticket };
        tracing::info!(peer = ?peer.map(|peer| peer.to_string()), ?origin, "dials by itself");
        match dials.start(core, new, None) {
            Ok(_) => true,
            Err(failed) => {
                let FailedDial { dial, error, .. } = *failed;
                tell_failure(core, dial.peer, &[], &error, dial.origin.source());
                self.failed(core, &dial, &error);
                false
            }
        }
    }

    /// Backs off from the peer of a failed automatic dial; another dial may take its place.
    pub(super) fn failed(&mut self, core: &mut Core, dial: &Dial, failure: &Error) {
        if let Some(peer) = &dial.peer {
            back_off(core, peer);
        }
        if dial.origin == Origin::Bootstrap {
            let error = LastError::new(failure, core.time);
            core.shared.discovery.failed(Source::Bootstrap, error);
        }
        look_soon(core);
    }
}

/// Puts off the next automatic dial of a peer that couldn't be dialled: longer each time.
pub(super) fn back_off(core: &mut Core, peer: &PeerId) -> Option<Duration> {
    let wait = core.shared.book.back_off(peer, core.time, wait_after)?;
    tracing::info!(%peer, wait_s = wait.as_secs(), "backs off from a peer");
    core.timers.set_at_latest(core.now + wait, Timer::AutoDial);
    Some(wait)
}

/// Returns the number of peers to be connected to without a call. With an idle timeout none: a peer
/// that nobody uses would be closed as idle, and dialled again.
fn wanted_peers(core: &Core) -> usize {
    let settings = &core.shared.settings;
    match settings.idle_timeout {
        Some(_) => 0,
        None => WANTED.min(settings.limits.low_water) as usize,
    }
}

/// Tells whether the auto dialer may dial any of a peer's addresses.
fn any_dialable(core: &Core, record: &Record, addresses: &[(Text, Source)]) -> bool {
    let intent = Intent::of(record, core.time);
    addresses.iter().any(|address| may_dial_address(core, intent, Origin::Auto, address))
}

fn may_dial_address(
    core: &Core,
    intent: Intent,
    origin: Origin,
    (text, source): &(Text, Source),
) -> bool {
    let listed = matches!(source, Source::Bootstrap | Source::User);
    let scope = text.parse::<Multiaddr>().map(|address| addr::scope(&address));
    scope.is_ok_and(|scope| may_dial(intent, origin, (scope, listed), &core.shared.settings))
}

fn listed(addresses: Vec<Multiaddr>) -> Vec<(Text, Source)> {
    let text = |address: Multiaddr| (Text::from(address.to_string()), Source::Bootstrap);
    addresses.into_iter().map(text).collect()
}

/// Returns the wait after a number of failures in a row.
fn wait_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_RETRY * 2u32.pow(doublings)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_the_last_up_to_an_hour() {
        let seconds = |failures| wait_after(failures).as_secs();
        assert_eq!([1, 2, 3, 10].map(seconds), [5, 10, 20, 2560]);
        assert_eq!([11, 12, 1000, u32::MAX].map(seconds), [3600; 4]);
    }
}
