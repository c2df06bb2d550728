//! The C functions: thin views of the process slot and the operations. The only home of `unsafe`
//! beside `os`.
//!
//! `lifecycle`, `peers` and `events` hold the functions; cbindgen makes `include/peerkit.h` of those
//! three. `guard` catches panics, `text` says who owns which pointer, `hints` names functions of C,
//! `subscriptions` knows event subscriptions by number.
//!
//! The caller of every C function promises, as the header says at its top: a `const char *`
//! is NULL or a NUL-terminated string that nobody changes during the call; an out-pointer is NULL
//! or writable.
#![allow(unsafe_code)]
#![allow(non_camel_case_types)]
// Said once, above.
#![allow(clippy::missing_safety_doc)]

mod events;
mod guard;
mod hints;
mod lifecycle;
mod peers;
mod subscriptions;
mod text;

use std::ffi::c_char;
use std::time::Duration;

use serde_json::{Map, Value};

use self::lifecycle::peerkit_t;
use crate::error::Result;
use crate::manager::PeerManager;
use crate::model::params::NoParams;
use crate::ops;

/// Reads a timeout as C gives it: 0 is the default.
fn millis(timeout_ms: u32) -> Option<Duration> {
    (timeout_ms > 0).then(|| Duration::from_millis(timeout_ms.into()))
}

/// # Safety
/// `out` is NULL or writable.
unsafe fn set(out: *mut u64, value: u64) {
    if !out.is_null() {
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { out.write(value) };
    }
}

/// Runs an operation of the catalogue; `params` reads its parameters from the C arguments.
fn operation(
    h: peerkit_t,
    name: &'static str,
    timeout_ms: u32,
    params: impl FnOnce() -> Result<Map<String, Value>>,
) -> *mut c_char {
    let failed = |error| {
        let error = hints::in_c(error);
        match ops::find(name) {
            Ok(op) => op.failure(&error),
            Err(_) => ops::failure_of::<NoParams>(name, &error),
        }
    };
    let call = || {
        let manager = PeerManager::of_handle(h)?;
        ops::find(name)?.try_call(&manager, params()?, millis(timeout_ms))
    };
    guard::operation(|| call().unwrap_or_else(failed), failed)
}
