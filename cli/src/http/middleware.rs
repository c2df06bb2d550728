//! The outermost middleware. A request passes it before anything answers: is it meant for this server, does it come
//! from where it may come from, who sends it, is there room. Every response takes the security headers along.

use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::header::*;
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;
use super::budget::{Taken, UNCOUNTED};
use super::caller::Caller;
use super::connections::Connection;
use super::pages::is_page;
use super::refusals::Why;
use super::room::Place;
use super::routes::{ACCESS, HEALTH};
use super::status::{Refusal, Shared, no_room_for_reply, too_busy};

/// Lets a page load its own files and talk to its own server; nothing else, and nobody may frame it.
const CSP: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Lets a request through, or answers why not.
pub async fn handle(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let mut response = match admit(&app, request, connection.as_deref()) {
        Ok((request, caller, _place)) => {
            count(&app, caller, connection.as_ref(), next.run(request).await)
        }
        Err(refusal) => refusal.into_response(""),
    };
    add_security_headers(response.headers_mut());
    response
}

/// Counts a response against the budget, where whoever made it hasn't; without room there is a refusal in its place.
fn count(
    app: &App,
    caller: Caller,
    connection: Option<&Arc<Connection>>,
    mut response: Response,
) -> Response {
    let counted = response.extensions().get::<Taken>().is_some();
    let shared = response.extensions_mut().remove::<Shared>().is_some();
    let length = response.body().size_hint().exact().unwrap_or_default();
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if counted || shared || length <= UNCOUNTED {
        return response;
    }
    match app.budget.take(caller, None, length, connection) {
        Some(taken) => {
            response.extensions_mut().insert(taken);
            response
        }
        None => no_room_for_reply().into_response(""),
    }
}

fn admit(
    app: &App,
    request: Request,
    connection: Option<&Connection>,
) -> Result<(Request, Caller, Place), Refusal> {
    let (mut parts, body) = request.into_parts();
    let page = is_page(parts.uri.path());
    app.hosts.check(&parts, page)?;
    // These answer everybody, also with a wrong token.
    let caller = if page || [HEALTH, ACCESS].contains(&parts.uri.path()) {
        Caller::Anonymous
    } else {
        app.policy.authenticate(&app.token, &parts.headers)?
    };
    parts.extensions.insert(caller);
    // Having no token proves nothing where nobody needs one.
    if let (Caller::Authenticated, false, Some(connection)) =
        (caller, app.policy.needs_no_token, connection)
    {
        connection.shows_token();
    }
    let place = app.requests.enter(caller).ok_or_else(|| {
        app.refusals.add(Why::AtOnce);
        too_busy("requests")
    })?;
    Ok((Request::from_parts(parts, body), caller, place))
}

/// Adds what every response says about its use.
pub fn add_security_headers(headers: &mut HeaderMap) {
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
