//! Connections: who has a place, and who makes room for whom.
//!
//! The rule is `peerkit::admission`'s. A caller is unproven while the server waits for it, before the end of a
//! request's head or body, or until it has read its reply; it is proven while its reply is made; it is trusted once it has
//! shown the token. A newcomer can't show anything before it is let in: so one that hasn't said what it wants makes room,
//! the longest silent first. Who doesn't read what it asked for keeps no memory that others need (`backlog`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use peerkit::admission::{Counts, Pool, Refusal, Rules, Source, Standing};
use tokio::sync::Notify;

use super::backlog::{Backlog, Speeds};
use super::refusals::{Refusals, Why};

/// Connections at once; a browser opens half a dozen, an event stream keeps one. An eighth of them is for callers that
/// have shown the token.
const MAX_CONNECTIONS: usize = 512;
/// The places that are taken when the standing of each begins to be kept up.
const CROWDED: usize = MAX_CONNECTIONS / 4;
/// The connections that may be about to close, beside those that have a place.
const MAX_CLOSING: usize = 128;
/// The time that a request's line and headers may take to arrive, and that a connection may be idle.
pub const HEADER_TIME: Duration = Duration::from_secs(20);
/// The same when all places are taken.
const LEAST_HEADER_TIME: Duration = Duration::from_secs(1);
/// The speeds that are expected of a reader.
const SPEEDS: Speeds = Speeds { least: 1 << 10, pressed: 64 << 10 };
/// The time by which a reader may be late.
pub const READ_TIME: Duration = Duration::from_secs(30);
/// The same while somebody waits for the room of what it reads.
const LATE: Duration = Duration::from_secs(1);

/// A part of the server's budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    pub holder: bool,
    pub large: bool,
}

impl Share {
    fn number(self) -> u8 {
        1 + u8::from(self.holder) + 2 * u8::from(self.large)
    }
}

/// All connections of the server.
pub struct Connections {
    state: Mutex<State>,
    /// True while there are enough of them for their standing to matter.
    crowded: AtomicBool,
    refusals: Arc<Refusals>,
    none_left: Notify,
}

struct State {
    pool: Pool<u64>,
    /// Those with a place, and those that are about to close.
    open: HashMap<u64, Arc<Connection>>,
    last: u64,
}

/// A connection.
pub struct Connection {
    id: u64,
    all: Arc<Connections>,
    trusted: AtomicBool,
    answered: AtomicBool,
    /// Counts the heads that have come and the replies that have ended, in turn: even while a head is waited for.
    heads: AtomicU64,
    /// The share of which its reply takes room; 0 for none.
    share: AtomicU8,
    pub backlog: Arc<Backlog>,
    over: AtomicBool,
    end: Notify,
}

impl Connections {
    /// Makes the places, all of them free.
    pub fn new(refusals: Arc<Refusals>) -> Self {
        let rules = Rules::of(MAX_CONNECTIONS).patience(HEADER_TIME, LEAST_HEADER_TIME);
        let state = State { pool: Pool::new(rules), open: HashMap::new(), last: 0 };
        let (state, crowded) = (Mutex::new(state), AtomicBool::new(false));
        Connections { state, crowded, refusals, none_left: Notify::new() }
    }

    /// Gives a connection from there a place, if need be that of another.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Result<Place, Refusal> {
        let mut state = self.state.lock();
        let now = Instant::now();
        if self.crowded.load(Ordering::SeqCst) {
            while let Some(late) = state.pool.overdue(now) {
                state.end(late);
            }
        }
        state.last += 1;
        let (id, source) = (state.last, Source::from(from));
        if let Some(displaced) = state.pool.admit(id, source, Standing::Unproven, now)? {
            state.end(displaced);
        }
        let connection = Arc::new(Connection {
            id,
            all: Arc::clone(self),
            trusted: AtomicBool::new(false),
            answered: AtomicBool::new(false),
            heads: AtomicU64::new(0),
            share: AtomicU8::new(0),
            backlog: Arc::new(Backlog::new(SPEEDS)),
            over: AtomicBool::new(false),
            end: Notify::new(),
        });
        state.open.insert(id, Arc::clone(&connection));
        self.look_how_many(&mut state, now);
        Ok(Place(connection))
    }

    /// Tells whether so many are about to close that a newcomer had better wait a moment.
    pub fn many_close(&self) -> bool {
        self.state.lock().open.len() >= MAX_CONNECTIONS + MAX_CLOSING
    }

    /// Begins or ends to keep everybody's standing up: at rest that would cost each request something for nothing.
    fn look_how_many(&self, state: &mut State, now: Instant) {
        let many = state.pool.len() >= CROWDED;
        if many && !self.crowded.swap(true, Ordering::SeqCst) {
            for connection in state.open.values() {
                state.pool.stand(&connection.id, connection.standing(), now);
            }
        } else if !many {
            self.crowded.store(false, Ordering::SeqCst);
        }
    }

    /// Closes the one of those with room of this share that reads slowest, where one is far too slow.
    pub fn close_slowest(&self, share: Share) {
        let mut state = self.state.lock();
        let open = state.open.values().filter(|it| {
            it.share.load(Ordering::Relaxed) == share.number() && !it.over.load(Ordering::Relaxed)
        });
        let late = open.map(|it| (it.backlog.late_for_others(), it.id));
        if let Some((_, id)) = late.filter(|(late, _)| *late >= LATE).max() {
            state.pool.leave(&id);
            state.end(id);
            self.refusals.add(Why::Unread);
        }
    }

    /// Counts those that have a place.
    pub fn count(&self) -> usize {
        self.state.lock().pool.len()
    }

    /// Returns the numbers of those that were refused, or lost their place.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(self.state.lock().pool.counts())
    }

    /// Waits until there is none.
    pub async fn all_gone(&self) {
        loop {
            let none_left = self.none_left.notified();
            if self.state.lock().open.is_empty() {
                return;
            }
            none_left.await;
        }
    }
}

