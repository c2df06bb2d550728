//! What a caller may do: asked by the page, which shows beforehand what will be refused, and why.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};

use super::app::App;
use super::gate::{Caller, who};
use super::status;

/// `GET /api/access`: answers everybody, also those with a wrong token; it tells nothing that a refusal wouldn't.
pub async fn told(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let shown = headers.contains_key(AUTHORIZATION);
    let (token, trusted) = match who(&app, &headers) {
        Ok(Caller::Trusted) if app.policy.needs_no_token => ("not_needed", true),
        Ok(Caller::Trusted) => ("right", true),
        Ok(Caller::Anybody) => ("none", false),
        Err(refusal) if refusal.status() != StatusCode::UNAUTHORIZED => {
            return refusal.into_response("");
        }
        Err(_) => (if shown { "wrong" } else { "none" }, false),
    };
    let read_only = app.node.read_only();
    let access = json!({
        "success": true,
        "token": token,
        "reads": trusted || (!shown && !app.policy.token_for_reads),
        "acts": trusted && !read_only,
        "read_only": read_only,
    });
    status::json(StatusCode::OK, access.to_string())
}

/// The JSON Schema of the answer.
pub fn schema() -> Value {
    let whether = |about: &str| json!({"type": "boolean", "description": about});
    json!({
        "type": "object",
        "required": ["success", "token", "reads", "acts", "read_only"],
        "properties": {
            "success": {"const": true},
            "token": {"enum": ["right", "wrong", "none", "not_needed"],
                "description": "What the server makes of the token that was shown."},
            "reads": whether("Whether this caller may call what reads."),
            "acts": whether("Whether this caller may call what acts."),
            "read_only": whether("Whether the server refuses what acts, whoever calls."),
        },
    })
}
