//! The server's budgets: the most bytes that replies which nobody has read yet take together, and bodies that are
//! being read. Numbers of connections alone bound nothing, for a reply may take 16 MiB.
//!
//! Callers without the token share one part, its holders another that strangers can't take. Small replies have room
//! beside the large ones, so that they needn't wait for who doesn't read a large one. A reply that is going to be large
//! is made in its turn, once there is room for it. While somebody waits for room, whoever reads slowest is closed
//! (`connections`); whoever has waited too long is refused. All numbers are here, and docs/budgets.md promises them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use peerkit::ops::{JSON_MEMORY, ReplySizes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::caller::Caller;
use super::connections::{Connection, Connections, Share};
use super::refusals::{Refusals, Why};

/// The unit in which room is given.
const UNIT: usize = 1 << 10;
/// The shares: of callers without the token, and of its holders. Each has one large reply made at a time.
pub const SHARES: usize = 2;
/// The longest response that isn't counted: it takes less than its connection does.
pub const UNCOUNTED: usize = 4 << 10;
/// The longest reply that counts as small.
const SMALL: usize = 256 << 10;
/// The room of callers without the token: small replies, large ones, and the bodies of their requests.
const STRANGERS: Sizes = Sizes { small: 4 << 20, large: 8 << 20, bodies: 8 << 20 };
/// The room of the token's holders.
const HOLDERS: Sizes = Sizes { small: 16 << 20, large: 16 << 20, bodies: 24 << 20 };
/// The room of all heads of requests together, as far as one is longer than usual.
const HEADS: usize = 4 << 20;
/// The length up to which a head isn't counted.
pub const USUAL_HEAD: usize = 8 << 10;
/// The room that an exchange over MCP takes: a reply has its text twice, of 50 KB at most.
pub const MCP_EXCHANGE: usize = 128 << 10;
/// The time that a call waits for room for its reply.
const PATIENCE: Duration = Duration::from_secs(5);
/// The calls of each share that may wait for their turn to have a large reply made; each takes the place of a request.
const WAITING: usize = 64;
/// The interval at which a call that waits for room has the slowest reader closed.
const LOOK: Duration = Duration::from_millis(100);

/// The sizes of a share, in bytes.
struct Sizes {
    small: usize,
    large: usize,
    bodies: usize,
}

/// The budgets of a server.
pub struct Budget {
    strangers: Pools,
    holders: Pools,
    heads: Arc<Semaphore>,
    sizes: ReplySizes,
    connections: Arc<Connections>,
    refusals: Arc<Refusals>,
}

/// The room of one share.
struct Pools {
    sizes: &'static Sizes,
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    /// Large replies are made one at a time: each takes several times its size meanwhile.
    making: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Pools {
    fn new(sizes: &'static Sizes) -> Self {
        let pool = |bytes: usize| Arc::new(Semaphore::new(bytes / UNIT));
        Pools {
            sizes,
            small: pool(sizes.small),
            large: pool(sizes.large),
            bodies: pool(sizes.bodies),
            making: Arc::new(Semaphore::new(1)),
            waiting: Semaphore::new(WAITING),
        }
    }

    /// Returns the room for a reply of this size, and the bytes that it takes of it: all where it is larger.
    fn replies(&self, bytes: usize) -> (&Arc<Semaphore>, usize) {
        let (pool, size) = match bytes > SMALL {
            true => (&self.large, self.sizes.large),
            false => (&self.small, self.sizes.small),
        };
        (pool, bytes.min(size))
    }

    fn unsent(&self) -> usize {
        let taken = |pool: &Semaphore, size: usize| size - pool.available_permits() * UNIT;
        taken(&self.small, self.sizes.small) + taken(&self.large, self.sizes.large)
    }
}

impl Budget {
    /// Makes the budgets of a server with these connections.
    pub fn new(connections: Arc<Connections>, refusals: Arc<Refusals>) -> Self {
        Budget {
            strangers: Pools::new(&STRANGERS),
            holders: Pools::new(&HOLDERS),
            heads: Arc::new(Semaphore::new(HEADS / UNIT)),
            sizes: ReplySizes::default(),
            connections,
            refusals,
        }
    }

    fn pools(&self, caller: Caller) -> &Pools {
        match caller {
            Caller::Authenticated => &self.holders,
            Caller::Anonymous => &self.strangers,
        }
    }

