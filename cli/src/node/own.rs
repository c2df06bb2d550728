//! The node of this process.

use std::time::Duration;

use peerkit::event::EventBatch;
use peerkit::params::EventsOptions;
use peerkit::{Events, PeerManager, ops};
use serde_json::{Map, Value};

use super::interface::{EVENTS, EventSource, Node, given};
use super::reply::Reply;

impl Node for PeerManager {
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply {
        Reply::new(ops::call(self, method, params, given(timeout)))
    }

    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
        match self.events_with(options.clone()) {
            Ok(events) => Ok(Box::new(events)),
            Err(error) => Err(Reply::refused(EVENTS, &error)),
        }
    }

    fn cancel(&self, token: u64) {
        // One that fails finds no call that waits.
        let _ = PeerManager::cancel(self, token);
    }
}

impl EventSource for Events {
    fn next(&mut self, timeout: Duration) -> peerkit::Result<EventBatch> {
        Events::next(self, timeout)
    }

    fn last_seq(&self) -> u64 {
        Events::last_seq(self)
    }
}
