//! The OpenAPI document.

use axum::http::StatusCode;
use axum::response::Response;

use super::status;

/// `GET /api/openapi.json`.
pub async fn document() -> Response {
    status::json(StatusCode::OK, "{}".to_owned())
}
