//! Limits the messages of a neighbour that gossipsub gets to see, by size and by rate.
//!
//! Gossipsub remembers each message for seconds and each id for a minute, wanted or not. So messages
//! over the limits have to be dropped before; the filter stands where gossipsub would unpack messages.
//! [`Gossipsub`](super::Gossipsub) tells it the neighbour they come from. Dropped ones are counted as
//! `pubsub.rate` and `pubsub.too_large`.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use libp2p::gossipsub::{DataTransform, Message, RawMessage, TopicHash};
use parking_lot::Mutex;

use crate::PeerId;
use crate::admission::TokenBucket;
use crate::discovery_log::DiscoveryLog;
use crate::worker::util::clock::Clock;

/// The longest message, without signature and topic; gossipsub's own default for all of it.
const MAX_DATA_BYTES: usize = 64 * 1024;
/// Messages of one neighbour, a second and at once.
const PER_SECOND: u32 = 200;
const BURST: u32 = 1000;
/// Bytes of one neighbour's messages, a second and at once.
const BYTES_PER_SECOND: u32 = 2 << 20;
const BYTES_BURST: u32 = 8 << 20;
/// Bytes of all neighbours' messages together. With `MEMORY_S` seconds of memory it's
/// at most 56 MiB.
const ALL_BYTES_PER_SECOND: u32 = 8 << 20;
const ALL_BYTES_BURST: u32 = 32 << 20;

/// The message filter, shared between gossipsub, which asks it, and the worker, which tells it whether
/// the user subscribes to anything.
#[derive(Clone)]
pub(crate) struct MessageFilter(Arc<Shared>);

struct Shared {
    clock: Clock,
    log: Arc<DiscoveryLog>,
    /// True while the user subscribes to anything.
    wanted: AtomicBool,
    /// The rest, whose lock only the worker's task ever takes.
    inner: Mutex<Inner>,
}

struct Inner {
    /// The neighbour whose messages come now.
    neighbour: Option<PeerId>,
    budgets: HashMap<PeerId, Budget>,
    all: TokenBucket,
}

/// The messages and bytes that a neighbour may still send.
struct Budget {
    messages: TokenBucket,
    bytes: TokenBucket,
}

impl Budget {
    fn new() -> Self {
        Budget {
            messages: TokenBucket::new(PER_SECOND, BURST),
            bytes: TokenBucket::new(BYTES_PER_SECOND, BYTES_BURST),
        }
    }
}

impl MessageFilter {
    pub(crate) fn new(log: Arc<DiscoveryLog>, clock: Clock) -> Self {
        let all = TokenBucket::new(ALL_BYTES_PER_SECOND, ALL_BYTES_BURST);
        let inner = Mutex::new(Inner { neighbour: None, budgets: HashMap::new(), all });
        MessageFilter(Arc::new(Shared { clock, log, wanted: AtomicBool::new(false), inner }))
    }

    /// Begins with the messages of a neighbour.
    pub(crate) fn begin(&self, neighbour: PeerId) {
        self.0.inner.lock().neighbour = Some(neighbour);
    }

    /// Forgets the budget of a neighbour that is connected no more.
    pub(crate) fn forget(&self, neighbour: &PeerId) {
        self.0.inner.lock().budgets.remove(neighbour);
    }

    /// Tells whether the user subscribes to anything.
    pub(crate) fn is_wanted(&self) -> bool {
        self.0.wanted.load(Ordering::Relaxed)
    }

    pub(crate) fn set_wanted(&self, wanted: bool) {
        self.0.wanted.store(wanted, Ordering::Relaxed);
    }

    /// Admits a message of this size, or says why not.
    fn admit(&self, bytes: usize, now: Instant) -> Result<(), &'static str> {
        let Inner { neighbour, budgets, all } = &mut *self.0.inner.lock();
        if bytes > MAX_DATA_BYTES {
            return Err("pubsub.too_large");
        }
        let Some(neighbour) = *neighbour else { return Ok(()) };
        let budget = budgets.entry(neighbour).or_insert_with(Budget::new);
        let bytes = bytes as f64;
        // Messages that one neighbour has too many of don't count against the others.
        let passes = budget.messages.take(now)
            && budget.bytes.take_many(bytes, now)
            && all.take_many(bytes, now);
        if passes { Ok(()) } else { Err("pubsub.rate") }
    }
}

/// The only place where gossipsub drops a message before it remembers it.
impl DataTransform for MessageFilter {
    fn inbound_transform(&self, raw: RawMessage) -> io::Result<Message> {
        // Topic and id are remembered beside it.
        let bytes = raw.data.len() + raw.topic.as_str().len();
        if let Err(why) = self.admit(bytes, self.0.clock.now()) {
            self.0.log.refused(why);
            return Err(io::Error::other(why));
        }
        let RawMessage { source, data, sequence_number, topic, .. } = raw;
        Ok(Message { source, data, sequence_number, topic })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> io::Result<Vec<u8>> {
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_that_sends_too_much_is_cut_short_and_the_others_are_not() {
        let (filter, now) = (MessageFilter::new(Arc::default(), Clock::default()), Instant::now());
        let passing = |peer, count, bytes| {
            filter.begin(peer);
            (0..count).filter(|_| filter.admit(bytes, now).is_ok()).count()
        };
        let [many, much, other] = [(); 3].map(|()| PeerId::random());
        assert_eq!(passing(many, 5000, 10), BURST as usize);
        assert_eq!(passing(much, 5000, 64 * 1024), BYTES_BURST as usize / (64 * 1024));
        assert_eq!(passing(other, 100, 1000), 100);
        assert_eq!(filter.admit(MAX_DATA_BYTES + 1, now), Err("pubsub.too_large"));
        filter.forget(&many);
        assert_eq!(passing(many, 5000, 10), BURST as usize);
    }
}