    /// Takes room for a head that is longer than usual, beside what it has; false where there is none.
    pub fn head(&self, room: &mut Option<OwnedSemaphorePermit>, length: usize) -> bool {
        let has = reach(&self.heads, room, length.saturating_sub(USUAL_HEAD));
        if !has {
            self.refusals.add(Why::Heads);
        }
        has
    }

    /// Returns the bytes of replies that wait to be read: those of callers without the token, and of its holders.
    pub fn unsent(&self) -> [usize; 2] {
        [self.strangers.unsent(), self.holders.unsent()]
    }

    /// Waits for room for a reply that is yet to be made, and for its turn to be made. None where there is none in
    /// time.
    pub async fn room(&self, caller: Caller, estimate: usize) -> Option<Room> {
        let pools = self.pools(caller);
        let expected = self.sizes.expected(estimate);
        // At rest there is room, and nothing needs a timer.
        if expected <= SMALL
            && let Ok(permit) = Arc::clone(&pools.small).try_acquire_many_owned(units(expected))
        {
            return Some(Room { permit, estimate, large: false, _making: None });
        }
        let wait = async {
            let (mut _waits, mut making) = (None, None);
            if expected > SMALL {
                _waits = Some(pools.waiting.try_acquire().ok()?);
                making = Some(Arc::clone(&pools.making).acquire_owned().await.ok()?);
            }
            let permit = self.wait(caller, expected).await?;
            Some(Room { permit, estimate, large: expected > SMALL, _making: making })
        };
        let room = timeout(PATIENCE, wait).await.ok().flatten();
        if room.is_none() {
            self.refusals.add(Why::Replies);
        }
        room
    }

    /// Waits for room, and meanwhile has those closed who read slowest.
    async fn wait(&self, caller: Caller, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let (pool, size) = self.pools(caller).replies(bytes);
        let mut permit = pin!(Arc::clone(pool).acquire_many_owned(units(size)));
        let mut look = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                permit = permit.as_mut() => return permit.ok(),
                () = sleep(look) => self.connections.close_slowest(share(caller, bytes)),
            }
            look = LOOK;
        }
    }

    /// Takes the room for a reply that is made: what was reserved for it, or more. None where that isn't to be had.
    pub fn take(
        &self,
        caller: Caller,
        reserved: Option<Room>,
        bytes: usize,
        connection: Option<&Arc<Connection>>,
    ) -> Option<Taken> {
        let (pool, size) = self.pools(caller).replies(bytes);
        if let Some(room) = &reserved {
            self.sizes.learn(room.estimate, bytes);
        }
        let reserved = reserved.filter(|room| room.large == (bytes > SMALL));
        let mut permit = reserved.map(|room| room.permit);
        if !reach(pool, &mut permit, size) {
            self.connections.close_slowest(share(caller, bytes));
            self.refusals.add(Why::Replies);
            return None;
        }
        if let Some(permit) = &mut permit {
            drop(permit.split(permit.num_permits().saturating_sub(size.div_ceil(UNIT))));
        }
        let connection = connection.cloned();
        if let Some(connection) = &connection {
            connection.holds(Some(share(caller, bytes)));
        }
        Some(Taken(Arc::new(Held { _permit: permit, connection })))
    }

    /// Begins to count the body of a request.
    pub fn intake(&self, caller: Caller) -> Intake {
        let pools = self.pools(caller);
        let most = pools.sizes.bodies / 4 * 3;
        let (pool, refusals) = (Arc::clone(&pools.bodies), Arc::clone(&self.refusals));
        Intake { pool, most, permit: None, refusals }
    }
}

/// Returns the share that a reply of this size takes from.
fn share(caller: Caller, bytes: usize) -> Share {
    Share { holder: caller == Caller::Authenticated, large: bytes > SMALL }
}

/// The room for a reply that is being made.
pub struct Room {
    permit: OwnedSemaphorePermit,
    estimate: usize,
    large: bool,
    _making: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Tells whether the reply is expected to be large.
    pub fn is_large(&self) -> bool {
        self.large
    }
}

/// The room that a reply takes, until the last of its bytes has been given to the system. Goes with the response.
#[derive(Clone)]
pub struct Taken(#[allow(dead_code)] Arc<Held>);

struct Held {
    _permit: Option<OwnedSemaphorePermit>,
    connection: Option<Arc<Connection>>,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.holds(None);
        }
    }
}

