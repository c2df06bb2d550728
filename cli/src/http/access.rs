//! The rights of a caller: asked by the page, which shows beforehand what will be refused, and why.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::app::App;
use super::caller::Caller;
use super::status;

/// Answers `GET /api/access`, to everybody, also those with a wrong token; it tells nothing that a refusal wouldn't.
pub async fn answer(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let shown = headers.contains_key(AUTHORIZATION);
    let (token, authenticated) = match app.policy.authenticate(&app.token, &headers) {
        Ok(Caller::Authenticated) if app.policy.needs_no_token => ("not_needed", true),
        Ok(Caller::Authenticated) => ("right", true),
        Ok(Caller::Anonymous) => ("none", false),
        Err(refusal) if refusal.status() != StatusCode::UNAUTHORIZED => {
            return refusal.into_response("");
        }
        Err(_) => (if shown { "wrong" } else { "none" }, false),
    };
    let read_only = app.node.read_only();
    let access = json!({
        "success": true,
        "token": token,
        "reads": authenticated || (!shown && !app.policy.token_for_reads),
        "acts": authenticated && !read_only,
        "read_only": read_only,
    });
    status::json(StatusCode::OK, access.to_string())
}
