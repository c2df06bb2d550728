//! The tool `get_events`: a page of what happened. The node keeps its newest events; a page is read by a subscription
//! that begins after the cursor and is dropped again, so that nothing is held for a client between two calls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peerkit::event::{Event, EventKind};
use peerkit::ops::wrong_value;
use peerkit::params::EventsOptions;
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::shorten::MAX_TEXT;
use crate::node::{EventSource, Node, Reply};

/// The events of a page where the caller doesn't say.
pub const PAGE: usize = 50;
/// The most events of a page.
pub const MAX_EVENTS: usize = 500;
/// The longest that a caller may have it wait for an event.
pub const MAX_WAIT_MS: u64 = 60_000;

/// The name under which it answers.
const NAME: &str = "get_events";
/// The time that events which have happened may be on their way from another process.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval at which a wait looks whether anybody still wants to know.
const POLL: Duration = Duration::from_millis(200);
/// The longest content of a message that a short reply has.
const SHORT_MESSAGE: usize = 1024;
/// The bytes that the events of a page may take, so that the whole reply fits and its cursor is right.
const ROOM: usize = MAX_TEXT * 9 / 10;

/// The page that is asked for.
pub struct Page {
    cursor: Option<u64>,
    kinds: Vec<String>,
    limit: usize,
    wait: Duration,
    detail: bool,
}

impl Page {
    /// Reads the parameters.
    pub fn new(mut params: Map<String, Value>, detail: bool) -> Result<Self, Error> {
        let cursor = number(&mut params, "cursor", u64::MAX)?;
        let limit = number(&mut params, "limit", MAX_EVENTS as u64)?.unwrap_or(PAGE as u64);
        let wait = number(&mut params, "wait_ms", MAX_WAIT_MS)?.unwrap_or_default();
        let kinds = params.shift_remove("kinds").unwrap_or(Value::Array(Vec::new()));
        let kinds: Vec<String> = serde_json::from_value(kinds)
            .map_err(|_| invalid("`kinds` is a list of event kinds".into()))?;
        if kinds.iter().any(|kind| !EventKind::NAMES.contains(&kind.as_str())) {
            return Err(invalid("`kinds` has a kind of event that there isn't".into())
                .with_hint(format!("the kinds are {}", EventKind::NAMES.join(", "))));
        }
        if let Some(unknown) = params.keys().next() {
            return Err(invalid(format!("unknown parameter `{unknown}`"))
                .with_hint("the parameters are cursor, kinds, limit, wait_ms and detail"));
        }
        if limit == 0 {
            return Err(invalid("`limit` is at least 1".into()));
        }
        let limit = usize::try_from(limit).unwrap_or(MAX_EVENTS);
        Ok(Page { cursor, kinds, limit, wait: Duration::from_millis(wait), detail })
    }

    /// Tells whether it may wait for an event.
    pub fn waits(&self) -> bool {
        !self.wait.is_zero()
    }

    /// Gets the page. Ends early where nobody wants it any more.
    pub fn read(&self, node: &dyn Node, cancelled: &dyn Fn() -> bool) -> Reply {
        self.try_read(node, cancelled).unwrap_or_else(failure)
    }

    fn try_read(&self, node: &dyn Node, cancelled: &dyn Fn() -> bool) -> Result<Reply, Reply> {
        // Of all kinds: only then the numbers tell that everything up to the last one has come.
        let since = self.cursor.unwrap_or(0);
        let mut events = node.events(&EventsOptions::new().since(since)).map_err(beyond_the_end)?;
        let mut received = Received { seen: since, ..Received::default() };
        let last = events.last_seq();
        // They are there already, or on their way from another process.
        let patience = Instant::now() + PATIENCE;
        while received.seen < last && !received.ended && Instant::now() < patience {
            self.take(&mut received, &mut *events, POLL)?;
        }
        let deadline = Instant::now() + self.wait;
        while received.events.is_empty()
            && !received.ended
            && Instant::now() < deadline
            && !cancelled()
        {
            let left = deadline.saturating_duration_since(Instant::now());
            self.take(&mut received, &mut *events, left.min(POLL))?;
        }
        Ok(self.reply(received))
    }

