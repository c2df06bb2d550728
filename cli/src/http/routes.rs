//! The table of routes that call an operation. The router and the OpenAPI document are both made from it, so
//! neither can have what the other lacks. `/api/call/{method}` beside it serves every operation by its name.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use peerkit::ops::{self, Operation};
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};

use super::app::App;
use super::calls::{self, call};
use super::shape::Shape;
use super::status::Refusal;
use super::{access, events, gate, metrics, openapi, pages, status};
use crate::node::{Node, Reply};

/// How a route is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Get,
    Post,
}

/// A route that calls an operation.
#[derive(Debug)]
pub struct Route {
    pub verb: Verb,
    pub path: &'static str,
    pub op: &'static str,
    pub shape: Shape,
}

/// Where every operation is called by its name.
pub const CALL: &str = "/api/call/{method}";
/// Where events come from.
pub const EVENTS: &str = "/api/events";
/// Where Prometheus looks.
pub const METRICS: &str = "/metrics";
/// Where this is described.
pub const OPENAPI: &str = "/api/openapi.json";

macro_rules! routes {
    ($( $verb:ident $op:ident $shape:expr => $($path:literal)+; )+) => {
        &[ $( $( Route { verb: Verb::$verb, path: $path, op: stringify!($op), shape: $shape }, )+ )+ ]
    };
}

/// The routes, as the Python project had them under its two prefixes.
pub const ROUTES: &[Route] = routes! {
    Get get_peers_summary Shape::Data => "/api/peers/summary" "/api/v0/libp2p/peers/summary";
    Get list_peers Shape::Data => "/api/peers/list" "/api/v0/libp2p/peers/list";
    Get search_peers Shape::Data => "/api/peers/search" "/api/v0/libp2p/peers/search";
    Get get_peer Shape::Peer => "/api/peers/{peer_id}" "/api/v0/libp2p/peers/{peer_id}";
    Get get_peer Shape::Content => "/api/peers/{peer_id}/content" "/api/v0/libp2p/peers/{peer_id}/content";
    Get get_peer Shape::Metadata => "/api/v0/libp2p/peers/{peer_id}/metadata";
    Get get_peer Shape::Pins => "/api/v0/libp2p/peers/{peer_id}/pinset";
    Get get_peer Shape::Files => "/api/v0/libp2p/peers/{peer_id}/files";
    Post connect_peer Shape::Message => "/api/peers/{peer_id}/connect" "/api/v0/libp2p/peers/connect/{peer_id}";
    Post disconnect_peer Shape::Message =>
        "/api/peers/{peer_id}/disconnect" "/api/v0/libp2p/peers/disconnect/{peer_id}";
    Get get_discovery Shape::DiscoveryStatus => "/api/peers/discovery/status" "/api/v0/libp2p/discovery/status";
    Post start_discovery Shape::Says("Peer discovery started") =>
        "/api/peers/discovery/start" "/api/v0/libp2p/discovery/start";
    Post stop_discovery Shape::Says("Peer discovery stopped") =>
        "/api/peers/discovery/stop" "/api/v0/libp2p/discovery/stop";
    Post add_bootstrap_peer Shape::Changed("Bootstrap peer added", "Bootstrap peer was in the list already") =>
        "/api/peers/bootstrap/add" "/api/v0/libp2p/bootstrap/add";
    Post remove_bootstrap_peer Shape::Changed("Bootstrap peer removed", "Bootstrap peer wasn't in the list") =>
        "/api/peers/bootstrap/remove" "/api/v0/libp2p/bootstrap/remove";
    Get get_peer_stats Shape::NetworkStats => "/api/peers/network/stats" "/api/v0/libp2p/network/stats";
};

impl Route {
    /// The operation behind it.
    pub fn operation(&self) -> Result<&'static Operation, Error> {
        ops::find(self.op)
    }
}

/// The verbs and paths that serve an operation, beside the one for all.
#[cfg(test)]
pub fn of_operation(name: &str) -> Vec<(&'static str, &'static str)> {
    let own = ROUTES.iter().filter(|route| route.op == name);
    let verb = |route: &Route| if route.verb == Verb::Get { "GET" } else { "POST" };
    own.map(|route| (verb(route), route.path)).collect()
}

/// The router over all of it.
pub fn router(app: &Arc<App>) -> Router {
    let mut router = Router::new()
        .route(CALL, post(by_name))
        .route(EVENTS, get(events::stream))
        .route(METRICS, get(metrics::page))
        .route(OPENAPI, get(openapi::document))
        .route(gate::ACCESS, get(access::told))
        .route(gate::HEALTH, get(metrics::health));
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
    let mut reply = call(app, op, request, path, true).await?;
    if route.shape == Shape::DiscoveryStatus && reply.is_success() {
        reply = with_protocols(app, reply).await?;
    }
    Ok(route.shape.response(reply))
}

/// A status of discovery names the protocols that peers speak; the operation doesn't.
async fn with_protocols(app: &Arc<App>, reply: Reply) -> Result<Reply, Response> {
    const PROTOCOLS: &str = "protocols_supported";
    let node = Arc::clone(&app.node);
    let stats =
        calls::blocking(move || node.call("get_peer_stats", Map::new(), std::time::Duration::ZERO));
    let stats = stats.await?;
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
    let reply = call(&app, op, request, Map::new(), false).await;
    reply.map_or_else(|failure| failure, status::plain)
}

type Path = Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>;

/// The parameters that stand in the path.
fn in_path(path: Path) -> Result<Map<String, Value>, Refusal> {
    let path = path.map_err(|_| {
        Error::new(ErrorKind::InvalidArgument, "the path holds what is no UTF-8 text")
    })?;
    Ok(path.iter().map(|(name, text)| (name.to_owned(), text.into())).collect())
}
