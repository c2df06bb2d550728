//! The user's side of an event subscription.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::check_timeout;
use crate::error::Result;
use crate::events::Subscription;
use crate::model::event::{Event, EventBatch};
use crate::process;

/// A subscription to events; [`PeerManager::events`](crate::PeerManager::events) opens it. Dropping it ends it.
///
/// Any number of threads may read it; each event goes to one of them.
#[must_use = "a subscription that is dropped ends"]
pub struct Events(pub(super) Arc<Subscription>);

impl Events {
    /// Takes up to 64 events, oldest first, waiting up to `timeout` for the first (zero: not at
    /// all; at most [`MAX_TIMEOUT`](crate::MAX_TIMEOUT)). Nothing in time is an empty batch.
    ///
    /// # Errors
    /// `closed`: the run has ended, and everything was taken. `invalid_argument`: the timeout is too long.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// # let events = manager.events()?;
    /// # manager.stop(None)?;
    ///
    /// while let Ok(batch) = events.next(Duration::from_secs(60)) {
    ///     if batch.lagged > 0 {
    ///         println!("{} events before these are lost", batch.lagged);
    ///     }
    ///     for event in batch.events {
    ///         println!("{} {:?}", event.seq, event.kind);
    ///     }
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn next(&self, timeout: Duration) -> Result<EventBatch> {
        process::check_caller()?;
        self.0.next(Instant::now() + check_timeout(timeout)?)
    }

    /// Returns the events of the next `timeout`, one by one: each waits for the next event, and the
    /// iteration ends at the deadline or with the run, whose last event is `stopped`. Events not taken
    /// by then stay for the next call. Zero: those queued now, without waiting.
    ///
    /// # Errors
    /// `invalid_argument`: the timeout is longer than [`MAX_TIMEOUT`](crate::MAX_TIMEOUT).
    ///
    /// ```
    /// # fn main() -> peerkit::Result<()> {
    /// use std::time::Duration;
    /// use peerkit::event::Kind;
    /// use peerkit::params::EventsOptions;
    /// use peerkit::{Config, PeerManager, Profile};
    ///
    /// let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let events = manager.events_with(EventsOptions::new().since(0).kinds([Kind::ListenAddr]))?;
    /// let mut happened = events.iter(Duration::from_millis(100))?;
    /// for event in happened.by_ref() {
    ///     println!("{} {:?}", event.seq, event.kind);
    /// }
    /// assert_eq!(happened.lagged(), 0, "we kept up");
    /// manager.stop(None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn iter(&self, timeout: Duration) -> Result<EventIter<'_>> {
        process::check_caller()?;
        let (deadline, left) = match check_timeout(timeout)? {
            // At least one look, which tells what was lost where nothing is queued.
            Duration::ZERO => (None, self.0.queued().max(1)),
            timeout => (Some(Instant::now() + timeout), usize::MAX),
        };
        Ok(EventIter { events: self, deadline, left, lagged: 0 })
    }

    /// Returns the number of the last event before this subscription was opened. The events it replays
    /// go up to that number; later ones happened since.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.0.last_seq()
    }

    /// Returns a descriptor that is readable while something is queued or the run has ended, for an
    /// event loop of the program's own. Poll it, never read or close it; it is closed when the
    /// subscription is dropped. -1 where the system has none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    /// let events = manager.events()?;
    /// println!("poll {}, for what comes after event {}", events.fd(), events.last_seq());
    /// // Once it is readable:
    /// let batch = events.next(Duration::ZERO)?;
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    #[must_use]
    pub fn fd(&self) -> i32 {
        self.0.fd()
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// The events of a period, one by one; [`Events::iter`] makes it.
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is read"]
pub struct EventIter<'a> {
    events: &'a Events,
    /// None for events already queued, which need no waiting.
    deadline: Option<Instant>,
    left: usize,
    lagged: u64,
}

impl EventIter<'_> {
    /// Counts the events that were lost, so far, before those it has given: because the reader was
    /// slow, or because what `since` asks for isn't kept any more.
    #[must_use]
    pub fn lagged(&self) -> u64 {
        self.lagged
    }

    fn take_one(&mut self) -> Option<Arc<Event>> {
        let now = Instant::now();
        let deadline = self.deadline.unwrap_or(now);
        if self.left == 0 || self.deadline.is_some() && now >= deadline {
            return None;
        }
        self.left -= 1;
        process::check_caller().ok()?;
        let batch = self.events.0.pull(deadline, 1).ok()?;
        self.lagged += batch.lagged;
        batch.events.into_iter().next()
    }
}