impl State {
    /// Has a connection closed that has lost its place.
    fn end(&mut self, id: u64) {
        if let Some(connection) = self.open.get(&id) {
            connection.over.store(true, Ordering::Relaxed);
            connection.end.notify_one();
        }
    }
}

impl Connection {
    /// Notes that the head of a request has come.
    pub fn asks(&self) {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.stand(true);
    }

    /// Notes that the reply to a request has ended.
    pub fn was_answered(&self) {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.stand(false);
    }

    /// Notes that the server waits for the rest of a request.
    pub fn is_waited_for(&self) {
        self.stand(false);
    }

    /// Notes that the server has a whole request to answer.
    pub fn is_answered(&self) {
        self.stand(true);
    }

    /// Notes that it has shown the token.
    pub fn shows_token(&self) {
        if !self.trusted.swap(true, Ordering::SeqCst) {
            self.all.state.lock().pool.stand(&self.id, Standing::Trusted, Instant::now());
        }
    }

    /// Notes of which share its reply takes room.
    pub fn holds(&self, share: Option<Share>) {
        self.share.store(share.map_or(0, Share::number), Ordering::Relaxed);
    }

    /// Numbers the head that is waited for; None after it has come, until the reply has ended.
    pub fn head(&self) -> Option<u64> {
        Some(self.heads.load(Ordering::Relaxed)).filter(|heads| heads % 2 == 0)
    }

    /// Returns once it has lost its place.
    pub async fn ended(&self) {
        self.end.notified().await;
    }

    fn stand(&self, answered: bool) {
        self.answered.store(answered, Ordering::SeqCst);
        // Whoever sets this looks at the other afterwards, as this does the other way round.
        if self.all.crowded.load(Ordering::SeqCst) && !self.trusted.load(Ordering::SeqCst) {
            self.all.state.lock().pool.stand(&self.id, self.standing(), Instant::now());
        }
    }

    fn standing(&self) -> Standing {
        match (self.trusted.load(Ordering::SeqCst), self.answered.load(Ordering::SeqCst)) {
            (true, _) => Standing::Trusted,
            (false, true) => Standing::Proven,
            (false, false) => Standing::Unproven,
        }
    }
}

/// A connection's place, as long as it is kept.
pub struct Place(Arc<Connection>);

impl Place {
    pub fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all = Arc::clone(&self.0.all);
        let mut state = all.state.lock();
        state.pool.leave(&self.0.id);
        state.open.remove(&self.0.id);
        all.look_how_many(&mut state, Instant::now());
        if state.open.is_empty() {
            all.none_left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn connections() -> Arc<Connections> {
        Arc::new(Connections::new(Arc::default()))
    }

    fn over(place: &Place) -> bool {
        place.connection().over.load(Ordering::Relaxed)
    }

    #[test]
    fn the_longest_silent_makes_room_and_who_is_answered_or_has_shown_the_token_stays() {
        let all = connections();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let holder = all.enter(here).unwrap();
        holder.connection().shows_token();
        holder.connection().was_answered();
        let answered = all.enter(here).unwrap();
        answered.connection().asks();
        let idle = all.enter(here).unwrap();
        idle.connection().asks();
        let silent: Vec<_> = (0..MAX_CONNECTIONS).map(|_| all.enter(here).unwrap()).collect();
        idle.connection().was_answered();
        assert!(!over(&holder) && !over(&answered) && !over(&idle));
        assert!(over(&silent[0]) && !over(&silent[MAX_CONNECTIONS - 1]));
        assert!(all.counts().of(Refusal::Displaced) > 0);
        // Idle now for a shorter time than the silent are.
        let more: Vec<_> = (0..16).map(|_| all.enter(here).unwrap()).collect();
        assert!(!over(&idle) && !over(&more[0]));
        assert!(all.count() <= MAX_CONNECTIONS);
        drop((silent, more));
        assert_eq!(all.count(), 3);
        assert!(!all.crowded.load(Ordering::SeqCst));
    }

    #[test]
    fn what_waits_to_close_is_bounded_too() {
        let all = connections();
        let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let enter = |_| (!all.many_close()).then(|| all.enter(here).unwrap());
        let mut kept: Vec<_> = (0..2 * MAX_CONNECTIONS).map_while(enter).collect();
        assert_eq!(kept.len(), MAX_CONNECTIONS + MAX_CLOSING);
        kept.pop();
        assert!(!all.many_close());
    }
}
