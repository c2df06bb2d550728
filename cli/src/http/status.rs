//! Replies of the library as HTTP responses: the envelope is the body, the code says the status. Failures that
//! the server finds by itself have the same form.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use peerkit::Error;
use peerkit::ErrorKind::{self, *};

use crate::hints::{Door, reworded};
use crate::node::Reply;

/// The content type of nearly everything.
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Gives the status of a failure. 424 and not 502 where a remote peer failed: 5xx is for what is wrong with this node.
pub fn of_kind(kind: ErrorKind) -> StatusCode {
    match kind {
        InvalidArgument | InvalidPeerId | InvalidMultiaddr | SelfDial => StatusCode::BAD_REQUEST,
        Blocked | Forked => StatusCode::FORBIDDEN,
        UnknownMethod | PeerNotFound | NoAddresses => StatusCode::NOT_FOUND,
        ConfigConflict | NotConnected | Cancelled => StatusCode::CONFLICT,
        Unsupported => StatusCode::UNPROCESSABLE_ENTITY,
        DataDirLocked => StatusCode::LOCKED,
        DialFailed | WrongPeerId | Protocol => StatusCode::FAILED_DEPENDENCY,
        Busy | LimitReached => StatusCode::TOO_MANY_REQUESTS,
        Timeout | DialTimeout => StatusCode::GATEWAY_TIMEOUT,
        InvalidHandle | NotRunning | Closed | Dead | Storage | StorageCorrupt | StorageVersion
        | Identity | ListenFailed | ConfigInvalid => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Answers with a reply as it is.
pub fn plain(reply: Reply) -> Response {
    let status = reply.code().map_or(StatusCode::OK, of_kind);
    json(status, reworded(reply, Door::Route).into_json())
}

/// Marks a response whose bytes are kept anyway, so that one which isn't read takes no memory.
#[derive(Debug, Clone, Copy)]
pub struct Shared;

/// Answers with some JSON text.
pub fn json(status: StatusCode, text: impl Into<Body>) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A failure that the server itself found, before any operation was asked.
#[derive(Debug)]
pub struct Refusal {
    status: StatusCode,
    error: Error,
}

impl Refusal {
    /// Refuses with a status that the error's code alone doesn't have.
    pub fn new(status: StatusCode, error: Error) -> Self {
        Refusal { status, error }
    }

    /// Gives the status it becomes.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Says what is wrong, for a door that answers in a form of its own.
    pub fn message(&self) -> &str {
        self.error.message()
    }

    /// Writes the envelope.
    pub fn to_json(&self, method: &str) -> String {
        reworded(Reply::refused(method, &self.error), Door::Route).into_json()
    }

    /// Makes the response; `method` is the operation that was meant, if one was.
    pub fn into_response(self, method: &str) -> Response {
        let mut response = json(self.status, self.to_json(method));
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal { status: of_kind(error.kind()), error }
    }
}

/// Answers that there is nothing at this path.
pub fn no_such_path() -> Response {
    let error = Error::new(UnknownMethod, "there is nothing at this path")
        .with_hint("/api/openapi.json lists what there is");
    Refusal::from(error).into_response("")
}

/// Answers that the path doesn't take this method.
pub fn wrong_method() -> Response {
    let error = Error::new(InvalidArgument, "this path doesn't take this HTTP method")
        .with_hint("the header `allow` says which it takes");
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error).into_response("")
}

/// Refuses because too much is going on at once.
pub fn too_busy(what: &str) -> Refusal {
    let error = Error::new(Busy, format!("too many {what} at once"));
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Refuses because replies that nobody has read yet take all the room there is for them.
pub fn no_room_for_reply() -> Refusal {
    no_room("replies that wait to be read take all the room there is")
}

/// Refuses because the bodies of requests take all the room there is for them.
pub fn no_room_for_body() -> Refusal {
    no_room("the bodies of other requests take all the room there is")
}

fn no_room(why: &str) -> Refusal {
    let error = Error::new(LimitReached, why).with_hint(
        "read replies as they come, ask for fewer peers at a time, and try again in a moment",
    );
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Refuses because the system gives no thread.
pub fn no_thread(error: Error) -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error)
}

/// Answers after a panic, of which nobody outside learns more than that.
pub fn panicked() -> Response {
    let error = Error::new(Panic, "the server panicked while it answered");
    Refusal::from(error.with_hint("this is a bug in peerkit")).into_response("")
}