impl Iterator for EventIter<'_> {
    type Item = Arc<Event>;

    fn next(&mut self) -> Option<Arc<Event>> {
        let event = self.take_one();
        if event.is_none() {
            self.left = 0;
        }
        event
    }
}

impl std::iter::FusedIterator for EventIter<'_> {}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::error::ErrorKind;
    use crate::events::Hub;
    use crate::model::Source;
    use crate::model::event::{EventKind, Kind};
    use crate::model::params::EventsOptions;

    fn publish(hub: &Hub, count: usize) {
        for _ in 0..count {
            hub.publish(
                None,
                EventKind::ListenAddr { address: "/ip4/1.2.3.4".into(), active: true },
            );
        }
    }

    fn open(hub: &Hub) -> Events {
        Events(hub.subscribe(&EventsOptions::new()).unwrap())
    }

    fn seqs(events: impl Iterator<Item = Arc<Event>>) -> Vec<u64> {
        events.map(|event| event.seq).collect()
    }

    #[test]
    fn zero_gives_what_is_queued_and_what_is_not_taken_stays() {
        let hub = Hub::default();
        let events = open(&hub);
        assert_eq!(events.iter(Duration::ZERO).unwrap().count(), 0);
        publish(&hub, 100);
        assert_eq!(seqs(events.iter(Duration::ZERO).unwrap().take(3)), [1, 2, 3]);
        assert_eq!(events.next(Duration::ZERO).unwrap().events.len(), 64);
        let mut rest = events.iter(Duration::ZERO).unwrap();
        publish(&hub, 1);
        assert_eq!(seqs(rest.by_ref()), (68..=100).collect::<Vec<_>>());
        assert_eq!(rest.next(), None, "it stays ended");
        assert_eq!(seqs(events.iter(Duration::ZERO).unwrap()), [101]);
    }

    #[test]
    fn it_ends_at_its_deadline_however_much_happens() {
        let hub = Hub::default();
        let events = open(&hub);
        let over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    publish(&hub, 1);
                }
            });
            let began = Instant::now();
            let mut happened = events.iter(Duration::from_millis(100)).unwrap();
            let got = seqs(happened.by_ref());
            let took = began.elapsed();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!((100..2000).contains(&took.as_millis()), "{took:?}");
            assert_eq!(got.last(), Some(&(got.len() as u64 + happened.lagged())), "gaps are told");
        });
    }

    #[test]
    fn it_waits_for_each_event_and_ends_with_the_run() {
        let hub = Hub::default();
        let events = open(&hub);
        let names: Vec<_> = thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let happened = events.iter(Duration::from_secs(60)).unwrap();
                happened.map(|event| event.kind.name()).collect()
            });
            publish(&hub, 2);
            hub.publish(None, EventKind::Stopped { code: ErrorKind::Closed });
            reading.join().unwrap()
        });
        assert_eq!(names, ["listen_addr", "listen_addr", "stopped"]);
        assert_eq!(events.next(Duration::ZERO).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn what_was_lost_is_told_even_where_nothing_is_queued() {
        let hub = Hub::default();
        // The one of its kind, and larger than what is kept of a kind in any case.
        let (code, error) = (ErrorKind::DialFailed, "x".repeat(1 << 20));
        hub.publish(None, EventKind::DialFailed { code, error, source: Source::User });
        publish(&hub, 5000);
        for (kind, lost) in [(Kind::DialFailed, 1), (Kind::PeerConnected, 0)] {
            let options = EventsOptions::new().since(0).kinds([kind]);
            for timeout in [Duration::ZERO, Duration::from_millis(1)] {
                let events = Events(hub.subscribe(&options).unwrap());
                let mut happened = events.iter(timeout).unwrap();
                assert_eq!((happened.next(), happened.lagged()), (None, lost), "{kind}");
            }
        }
    }

    #[test]
    fn a_timeout_that_is_too_long_is_refused() {
        let hub = Hub::default();
        let error = open(&hub).iter(Duration::from_secs(3601)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
