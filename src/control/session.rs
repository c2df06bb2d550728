//! One connection, from the owner's side: the greeting, then calls one after another, or a
//! subscription for good. Each has a thread, which does what a thread of the host program would.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};

use super::message::{
    ClientHello, EventsAnswer, HEARTBEAT, MAX_HELLO, MAX_REQUEST, PROTOCOL, Refusal, Request,
    ServerHello, too_long,
};
use super::room::{Held, Requests};
use super::sessions::Entry;
use super::wire::{Broken, Wire};
use crate::error::{Error, ErrorKind, Result};
use crate::manager::{Events, PeerManager};
use crate::model::params::NoParams;
use crate::model::reply::{Cancelled, EventsOpened};
use crate::ops::{self, Operation};

/// The time a client may take to say what it speaks.
const GREETING: Duration = Duration::from_secs(10);
/// The time a connection may stand unused; clients give theirs up before. An attached process that asks
/// nothing isn't to keep others out.
const IDLE: Duration = Duration::from_secs(120);
/// The time a client may take to read a reply.
const REPLY: Duration = Duration::from_secs(60);

/// Serves a connection for its whole life.
pub(super) fn run(entry: Entry, manager: PeerManager) {
    // The end of a connection is its client's affair, whatever the cause.
    let requests = entry.room().requests();
    let meter = Arc::clone(&requests);
    let wire = Wire::new(entry.stream()).metered(move |length| meter.line(length));
    let _ = Session { entry: &entry, manager: &manager, requests, wire }.serve();
    // The run waits for its entries, so nothing of it may be held longer.
    drop(manager);
    drop(entry);
}

struct Session<'a> {
    entry: &'a Entry,
    manager: &'a PeerManager,
    requests: Arc<Requests>,
    wire: Wire,
}

