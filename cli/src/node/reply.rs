//! A reply as it goes around here: the JSON text of the library's envelope, looked into only where somebody asks.

use peerkit::text::visible_json;
use peerkit::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The JSON reply of an operation, of success or failure.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply(String);

impl Reply {
    /// Takes a reply as the library writes it, or made anew of one. Nothing is hidden in its text, as in the library's.
    pub fn new(json: String) -> Self {
        Reply(visible_json(json).into_owned())
    }

    /// Makes the failure reply of an operation that could not be asked for.
    pub fn refused(method: &str, error: &Error) -> Self {
        Reply(peerkit::ops::refusal(method, error))
    }

    /// Tells whether the operation succeeded. A reply begins with this, by contract.
    pub fn is_success(&self) -> bool {
        self.0.starts_with("{\"success\":true")
    }

    /// Gives the text.
    pub fn json(&self) -> &str {
        &self.0
    }

    /// Gives the text away.
    pub fn into_json(self) -> String {
        self.0
    }

    /// Reads the reply as an object; empty where an owner of another version answered something else.
    pub fn object(&self) -> Map<String, Value> {
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Tells why it failed; None of a success. An owner of a newer version may have codes unknown here: those
    /// count as `protocol`.
    pub fn code(&self) -> Option<ErrorKind> {
        #[derive(Deserialize)]
        struct Failure {
            code: Value,
        }
        if self.is_success() {
            return None;
        }
        let failure = serde_json::from_str::<Failure>(&self.0).ok();
        let kind = failure.and_then(|failure| serde_json::from_value(failure.code).ok());
        Some(kind.unwrap_or(ErrorKind::Protocol))
    }
}
