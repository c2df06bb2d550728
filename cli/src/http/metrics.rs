//! Monitoring: the page for Prometheus, and the health of the node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use peerkit::ErrorKind;
use serde_json::{Map, json};

use super::accept::Accept;
use super::app::App;
use super::calls::blocking;
use super::exposition::{PLAIN, to_plain, wants_openmetrics};
use super::status;
use crate::node::{Node, Reply};

/// The operation behind the page.
const OPERATION: &str = "get_metrics";

/// Answers `/metrics` with the text that the operation gives, in the form that the scraper reads.
pub async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let open = wants_openmetrics(&Accept::of(&headers));
    read(&app, OPERATION).await.map_or_else(|failure| failure, |reply| exposition(reply, open))
}

/// Answers `/healthz`: whether the node serves operations. Says no more than that to whoever asks.
pub async fn health(State(app): State<Arc<App>>) -> Response {
    let reply = match read(&app, "status").await {
        Ok(reply) => reply,
        Err(panicked) => return panicked,
    };
    let dead = || (reply.object().get("state") == Some(&"dead".into())).then_some(ErrorKind::Dead);
    match reply.code().or_else(dead) {
        None => status::json(StatusCode::OK, json!({"status": "ok"}).to_string()),
        Some(code) => {
            let text = json!({"status": "down", "code": code.as_str()}).to_string();
            status::json(StatusCode::SERVICE_UNAVAILABLE, text)
        }
    }
}

async fn read(app: &App, op: &'static str) -> Result<Reply, Response> {
    let node = Arc::clone(&app.node);
    blocking(app, op, move || node.call(op, Map::new(), Duration::ZERO)).await
}

fn exposition(reply: Reply, open: bool) -> Response {
    if !reply.is_success() {
        return status::plain(reply);
    }
    let mut fields = reply.object();
    let mut text = |name: &str| match fields.shift_remove(name) {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    let (metrics, content_type) = (text("metrics"), text("content_type"));
    let (metrics, content_type) =
        if open { (metrics, &*content_type) } else { (to_plain(&metrics), PLAIN) };
    let content_type = HeaderValue::from_str(content_type);
    let mut response = Response::new(Body::from(metrics));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(PLAIN)));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}
