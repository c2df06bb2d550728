//! The table of routes. The router and the OpenAPI document are both made from it, so neither can have what the
//! other lacks. `/api/call/{method}` beside it serves every operation by its name.

use peerkit::Error;
use peerkit::ops::{self, Operation};

use super::shape::Shape;

/// The HTTP method of a route.
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

/// Calls any operation by its name.
pub const CALL: &str = "/api/call/{method}";
/// Streams events.
pub const EVENTS: &str = "/api/events";
/// Gives Prometheus its metrics.
pub const METRICS: &str = "/metrics";
/// Describes all of this.
pub const OPENAPI: &str = "/api/openapi.json";
/// Tells everybody whether the node serves.
pub const HEALTH: &str = "/healthz";
/// Tells a caller what it may do, also one who may do nothing.
pub const ACCESS: &str = "/api/access";

macro_rules! routes {
    ($( $verb:ident $op:ident $shape:expr => $($path:literal)+; )+) => {
        &[ $( $( Route { verb: Verb::$verb, path: $path, op: stringify!($op), shape: $shape }, )+ )+ ]
    };
}

/// The routes of operations, as the Python project had them under its two prefixes.
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
    /// Finds the operation behind it.
    pub fn operation(&self) -> Result<&'static Operation, Error> {
        ops::find(self.op)
    }
}

/// Lists the verbs and paths that serve an operation, beside the one for all.
#[cfg(test)]
pub fn of_operation(name: &str) -> Vec<(&'static str, &'static str)> {
    let own = ROUTES.iter().filter(|route| route.op == name);
    let verb = |route: &Route| if route.verb == Verb::Get { "GET" } else { "POST" };
    own.map(|route| (verb(route), route.path)).collect()
}
