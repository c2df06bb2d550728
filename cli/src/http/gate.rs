//! What every request passes before anything answers it: is it meant for this server, does it come from where it
//! may come from, who sends it, is there room. And what every response takes along.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::*;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use peerkit::{Error, ErrorKind};

use super::app::{App, Place};
use super::pages::is_page;
use super::status::{Refusal, too_busy};

/// Where it is told that the server is alive, to whoever asks.
pub const HEALTH: &str = "/healthz";
/// Where it is told what a caller may do, also to one who may do nothing.
pub const ACCESS: &str = "/api/access";

/// The page may load its own files and talk to its own server; nothing else, and nobody may frame it.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a caller may do, as far as the token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Has shown the token, or needs none.
    Trusted,
    /// Has shown nothing.
    Anybody,
}

impl Caller {
    /// Lets pass who may act.
    pub fn trusted(self) -> Result<(), Refusal> {
        match self {
            Caller::Trusted => Ok(()),
            Caller::Anybody => Err(unauthorized("this needs the token")),
        }
    }
}

/// The outermost layer.
pub async fn pass(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&app, request) {
        Ok((request, _room)) => next.run(request).await,
        Err(refusal) => refusal.into_response(""),
    };
    decorate(response.headers_mut());
    response
}

fn admit(app: &App, request: Request) -> Result<(Request, Place), Refusal> {
    let (mut parts, body) = request.into_parts();
    let page = is_page(parts.uri.path());
    app.hosts.check(&parts, page)?;
    let caller = if page || [HEALTH, ACCESS].contains(&parts.uri.path()) {
        Caller::Anybody
    } else {
        who(app, &parts.headers)?
    };
    parts.extensions.insert(caller);
    let room = app.room.enter(caller).ok_or_else(|| too_busy("requests"))?;
    Ok((Request::from_parts(parts, body), room))
}

/// Who sends a request. A wrong token is refused everywhere, so that a client learns that it is wrong.
pub fn who(app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
    if app.policy.needs_no_token {
        return Ok(Caller::Trusted);
    }
    let mut shown = headers.get_all(AUTHORIZATION).iter();
    match (shown.next(), shown.next()) {
        (None, _) if app.policy.token_for_reads => Err(unauthorized("this server needs the token")),
        (None, _) => Ok(Caller::Anybody),
        (Some(header), None) => match bearer(header) {
            Some(token) if app.token.is(token).map_err(unusable)? => Ok(Caller::Trusted),
            _ => Err(unauthorized("this isn't the token")),
        },
        _ => Err(unauthorized("one Authorization header is enough")),
    }
}

/// The token of `Bearer <token>`; the scheme's name in any case.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn unauthorized(why: &str) -> Refusal {
    let error = Error::new(ErrorKind::Blocked, why).with_hint(
        "send `Authorization: Bearer` with what is in the file `token` of the data directory",
    );
    Refusal::new(StatusCode::UNAUTHORIZED, error)
}

/// The token's file isn't as it should be; what it is called is for those who see the server's own output.
fn unusable(error: Error) -> Refusal {
    Error::new(error.kind(), "the server's token can't be used")
        .with_hint("what `peerkit serve` printed says why")
        .into()
}

fn decorate(headers: &mut HeaderMap) {
    let fixed = [
        (CONTENT_SECURITY_POLICY, CSP),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
