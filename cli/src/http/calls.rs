//! A request that calls an operation: its parameters are gathered from path, query and body, it runs on a thread
//! that may wait, and its reply becomes the response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use peerkit::ops::{self, Effect, Operation};
use peerkit::text::decode;
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::app::App;
use super::budget::{Intake, Room, Taken};
use super::caller::Caller;
use super::connections::Connection;
use super::params::{Query, join, schema};
use super::refusals::Why;
use super::room::TURN;
use super::status::{self, Refusal, no_room_for_body, no_room_for_reply, no_thread, too_busy};
use crate::node::{Node, Reply};
use crate::threads::Threads;

/// The largest body, as for the library's own input.
pub const MAX_BODY: usize = 1 << 20;
/// The time that a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Calls an operation for a request; `path` are the parameters that stand in the path, `loose` says whether others
/// may stand in the query. Gives what the operation answered.
pub async fn call(
    app: &Arc<App>,
    op: &'static Operation,
    request: Request,
    path: Map<String, Value>,
    loose: bool,
) -> Result<Answered, Response> {
    prepare(app, op, request, path, loose)
        .await
        .map_err(|refusal| refusal.into_response(op.name))?
        .run(app)
        .await
}

/// A reply with the room that it takes until it is sent.
pub struct Answered {
    pub reply: Reply,
    taken: Option<Taken>,
}

impl Answered {
    /// Has a response that was made of the reply hold the room.
    pub fn hold(taken: Option<Taken>, mut response: Response) -> Response {
        if let Some(taken) = taken {
            response.extensions_mut().insert(taken);
        }
        response
    }

    /// Parts the reply from its room, which `hold` gives to the response.
    pub fn parts(self) -> (Reply, Option<Taken>) {
        (self.reply, self.taken)
    }
}

/// A call whose parameters are known.
struct Call {
    op: &'static Operation,
    params: Map<String, Value>,
    timeout: Duration,
    caller: Caller,
    connection: Option<Arc<Connection>>,
    /// The room of the body, whose values the parameters are.
    _intake: Option<Intake>,
}

async fn prepare(
    app: &App,
    op: &'static Operation,
    request: Request,
    path: Map<String, Value>,
    loose: bool,
) -> Result<Call, Refusal> {
    let (parts, body) = request.into_parts();
    may_call(app, op, &parts)?;
    let mut query = Query::parse(parts.uri.query())?;
    let time = query.take_timeout()?;
    let mut params = path;
    let no_schema = Value::Null;
    let query = query.typed(if loose { schema(op) } else { &no_schema })?;
    if let (false, Some(name)) = (loose, query.keys().next()) {
        let message = format!("`{name}` belongs into the body: only `timeout_ms` is read here");
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    join(&mut params, query)?;
    let mut intake = None;
    if parts.method == Method::POST {
        let read = object(app, &parts, body).await?;
        join(&mut params, read.0)?;
        intake = Some(read.1);
    }
    let caller = Caller::of(&parts.extensions);
    let connection = parts.extensions.get().cloned();
    Ok(Call { op, params, timeout: time, caller, connection, _intake: intake })
}

/// Refuses what acts without the token, or on a server that is read-only.
fn may_call(app: &App, op: &Operation, parts: &Parts) -> Result<(), Refusal> {
    app.node.check_effect(op)?;
    match op.effect {
        Effect::Reads => Ok(()),
        _ => Caller::of(&parts.extensions).require_token(),
    }
}

impl Call {
    async fn run(mut self, app: &Arc<App>) -> Result<Answered, Response> {
        let no_room = || no_room_for_reply().into_response(self.op.name);
        // One that acts may wait long; were all threads taken by such calls, nobody could look. Its reply is small.
        let (turn, room) = match self.op.effect {
            Effect::Reads => {
                let estimate = self.op.reply_estimate(&self.params);
                (None, Some(app.budget.room(self.caller, estimate).await.ok_or_else(no_room)?))
            }
            _ => {
                let turn = timeout(TURN, Arc::clone(&app.acting).acquire_owned()).await;
                let busy = || {
                    app.refusals.add(Why::AtOnce);
                    too_busy("calls that act").into_response(self.op.name)
                };
                (Some(turn.ok().and_then(Result::ok).ok_or_else(busy)?), None)
            }
        };
        let (caller, connection) = (self.caller, self.connection.take());
        // The connection's end drops this future, and with it what cancels the call.
        let mut cancel = CancelOnDrop { app: Arc::clone(app), token: self.cancellable() };
        let (node, ours) = (Arc::clone(&app.node), cancel.token.is_some());
        let method = self.op.name;
        let large = room.as_ref().is_some_and(Room::is_large);
        let threads = if large { &app.large } else { &app.threads };
        let answered = run_on(threads, method, move || {
            let reply = if ours {
                node.call_with_own_token(self.op.name, self.params, self.timeout)
            } else {
                node.call(self.op.name, self.params, self.timeout)
            };
            drop(turn);
            reply
        })
        .await;
        cancel.token = None;
        let reply = answered?;
        let taken = app.budget.take(caller, room, reply.json().len(), connection.as_ref());
        let no_room = || no_room_for_reply().into_response(method);
        Ok(Answered { reply, taken: Some(taken.ok_or_else(no_room)?) })
    }

    /// Gives the call a token by which it can be cancelled, where it takes one and the caller gave none.
    fn cancellable(&mut self) -> Option<u64> {
        const NAME: &str = "cancel_token";
        if !self.op.takes_cancel_token() || self.params.contains_key(NAME) {
            return None;
        }
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).ok()?;
        // Numbers in JSON are exact below 2^53.
        let token = u64::from_le_bytes(bytes) >> 11;
        self.params.insert(NAME.to_owned(), token.into());
        Some(token)
    }
}

