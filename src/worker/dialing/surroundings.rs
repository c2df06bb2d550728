//! Keeps waits from outliving what caused them. Dials that failed while this machine had no network say nothing
//! of the peers: when one comes, the waits are forgotten. And who is connected to nobody doesn't wait long, for
//! not every network that comes back shows here: a router further on may have been down.

use std::time::Duration;

use super::auto::{WANTED, look_soon};
use crate::worker::core::Core;
use crate::worker::core::notes::AddressChange;
use crate::worker::core::timers::Timer;
use crate::worker::util::networks::Networks;

/// Time between two looks around. The clocks are compared then too, as in every turn.
const LOOK_AROUND: Duration = Duration::from_secs(10);
/// Time for the routes of an address that came, and for further addresses.
const SETTLING: Duration = Duration::from_secs(1);
/// The longest wait for the likeliest peers while nobody is connected: Kubo's period of bootstrap rounds, which
/// it makes while few are connected, however often they failed.
const LONGEST_ALONE: Duration = Duration::from_secs(30);

/// The state of this machine's networks when they were last looked at.
#[derive(Default)]
pub(super) struct Surroundings {
    networks: Networks,
    /// True where a listener has told an address since.
    listens_anew: bool,
}

impl Surroundings {
    pub(super) fn begin(&mut self, core: &mut Core) {
        self.networks = Networks::now();
        core.timers.set(core.now + LOOK_AROUND, Timer::Surroundings);
    }

    /// Takes note of a change of this node's addresses. Those that others tell don't count: no remote decides
    /// how often peers are dialled.
    pub(super) fn addresses_changed(&mut self, core: &mut Core, change: AddressChange) {
        if change == AddressChange::ListenAdded {
            self.listens_anew = true;
            core.timers.set_at_latest(core.now + SETTLING, Timer::Surroundings);
        }
    }

    /// Looks around: forgets waits where a network came, and shortens them while nobody is connected.
    pub(super) fn look_around(&mut self, core: &mut Core) {
        core.timers.set(core.now + LOOK_AROUND, Timer::Surroundings);
        if !core.shared.discovery.active() {
            return;
        }
        let now = Networks::now();
        let came = now.has_more_than(&self.networks);
        self.networks = now;
        if std::mem::take(&mut self.listens_anew) || came {
            core.forget_waits();
        } else if core.peers.is_empty() {
            shorten_waits(core);
        }
    }
}

fn shorten_waits(core: &mut Core) {
    let listed = core.shared.bootstrap.entries().into_iter().filter_map(|entry| entry.peer_id);
    let until = core.time.after(LONGEST_ALONE - LOOK_AROUND);
    if core.shared.book.shorten_waits(listed, WANTED as usize, until) {
        look_soon(core);
    }
}
