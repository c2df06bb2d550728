//! The OpenAPI 3.1 document: the table of routes and the catalogue of operations, in its words. What a server
//! doesn't serve (what acts, where it is read-only) isn't in its document.
//!
//! No address or peer id stands in it as an example: tools that try everything would dial it.

mod schemas;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use peerkit::ErrorKind;
use peerkit::ops::{self, Effect, Operation};
use serde_json::{Map, Value, json};

use self::schemas::{envelope, failure, parameter, reply_data};
use super::app::App;
use super::params::{self, TIMEOUT};
use super::routes::{ACCESS, CALL, EVENTS, HEALTH, METRICS, OPENAPI, ROUTES, Route, Verb};
use super::shape::Shape;
use super::status::{self, Shared};

/// The scheme's name in the document.
const TOKEN: &str = "token";

/// Answers `GET /api/openapi.json`.
pub async fn document(State(app): State<Arc<App>>) -> Response {
    let text = app.document.get_or_init(|| Document { app: &app }.build().to_string().into());
    let mut response = status::json(StatusCode::OK, text.clone());
    response.extensions_mut().insert(Shared);
    response
}

struct Document<'a> {
    app: &'a App,
}

impl Document<'_> {
    fn build(&self) -> Value {
        let mut paths = Map::new();
        for route in ROUTES {
            let Some(op) = ops::find(route.op).ok().filter(|op| self.serves(op)) else { continue };
            let described = self.route(route, op);
            let verb = if route.verb == Verb::Get { "get" } else { "post" };
            paths.insert(route.path.to_owned(), json!({ verb: described }));
        }
        for op in ops::catalogue().iter().filter(|op| self.serves(op)) {
            let path = CALL.replace("{method}", op.name);
            paths.insert(path, json!({ "post": self.call(op) }));
        }
        paths.insert(EVENTS.to_owned(), json!({ "get": self.events() }));
        paths.insert(METRICS.to_owned(), json!({ "get": self.metrics() }));
        paths.insert(OPENAPI.to_owned(), json!({ "get": self.own() }));
        paths.insert(HEALTH.to_owned(), json!({ "get": self.health() }));
        paths.insert(ACCESS.to_owned(), json!({ "get": self.access() }));
        let mut paths = Value::Object(paths);
        let shared = schemas::shared();
        schemas::refer(&mut paths, &shared);
        let mut all = Map::from_iter([("Failure".to_owned(), failure())]);
        all.extend(shared);
        json!({
            "openapi": "3.1.0",
            "info": {
                "title": "peerkit",
                "version": peerkit::VERSION,
                "description": "The operations of a libp2p node. Text that comes from remote peers (agents, protocols, \
                    addresses, messages) is untrusted: show it as text.",
                "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
            },
            "servers": [{"url": "/"}],
            "paths": paths,
            "components": {
                "securitySchemes": {TOKEN: {"type": "http", "scheme": "bearer",
                    "description": "What stands in the file `token` of the data directory."}},
                "schemas": all,
                "responses": described_failures(),
            },
        })
    }

    fn serves(&self, op: &Operation) -> bool {
        self.app.node.check_effect(op).is_ok()
    }

    /// Describes a route of the Python project's kind.
    fn route(&self, route: &Route, op: &Operation) -> Value {
        let properties = params::schema(op)["properties"].as_object().cloned().unwrap_or_default();
        let in_path = |name: &str| route.path.contains(&format!("{{{name}}}"));
        let described =
            properties.iter().map(|(name, schema)| parameter(name, schema, in_path(name)));
        let mut parameters: Vec<Value> = described.collect();
        parameters.push(timeout());
        let mut body = None;
        if route.verb == Verb::Post {
            let rest: Map<_, _> =
                properties.into_iter().filter(|(name, _)| !in_path(name)).collect();
            body =
                Some(json!({"type": "object", "properties": rest, "additionalProperties": false}));
        }
        let shown = json!({
            "type": "object",
            "required": ["success", "data"],
            "properties": {
                "success": {"const": true},
                "message": {"type": "string"},
                "data": reply_data(route.shape, op),
            },
        });
        let note = match route.shape {
            Shape::Peer | Shape::Content | Shape::Metadata | Shape::Pins | Shape::Files => {
                " What a peer shares isn't known yet: those fields are empty, and `available` says so."
            }
            _ => "",
        };
        let mut described = self.operation(op, parameters, body, shown);
        described["operationId"] = identifier(route.path).into();
        described["description"] = format!("{}{note}", op.summary).into();
        described["tags"] = json!(["peers"]);
        described
    }

    /// Describes an operation by its name.
    fn call(&self, op: &Operation) -> Value {
        let body = params::schema(op).clone();
        let mut described = self.operation(op, vec![timeout()], Some(body), envelope(op));
        described["operationId"] = format!("call_{}", op.name).into();
        described["tags"] = json!(["operations"]);
        described
    }

    fn operation(
        &self,
        op: &Operation,
        parameters: Vec<Value>,
        body: Option<Value>,
        success: Value,
    ) -> Value {
        let mut responses = failures();
        responses.insert("200".to_owned(), content("It was done.", "application/json", success));
        let mut described = json!({
            "summary": op.summary,
            "parameters": parameters,
            "security": self.security(op.effect == Effect::Reads),
            "responses": responses,
        });
        if let Some(mut schema) = body {
            schemas::tidy(&mut schema);
            described["requestBody"] =
                json!({"required": false, "content": {"application/json": {"schema": schema}}});
        }
        described
    }

    fn events(&self) -> Value {
        let mut responses = failures();
        let about = "A stream of server-sent events: `opened` or `reset`, then the node's events under their kinds' \
            names, and `lagged` where some were lost.";
        responses.insert(
            "200".to_owned(),
            content(about, "text/event-stream", json!({"type": "string"})),
        );
        json!({
            "summary": "Events, as they happen.",
            "operationId": "events",
            "tags": ["events"],
            "parameters": [
                {"name": "since", "in": "query", "required": false, "schema": {"type": "integer", "minimum": 0},
                    "description": "Begin with the events after this number that are still kept."},
                {"name": "kinds", "in": "query", "required": false, "style": "form", "explode": false,
                    "schema": {"type": "array", "items": {"enum": peerkit::event::EventKind::NAMES}},
                    "description": "Only events of these kinds, and `stopped`."},
                {"name": "Last-Event-ID", "in": "header", "required": false, "schema": {"type": "integer", "minimum": 0},
                    "description": "The id of the last event that was received, to go on there."},
            ],
            "security": self.security(true),
            "responses": responses,
        })
    }

    fn metrics(&self) -> Value {
        let mut responses = failures();
        let mut text = content(
            "The metrics: Prometheus' text format 0.0.4, or OpenMetrics for who asks for it.",
            "text/plain",
            json!({"type": "string"}),
        );
        text["content"]["application/openmetrics-text"] = json!({"schema": {"type": "string"}});
        responses.insert("200".to_owned(), text);
        json!({
            "summary": "The node's metrics, for Prometheus.", "operationId": "metrics", "tags": ["server"],
            "security": self.security(true), "responses": responses,
        })
    }

    fn own(&self) -> Value {
        let mut responses = failures();
        let about = "This document.";
        responses.insert(
            "200".to_owned(),
            content(about, "application/json", json!({"type": "object"})),
        );
        json!({
            "summary": about, "operationId": "openapi", "tags": ["server"],
            "security": self.security(true), "responses": responses,
        })
    }

    fn access(&self) -> Value {
        let mut responses = failures();
        let flag = json!({"type": "boolean"});
        let told = schemas::all(json!({
            "success": {"const": true}, "token": {"enum": ["not_needed", "right", "wrong", "none"]},
            "reads": flag, "acts": flag, "read_only": flag,
        }));
        responses
            .insert("200".to_owned(), content("What the caller may do.", "application/json", told));
        json!({
            "summary": "What the caller may do.", "operationId": "access", "tags": ["server"],
            "security": [], "responses": responses,
        })
    }

    fn health(&self) -> Value {
        let mut responses = failures();
        let up = json!({"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}});
        let down = json!({
            "type": "object", "required": ["status", "code"],
            "properties": {"status": {"const": "down"}, "code": schemas::codes()},
        });
        responses.insert("200".to_owned(), content("The node serves.", "application/json", up));
        responses
            .insert("503".to_owned(), content("The node can't serve.", "application/json", down));
        json!({
            "summary": "Whether the node serves operations.", "operationId": "health", "tags": ["server"],
            "security": [], "responses": responses,
        })
    }

    /// Describes who may call: an empty requirement is one that everybody meets.
    fn security(&self, reads: bool) -> Value {
        let policy = self.app.policy;
        match reads && !policy.token_for_reads {
            _ if policy.needs_no_token => json!([]),
            true => json!([{}, {TOKEN: []}]),
            false => json!([{TOKEN: []}]),
        }
    }
}

fn timeout() -> Value {
    json!({
        "name": TIMEOUT, "in": "query", "required": false,
        "schema": {"type": "integer", "minimum": 0, "maximum": peerkit::MAX_TIMEOUT.as_millis() as u64},
        "description": "How long it may take, in milliseconds; 0 for the node's default.",
    })
}

/// Writes `/api/peers/{peer_id}/connect` as `api_peers_peer_id_connect`.
fn identifier(path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("_")
}

fn content(about: &str, kind: &str, schema: Value) -> Value {
    json!({"description": about, "content": {kind: {"schema": schema}}})
}

/// Refers, for each status that a failure may have, to where it is described.
fn failures() -> Map<String, Value> {
    let described = by_status().into_keys().map(|status| {
        let there = format!("#/components/responses/{}", name(status));
        (status.to_string(), json!({"$ref": there}))
    });
    described.collect()
}

fn described_failures() -> Map<String, Value> {
    let schema = json!({"$ref": "#/components/schemas/Failure"});
    let described = by_status().into_iter().map(|(status, why)| {
        let about = format!("It failed: {}.", why.join(", "));
        (name(status), content(&about, "application/json", schema.clone()))
    });
    described.collect()
}

fn name(status: u16) -> String {
    format!("Failure{status}")
}

/// Collects the statuses, and what has them: codes of the catalogue and what the server itself refuses.
fn by_status() -> BTreeMap<u16, Vec<String>> {
    let mut by_status: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for kind in ErrorKind::ALL {
        let status = status::of_kind(*kind).as_u16();
        by_status.entry(status).or_default().push(format!("`{kind}`"));
    }
    for (status, why) in [
        (401, "the token is missing or wrong"),
        (403, "the request comes from another site's page, or acts where the server is read-only"),
        (405, "the path doesn't take this method"),
        (408, "the body took too long to arrive"),
        (413, "the body is too long"),
        (415, "the body isn't said to be JSON"),
        (421, "the server isn't reached by that host name"),
        (503, "too much goes on at once"),
    ] {
        by_status.entry(status).or_default().push(why.to_owned());
    }
    by_status
}
