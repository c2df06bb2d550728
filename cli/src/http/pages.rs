//! The dashboard's files, as they were built into the program. They hold nothing secret, so anybody who reaches
//! the server may load them; what they show comes from the API.

use axum::Extension;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};

use super::status::Shared;

/// Path, content type and content of each file.
pub const FILES: &[(&str, &str, &str)] = &[
    ("/", "text/html; charset=utf-8", include_str!("../../assets/index.html")),
    ("/app.js", "text/javascript; charset=utf-8", include_str!("../../assets/app.js")),
    ("/app.css", "text/css; charset=utf-8", include_str!("../../assets/app.css")),
    ("/icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
];

/// Tells whether this is the path of such a file.
pub fn is_page(path: &str) -> bool {
    FILES.iter().any(|(name, ..)| *name == path)
}

/// Answers with a file. A browser asks again each time: the next version of the program may have another.
pub fn answer(content_type: &'static str, content: &'static str) -> Response {
    let headers = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, "no-cache")];
    (headers, Extension(Shared), content).into_response()
}
