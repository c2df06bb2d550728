//! The event hub and its subscriptions.
//!
//! The worker publishes here, the facade for peers added by hand, and the run its end; each subscription
//! has a bounded queue of its own. Publishing never waits: a reader that falls behind loses its oldest
//! events and is told how many. The flag's descriptor is readable exactly while something is queued or
//! the run has ended, because it is raised and lowered under the queue's own lock.
//!
//! The hub keeps events for those who subscribe later (`since`; `events/history.rs` says which). A subscription is
//! filled from them and entered into the list under the one lock that publishing takes, so nothing
//! falls between what is replayed and what is live, and nothing comes twice.

mod backlog;
mod history;
mod kinds;
mod subject;

use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use self::backlog::{Backlog, Bounds, Kept};
use self::history::History;
use self::kinds::Kinds;
use crate::clock::{self, Timestamp};
use crate::error::{Error, ErrorKind, Result, invalid_argument, shortage};
use crate::model::Text;
use crate::model::event::{Event, EventBatch, EventKind};
use crate::model::params::EventsOptions;
use crate::os::Flag;

/// The most a subscription holds for its reader before it drops the oldest.
const QUEUE: Bounds = Bounds { events: 4096, bytes: 8 << 20, at_least: 1 };
/// The most kept for those who subscribe later, of all kinds together.
const HISTORY: Bounds = Bounds { events: 4096, bytes: 4 << 20, at_least: RECENT };
const _: () = assert!(
    HISTORY.events <= QUEUE.events && HISTORY.bytes <= QUEUE.bytes,
    "a replay of everything fits into a queue"
);
/// Events in one batch.
const BATCH: usize = 64;
/// The bytes after which a batch takes no further event: whoever is slow to read one holds no more.
const BATCH_BYTES: usize = 64 << 10;
/// Subscriptions open at once.
const MAX_SUBSCRIPTIONS: usize = 1024;
/// Events that `get_peers_summary` shows.
const RECENT: usize = 20;

/// The place where events are published. One for each run.
pub(crate) struct Hub {
    inner: Mutex<HubInner>,
}

/// Counts of a hub.
pub(crate) struct Counts {
    /// Events published.
    pub published: u64,
    /// Changes of which no event was made; see [`Hub::coalesced`].
    pub coalesced: u64,
    /// Subscriptions that are open.
    pub subscriptions: u64,
}

struct HubInner {
    last_seq: u64,
    history: History,
    /// The number of changes that no event was made of; see [`Hub::coalesced`].
    coalesced: u64,
    subscriptions: Vec<Weak<Subscription>>,
    ended: bool,
}

impl Default for Hub {
    fn default() -> Self {
        Hub {
            inner: Mutex::new(HubInner {
                last_seq: 0,
                history: History::new(&HISTORY),
                coalesced: 0,
                subscriptions: Vec::new(),
                ended: false,
            }),
        }
    }
}

impl Hub {
    /// Publishes an event that happens now.
    pub(crate) fn publish(&self, peer_id: Option<Text>, kind: EventKind) {
        self.publish_at(clock::now(), peer_id, kind);
    }

    fn publish_at(&self, timestamp: Timestamp, peer_id: Option<Text>, kind: EventKind) {
        let mut inner = self.inner.lock();
        if inner.ended {
            return;
        }
        inner.ended = matches!(kind, EventKind::Stopped { .. });
        inner.last_seq += 1;
        let event = Kept::new(Event { seq: inner.last_seq, timestamp, peer_id, kind });
        inner.history.push(Arc::clone(&event));
        let ended = inner.ended;
        inner.subscriptions.retain(|weak| {
            let Some(subscription) = weak.upgrade() else {
                return false;
            };
            subscription.push(&event, ended);
            true
        });
    }

    /// Opens a subscription as the options say.
    pub(crate) fn subscribe(&self, options: &EventsOptions) -> Result<Arc<Subscription>> {
        let kinds = options.kinds.as_deref().map_or(Ok(Kinds::ALL), Kinds::of)?;
        let mut inner = self.inner.lock();
        let mut queue = Queue { events: Backlog::new(&QUEUE), lagged: 0, ended: inner.ended };
        if let Some(since) = options.since {
            inner.replay(since, kinds, &mut queue)?;
        }
        inner.subscriptions.retain(|weak| weak.strong_count() > 0);
        if inner.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!("{MAX_SUBSCRIPTIONS} event subscriptions are open already"),
            )
            .with_hint("close the subscriptions nobody reads"));
        }
        let flag =
            Flag::new().map_err(|error| shortage("no descriptor for the subscription", &error))?;
        let subscription = Arc::new(Subscription::new(flag, kinds, queue, inner.last_seq));
        inner.subscriptions.push(Arc::downgrade(&subscription));
        Ok(subscription)
    }

    /// Counts a change of which no event was made, since the same thing changed again too soon.
    pub(crate) fn coalesced(&self) {
        self.inner.lock().coalesced += 1;
    }

    /// Counts what happened in this run.
    pub(crate) fn counts(&self) -> Counts {
        let inner = self.inner.lock();
        let open = inner.subscriptions.iter().filter(|weak| weak.strong_count() > 0);
        Counts {
            published: inner.last_seq,
            coalesced: inner.coalesced,
            subscriptions: open.count() as u64,
        }
    }

    /// Returns the last events, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<Event>> {
        let newest = self.inner.lock().history.newest(RECENT);
        newest.iter().map(|kept| Arc::clone(&kept.event)).collect()
    }
}

