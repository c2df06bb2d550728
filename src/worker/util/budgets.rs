//! The budgets of work: how much of what costs this node more than it costs a remote each peer may ask for,
//! and all peers together. One table, [`Work::budget`]; docs/work-budgets.md says why these numbers.
//!
//! A meter belongs to a peer and outlives its connections, so that connecting anew doesn't fill it. Transports
//! count by a [`ConnectionMeter`], protocols by [`Budgets::take`]. A peer over a budget loses its connections
//! (`behaviour/bans`), and is refused for [`REFUSAL`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::clock::Clock;
use super::lru::Lru;
use super::rate::MAX_PEERS;
use crate::PeerId;
use crate::admission::TokenBucket;
use crate::discovery_log::DiscoveryLog;

/// Time for which a peer that was over a budget may not connect, and isn't dialled automatically.
pub(crate) const REFUSAL: Duration = Duration::from_secs(60);
/// Time in which the end of all connections of a peer counts as one.
const AT_ONCE: Duration = Duration::from_secs(1);
/// Streams of a connection that cost nothing: those that each peer opens first, for identify and the like.
/// Connections have a rate of their own.
const FREE_STREAMS: u32 = 16;
/// Small frames of a connection that cost nothing, as those of its first streams are: about 100.
const FREE_FRAMES: u32 = 256;
/// Frames that a connection takes out of its peer's budget at once.
const FRAMES_AT_ONCE: u32 = 64;

/// The kinds of work that have a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Streams that the remote opens.
    Streams,
    /// Frames and messages that carry next to nothing: pings, resets, names of protocols.
    Frames,
    /// Questions to the DHT, which are answered.
    DhtQuestions,
    /// Records for the DHT to keep.
    DhtRecords,
}

/// What of one kind of work may be asked for: in a second on average, and at once.
pub(crate) struct Budget {
    /// The work in words, in the plural.
    what: &'static str,
    /// The name under which refusals are counted.
    counted_as: &'static str,
    per_second: u32,
    burst: u32,
    all_per_second: u32,
    all_burst: u32,
}

impl Work {
    const ALL: [Work; 4] = [Work::Streams, Work::Frames, Work::DhtQuestions, Work::DhtRecords];

    /// Returns the budget. The table itself.
    const fn budget(self) -> Budget {
        let (what, counted_as, of_one, of_all) = match self {
            Work::Streams => ("new streams", "budget.streams", (100, 4_000), (2_000, 20_000)),
            Work::Frames => ("small frames", "budget.frames", (2_000, 60_000), (20_000, 200_000)),
            Work::DhtQuestions => {
                ("questions to the DHT", "budget.dht_questions", (50, 2_000), (500, 10_000))
            }
            Work::DhtRecords => {
                ("records for the DHT", "budget.dht_records", (200, 12_000), (1_000, 40_000))
            }
        };
        let ((per_second, burst), (all_per_second, all_burst)) = (of_one, of_all);
        Budget { what, counted_as, per_second, burst, all_per_second, all_burst }
    }
}

/// The reason why a peer's connections are closed, and new ones refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OverBudget(pub(crate) Work);

impl fmt::Display for OverBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Budget { what, per_second, burst, .. } = self.0.budget();
        write!(f, "more {what} than a peer may ask for: {per_second} a second, {burst} at once")
    }
}

impl std::error::Error for OverBudget {}

/// The meters of all peers. One for each run.
pub(crate) struct Budgets {
    clock: Clock,
    log: Arc<DiscoveryLog>,
    peers: Mutex<Lru<PeerId, Arc<Meter>>>,
    all: Mutex<[TokenBucket; Work::ALL.len()]>,
    /// The peers whose connections are to be closed.
    over: Mutex<VecDeque<PeerId>>,
    waker: AtomicWaker,
}

/// The meter of a peer.
struct Meter {
    buckets: Mutex<[TokenBucket; Work::ALL.len()]>,
    /// What the peer was over, and when.
    over: Mutex<Option<(Work, Instant)>>,
    /// The times it was over a budget: connections that stood at the last are over.
    times_over: AtomicU32,
}

impl Budgets {
    pub(crate) fn new(log: Arc<DiscoveryLog>, clock: Clock) -> Self {
        let all = Work::ALL.map(|work| {
            let Budget { all_per_second, all_burst, .. } = work.budget();
            TokenBucket::new(all_per_second, all_burst)
        });
        Budgets {
            clock,
            log,
            peers: Mutex::new(Lru::new(MAX_PEERS)),
            all: Mutex::new(all),
            over: Mutex::default(),
            waker: AtomicWaker::new(),
        }
    }

