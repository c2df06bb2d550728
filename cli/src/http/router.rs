//! The router: each route of the table, and what is no operation, with the handler that answers it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use peerkit::{Error, ErrorKind, ops};
use serde_json::{Map, Value};

use super::app::App;
use super::calls::{self, Answered, call};
use super::routes::{ACCESS, CALL, EVENTS, HEALTH, METRICS, OPENAPI, ROUTES, Route, Verb};
use super::shape::Shape;
use super::status::Refusal;
use super::{access, events, metrics, openapi, pages, status};
use crate::node::{Node, Reply};

/// Makes the router over all of it.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new()
        .route(CALL, post(by_name))
        .route(EVENTS, get(events::stream))
        .route(METRICS, get(metrics::page))
        .route(OPENAPI, get(openapi::document))
        .route(ACCESS, get(access::answer))
        .route(HEALTH, get(metrics::health));
    for route in ROUTES {
        router = router.route(route.path, handler(route));
    }
    for (path, content_type, content) in pages::FILES {
        router = router.route(path, get(async || pages::answer(content_type, content)));
    }
    router
        .fallback(async || status::no_such_path())
        .method_not_allowed_fallback(async || status::wrong_method())
        .with_state(Arc::clone(app))
}

fn handler(route: &'static Route) -> MethodRouter<Arc<App>> {
    let answer = async move |State(app): State<Arc<App>>, path: Path, request: Request| {
        let path = match in_path(path) {
            Ok(path) => path,
            Err(refusal) => return refusal.into_response(route.op),
        };
        answer(&app, route, path, request).await.unwrap_or_else(|failure| failure)
    };
    match route.verb {
        Verb::Get => get(answer),
        Verb::Post => post(answer),
    }
}

async fn answer(
    app: &Arc<App>,
    route: &Route,
    path: Map<String, Value>,
    request: Request,
) -> Result<Response, Response> {
    let op = route.operation().map_err(|error| Refusal::from(error).into_response(route.op))?;
    let (mut reply, taken) = call(app, op, request, path, true).await?.parts();
    if route.shape == Shape::DiscoveryStatus && reply.is_success() {
        reply = with_protocols(app, reply).await?;
    }
    Ok(Answered::hold(taken, route.shape.response(reply)))
}

/// Adds the protocols that peers speak, which a status of discovery names and the operation doesn't.
async fn with_protocols(app: &Arc<App>, reply: Reply) -> Result<Reply, Response> {
    const PROTOCOLS: &str = "protocols_supported";
    let node = Arc::clone(&app.node);
    let ask = move || node.call("get_peer_stats", Map::new(), Duration::ZERO);
    let stats = calls::blocking(app, "get_peer_stats", ask).await?;
    if !stats.is_success() {
        return Ok(stats);
    }
    let mut both = reply.object();
    let protocols = stats.object().shift_remove(PROTOCOLS).unwrap_or_default();
    both.insert(PROTOCOLS.into(), protocols);
    Ok(Reply::new(Value::Object(both).to_string()))
}

async fn by_name(State(app): State<Arc<App>>, path: Path, request: Request) -> Response {
    let found = in_path(path).and_then(|path| {
        let name = path.get("method").and_then(Value::as_str).unwrap_or_default();
        ops::find(name).map_err(Refusal::from)
    });
    let op = match found {
        Ok(op) => op,
        Err(refusal) => return refusal.into_response(""),
    };
    let answered = call(&app, op, request, Map::new(), false).await.map(Answered::parts);
    let plain = |(reply, taken)| Answered::hold(taken, status::plain(reply));
    answered.map_or_else(|failure| failure, plain)
}

type Path = Result<RawPathParams, RawPathParamsRejection>;

/// Reads the parameters that stand in the path.
fn in_path(path: Path) -> Result<Map<String, Value>, Refusal> {
    let path = path.map_err(|_| {
        Error::new(ErrorKind::InvalidArgument, "the path holds what is no UTF-8 text")
    })?;
    Ok(path.iter().map(|(name, text)| (name.to_owned(), text.into())).collect())
}