impl HubInner {
    /// Queues what is kept of the events after `since`, and counts those that aren't.
    fn replay(&self, since: u64, kinds: Kinds, queue: &mut Queue) -> Result<()> {
        if since > self.last_seq {
            return Err(beyond_the_end(since, self.last_seq));
        }
        let (kept, lost) = self.history.after(since, self.last_seq, kinds);
        queue.lagged = lost;
        for event in kept {
            queue.lagged += queue.events.push(event);
        }
        Ok(())
    }
}

fn beyond_the_end(since: u64, last_seq: u64) -> Error {
    let message = format!(
        "`since` is {since}, but the last event of this run is {last_seq}: the number is of another run"
    );
    invalid_argument(message).with("last_seq", last_seq).with_hint(
        "numbers begin anew with each run; `since: 0` gives all that is kept of this one",
    )
}

/// One reader's queue. Any number of threads may read it; each event goes to one of them.
pub(crate) struct Subscription {
    queue: Mutex<Queue>,
    arrived: Condvar,
    flag: Flag,
    kinds: Kinds,
    last_seq: u64,
}

struct Queue {
    events: Backlog,
    lagged: u64,
    /// True once the run has ended, or the reader closed the subscription: nothing more will come.
    ended: bool,
}

impl Subscription {
    fn new(flag: Flag, kinds: Kinds, queue: Queue, last_seq: u64) -> Self {
        if queue.ended || !queue.events.is_empty() {
            flag.raise();
        }
        let (queue, arrived) = (Mutex::new(queue), Condvar::new());
        Subscription { queue, arrived, flag, kinds, last_seq }
    }

    /// Returns the number of the last event before the subscription.
    pub(crate) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    fn push(&self, event: &Arc<Kept>, ended: bool) {
        if !self.kinds.contains(event.kind) {
            return;
        }
        let mut queue = self.queue.lock();
        if queue.ended {
            return;
        }
        let was_empty = queue.events.is_empty();
        queue.lagged += queue.events.push(Arc::clone(event));
        queue.ended = ended;
        if was_empty {
            self.flag.raise();
        }
        if ended {
            self.arrived.notify_all();
        } else {
            self.arrived.notify_one();
        }
    }

    /// Returns the number of queued events.
    pub(crate) fn queued(&self) -> usize {
        self.queue.lock().events.len()
    }

    /// Takes up to [`BATCH`] events, waiting for the first until `deadline`. An empty batch means
    /// nothing came in time; `closed` that nothing will.
    pub(crate) fn next(&self, deadline: Instant) -> Result<EventBatch> {
        self.pull(deadline, BATCH)
    }

    /// Takes events as [`next`](Self::next) does, but `most` of them at most.
    pub(crate) fn pull(&self, deadline: Instant, most: usize) -> Result<EventBatch> {
        let mut queue = self.queue.lock();
        while queue.events.is_empty() {
            if queue.ended {
                return Err(Error::new(
                    ErrorKind::Closed,
                    "the subscription has ended and every event was read",
                ));
            }
            if self.arrived.wait_until(&mut queue, deadline).timed_out() && queue.events.is_empty()
            {
                break;
            }
        }
        Ok(self.take(&mut queue, most))
    }

    fn take(&self, queue: &mut Queue, most: usize) -> EventBatch {
        let mut bytes = 0;
        let oldest = std::iter::from_fn(|| {
            let next = (bytes < BATCH_BYTES).then(|| queue.events.pop()).flatten();
            next.inspect(|kept| bytes += kept.cost)
        });
        let oldest = oldest.take(most);
        let batch = EventBatch {
            events: oldest.map(|kept| Arc::clone(&kept.event)).collect(),
            lagged: std::mem::take(&mut queue.lagged),
        };
        if queue.events.is_empty() {
            // An ended subscription stays readable, so that a poller comes to learn of the end.
            if !queue.ended {
                self.flag.lower();
            }
        } else {
            // One event wakes one reader; the next takes what this batch left.
            self.arrived.notify_one();
        }
        batch
    }

    /// Ends the subscription: drops what is queued and wakes all readers that wait.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        queue.events.clear();
        self.flag.raise();
        self.arrived.notify_all();
    }

    /// Returns the descriptor that is readable while something is queued or the end has come.
    pub(crate) fn fd(&self) -> i32 {
        self.flag.raw()
    }
}

#[cfg(test)]
mod keeping_tests;
#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
