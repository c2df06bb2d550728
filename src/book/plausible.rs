//! Judges the times of a record: they are of the wall clock, which may have been wrong when they were noted, in
//! this run or an earlier one, or may be wrong now. No past lies in the future, and no wait is longer than the
//! longest.
//!
//! Nothing here can tell a clock that was ahead then from one that is behind now, as that of a machine without a
//! battery is until it has a network. So a record that is put right is also kept as it was, and comes back once
//! the clock makes it possible.

use std::sync::Arc;
use std::time::Duration;

use super::memory::Book;
use super::record::Record;
use super::state::State;
use crate::clock::Timestamp;

/// The longest wait before an automatic dial is tried again.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(3600);

impl Record {
    /// Tells whether everything in it can have been noted by `now`.
    pub(super) fn can_be(&self, now: Timestamp) -> bool {
        let of_peer = [
            self.first_seen,
            self.last_seen,
            self.last_connection_attempt,
            self.last_successful_connection,
            self.last_error.as_ref().map(|error| error.at),
            self.last_disconnect.as_ref().map(|end| end.at),
        ];
        let of_addrs = self.addrs.iter().flat_map(|addr| [addr.last_success, Some(addr.last_seen)]);
        let of_connections = self.connections.iter().map(|live| Some(live.info.opened_at));
        let mut past = of_peer.into_iter().chain(of_addrs).chain(of_connections).flatten();
        past.all(|at| at <= now) && self.can_wait(now)
    }

    fn can_wait(&self, now: Timestamp) -> bool {
        self.next_retry_at.is_none_or(|at| at <= now.after(LONGEST_WAIT))
    }

    /// Puts right what can't be.
    pub(super) fn put_right(&mut self, now: Timestamp) {
        let of_peer = [
            self.first_seen.as_mut(),
            self.last_seen.as_mut(),
            self.last_connection_attempt.as_mut(),
            self.last_successful_connection.as_mut(),
            self.last_error.as_mut().map(|error| &mut error.at),
            self.last_disconnect.as_mut().map(|end| &mut end.at),
        ];
        let of_addrs = self
            .addrs
            .iter_mut()
            .flat_map(|addr| [addr.last_success.as_mut(), Some(&mut addr.last_seen)]);
        let of_connections = self.connections.iter_mut().map(|live| Some(&mut live.info.opened_at));
        let past = of_peer.into_iter().chain(of_addrs).chain(of_connections);
        past.flatten().for_each(|at| *at = (*at).min(now));
        if !self.can_wait(now) {
            self.next_retry_at = None;
        }
    }

    /// Takes the times of the record as it was before it was put right, where no later ones came.
    fn take_back(&mut self, before: &Record) {
        self.first_seen = self.first_seen.max(before.first_seen);
        self.last_seen = self.last_seen.max(before.last_seen);
        self.last_connection_attempt =
            self.last_connection_attempt.max(before.last_connection_attempt);
        self.last_successful_connection =
            self.last_successful_connection.max(before.last_successful_connection);
        if let (Some(error), Some(was)) = (&mut self.last_error, &before.last_error)
            && error.message == was.message
        {
            error.at = error.at.max(was.at);
        }
        if let (Some(end), Some(was)) = (&mut self.last_disconnect, &before.last_disconnect)
            && end.reason == was.reason
        {
            end.at = end.at.max(was.at);
        }
        for addr in &mut self.addrs {
            if let Some(was) = before.addrs.iter().find(|was| was.text == addr.text) {
                addr.last_success = addr.last_success.max(was.last_success);
                addr.last_seen = addr.last_seen.max(was.last_seen);
            }
        }
    }
}

impl Book {
    /// The clock was set, or the machine slept: puts right what can't be any more, and takes back what can be
    /// again. Peers whose dials failed may be dialled at once, for their waits were measured by another clock,
    /// and who slept may have woken up elsewhere.
    pub(crate) fn clock_jumped(&self, now: Timestamp) {
        self.each_slot(|state, slot| {
            let Some(record) = state.at(slot as usize) else { return };
            if record.can_be(now) {
                return;
            }
            let before = Arc::clone(record);
            state.update(slot, |record| record.put_right(now));
            state.keep_as_it_was(before);
        });
        let mut state = self.state.write();
        for before in state.possible_again(now) {
            if let Some(slot) = state.find(&before.id) {
                state.update(slot, |record| record.take_back(&before));
            }
        }
        state.counts.last_discovery = state.counts.last_discovery.map(|at| at.min(now));
        drop(state);
        self.forget_waits();
    }

    /// Forgets that dials failed: their cause is over. Each peer may be dialled at once; returns how
    /// many had to wait.
    pub(crate) fn forget_waits(&self) -> u64 {
        let mut forgotten = 0;
        self.each_slot(|state, slot| {
            if state.at(slot as usize).is_some_and(|record| record.next_retry_at.is_some()) {
                state.update(slot, |record| {
                    (record.next_retry_at, record.automatic_failures) = (None, 0);
                });
                forgotten += 1;
            }
        });
        forgotten
    }

    /// Does something for every slot. The lock is given up after every 4096.
    fn each_slot(&self, mut change: impl FnMut(&mut State, u32)) {
        const AT_ONCE: usize = 4096;
        let slots = self.state.read().slot_count();
        for first in (0..slots).step_by(AT_ONCE) {
            let mut state = self.state.write();
            (first..first + AT_ONCE).for_each(|slot| change(&mut state, slot as u32));
        }
    }
}
