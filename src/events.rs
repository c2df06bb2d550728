//! The event hub and its subscriptions.
//!
//! Whoever learns something publishes it here (the worker, and the facade for peers added by
//! hand); each subscription has a bounded queue of its own. Publishing never waits: a reader that
//! falls behind loses its oldest events and is told how many. The flag's descriptor is readable
//! exactly while something is queued or the run has ended, because it is raised and lowered under
//! the queue's own lock.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use crate::clock::{self, Timestamp};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Text;
use crate::model::event::{Event, EventBatch, EventKind};
use crate::os::Flag;

/// Events a subscription holds for its reader before it drops the oldest.
pub const QUEUE_CAPACITY: usize = 4096;
/// Events in one batch.
pub const BATCH: usize = 64;
/// Subscriptions open at once.
pub const MAX_SUBSCRIPTIONS: usize = 1024;
/// Events kept for `get_peers_summary`.
const RECENT: usize = 20;

/// Where events are published. One for each run.
#[derive(Default)]
pub(crate) struct Hub {
    inner: Mutex<HubInner>,
}

#[derive(Default)]
struct HubInner {
    last_seq: u64,
    recent: VecDeque<Arc<Event>>,
    subscriptions: Vec<Weak<Subscription>>,
    ended: bool,
}

impl Hub {
    /// Publishes an event of this moment.
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
        let event = Arc::new(Event { seq: inner.last_seq, timestamp, peer_id, kind });
        if inner.recent.len() == RECENT {
            inner.recent.pop_front();
        }
        inner.recent.push_back(Arc::clone(&event));
        let ended = inner.ended;
        inner.subscriptions.retain(|weak| {
            let Some(subscription) = weak.upgrade() else {
                return false;
            };
            subscription.push(Arc::clone(&event), ended);
            true
        });
    }

    /// A subscription to everything from now on.
    pub(crate) fn subscribe(&self) -> Result<Arc<Subscription>> {
        let mut inner = self.inner.lock();
        inner.subscriptions.retain(|weak| weak.strong_count() > 0);
        if inner.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(Error::new(
                ErrorKind::LimitReached,
                format!("{MAX_SUBSCRIPTIONS} event subscriptions are open already"),
            )
            .with_hint("close the subscriptions nobody reads"));
        }
        let flag = Flag::new().map_err(|error| {
            Error::new(
                ErrorKind::LimitReached,
                format!("no descriptor for the subscription: {error}"),
            )
        })?;
        let subscription = Arc::new(Subscription::new(flag, inner.ended));
        inner.subscriptions.push(Arc::downgrade(&subscription));
        Ok(subscription)
    }

    /// The last events, oldest first.
    pub(crate) fn recent(&self) -> Vec<Arc<Event>> {
        self.inner.lock().recent.iter().cloned().collect()
    }
}

/// One reader's queue. Any number of threads may read it; each event goes to one of them.
pub(crate) struct Subscription {
    queue: Mutex<Queue>,
    arrived: Condvar,
    flag: Flag,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Arc<Event>>,
    lagged: u64,
    /// The run has ended, or the reader closed the subscription: nothing more will come.
    ended: bool,
}

impl Subscription {
    fn new(flag: Flag, ended: bool) -> Self {
        if ended {
            flag.raise();
        }
        Subscription {
            queue: Mutex::new(Queue { ended, ..Queue::default() }),
            arrived: Condvar::new(),
            flag,
        }
    }

    fn push(&self, event: Arc<Event>, ended: bool) {
        let mut queue = self.queue.lock();
        if queue.ended {
            return;
        }
        if queue.events.len() == QUEUE_CAPACITY {
            queue.events.pop_front();
            queue.lagged += 1;
        }
        queue.events.push_back(event);
        queue.ended = ended;
        if queue.events.len() == 1 {
            self.flag.raise();
        }
        if ended {
            self.arrived.notify_all();
        } else {
            self.arrived.notify_one();
        }
    }

    /// Takes up to [`BATCH`] events, waiting for the first until `deadline`. An empty batch means
    /// nothing came in time; `closed` that nothing will.
    pub(crate) fn next(&self, deadline: Instant) -> Result<EventBatch> {
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
        Ok(self.take(&mut queue))
    }

    fn take(&self, queue: &mut Queue) -> EventBatch {
        let count = queue.events.len().min(BATCH);
        let batch = EventBatch {
            events: queue.events.drain(..count).collect(),
            lagged: std::mem::take(&mut queue.lagged),
        };
        if queue.events.is_empty() {
            // An ended subscription stays readable, so that a poller comes to learn of the end.
            if !queue.ended {
                self.flag.lower();
            }
        } else {
            // One event wakes one reader; what this batch left is for the next.
            self.arrived.notify_one();
        }
        batch
    }

    /// Ends the subscription: what is queued is dropped and whoever waits is woken.
    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.ended = true;
        queue.events.clear();
        self.flag.raise();
        self.arrived.notify_all();
    }

    /// The descriptor that is readable while something is queued or the end has come.
    pub(crate) fn fd(&self) -> i32 {
        self.flag.raw()
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