/// The room that the body of a request takes, and what is read of it.
pub struct Intake {
    pool: Arc<Semaphore>,
    most: usize,
    permit: Option<OwnedSemaphorePermit>,
    refusals: Arc<Refusals>,
}

impl Intake {
    /// Takes what a body of this length takes; false where there is no room for it.
    pub fn holds(&mut self, length: usize) -> bool {
        self.reach(length)
    }

    /// Takes what JSON of this length takes once it is read.
    pub fn is_read(&mut self, length: usize) -> bool {
        self.reach(length.saturating_mul(JSON_MEMORY))
    }

    fn reach(&mut self, bytes: usize) -> bool {
        let has = reach(&self.pool, &mut self.permit, bytes.min(self.most));
        if !has {
            self.refusals.add(Why::Bodies);
        }
        has
    }
}

/// Returns the units that some bytes take.
fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// Takes what is missing to so many bytes; false where it isn't to be had.
fn reach(pool: &Arc<Semaphore>, permit: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> bool {
    let has = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
    let missing = bytes.div_ceil(UNIT).saturating_sub(has);
    if missing == 0 {
        return true;
    }
    let missing = u32::try_from(missing).unwrap_or(u32::MAX);
    let Ok(more) = Arc::clone(pool).try_acquire_many_owned(missing) else { return false };
    match permit {
        Some(permit) => permit.merge(more),
        None => *permit = Some(more),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        let refusals = Arc::new(Refusals::default());
        Budget::new(Arc::new(Connections::new(Arc::clone(&refusals))), refusals)
    }

    #[tokio::test]
    async fn strangers_leave_room_for_the_tokens_holder_and_large_replies_for_small_ones() {
        let budget = budget();
        let strangers = Caller::Anonymous;
        let large = budget.take(strangers, None, STRANGERS.large, None);
        assert!(large.is_some());
        assert!(budget.take(strangers, None, SMALL + 1, None).is_none());
        assert!(budget.take(strangers, None, SMALL, None).is_some());
        assert!(budget.take(Caller::Authenticated, None, STRANGERS.large, None).is_some());
        assert_eq!(budget.refusals.count(Why::Replies), 1);
        assert_eq!(budget.unsent()[0], STRANGERS.large);
        drop(large);
        assert_eq!(budget.unsent(), [0, 0]);
    }

    #[tokio::test]
    async fn what_was_reserved_beyond_the_reply_is_given_back_and_what_was_missing_taken() {
        let budget = budget();
        let caller = Caller::Anonymous;
        let room = budget.room(caller, 100 * UNIT).await.unwrap();
        let taken = budget.take(caller, Some(room), 40 * UNIT, None).unwrap();
        assert_eq!(budget.unsent()[0], 40 * UNIT);
        let room = budget.room(caller, 2 * SMALL).await.unwrap();
        let larger = budget.take(caller, Some(room), 3 * SMALL, None).unwrap();
        assert_eq!(budget.unsent()[0], 40 * UNIT + 3 * SMALL);
        let room = budget.room(caller, 2 * SMALL).await.unwrap();
        let small = budget.take(caller, Some(room), UNIT, None).unwrap();
        assert_eq!(budget.unsent()[0], 41 * UNIT + 3 * SMALL);
        drop((taken, larger, small));
        assert_eq!(budget.unsent()[0], 0);
    }

    #[tokio::test]
    async fn what_estimates_were_wrong_by_is_learnt() {
        let budget = budget();
        let caller = Caller::Anonymous;
        let room = budget.room(caller, 40 * UNIT).await.unwrap();
        drop(budget.take(caller, Some(room), 200 * UNIT, None).unwrap());
        let room = budget.room(caller, 40 * UNIT).await.unwrap();
        assert_eq!(budget.unsent()[0], 200 * UNIT);
        drop(budget.take(caller, Some(room), UNIT, None).unwrap());
        assert!(budget.room(caller, 60 * UNIT).await.unwrap().is_large());
    }

    #[test]
    fn a_body_counts_as_what_is_read_of_it() {
        let budget = budget();
        let mut one = budget.intake(Caller::Anonymous);
        assert!(one.holds(1 << 20) && one.is_read(1 << 20));
        let mut other = budget.intake(Caller::Anonymous);
        assert!(other.holds(1 << 20) && !other.is_read(1 << 20));
        assert!(budget.intake(Caller::Authenticated).is_read(1 << 20));
        drop(one);
        assert!(other.is_read(1 << 20));
    }
}
