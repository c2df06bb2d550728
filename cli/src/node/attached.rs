//! A node in another process, reached by its control socket.

use std::time::Duration;

use peerkit::control::{Client, RemoteEvents};
use peerkit::event::EventBatch;
use peerkit::params::EventsOptions;
use serde_json::{Map, Value};

use super::interface::{EVENTS, EventSource, Node, given};
use super::reply::Reply;

impl Node for Client {
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply {
        reply(method, Client::call(self, method, params, given(timeout)))
    }

    fn call_with_own_token(
        &self,
        method: &str,
        params: Map<String, Value>,
        timeout: Duration,
    ) -> Reply {
        reply(method, Client::call_with_own_token(self, method, params, given(timeout)))
    }

    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
        match Client::events(self, options) {
            Ok(events) => Ok(Box::new(events)),
            Err(error) => Err(Reply::refused(EVENTS, &error)),
        }
    }

    fn cancel(&self, token: u64) {
        // One that fails finds no owner, and so no call.
        let _ = Client::cancel(self, token);
    }
}

fn reply(method: &str, replied: peerkit::Result<String>) -> Reply {
    match replied {
        Ok(json) => Reply::new(json),
        Err(error) => Reply::refused(method, &error),
    }
}

impl EventSource for RemoteEvents {
    fn next(&mut self, timeout: Duration) -> peerkit::Result<EventBatch> {
        RemoteEvents::next(self, timeout)
    }

    fn last_seq(&self) -> u64 {
        RemoteEvents::last_seq(self)
    }
}