impl Session<'_> {
    fn serve(mut self) -> Result<(), Broken> {
        if !self.greet()? {
            return Ok(());
        }
        loop {
            match self.wire.read(MAX_REQUEST, Instant::now() + IDLE) {
                Ok(line) if !self.requests.is_read(line.len()) => {
                    self.answer(self.no_room("requests"))?;
                }
                Ok(line) => match Request::read(&line) {
                    Ok(Request::Call { method, params, timeout, cancel_on_hangup }) => {
                        drop(line);
                        let (reply, held) = self.call(&method, params, timeout, cancel_on_hangup);
                        self.requests.line(0);
                        let deadline = Instant::now() + REPLY;
                        self.wire.write_while(reply, deadline, held.write_lasts())?;
                    }
                    Ok(Request::Events(options)) => {
                        if let Some(events) = self.subscribe(options)? {
                            return self.stream(&events);
                        }
                    }
                    Ok(Request::Cancel(token)) => self.answer(self.cancel(token))?,
                    Err(error) => self.answer(ops::failure_of::<NoParams>("call", &error))?,
                },
                // Nobody knows where the next line begins.
                Err(Broken::TooLong) => {
                    return self.answer(ops::failure_of::<NoParams>("call", &too_long()));
                }
                Err(Broken::NoRoom) => return self.answer(self.no_room("requests")),
                Err(broken) => return Err(broken),
            }
        }
    }

    /// Counts a refusal for want of room and makes its reply.
    fn no_room(&self, of: &str) -> String {
        ops::failure_of::<NoParams>("call", &self.no_room_for(of))
    }

    fn no_room_for(&self, of: &str) -> Error {
        self.manager.count_refused("control.no_room");
        let message = format!("other {of} take all the room there is for them");
        Error::new(ErrorKind::LimitReached, message).with_hint(
            "read replies as they come, ask for fewer peers at a time, and try again in a moment",
        )
    }

    /// Reads the client's greeting and answers it. False where the client isn't served.
    fn greet(&mut self) -> Result<bool, Broken> {
        let line = self.wire.read(MAX_HELLO, Instant::now() + GREETING)?;
        let said = serde_json::from_slice::<ClientHello>(&line);
        let why_not = match said {
            Ok(client) if client.peerkit == PROTOCOL => None,
            Ok(client) => Some(format!(
                "peerkit {} speaks version {PROTOCOL} of the control protocol, not {}",
                crate::VERSION,
                client.peerkit
            )),
            Err(_) => Some("a client begins with {\"peerkit\":1,\"version\":…}".to_owned()),
        };
        if let Some(why) = why_not {
            self.say(&Refusal::new(ErrorKind::Unsupported, why))?;
            return Ok(false);
        }
        self.say(&ServerHello {
            peerkit: PROTOCOL,
            version: crate::VERSION.to_owned(),
            peer_id: self.manager.peer_id().to_string(),
            pid: std::process::id(),
            default_timeout_ms: self.manager.default_timeout().as_millis() as u64,
        })?;
        Ok(true)
    }

    fn call(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: Option<Duration>,
        cancel_on_hangup: bool,
    ) -> (String, Held) {
        let room = self.entry.room();
        let operation = match ops::find(method) {
            Ok(operation) => operation,
            Err(error) => return (ops::refusal(method, &error), room.none()),
        };
        if self.entry.closing() {
            let message = "the manager has stopped";
            return (operation.failure(&Error::new(ErrorKind::Closed, message)), room.none());
        }
        let no_room = || operation.failure(&self.no_room_for("replies"));
        let Some(mut held) = room.turn(operation.reply_estimate(&params)) else {
            return (no_room(), room.none());
        };
        let call = || self.watched_call(operation, params, timeout, cancel_on_hangup);
        let reply = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| {
            self.manager.mark_dead();
            let message = "peerkit panicked in this call; the manager is dead";
            operation.failure(&Error::new(ErrorKind::Panic, message))
        });
        match held.is_made(reply.len()) {
            true => (reply, held),
            false => (no_room(), room.none()),
        }
    }

    /// Calls an operation; cancels the call, if it can be cancelled, when the client hangs up. A token
    /// of the client's own may be on other calls too, which a hang-up must not end: such a call ends at
    /// its deadline, unless the client said that nobody else has its token.
    fn watched_call(
        &self,
        operation: &Operation,
        mut params: Map<String, Value>,
        timeout: Option<Duration>,
        cancel_on_hangup: bool,
    ) -> String {
        ops::whole_numbers(&mut params);
        let token = operation.takes_cancel_token().then(|| match params.get("cancel_token") {
            None | Some(Value::Null) => Some(self.entry.token()),
            // A token that is no number fails the call.
            Some(theirs) => theirs.as_u64().filter(|_| cancel_on_hangup),
        });
        let _calling = token.flatten().map(|token| {
            params.insert("cancel_token".to_owned(), token.into());
            self.entry.calling(token)
        });
        operation.call(self.manager, params, timeout)
    }

    fn cancel(&self, token: u64) -> String {
        let cancelled = self.manager.cancel(token);
        let reply = cancelled.and_then(|cancelled| ops::success("cancel", &cancelled));
        reply.unwrap_or_else(|error| ops::failure_of::<Cancelled>("cancel", &error))
    }

    fn subscribe(&self, options: Map<String, Value>) -> Result<Option<Events>, Broken> {
        match ops::parse(options).and_then(|options| self.manager.events_with(options)) {
            Ok(events) => {
                self.say(&EventsAnswer { success: true, last_seq: events.last_seq() })?;
                Ok(Some(events))
            }
            Err(error) => {
                self.answer(ops::failure_of::<EventsOpened>("events_open", &error))?;
                Ok(None)
            }
        }
    }

    /// Sends events until the client is gone or the run has ended. A client that doesn't read stops
    /// this thread and no other; `lagged` tells it how many it missed.
    fn stream(&self, events: &Events) -> Result<(), Broken> {
        while let Ok(batch) = events.next(HEARTBEAT) {
            self.wire.write_patiently(json(&batch)?)?;
        }
        Ok(())
    }

    fn say(&self, message: &impl Serialize) -> Result<(), Broken> {
        self.answer(json(message)?)
    }

    fn answer(&self, reply: String) -> Result<(), Broken> {
        self.wire.write(reply, Instant::now() + REPLY)
    }
}

fn json(message: &impl Serialize) -> Result<String, Broken> {
    serde_json::to_string(message).map_err(|error| Broken::Failed(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_wait_for_the_network_can_be_cancelled() {
        let takes = |name| ops::find(name).unwrap().takes_cancel_token();
        assert!(takes("connect_peer") && takes("discover_peers") && takes("find_providers"));
        assert!(!takes("list_peers") && !takes("start_discovery"));
    }
}
