//! Events as a stream of server-sent events.
//!
//! It begins with `opened` {last_seq}; then each event of the node comes under its kind's name, with its JSON as data
//! and its number as id, so that a client which shows `Last-Event-ID` goes on where it was. A reader that is too
//! slow loses the oldest and is told by `lagged` {lagged}. The node's last event, `stopped`, clears the id, for the
//! next run counts from one again, and ends the stream. A client whose number the node hasn't reached gets what
//! there is, after `reset` {last_seq}.
//!
//! Waiting for events blocks: each stream has a thread, which gives one batch ahead to the task that writes. All
//! else waits in the subscription's own bounded queue.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use peerkit::event::{Event as NodeEvent, EventBatch, EventKind};
use peerkit::params::EventsOptions;
use peerkit::text::visible_json;
use peerkit::{Error, ErrorKind};
use schemars::schema_for;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::watch;

use super::app::App;
use super::caller::Caller;
use super::calls::blocking;
use super::params::Query;
use super::refusals::Why;
use super::status::{self, Refusal, no_thread, too_busy};
use crate::node::{EventSource, Node, Reply};
use crate::threads::spawn;

/// The header in which a client names the last event it had.
const LAST_EVENT_ID: &str = "last-event-id";
/// The interval at which a silent stream shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// The interval at which a stream's thread looks whether anybody still wants it.
const LOOK: Duration = Duration::from_millis(500);
/// The time that it waits for a slow reader before it tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// Answers `GET /api/events?since=&kinds=`.
pub async fn stream(State(app): State<Arc<App>>, request: Request) -> Response {
    open(&app, request).await.unwrap_or_else(|refusal| refusal)
}

async fn open(app: &Arc<App>, request: Request) -> Result<Response, Response> {
    let refuse = |refusal: Refusal| refusal.into_response("");
    let requested = Requested::of(request.uri().query(), request.headers()).map_err(refuse)?;
    let caller = Caller::of(request.extensions());
    let place = app.streams.enter(caller).ok_or_else(|| {
        app.refusals.add(Why::AtOnce);
        refuse(too_busy("event streams"))
    })?;
    let node = Arc::clone(&app.node);
    let opened = blocking(app, "", move || requested.open(&*node)).await?;
    let (first, source) = opened.map_err(status::plain)?;
    let (batches, received) = mpsc::channel(1);
    let ending = app.ending.clone();
    // It ends with the stream, with the node, or with the server.
    let body = move || {
        pump(source, &batches, &ending);
        drop(place);
    };
    spawn("events", body).map_err(|error| refuse(no_thread(error)))?;
    let events = stream::iter([Ok(first)]).chain(to_write(received));
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response())
}

/// The subscription that a client asks for.
struct Requested {
    options: EventsOptions,
    /// True where it goes on after an interruption.
    resumes: bool,
}

impl Requested {
    fn of(query: Option<&str>, headers: &HeaderMap) -> Result<Self, Refusal> {
        let schema = Value::from(schema_for!(EventsOptions));
        let params = Query::parse(query)?.typed(&schema)?;
        let mut options: EventsOptions = serde_json::from_value(params.into())
            .map_err(|error| invalid(format!("the query isn't right: {error}")))?;
        // A browser that reconnects asks for the same address as before; where it was, it says here.
        let Some(id) = headers.get(LAST_EVENT_ID) else {
            return Ok(Requested { options, resumes: false });
        };
        let id = id.to_str().ok().and_then(|id| id.parse().ok());
        options.since =
            Some(id.ok_or_else(|| invalid("Last-Event-ID is no number of an event".to_owned()))?);
        Ok(Requested { options, resumes: true })
    }

    /// Subscribes; gives the stream's first event too.
    fn open(self, node: &dyn Node) -> Result<(Event, Box<dyn EventSource>), Reply> {
        let Requested { mut options, resumes } = self;
        let (name, source) = match node.events(&options) {
            Ok(source) => ("opened", source),
            // The number is of an earlier run.
            Err(reply) if resumes && reply.code() == Some(ErrorKind::InvalidArgument) => {
                options.since = Some(0);
                ("reset", node.events(&options)?)
            }
            Err(reply) => return Err(reply),
        };
        let id = options.since.unwrap_or(source.last_seq());
        let first = named(name, &json!({"last_seq": source.last_seq()})).id(id.to_string());
        Ok((first, source))
    }
}

/// Moves events from the node to the stream: the whole life of its thread.
fn pump(
    mut source: Box<dyn EventSource>,
    batches: &mpsc::Sender<EventBatch>,
    ending: &watch::Receiver<bool>,
) {
    while !batches.is_closed() && !*ending.borrow() {
        // An error means that the node has ended, or that the process has whose node it was.
        let Ok(batch) = source.next(LOOK) else { return };
        let nothing = batch.events.is_empty() && batch.lagged == 0;
        if !nothing && !give(batches, batch, ending) {
            return;
        }
    }
}

/// Waits until the writer has taken the batch before, and meanwhile looks whether the server ends; false when
/// nobody wants it.
fn give(
    batches: &mpsc::Sender<EventBatch>,
    mut batch: EventBatch,
    ending: &watch::Receiver<bool>,
) -> bool {
    loop {
        match batches.try_send(batch) {
            Ok(()) => return true,
            Err(TrySendError::Full(back)) if !*ending.borrow() => batch = back,
            Err(_) => return false,
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes of batches the events that are written.
fn to_write(batches: mpsc::Receiver<EventBatch>) -> impl Stream<Item = Result<Event, Infallible>> {
    let batches = stream::unfold(batches, async |mut batches: mpsc::Receiver<EventBatch>| {
        Some((batches.recv().await?, batches))
    });
    batches.flat_map(|batch| {
        let lagged =
            (batch.lagged > 0).then(|| Ok(named("lagged", &json!({"lagged": batch.lagged}))));
        stream::iter(
            lagged.into_iter().chain(batch.events.into_iter().map(|event| Ok(from_node(&event)))),
        )
    })
}

fn from_node(event: &NodeEvent) -> Event {
    let id = match event.kind {
        EventKind::Stopped { .. } => String::new(),
        _ => event.seq.to_string(),
    };
    named(event.kind.name(), event).id(id)
}

fn named(name: &str, data: &impl Serialize) -> Event {
    // JSON as serde writes it has no line ends, the one thing that the data of an event may not have.
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(visible_json(data))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
