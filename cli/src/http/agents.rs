//! `/mcp`: the MCP server of `mcp`, for callers who show the token.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use peerkit::Error;

use super::app::App;
use super::caller::Caller;
use crate::mcp::{self, End, Http};

/// The path of MCP.
pub const PATH: &str = "/mcp";

/// Makes the route, and what ends its streams.
pub fn route(app: &Arc<App>) -> Result<(Router, End), Error> {
    let host = app.hosts.name();
    let (node, threads) = (Arc::clone(&app.node), app.threads.clone());
    let Http { service, end } =
        mcp::http_service(node, threads, std::slice::from_ref(&host), &[origin(&host)])?;
    let router = Router::new()
        .route_service(PATH, service)
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
