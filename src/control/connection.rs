//! A client's connection: how it is opened and greets, and what it means to a caller when that, or
//! what comes after it, fails.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::message::{ClientHello, Greeting, MAX_HELLO, PROTOCOL, Refusal, ServerHello};
use super::socket::connect;
use super::wire::{Broken, Wire};
use crate::error::{Error, ErrorKind, Result};

/// The reason there is no connection.
pub(super) enum Unopened {
    /// Nobody listens there, or not any more.
    Absent,
    Refused(Error),
}

/// Opens a connection and greets.
pub(super) fn open(socket: &Path, deadline: Instant) -> Result<(Wire, ServerHello), Unopened> {
    let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream = connect(socket, left).map_err(|error| unconnected(socket, &error))?;
    let mut wire = Wire::new(Arc::new(stream));
    let hello = line(&ClientHello::ours()).map_err(Unopened::Refused)?;
    // A server that refuses may have closed before it read this, yet has said why.
    let said = wire.write(hello, deadline);
    let greeting = wire.read(MAX_HELLO, deadline).map_err(|broken| match said {
        Err(Broken::TimedOut) => Unopened::Refused(broke(&Broken::TimedOut)),
        _ if matches!(broken, Broken::Closed) => Unopened::Absent,
        _ => Unopened::Refused(broke(&broken)),
    })?;
    match serde_json::from_slice(&greeting) {
        Ok(Greeting::Hello(owner)) if owner.peerkit == PROTOCOL => Ok((wire, owner)),
        Ok(Greeting::Hello(owner)) => {
            Err(Unopened::Refused(other_version(owner.peerkit, &owner.version)))
        }
        Ok(Greeting::Refusal(refusal)) => Err(Unopened::Refused(refusal_error(&refusal))),
        Err(_) => Err(Unopened::Refused(not_understood())),
    }
}

fn unconnected(socket: &Path, error: &io::Error) -> Unopened {
    match error.kind() {
        io::ErrorKind::NotFound
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset => Unopened::Absent,
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            Unopened::Refused(broke(&Broken::TimedOut))
        }
        io::ErrorKind::PermissionDenied => {
            let message = format!("the control socket {} is of another user", socket.display());
            let refused = Error::new(ErrorKind::Storage, message).caused_by(error);
            Unopened::Refused(refused.with("path", socket.display().to_string()))
        }
        _ => {
            let message = format!("no connection to the owner to be had: {error}");
            Unopened::Refused(Error::new(ErrorKind::LimitReached, message).caused_by(error))
        }
    }
}

fn refusal_error(refusal: &Refusal) -> Error {
    let is = |kind: ErrorKind| refusal.code == kind.as_str();
    if is(ErrorKind::Busy) {
        Error::new(ErrorKind::Busy, format!("the owner is busy: {}", refusal.error))
    } else if is(ErrorKind::LimitReached) {
        Error::new(ErrorKind::LimitReached, format!("the owner can't serve: {}", refusal.error))
    } else {
        other_version(refusal.peerkit, &refusal.version)
    }
}

fn other_version(theirs: u32, version: &str) -> Error {
    let version: String = version.chars().filter(|it| !it.is_control()).take(64).collect();
    let message = format!(
        "the owner, peerkit {version}, speaks version {theirs} of the control protocol; this is peerkit {} with \
         version {PROTOCOL}",
        crate::VERSION
    );
    Error::new(ErrorKind::Unsupported, message)
        .with("protocol", PROTOCOL)
        .with("owner_protocol", theirs)
        .with("owner_version", version)
        .with_hint("use the same version of peerkit as the owner")
}

/// Returns a message as a line.
pub(super) fn line(message: &impl Serialize) -> Result<String> {
    serde_json::to_string(message).map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, format!("the request is no JSON: {error}"))
    })
}

/// Returns the error that a broken connection is to a caller.
pub(super) fn broke(broken: &Broken) -> Error {
    match broken {
        Broken::TimedOut => Error::new(ErrorKind::Timeout, "the owner did not answer in time"),
        Broken::Closed => gone(),
        Broken::TooLong | Broken::NoRoom => not_understood(),
        Broken::Failed(error) => {
            let message = format!("the connection to the owner broke: {error}");
            Error::new(ErrorKind::Closed, message).caused_by(error)
        }
    }
}

pub(super) fn gone() -> Error {
    let message = "the process that owned the data directory is gone, or has stopped its manager";
    Error::new(ErrorKind::Closed, message)
}

pub(super) fn not_understood() -> Error {
    Error::new(ErrorKind::Protocol, "the owner answered what is no line of the control protocol")
}

/// Returns the error that the owner answered.
pub(super) fn failure(line: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Failure {
        code: ErrorKind,
        error: String,
        hint: Option<String>,
        #[serde(default)]
        detail: Map<String, Value>,
    }

    let Ok(failure) = serde_json::from_slice::<Failure>(line) else {
        return not_understood();
    };
    let error = Error::new(failure.code, failure.error);
    let error =
        failure.detail.into_iter().fold(error, |error, (key, value)| error.with(&key, value));
    match failure.hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_the_owners_error() {
        let reply = r#"{"success":false,"error":"no","code":"invalid_argument","hint":"so","detail":{"last_seq":3}}"#;
        let error = failure(reply.as_bytes());
        assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArgument, "no"));
        assert_eq!((error.hint(), &error.detail()["last_seq"]), (Some("so"), &Value::from(3)));
    }
}
