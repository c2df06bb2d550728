//! The error for a value that a key can't have. Everything that reads or checks a key makes its errors here.

use crate::error::{Error, ErrorKind};

/// Names the key and says what it must be. `why` must not quote a secret.
pub(super) fn invalid(key: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}`: {why}")).with("key", key)
}
