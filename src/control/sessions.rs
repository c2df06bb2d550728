//! The open connections: at most 64, each with its socket, and with the token of the call its client waits for.
//!
//! The acceptor enters connections and watches those that wait; the connections' threads take
//! themselves off; the end of a run shuts the rest down and waits until they are gone.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::room::Room;
use super::socket::Stream;
use crate::os::{self, Flag, Hidden};

/// Connections at once.
pub(super) const MAX_SESSIONS: usize = 64;
/// The time for which the end of a run waits for clients to read their last lines, and then for the
/// threads of those that don't.
const CLOSING_PATIENCE: Duration = Duration::from_millis(500);

/// Every connection of a run.
pub(crate) struct Sessions {
    table: Mutex<Table>,
    changed: Condvar,
    /// Raised when the acceptor has something to look at.
    pub(super) attention: Flag,
    room: Arc<Room>,
}

#[derive(Default)]
struct Table {
    last: u64,
    open: HashMap<u64, Connection>,
    closing: bool,
}

struct Connection {
    _hidden: Hidden,
    stream: Arc<Stream>,
    /// The call that its client waits for.
    call: Option<Call>,
}

struct Call {
    token: u64,
    /// True once the client has hung up.
    hung_up: bool,
}

/// A connection whose client may hang up during its call.
pub(super) struct Watched {
    pub id: u64,
    pub stream: Arc<Stream>,
}

impl Sessions {
    pub(super) fn new(attention: Flag) -> Arc<Self> {
        let (table, changed, room) = (Mutex::default(), Condvar::new(), Arc::default());
        Arc::new(Sessions { table, changed, attention, room })
    }

    /// Enters a connection; gives it back where it is one too many. Where the run ends it is closed, and the
    /// client finds nobody when it looks again.
    pub(super) fn enter(self: &Arc<Self>, stream: Stream) -> Result<Option<Entry>, Stream> {
        let mut table = self.table.lock();
        if table.closing {
            return Ok(None);
        }
        if table.open.len() >= MAX_SESSIONS {
            return Err(stream);
        }
        table.last += 1;
        let (id, stream) = (table.last, Arc::new(stream));
        let _hidden = os::hide(&*stream);
        table.open.insert(id, Connection { _hidden, stream: Arc::clone(&stream), call: None });
        Ok(Some(Entry { sessions: Arc::clone(self), id, stream }))
    }

    /// Tells whether the run is over.
    pub(super) fn closing(&self) -> bool {
        self.table.lock().closing
    }

    /// Returns the connections whose clients wait for a call and hadn't hung up when last looked at.
    pub(super) fn watched(&self) -> Vec<Watched> {
        let table = self.table.lock();
        let waiting = table
            .open
            .iter()
            .filter(|(_, connection)| connection.call.as_ref().is_some_and(|call| !call.hung_up));
        waiting.map(|(id, it)| Watched { id: *id, stream: Arc::clone(&it.stream) }).collect()
    }

    /// Notes that a client has hung up.
    pub(super) fn hung_up(&self, id: u64) {
        let mut table = self.table.lock();
        let call = table.open.get_mut(&id).and_then(|connection| connection.call.as_mut());
        if let Some(call) = call {
            call.hung_up = true;
        }
    }

    /// Returns the tokens of the calls whose clients have hung up.
    pub(super) fn unwanted(&self) -> Vec<u64> {
        let table = self.table.lock();
        let calls = table.open.values().filter_map(|connection| connection.call.as_ref());
        calls.filter(|call| call.hung_up).map(|call| call.token).collect()
    }

    /// Stops entering connections and reading requests. Answers under way still go out.
    pub(super) fn close(&self) {
        let mut table = self.table.lock();
        table.closing = true;
        for connection in table.open.values() {
            let _ = connection.stream.shutdown(Shutdown::Read);
        }
        drop(table);
        self.attention.raise();
    }

    /// Waits until every connection's thread is done, and makes those done that take too long.
    pub(crate) fn finish(&self) {
        if self.gone_within(CLOSING_PATIENCE) {
            return;
        }
        for connection in self.table.lock().open.values() {
            let _ = connection.stream.shutdown(Shutdown::Both);
        }
        self.gone_within(CLOSING_PATIENCE);
    }

    fn gone_within(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut table = self.table.lock();
        while !table.open.is_empty() {
            if self.changed.wait_until(&mut table, deadline).timed_out() {
                return table.open.is_empty();
            }
        }
        true
    }
}

/// A connection's place in the table, which it leaves when this is dropped.
pub(super) struct Entry {
    sessions: Arc<Sessions>,
    id: u64,
    stream: Arc<Stream>,
}

impl Entry {
    pub(super) fn stream(&self) -> Arc<Stream> {
        Arc::clone(&self.stream)
    }

    /// Returns the room that all connections share.
    pub(super) fn room(&self) -> &Arc<Room> {
        &self.sessions.room
    }

    /// Tells whether the run is over.
    pub(super) fn closing(&self) -> bool {
        self.sessions.closing()
    }

    /// Returns a token for a call of this connection. Users' tokens are below 2^53, as they travel in JSON.
    pub(super) fn token(&self) -> u64 {
        1 << 63 | self.id
    }

    /// Watches the connection's call, which carries `token`: until the value is dropped, the call is
    /// cancelled if the client hangs up.
    pub(super) fn calling(&self, token: u64) -> Calling<'_> {
        self.set(Some(Call { token, hung_up: false }));
        self.sessions.attention.raise();
        Calling(self)
    }

    fn set(&self, call: Option<Call>) {
        if let Some(connection) = self.sessions.table.lock().open.get_mut(&self.id) {
            connection.call = call;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // The acceptor may still hold the socket, so that dropping it tells the client nothing.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.sessions.table.lock().open.remove(&self.id);
        self.sessions.changed.notify_all();
        self.sessions.attention.raise();
    }
}

/// A call under way that is watched.
pub(super) struct Calling<'a>(&'a Entry);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
