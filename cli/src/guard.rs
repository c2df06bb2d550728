//! What callers from elsewhere may do: those who come over HTTP or MCP, where a web page, an agent misled by what
//! it read, or a stranger may be behind the call. A [`Guarded`] node serves them, and lets through what is safe.
//!
//! Who they are is checked elsewhere (`http::auth`); commands of the same user need no guard.

use std::sync::Arc;
use std::time::Duration;

use peerkit::config::ApiAddress;
use peerkit::ops::{self, Effect, Operation};
use peerkit::params::EventsOptions;
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::node::{EventSource, Node, Reply, Setup};

/// A node as callers from elsewhere see it.
pub struct Guarded {
    node: Arc<dyn Node>,
    read_only: bool,
    /// API addresses that the configuration names: asking those is what the operator wants.
    apis: Vec<String>,
    /// Where the node lives, which is nobody's business.
    data_dir: String,
}

impl Guarded {
    /// Guards a node that is set up like this.
    pub fn new(node: Arc<dyn Node>, setup: &Setup, read_only: bool) -> Self {
        let config = &setup.config;
        let named = [&config.bootstrap_from_ipfs, &config.bootstrap_from_cluster];
        let apis = named.into_iter().flatten().filter_map(|api| match api {
            ApiAddress::At(address) => Some(address.clone()),
            ApiAddress::On(_) => None,
        });
        let data_dir = setup.data_dir.display().to_string();
        Guarded { node, read_only, apis: apis.collect(), data_dir }
    }

    /// Whether what acts is refused.
    pub fn read_only(&self) -> bool {
        self.read_only
    }

    /// Refuses what acts, where that isn't served.
    pub fn check_effect(&self, op: &Operation) -> Result<(), Error> {
        if self.read_only && op.effect != Effect::Reads {
            let message = format!("`{}` acts, and this server is read-only", op.name);
            return Err(Error::new(ErrorKind::Blocked, message));
        }
        Ok(())
    }

    fn check(&self, method: &str, params: &Map<String, Value>) -> Result<(), Error> {
        self.check_effect(ops::find(method)?)?;
        // The one parameter by which a caller could make this machine fetch something.
        match params.get("api") {
            Some(Value::String(api)) if !self.may_ask(api) => Err(Error::new(
                ErrorKind::Blocked,
                "over HTTP and MCP only an API on this machine, or the configured one, can be asked",
            )
            .with_hint("leave `api` out, or name it in the configuration")),
            _ => Ok(()),
        }
    }

    fn may_ask(&self, api: &str) -> bool {
        peerkit::is_loopback_api(api) || self.apis.iter().any(|known| known == api)
    }

    /// Takes local paths out of a failure.
    fn without_paths(&self, reply: Reply) -> Reply {
        if reply.is_success() {
            return reply;
        }
        let mut object = reply.object();
        let detail = object.get_mut("detail").and_then(Value::as_object_mut);
        let path = detail.and_then(|detail| detail.shift_remove("path"));
        let path = path.as_ref().and_then(Value::as_str);
        for text in ["error", "hint"]
            .iter()
            .filter_map(|key| match object.get(*key) {
                Some(Value::String(text)) => Some((*key, text.clone())),
                _ => None,
            })
            .collect::<Vec<_>>()
        {
            let (key, mut shown) = text;
            for secret in path.into_iter().chain([self.data_dir.as_str()]) {
                shown = shown.replace(secret, "the data directory");
            }
            object.insert(key.to_owned(), shown.into());
        }
        Reply::new(Value::Object(object).to_string())
    }
}

impl Node for Guarded {
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply {
        let reply = match self.check(method, &params) {
            Ok(()) => self.node.call(method, params, timeout),
            Err(error) => Reply::refused(method, &error),
        };
        self.without_paths(reply)
    }

    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
        self.node.events(options).map_err(|reply| self.without_paths(reply))
    }

    fn cancel(&self, token: u64) {
        self.node.cancel(token);
    }
}
