//! The budget of the control socket: the most bytes that replies which no client has read yet take together, and
//! requests that are being read or answered. Its clients are this user's processes; but 64 replies of 16 MiB
//! each are more than a small machine has.
//!
//! A reply that is going to be large is made in its turn. Once replies take all the room there is, whoever wants
//! more waits, for a bounded time, and meanwhile a client that reads far too slowly is closed by its own thread
//! (`Held::write_lasts`). docs/budgets.md promises the numbers, which are all here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::ops::{JSON_MEMORY, ReplySizes};

/// The room of replies, and of requests.
const REPLIES: usize = 8 << 20;
const REQUESTS: usize = 16 << 20;
/// The length up to which a reply, or a request, isn't counted: 64 of them are few.
const SMALL_REPLY: usize = 64 << 10;
const SMALL_REQUEST: usize = 4 << 10;
/// The estimate from which on a reply is made in its turn.
const LARGE_REPLY: usize = 256 << 10;
/// The time that a call waits for its turn and for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// The speed that is expected of a client while others wait, in bytes a second, and the time by which it may be late.
const BYTES_A_SECOND: u32 = 64 << 10;
const LATE: Duration = Duration::from_secs(1);

/// The budget of one run's socket.
#[derive(Default)]
pub(super) struct Room {
    state: Mutex<State>,
    freed: Condvar,
    sizes: ReplySizes,
}

#[derive(Default)]
struct State {
    replies: usize,
    requests: usize,
    /// True while a large reply is made.
    making: bool,
    /// The calls that wait for their turn or for room.
    waiting: usize,
}

impl Room {
    /// Waits until a reply of about this size may be made; None where that doesn't come in time.
    pub(super) fn turn(self: &Arc<Self>, estimate: usize) -> Option<Held> {
        let mut held = self.none();
        held.estimate = estimate;
        let expected = self.sizes.expected(estimate);
        if expected < LARGE_REPLY {
            return Some(held);
        }
        let expected = expected.min(REPLIES);
        let mut state = self.wait(|state| !state.making && state.replies + expected <= REPLIES)?;
        state.making = true;
        state.replies += expected;
        (held.making, held.bytes) = (true, expected);
        Some(held)
    }

    /// Returns the room of a reply that isn't counted.
    pub(super) fn none(self: &Arc<Self>) -> Held {
        Held { room: Arc::clone(self), estimate: 0, bytes: 0, making: false }
    }

    /// Waits until this holds.
    fn wait(&self, holds: impl Fn(&State) -> bool) -> Option<MutexGuard<'_, State>> {
        let until = Instant::now() + PATIENCE;
        let mut state = self.state.lock();
        state.waiting += 1;
        while !holds(&state) {
            if self.freed.wait_until(&mut state, until).timed_out() {
                break;
            }
        }
        state.waiting -= 1;
        holds(&state).then_some(state)
    }

    /// Begins to count the requests of a connection.
    pub(super) fn requests(self: &Arc<Self>) -> Arc<Requests> {
        Arc::new(Requests { room: Arc::clone(self), bytes: AtomicUsize::new(0) })
    }
}

/// The room that a reply has.
pub(super) struct Held {
    room: Arc<Room>,
    estimate: usize,
    bytes: usize,
    making: bool,
}

impl Held {
    /// Takes what the reply takes that was made, and ends its turn. Waits for room where it takes more than was
    /// expected; false where there is none in time.
    pub(super) fn is_made(&mut self, length: usize) -> bool {
        let bytes = if length <= SMALL_REPLY { 0 } else { length.min(REPLIES) };
        self.room.sizes.learn(self.estimate, length);
        if bytes == self.bytes && !self.making {
            return true;
        }
        let missing = bytes.saturating_sub(self.bytes);
        let Some(mut state) = self.room.wait(|state| state.replies + missing <= REPLIES) else {
            return false;
        };
        state.replies = state.replies + bytes - self.bytes;
        state.making &= !self.making;
        drop(state);
        (self.bytes, self.making) = (bytes, false);
        self.room.freed.notify_all();
        true
    }

