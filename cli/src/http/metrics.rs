//! Monitoring: the page for Prometheus, and the health of the node.

use std::fmt::Write;
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
/// The last line of the text.
const END: &str = "# EOF";

/// Answers `/metrics` with the text that the operation gives, in the form that the scraper reads.
pub async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let open = wants_openmetrics(&Accept::of(&headers));
    let reply = read(&app, OPERATION).await;
    reply.map_or_else(|failure| failure, |reply| exposition(reply, &of_server(&app), open))
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

/// Writes the server's own metrics.
fn of_server(app: &App) -> String {
    let connections = app.connections.count();
    let [strangers, holders] = app.budget.unsent();
    let mut text = format!(
        "# HELP peerkit_http_connections Connections to the HTTP server.\n\
         # TYPE peerkit_http_connections gauge\n\
         peerkit_http_connections {connections}\n\
         # HELP peerkit_http_unsent_bytes Room that replies take which nobody has read yet.\n\
         # TYPE peerkit_http_unsent_bytes gauge\n\
         # UNIT peerkit_http_unsent_bytes bytes\n\
         peerkit_http_unsent_bytes{{caller=\"anonymous\"}} {strangers}\n\
         peerkit_http_unsent_bytes{{caller=\"authenticated\"}} {holders}\n\
         # HELP peerkit_http_refused What the HTTP server refused or closed for want of room.\n\
         # TYPE peerkit_http_refused counter\n"
    );
    for (why, count) in app.refused() {
        let _ = writeln!(text, "peerkit_http_refused_total{{reason=\"{why}\"}} {count}");
    }
    text
}

fn exposition(reply: Reply, of_server: &str, open: bool) -> Response {
    if !reply.is_success() {
        return status::plain(reply);
    }
    let mut fields = reply.object();
    let mut text = |name: &str| match fields.shift_remove(name) {
        Some(serde_json::Value::String(text)) => text,
        _ => String::new(),
    };
    let (mut metrics, content_type) = (text("metrics"), text("content_type"));
    if let Some(end) = metrics.rfind(END) {
        metrics.insert_str(end, of_server);
    }
    let (metrics, content_type) =
        if open { (metrics, &*content_type) } else { (to_plain(&metrics), PLAIN) };
    let content_type = HeaderValue::from_str(content_type);
    let mut response = Response::new(Body::from(metrics));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static(PLAIN)));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}
