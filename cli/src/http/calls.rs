//! A request that calls an operation: its parameters are gathered from path, query and body, it runs on a thread
//! that may wait, and its reply becomes the response.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use futures::StreamExt;
use peerkit::ops::{Effect, Operation};
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use super::app::App;
use super::gate::Caller;
use super::params::{Query, join, schema};
use super::status::{self, Refusal, too_busy};
use crate::node::{Node, Reply};

/// The largest body, as for the library's own input.
pub const MAX_BODY: usize = 1 << 20;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// Calls an operation for a request; `path` are the parameters that stand in the path, `loose` says whether others
/// may stand in the query. Gives what the operation answered.
pub async fn call(
    app: &Arc<App>,
    op: &'static Operation,
    request: Request,
    path: Map<String, Value>,
    loose: bool,
) -> Result<Reply, Response> {
    prepare(app, op, request, path, loose)
        .await
        .map_err(|refusal| refusal.into_response(op.name))?
        .run(app)
        .await
}

/// A call whose parameters are known.
struct Call {
    op: &'static Operation,
    params: Map<String, Value>,
    timeout: Duration,
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
    let timeout = query.take_timeout()?;
    let mut params = path;
    let no_schema = Value::Null;
    let query = query.typed(if loose { schema(op) } else { &no_schema })?;
    if let (false, Some(name)) = (loose, query.keys().next()) {
        let message = format!("`{name}` belongs into the body: only `timeout_ms` is read here");
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    join(&mut params, query)?;
    if parts.method == Method::POST {
        join(&mut params, object(&parts.headers, body).await?)?;
    }
    Ok(Call { op, params, timeout })
}

/// What acts needs the token, and a server that acts.
fn may_call(app: &App, op: &Operation, parts: &Parts) -> Result<(), Refusal> {
    app.node.check_effect(op)?;
    match op.effect {
        Effect::Reads => Ok(()),
        _ => parts.extensions.get().copied().unwrap_or(Caller::Anybody).trusted(),
    }
}

impl Call {
    async fn run(self, app: &Arc<App>) -> Result<Reply, Response> {
        let Call { op, params, timeout } = self;
        // One that acts may wait long; were all threads taken by such calls, nobody could look.
        let acting = match op.effect {
            Effect::Reads => None,
            _ => match Arc::clone(&app.acting).try_acquire_owned() {
                Ok(permit) => Some(permit),
                Err(_) => return Err(too_busy("calls that act").into_response(op.name)),
            },
        };
        let node = Arc::clone(&app.node);
        blocking(move || {
            let reply = node.call(op.name, params, timeout);
            drop(acting);
            reply
        })
        .await
    }
}

/// Runs what blocks on a thread for that. A panic there is a failure of this request alone.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    spawn_blocking(work).await.map_err(|_| status::panicked())
}

/// The JSON object in a body; empty where there is no body.
async fn object(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, Refusal> {
    let bytes = tokio::time::timeout(BODY_TIME, gather(body)).await.map_err(|_| {
        let error = Error::new(ErrorKind::Timeout, "the request's body took too long to arrive");
        Refusal::new(StatusCode::REQUEST_TIMEOUT, error)
    })??;
    if bytes.is_empty() {
        return Ok(Map::new());
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let error = Error::new(ErrorKind::InvalidArgument, "the body isn't said to be JSON")
            .with_hint("send `Content-Type: application/json`");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error));
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("the body is no JSON object: {error}");
        Error::new(ErrorKind::InvalidArgument, message).into()
    })
}

async fn gather(body: Body) -> Result<Vec<u8>, Refusal> {
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
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}
