//! Text in and out of C: who owns which pointer.
//!
//! In: `const char *` belongs to the caller and is read only during the call. Out: one kind of
//! `char *`, a reply, which belongs to the caller until [`release`] takes it back.

use std::ffi::{CStr, CString, c_char};

use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::nesting::{MAX_DEPTH, is_too_deep};
use crate::model::once::read_json;

/// The most an input may take, in bytes.
const MAX_INPUT: usize = 1 << 20;

/// Returns the text behind a pointer; `None` for NULL.
///
/// # Safety
/// The pointer is NULL or points to a NUL-terminated string that nobody changes during `'a`.
pub(super) unsafe fn optional<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL, and the caller of this function promises the rest.
    let bytes = unsafe { CStr::from_ptr(pointer) }.to_bytes();
    if bytes.len() > MAX_INPUT {
        return Err(invalid_argument(format!(
            "`{name}` takes {} bytes; at most {MAX_INPUT} are read",
            bytes.len()
        )));
    }
    std::str::from_utf8(bytes)
        .map(Some)
        .map_err(|error| invalid_argument(format!("`{name}` is not UTF-8: {error}")))
}

/// Returns the text behind a pointer that must not be NULL.
///
/// # Safety
/// As for [`optional`].
pub(super) unsafe fn required<'a>(pointer: *const c_char, name: &str) -> Result<&'a str> {
    // SAFETY: the caller promises what `optional` asks for.
    unsafe { optional(pointer, name) }?.ok_or_else(|| invalid_argument(format!("`{name}` is NULL")))
}

/// Returns the JSON object behind a pointer; an empty one for NULL.
///
/// # Safety
/// As for [`optional`].
pub(super) unsafe fn object(pointer: *const c_char, name: &str) -> Result<Map<String, Value>> {
    // SAFETY: the caller promises what `optional` asks for.
    let Some(text) = (unsafe { optional(pointer, name) })? else {
        return Ok(Map::new());
    };
    if is_too_deep(text.as_bytes()) {
        return Err(invalid_argument(format!("`{name}` is nested deeper than {MAX_DEPTH} levels")));
    }
    match read_json(text.as_bytes()) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(Value::Null) => Ok(Map::new()),
        Ok(_) => Err(invalid_argument(format!("`{name}` is not a JSON object"))),
        Err(why) => Err(why.into_error(|error| format!("`{name}` is not JSON: {error}"))),
    }
}

/// Hands a reply to the caller.
pub(super) fn give(json: String) -> *mut c_char {
    // serde_json escapes NUL, so the second case can't come about; it must not be a panic either.
    CString::new(json).unwrap_or_else(|_| CString::from(c"{\"success\":false}")).into_raw()
}

/// Frees a reply. NULL is no-op.
///
/// # Safety
/// The pointer is NULL, or came from [`give`] and was not freed yet.
pub(super) unsafe fn release(reply: *mut c_char) {
    if !reply.is_null() {
        // SAFETY: the caller promises that `give` made it with `into_raw`, and only this once.
        drop(unsafe { CString::from_raw(reply) });
    }
}

/// Makes the error for a NULL in place of an out-parameter.
pub(super) fn null_out() -> Error {
    Error::new(ErrorKind::InvalidArgument, "`out` is NULL")
}
