//! The table of event subscriptions that C knows by number.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::error::{Error, ErrorKind, Result};
use crate::handle::{Handles, Kind};
use crate::manager::Events;
use crate::process;

type Table = Mutex<HashMap<u64, Arc<Events>>>;

static OPEN: OnceLock<Table> = OnceLock::new();

fn open_ones() -> &'static Table {
    OPEN.get_or_init(Table::default)
}

/// Gives the subscription a number.
pub(super) fn insert(events: Events) -> u64 {
    let handle = Handles::next(Kind::Events);
    open_ones().lock().insert(handle, Arc::new(events));
    handle
}

/// Returns the subscription of a number.
pub(super) fn get(handle: u64) -> Result<Arc<Events>> {
    process::check_caller()?;
    open_ones().lock().get(&handle).cloned().ok_or_else(invalid)
}

/// Ends a subscription and forgets its number. True where it was open; one closed before is no
/// error.
pub(super) fn close(handle: u64) -> Result<bool> {
    process::check_caller()?;
    match open_ones().lock().remove(&handle) {
        Some(events) => {
            events.close();
            Ok(true)
        }
        None if Handles::was_issued(handle, Kind::Events) => Ok(false),
        None => Err(invalid()),
    }
}

fn invalid() -> Error {
    Error::new(ErrorKind::InvalidHandle, "the handle is of no open event subscription")
}
