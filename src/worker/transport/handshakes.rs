//! The inbound handshakes under way, each with the way to end it: the swarm has none.
//!
//! The transport isn't told which connection an inbound one is to become. The swarm asks the gater about each
//! right after the transport handed it over, so the gater takes the handle of the one that began last.

use std::future::Future;
use std::sync::Arc;

use futures::future::{AbortHandle, Abortable};
use parking_lot::Mutex;

/// Hands the end of each inbound handshake to the gater. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Handshakes(Arc<Mutex<Option<AbortHandle>>>);

impl Handshakes {
    /// Makes a handshake one that can be ended.
    pub(super) fn begin<F: Future>(&self, handshake: F) -> Abortable<F> {
        let (end, registration) = AbortHandle::new_pair();
        *self.0.lock() = Some(end);
        Abortable::new(handshake, registration)
    }

    /// Returns the end of the handshake that began last.
    pub(crate) fn last(&self) -> Option<AbortHandle> {
        self.0.lock().take()
    }
}
