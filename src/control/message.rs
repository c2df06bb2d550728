//! The messages between client and server, and their limits. The lines they travel in are for `wire`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::once::{Misread, read_json};
use crate::ops;

/// The version of the protocol.
pub(super) const PROTOCOL: u32 = 1;
/// The most the parameters of a call may take, as in the C interface.
const MAX_PARAMS: usize = 1 << 20;
/// The longest line a client may send: parameters and what is around them.
pub(super) const MAX_REQUEST: usize = MAX_PARAMS + 4096;
/// The longest line a server sends.
pub(super) const MAX_REPLY: usize = ops::MAX_REPLY + 65_536;
/// The longest line before either side knows the other.
pub(super) const MAX_HELLO: usize = 4096;
/// The longest that the server of a subscription says nothing.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);

/// The client's first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientHello {
    /// The version of the protocol it speaks.
    pub peerkit: u32,
    #[serde(default)]
    pub version: String,
}

impl ClientHello {
    pub(super) fn ours() -> Self {
        ClientHello { peerkit: PROTOCOL, version: crate::VERSION.to_owned() }
    }
}

/// The server's first line to a client that it serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ServerHello {
    pub peerkit: u32,
    pub version: String,
    pub peer_id: String,
    pub pid: u32,
    /// The timeout of a call whose `timeout_ms` is 0.
    pub default_timeout_ms: u64,
}

/// The server's first line to a client that it doesn't serve.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Refusal {
    pub peerkit: u32,
    #[serde(default)]
    pub version: String,
    pub error: String,
    /// A text: another version may have codes that we don't know.
    #[serde(default)]
    pub code: String,
}

impl Refusal {
    pub(super) fn new(code: ErrorKind, error: impl Into<String>) -> Self {
        let (version, code) = (crate::VERSION.to_owned(), code.as_str().to_owned());
        Refusal { peerkit: PROTOCOL, version, error: error.into(), code }
    }
}

/// The first line of a server.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Greeting {
    Refusal(Refusal),
    Hello(ServerHello),
}

/// A client's request, as it stands on the line.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct RequestLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// True if the client's going away ends the call, though it has a token of the client's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel_on_hangup: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<u64>,
}

impl RequestLine {
    fn read(line: &[u8]) -> Result<Self, String> {
        let mut request = read_json(line).map_err(|why| match why {
            Misread::Doubled(name) => format!("`{name}` is given more than once"),
            Misread::NotJson(error) => error.to_string(),
        })?;
        // It may be written by a client that has but one kind of number.
        if let Value::Object(object) = &mut request {
            ops::whole_numbers(object);
        }
        serde_json::from_value(request).map_err(|error| error.to_string())
    }
}

/// A client's request.
#[derive(Debug)]
pub(super) enum Request {
    Call {
        method: String,
        params: Map<String, Value>,
        timeout: Option<Duration>,
        /// True if the call ends with its client even where it has a token of the client's own.
        cancel_on_hangup: bool,
    },
    Events(Map<String, Value>),
    /// Ends the waiting calls with this token.
    Cancel(u64),
}

impl Request {
    pub(super) fn read(line: &[u8]) -> Result<Request> {
        let line = RequestLine::read(line)
            .map_err(|error| invalid_argument(format!("the request is not right: {error}")))?;
        match (line.call, line.events, line.cancel) {
            (Some(method), None, None) => Ok(Request::Call {
                method,
                params: line.params.unwrap_or_default(),
                timeout: line.timeout_ms.filter(|ms| *ms > 0).map(Duration::from_millis),
                cancel_on_hangup: line.cancel_on_hangup,
            }),
            (None, Some(options), None) => Ok(Request::Events(options)),
            (None, None, Some(token)) => Ok(Request::Cancel(token)),
            _ => Err(invalid_argument("a request has one of `call`, `events` and `cancel`")),
        }
    }
}

/// The answer to a subscription that is open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventsAnswer {
    pub success: bool,
    pub last_seq: u64,
}

/// Returns the error for a line that is too long.
pub(super) fn too_long() -> Error {
    invalid_argument(format!("the request is too long: the parameters may take {MAX_PARAMS} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_call_or_a_subscription() {
        let call = Request::read(br#"{"call":"status","later":1}"#).unwrap();
        assert!(matches!(call, Request::Call { method, params, timeout, cancel_on_hangup: false }
            if method == "status" && params.is_empty() && timeout.is_none()));
        let floats = Request::read(br#"{"call":"status","timeout_ms":5e3}"#).unwrap();
        let five_seconds = Some(Duration::from_secs(5));
        assert!(matches!(floats, Request::Call { timeout, .. } if timeout == five_seconds));
        let twice = Request::read(br#"{"call":"list_peers","params":{"limit":1,"limit":2}}"#);
        assert!(twice.unwrap_err().message().contains("`params.limit` is given more than once"));
        let events = Request::read(br#"{"events":{"since":3}}"#).unwrap();
        assert!(matches!(events, Request::Events(options) if options["since"] == 3));
        for line in ["", "1", "{}", r#"{"call":"status","events":{}}"#, r#"{"call":1}"#, "\u{fffd}"]
        {
            let error = Request::read(line.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{line}");
        }
    }

    #[test]
    fn a_greeting_is_told_from_a_refusal() {
        let hello = ServerHello {
            peerkit: 1,
            version: "0.1.0".to_owned(),
            peer_id: "12D3".to_owned(),
            pid: 7,
            default_timeout_ms: 30_000,
        };
        let line = serde_json::to_vec(&hello).unwrap();
        assert!(
            matches!(serde_json::from_slice(&line), Ok(Greeting::Hello(read)) if read == hello)
        );
        let line = serde_json::to_vec(&Refusal::new(ErrorKind::Busy, "no")).unwrap();
        assert!(
            matches!(serde_json::from_slice(&line), Ok(Greeting::Refusal(read)) if read.code == "busy")
        );
        let line = br#"{"peerkit":2,"error":"version 2 only"}"#;
        assert!(
            matches!(serde_json::from_slice(line), Ok(Greeting::Refusal(read)) if read.peerkit == 2)
        );
    }
}
