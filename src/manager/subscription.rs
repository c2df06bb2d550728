//! The user's side of an event subscription.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::check_timeout;
use crate::error::Result;
use crate::events::Subscription;
use crate::model::event::EventBatch;
use crate::process;

/// A subscription to what happens. Dropping it ends it.
pub struct Events(pub(super) Arc<Subscription>);

impl Events {
    /// Takes up to 64 events, oldest first, waiting up to `timeout` for the first (zero: not at
    /// all). Nothing in time is an empty batch; when the run has ended and everything was taken,
    /// the error is `closed`.
    pub fn next(&self, timeout: Duration) -> Result<EventBatch> {
        process::check_caller()?;
        self.0.next(Instant::now() + check_timeout(timeout)?)
    }

    /// A descriptor that is readable while something is queued or the run has ended. Poll it,
    /// never read or close it. -1 where the system has none.
    pub fn fd(&self) -> i32 {
        self.0.fd()
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
