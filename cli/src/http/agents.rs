//! `/mcp`: the MCP server of `mcp`, for callers who show the token.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::TryStreamExt;
use peerkit::Error;
use peerkit::text::visible_json;

use super::accept::Accept;
use super::app::App;
use super::budget::MCP_EXCHANGE;
use super::caller::Caller;
use super::calls;
use super::connections::Connection;
use super::status::{self, JSON, Refusal, no_room_for_body, no_room_for_reply};
use crate::mcp::{self, End, Http, Refused};

/// The path of MCP.
pub const PATH: &str = "/mcp";
/// The longest text of a refusal that is read.
const MAX_REFUSAL: usize = 16 << 10;
/// The media types in which the service answers, as it wants to have them named.
const ANSWERS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");

/// Makes the route, and what ends its streams.
pub fn route(app: &Arc<App>) -> Result<(Router, End), Error> {
    let host = app.hosts.name();
    let (node, threads) = (Arc::clone(&app.node), app.threads.clone());
    let Http { service, end } =
        mcp::http_service(node, threads, std::slice::from_ref(&host), &[origin(&host)])?;
    let router = Router::new()
        .route_service(PATH, service)
        .layer(from_fn_with_state(Arc::clone(app), speak_json))
        .layer(from_fn_with_state(Arc::clone(app), require_token));
    Ok((router, end))
}

fn origin(host: &str) -> String {
    format!("http://{host}")
}

/// Lets in who has shown the token. The outermost middleware has found host and origin to be ours, by whichever name;
/// the service checks them again, and knows one name.
async fn require_token(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if let Err(refusal) = Caller::of(request.extensions()).require_token() {
        return refusal.into_response("");
    }
    let host = app.hosts.name();
    let headers = request.headers_mut();
    headers.remove(AUTHORIZATION);
    for (name, value) in [(ORIGIN, origin(&host)), (HOST, host)] {
        if let (true, Ok(value)) = (headers.contains_key(&name), HeaderValue::from_str(&value)) {
            headers.insert(name, value);
        }
    }
    next.run(request).await
}

/// Stands between callers and the service, which knows no wildcards in `Accept` and refuses in plain text. Who reads
/// JSON-RPC is told in it, with the id where the request has one.
async fn speak_json(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    name_what_is_accepted(&parts.method, &mut parts.headers);
    let (body, mut intake) = match calls::read_body(&app, &parts.extensions, body).await {
        Ok((body, intake)) => (without_mark(Bytes::from(body)), intake),
        Err(refusal) => return refused_unread(refusal),
    };
    if !intake.is_read(body.len()) {
        return refused_unread(no_room_for_body());
    }
    // The service holds a reply wherever it does; so its room is taken beforehand, and kept until the end.
    let connection = parts.extensions.get::<Arc<Connection>>().cloned();
    let caller = Caller::of(&parts.extensions);
    let taken = app.budget.take(caller, None, MCP_EXCHANGE, connection.as_ref());
    let Some(taken) = taken else {
        return refused_unread(no_room_for_reply());
    };
    let said_json = calls::says_json(&parts.headers);
    if let Some(refused) = said_json.then(|| mcp::refuse_doubled(&body)).flatten() {
        return status::json(StatusCode::BAD_REQUEST, refused.to_json());
    }
    let response = next.run(Request::from_parts(parts, Body::from(body.clone()))).await;
    if !is_plain_refusal(&response) {
        let mut response = hiding_nothing(response);
        response.extensions_mut().insert(taken);
        return response;
    }
    in_json(response, &body, said_json).await
}

/// Refuses a request whose body is too long or didn't come, or for which there is no room.
fn refused_unread(refusal: Refusal) -> Response {
    let by_server = refusal.status().is_server_error();
    let refused = Refused::answered(b"", by_server, refusal.message()).to_json();
    let mut response = refusal.into_response("");
    *response.body_mut() = Body::from(refused);
    response
}

/// Escapes what is hidden in a response, which is JSON throughout, be it in events: its client reads the same, and
/// who looks on sees what there is.
fn hiding_nothing(response: Response) -> Response {
    if !response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    // The service hands over each event, or all of the JSON, in one piece.
    let pieces = body.into_data_stream().map_ok(|piece| match std::str::from_utf8(&piece) {
        Ok(text) => match visible_json(text) {
            Cow::Borrowed(_) => piece,
            Cow::Owned(shown) => Bytes::from(shown),
        },
        Err(_) => piece,
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

/// Drops a byte order mark, which some shells put before the text of a file.
fn without_mark(body: Bytes) -> Bytes {
    const MARK: &[u8] = b"\xef\xbb\xbf";
    if body.starts_with(MARK) { body.slice(MARK.len()..) } else { body }
}

/// Names the types of answers for a caller that takes them without naming them.
fn name_what_is_accepted(method: &Method, headers: &mut HeaderMap) {
    let accept = Accept::of(headers);
    let takes = |kind, subtype| accept.takes(kind, subtype, None).weight > 0;
    // A response to a GET is a stream of events in any case.
    if takes("text", "event-stream") && (*method == Method::GET || takes("application", "json")) {
        headers.insert(ACCEPT, ANSWERS);
    }
}

fn is_plain_refusal(response: &Response) -> bool {
    let status = response.status();
    (status.is_client_error() || status.is_server_error())
        && response.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != JSON)
}

/// Says the refusal of a request with this body in JSON-RPC.
async fn in_json(response: Response, body: &[u8], said_json: bool) -> Response {
    let (mut parts, text) = response.into_parts();
    let text = to_bytes(text, MAX_REFUSAL).await.unwrap_or_default();
    let unread = match mcp::read_message(body) {
        // The service says 415 to a body that it can't read, too.
        mcp::Read::Refused(refused) if parts.status == StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Some(refused).filter(|_| said_json)
        }
        _ => None,
    };
    let refused = match unread {
        Some(refused) => {
            parts.status = StatusCode::BAD_REQUEST;
            refused
        }
        None => {
            let text = String::from_utf8_lossy(&text);
            Refused::answered(body, parts.status.is_server_error(), &text)
        }
    };
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, JSON);
    Response::from_parts(parts, Body::from(refused.to_json()))
}
