//! Stands around every C function: catches panics, which become replies.

use std::ffi::c_char;
use std::panic::{AssertUnwindSafe, catch_unwind};

use schemars::JsonSchema;
use serde::Serialize;

use super::{hints, text};
use crate::error::{Error, ErrorKind, Result};
use crate::manager::PeerManager;
use crate::ops;

/// Runs a function outside the catalogue; `R` is what it answers.
pub(super) fn answer<R: Serialize + JsonSchema>(
    method: &str,
    body: impl FnOnce() -> Result<R>,
) -> *mut c_char {
    let failed = |error| ops::failure_of::<R>(method, &hints::in_c(error));
    let body = || body().and_then(|reply| ops::success(method, &reply)).unwrap_or_else(failed);
    operation(body, failed)
}

/// Runs an operation of the catalogue; `body` gives the whole reply, `failed` makes that of an error.
pub(super) fn operation(
    body: impl FnOnce() -> String,
    failed: impl FnOnce(Error) -> String,
) -> *mut c_char {
    reply(body).unwrap_or_else(|| text::give(failed(panicked())))
}

/// Runs a function that answers with a number.
pub(super) fn number<T>(on_panic: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(on_panic)
}

/// Runs a body; returns `None` where it panicked. The manager then counts as dead, since whatever the panic
/// left half done can't be trusted.
fn reply(body: impl FnOnce() -> String) -> Option<*mut c_char> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(json) => Some(text::give(json)),
        Err(_panic) => {
            if let Ok(manager) = PeerManager::current() {
                manager.mark_dead();
            }
            None
        }
    }
}

pub(super) fn panicked() -> Error {
    Error::new(ErrorKind::Panic, "peerkit panicked in this call; the manager is dead")
}