    fn take(
        &self,
        received: &mut Received,
        events: &mut dyn EventSource,
        wait: Duration,
    ) -> Result<(), Reply> {
        let batch = match events.next(wait) {
            Ok(batch) => batch,
            // The last one, `stopped`, has been read.
            Err(error) if error.kind() == ErrorKind::Closed => {
                received.ended = true;
                return Ok(());
            }
            Err(error) => return Err(Reply::refused(NAME, &error)),
        };
        received.lagged += batch.lagged;
        for event in batch.events {
            received.seen = event.seq;
            let kind = event.kind.name();
            if self.kinds.is_empty()
                || kind == "stopped"
                || self.kinds.iter().any(|name| name == kind)
            {
                received.events.push(event);
            }
        }
        Ok(())
    }

    /// Gives as many events as were asked for and fit: after a cursor the oldest, without one the newest.
    fn reply(&self, received: Received) -> Reply {
        let newest = self.cursor.is_none();
        let mut left: VecDeque<_> = received.events.into();
        let mut next = || if newest { left.pop_back() } else { left.pop_front() };
        let (mut shown, mut room, mut last) = (VecDeque::new(), ROOM, None);
        let mut over = false;
        while let Some(event) = next() {
            let entry = self.shown(&event);
            let bytes = entry.to_string().len() + 1;
            over = shown.len() == self.limit || (bytes > room && !shown.is_empty());
            if over {
                break;
            }
            room = room.saturating_sub(bytes);
            last = Some(event.seq);
            if newest { shown.push_front(entry) } else { shown.push_back(entry) }
        }
        let more = over && !newest;
        let cursor = last.filter(|_| more).unwrap_or(received.seen);
        // Without a cursor nothing was asked for that could be lost.
        let lagged = if newest { 0 } else { received.lagged };
        let reply = json!({"success": true, "method": NAME, "category": "peer", "events": shown,
            "cursor": cursor, "more": more, "lagged": lagged, "source": "peerkit"});
        Reply::new(reply.to_string())
    }

    /// Writes an event as it is given out.
    fn shown(&self, event: &Event) -> Value {
        let mut shown = serde_json::to_value(event).unwrap_or_default();
        if let Value::Object(event) = &mut shown {
            let longest = if self.detail { ROOM / 2 } else { SHORT_MESSAGE };
            let length = event.get("data_base64").and_then(Value::as_str).map_or(0, str::len);
            if length > longest {
                event.shift_remove("data_base64");
                event.insert("omitted_bytes".into(), (length / 4 * 3).into());
            }
        }
        shown
    }
}

/// The events that a subscription gave.
#[derive(Default)]
struct Received {
    /// Those of the kinds that are asked for.
    events: Vec<Arc<Event>>,
    /// The number of the last event of any kind.
    seen: u64,
    lagged: u64,
    ended: bool,
}

/// Says in this tool's words what to do about a cursor from another run of the node.
fn beyond_the_end(reply: Reply) -> Reply {
    let mut object = reply.object();
    if object.get("code").is_some_and(|code| code == ErrorKind::InvalidArgument.as_str()) {
        let message = "the cursor is beyond the last event: it is of another run of the node";
        object.insert("error".into(), message.into());
        object.insert("hint".into(), "pass cursor 0 for all events that are kept, or none".into());
    }
    Reply::new(Value::Object(object).to_string())
}

fn number(params: &mut Map<String, Value>, name: &str, most: u64) -> Result<Option<u64>, Error> {
    match params.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number <= most => Ok(Some(number)),
            _ => {
                let most = (most < u64::MAX).then_some(most);
                Err(wrong_value(name, &json!({"type": "integer", "maximum": most}), &value))
            }
        },
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// Makes a failure in the manner of the others: it names this tool and has its list, empty.
pub fn failure(reply: Reply) -> Reply {
    let mut object = reply.object();
    object.insert("method".into(), NAME.into());
    object.insert("events".into(), json!([]));
    Reply::new(Value::Object(object).to_string())
}
