//! The error for a value that a key can't have. Everything that reads or checks a key makes its errors here.

use crate::error::{Error, ErrorKind};

/// Names the key whose value is refused for this reason, and keeps what can be done about it.
pub(super) fn invalid_by(key: &str, why: &Error) -> Error {
    let invalid = invalid(key, why.message());
    match why.hint() {
        Some(hint) => invalid.with_hint(hint),
        None => invalid,
    }
}

/// Names the key and says what it must be. `why` must not quote a secret.
pub(super) fn invalid(key: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}`: {why}")).with("key", key)
}