    /// Makes the judge of a reader: it is told what was read just now, and says whether that one is waited for.
    pub(super) fn write_lasts(&self) -> impl FnMut(usize) -> bool + use<> {
        let (room, counts) = (Arc::clone(&self.room), self.bytes > 0);
        let mut at = Instant::now();
        move |read| {
            let now = Instant::now();
            let read = u32::try_from(read).unwrap_or(u32::MAX);
            // Reading ahead earns nothing: that was the system's buffer.
            at = now.min(at + Duration::from_secs(read.into()) / BYTES_A_SECOND);
            !counts || now - at < LATE || room.state.lock().waiting == 0
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 && !self.making {
            return;
        }
        let mut state = self.room.state.lock();
        state.replies -= self.bytes;
        state.making &= !self.making;
        drop(state);
        self.room.freed.notify_all();
    }
}

/// The room that a connection's request takes.
pub(super) struct Requests {
    room: Arc<Room>,
    bytes: AtomicUsize,
}

impl Requests {
    /// Takes what a line takes that has come so far; false where there is no room for it.
    pub(super) fn line(&self, length: usize) -> bool {
        self.reach(if length <= SMALL_REQUEST { 0 } else { length })
    }

    /// Takes what a line takes once it is read.
    pub(super) fn is_read(&self, length: usize) -> bool {
        let bytes = length.saturating_mul(JSON_MEMORY).min(REQUESTS / 4 * 3);
        self.reach(if length <= SMALL_REQUEST { 0 } else { bytes })
    }

    fn reach(&self, bytes: usize) -> bool {
        let has = self.bytes.load(Ordering::Relaxed);
        if bytes == has {
            return true;
        }
        let mut state = self.room.state.lock();
        let all = state.requests - has + bytes;
        if bytes > has && all > REQUESTS {
            return false;
        }
        state.requests = all;
        self.bytes.store(bytes, Ordering::Relaxed);
        true
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        self.reach(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_replies_are_made_in_turn_and_take_what_they_take() {
        let room = Arc::<Room>::default();
        let mut large = room.turn(3 << 20).unwrap();
        assert!(room.turn(SMALL_REPLY).is_some(), "a small one needs no turn");
        std::thread::scope(|scope| {
            let next = scope.spawn(|| room.turn(3 << 20));
            while room.state.lock().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(large.is_made(5 << 19));
            assert!(next.join().unwrap().is_some());
        });
        assert_eq!(room.state.lock().replies, 5 << 19);
        let mut judge = large.write_lasts();
        assert!(judge(0), "nobody waits");
        drop(large);
        assert_eq!(room.state.lock().replies, 0);
    }

    #[test]
    fn a_client_that_does_not_read_is_closed_only_while_another_waits() {
        let room = Arc::<Room>::default();
        let mut held = room.turn(REPLIES).unwrap();
        assert!(held.is_made(REPLIES));
        let mut judge = held.write_lasts();
        std::thread::sleep(LATE);
        assert!(judge(0));
        std::thread::scope(|scope| {
            let next = scope.spawn(|| room.turn(LARGE_REPLY));
            while room.state.lock().waiting == 0 {
                std::thread::yield_now();
            }
            assert!(!judge(0));
            drop(held);
            assert!(next.join().unwrap().is_some());
        });
    }

    #[test]
    fn requests_have_room_together() {
        let room = Arc::<Room>::default();
        let (one, other) = (room.requests(), room.requests());
        assert!(one.line(1 << 20) && one.is_read(1 << 20));
        assert!(other.line(1 << 20) && !other.is_read(1 << 20));
        assert!(one.line(0) && other.is_read(1 << 20));
        drop((one, other));
        assert_eq!(room.state.lock().requests, 0);
    }
}
