//! A subscription to what happens at another process' manager.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;

use super::connection::{broke, failure, gone, line, not_understood};
use super::message::{EventsAnswer, HEARTBEAT, MAX_REPLY, RequestLine};
use super::wire::{Broken, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::manager::check_timeout;
use crate::model::event::{Event, EventBatch};
use crate::model::params::EventsOptions;

/// The silence after which an owner counts as not running any more, though its process be there.
const SILENCE: Duration = Duration::from_secs(10);
const _: () = assert!(SILENCE.as_millis() > 5 * HEARTBEAT.as_millis());

/// A subscription to the events of a node in another process; [`Client::events`](super::Client::events) opens it and
/// has an example. Dropping it ends it.
///
/// Any number of threads may read it; each event goes to one of them.
#[must_use = "a subscription that is dropped ends"]
pub struct RemoteEvents {
    last_seq: u64,
    stream: Mutex<Stream>,
    /// Its place among the client's subscriptions.
    _place: Arc<()>,
}

struct Stream {
    wire: Wire,
    heard: Instant,
    /// True once nothing more will come.
    over: bool,
}

impl RemoteEvents {
    pub(super) fn open(
        mut wire: Wire,
        place: Arc<()>,
        options: &EventsOptions,
        deadline: Instant,
    ) -> Result<Self> {
        let Ok(Value::Object(options)) = serde_json::to_value(options) else {
            return Err(not_understood());
        };
        let request = line(&RequestLine { events: Some(options), ..RequestLine::default() })?;
        wire.write(request, deadline).map_err(|broken| broke(&broken))?;
        let answer = wire.read(MAX_REPLY, deadline).map_err(|broken| broke(&broken))?;
        let Ok(EventsAnswer { last_seq, .. }) = serde_json::from_slice(&answer) else {
            return Err(failure(&answer));
        };
        let stream = Mutex::new(Stream { wire, heard: Instant::now(), over: false });
        Ok(RemoteEvents { last_seq, stream, _place: place })
    }

    /// Takes up to 64 events, oldest first, waiting up to `timeout` for the first (zero: not at all; at most
    /// [`MAX_TIMEOUT`](crate::MAX_TIMEOUT)). Nothing in time is an empty batch. Events of kinds that this version
    /// doesn't know are left out.
    ///
    /// # Errors
    /// `closed`: the owner is gone or has stopped its manager, and everything was taken. `timeout`: the
    /// owner has said nothing for 10 s, which says at least every second that it is there.
    pub fn next(&self, timeout: Duration) -> Result<EventBatch> {
        let deadline = Instant::now() + check_timeout(timeout)?;
        match self.stream.try_lock_until(deadline) {
            Some(mut stream) => stream.next(deadline),
            // Another thread waits for the next ones.
            None => Ok(EventBatch::default()),
        }
    }

    /// Returns the number of the last event before this subscription was opened. The events it replays
    /// go up to that number; later ones happened since.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

impl fmt::Debug for RemoteEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEvents").field("last_seq", &self.last_seq).finish_non_exhaustive()
    }
}

impl Stream {
    fn next(&mut self, deadline: Instant) -> Result<EventBatch> {
        loop {
            if self.over {
                return Err(gone());
            }
            let batch = match self.wire.read(MAX_REPLY, deadline.min(self.heard + SILENCE)) {
                Ok(line) => batch(&line),
                Err(Broken::TimedOut) if self.heard.elapsed() >= SILENCE => {
                    let message = format!("the owner has said nothing for {} s", SILENCE.as_secs());
                    return Err(Error::new(ErrorKind::Timeout, message));
                }
                Err(Broken::TimedOut) => return Ok(EventBatch::default()),
                Err(broken) => Err(broke(&broken)),
            };
            self.heard = Instant::now();
            let batch = batch.inspect_err(|_| self.over = true)?;
            if batch != EventBatch::default() {
                return Ok(batch);
            }
        }
    }
}

fn batch(line: &[u8]) -> Result<EventBatch> {
    /// A batch from an owner that knows kinds we don't.
    #[derive(Deserialize)]
    struct Newer {
        events: Vec<Value>,
        lagged: u64,
    }

    serde_json::from_slice(line).or_else(|_| {
        let Newer { events, lagged } =
            serde_json::from_slice(line).map_err(|_| not_understood())?;
        let known = |event| serde_json::from_value::<Event>(event).ok().map(Arc::new);
        Ok(EventBatch { events: events.into_iter().filter_map(known).collect(), lagged })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_of_kinds_that_are_not_known_are_left_out() {
        let line = br#"{"lagged":2,"events":[
            {"seq":1,"timestamp":1.5,"peer_id":null,"event":"from_the_future","what":[1]},
            {"seq":2,"timestamp":1.5,"peer_id":null,"event":"stopped","code":"closed"}]}"#;
        let batch = batch(line).unwrap();
        assert_eq!((batch.lagged, batch.events.len(), batch.events[0].seq), (2, 1, 2));
        assert_eq!(super::batch(b"[]").unwrap_err().kind(), ErrorKind::Protocol);
    }
}