/// Cancels a call when nobody waits for its answer any more.
struct CancelOnDrop {
    app: Arc<App>,
    token: Option<u64>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(token) = self.token {
            let node = Arc::clone(&self.app.node);
            // At a node of another process this takes a round trip; without a thread for it, it's made here.
            if self.app.threads.run(move || node.cancel(token)).is_err() {
                self.app.node.cancel(token);
            }
        }
    }
}

/// Runs what blocks on a thread for that; `method` is the operation that it calls. A panic there, or the lack of a
/// thread, is a failure of this request alone.
pub async fn blocking<T: Send + 'static>(
    app: &App,
    method: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    run_on(&app.threads, method, work).await
}

async fn run_on<T: Send + 'static>(
    threads: &Threads,
    method: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    let done = threads.run(work).map_err(|error| no_thread(error).into_response(method))?;
    done.await.map_err(|_| status::panicked())
}

/// Reads the JSON object in a body; empty where there is no body. Gives the room that it takes too.
async fn object(
    app: &App,
    parts: &Parts,
    body: Body,
) -> Result<(Map<String, Value>, Intake), Refusal> {
    let (bytes, mut intake) = read_body(app, &parts.extensions, body).await?;
    if bytes.is_empty() {
        return Ok((Map::new(), intake));
    }
    if !intake.is_read(bytes.len()) {
        return Err(no_room_for_body());
    }
    if !says_json(&parts.headers) {
        let error = Error::new(ErrorKind::InvalidArgument, "the body isn't said to be JSON")
            .with_hint("send `Content-Type: application/json`");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    let invalid = |message| Error::new(ErrorKind::InvalidArgument, message);
    let text = decode(bytes).map_err(|why| invalid(format!("the body {why}")))?;
    match ops::read_json(text.as_bytes()) {
        Ok(Value::Object(object)) => Ok((object, intake)),
        Ok(_) => Err(invalid("the body is JSON, but no object".to_owned()).into()),
        Err(why) => {
            Err(why.into_error(|error| format!("the body is no JSON object: {error}")).into())
        }
    }
}

/// Tells whether the body is said to be JSON.
pub fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads a body, in bounded time, of bounded length and as far as there is room for it. Meanwhile the server waits for
/// whoever sends it, as it waits for the head of a request.
pub async fn read_body(
    app: &App,
    extensions: &Extensions,
    body: Body,
) -> Result<(Vec<u8>, Intake), Refusal> {
    let mut intake = app.budget.intake(Caller::of(extensions));
    if body.is_end_stream() {
        return Ok((Vec::new(), intake));
    }
    let connection = extensions.get::<Arc<Connection>>();
    connection.inspect(|connection| connection.is_waited_for());
    let gathered = timeout(BODY_TIME, gather(body, &mut intake)).await;
    connection.inspect(|connection| connection.is_answered());
    let bytes = gathered.map_err(|_| {
        let error = Error::new(ErrorKind::Timeout, "the request's body took too long to arrive");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error)
    })??;
    Ok((bytes, intake))
}

async fn gather(body: Body, intake: &mut Intake) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|_| Error::new(ErrorKind::InvalidArgument, "the request's body broke off"))?;
        if bytes.len() + chunk.len() > MAX_BODY {
            let message = format!("a body holds at most {MAX_BODY} bytes");
            let error = Error::new(ErrorKind::InvalidArgument, message);
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error));
        }
        if !intake.holds(bytes.len() + chunk.len()) {
            return Err(no_room_for_body());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