    fn meter(&self, peer: &PeerId) -> Arc<Meter> {
        let new = || {
            let buckets = Work::ALL.map(|work| {
                let Budget { per_second, burst, .. } = work.budget();
                TokenBucket::new(per_second, burst)
            });
            Arc::new(Meter {
                buckets: Mutex::new(buckets),
                over: Mutex::default(),
                times_over: AtomicU32::new(0),
            })
        };
        Arc::clone(self.peers.lock().touch(*peer, new))
    }

    /// Makes the meter of a new connection.
    pub(crate) fn connection(self: &Arc<Self>, peer: PeerId) -> Arc<ConnectionMeter> {
        let meter = self.meter(&peer);
        let times_over = meter.times_over.load(Ordering::Relaxed);
        let (streams, frames) = (AtomicU32::new(0), AtomicU32::new(0));
        let budgets = Arc::clone(self);
        Arc::new(ConnectionMeter { peer, meter, budgets, streams, frames, times_over })
    }

    /// Takes one piece of work out of a peer's budget. False where it isn't to be done: the connections of
    /// the peer are closed then.
    pub(crate) fn take(&self, peer: &PeerId, work: Work) -> bool {
        self.charge(peer, &self.meter(peer), work, 1)
    }

    /// Returns what a peer was over, while it is refused for it.
    pub(crate) fn refuses(&self, peer: &PeerId) -> Option<OverBudget> {
        let (work, since) = (*self.peers.lock().get(peer)?.over.lock())?;
        (self.clock.now().saturating_duration_since(since) < REFUSAL).then_some(OverBudget(work))
    }

    /// Counts a connection that was refused.
    pub(crate) fn count_refused(&self) {
        self.log.refused("budget.refused");
    }

    /// Takes out the next peer whose connections are to be closed.
    pub(crate) fn poll_over(&self, cx: &mut Context<'_>) -> Poll<PeerId> {
        self.waker.register(cx.waker());
        self.over.lock().pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn charge(&self, peer: &PeerId, meter: &Meter, work: Work, count: u32) -> bool {
        let (at, now) = (work as usize, self.clock.now());
        let room = self.all.lock()[at].take_many(count.into(), now);
        let granted = {
            let bucket = &mut meter.buckets.lock()[at];
            // While all together ask for too much, nobody has more than its rate.
            bucket.take_many(count.into(), now) && (room || bucket.is_modest())
        };
        if !granted {
            self.exceeded(peer, meter, work, now);
        }
        granted
    }

    fn exceeded(&self, peer: &PeerId, meter: &Meter, work: Work, now: Instant) {
        let mut over = meter.over.lock();
        if over.is_some_and(|(_, since)| now.saturating_duration_since(since) < AT_ONCE) {
            return;
        }
        *over = Some((work, now));
        meter.times_over.fetch_add(1, Ordering::Relaxed);
        self.log.refused(work.budget().counted_as);
        tracing::info!(%peer, "{}", OverBudget(work));
        self.over.lock().push_back(*peer);
        self.waker.wake();
    }
}

/// Counts what comes over one connection.
pub(crate) struct ConnectionMeter {
    peer: PeerId,
    meter: Arc<Meter>,
    budgets: Arc<Budgets>,
    streams: AtomicU32,
    frames: AtomicU32,
    /// The times the peer was over a budget when the connection began.
    times_over: u32,
}

impl ConnectionMeter {
    /// Counts a stream that the remote opened.
    pub(crate) fn stream(&self) -> Result<(), OverBudget> {
        if self.streams.fetch_add(1, Ordering::Relaxed) < FREE_STREAMS {
            return Ok(());
        }
        self.charge(Work::Streams, 1)
    }

    /// Counts a frame, or a message, that carries next to nothing.
    pub(crate) fn frame(&self) -> Result<(), OverBudget> {
        let so_far = self.frames.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if so_far <= FREE_FRAMES || !so_far.is_multiple_of(FRAMES_AT_ONCE) {
            return Ok(());
        }
        self.charge(Work::Frames, FRAMES_AT_ONCE)
    }

    /// Returns the streams and the frames that came.
    #[cfg(test)]
    pub(crate) fn counted(&self) -> (u32, u32) {
        (self.streams.load(Ordering::Relaxed), self.frames.load(Ordering::Relaxed))
    }

    fn charge(&self, work: Work, count: u32) -> Result<(), OverBudget> {
        self.in_budget()?;
        match self.budgets.charge(&self.peer, &self.meter, work, count) {
            true => Ok(()),
            false => Err(OverBudget(work)),
        }
    }

    /// Fails where the connection is to be closed.
    pub(crate) fn in_budget(&self) -> Result<(), OverBudget> {
        if self.meter.times_over.load(Ordering::Relaxed) == self.times_over {
            return Ok(());
        }
        let over = *self.meter.over.lock();
        over.map_or(Ok(()), |(work, _)| Err(OverBudget(work)))
    }
}

#[cfg(test)]
#[path = "budgets_tests.rs"]
mod tests;
