//! The rule about what callers from elsewhere may do: those who come over HTTP or MCP, where a web page, an agent
//! misled by what it read, or a stranger may be behind the call. A [`Guarded`] node serves them, and lets through what
//! is safe.
//!
//! They are authenticated elsewhere (`http::caller`); commands of the same user need no guard.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerkit::config::ApiAddress;
use peerkit::ops::{self, Effect, Operation};
use peerkit::params::EventsOptions;
use peerkit::text::visible;
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::node::{EventSource, Node, Reply, Setup};

/// A node as callers from elsewhere see it.
pub struct Guarded {
    node: Arc<dyn Node>,
    read_only: bool,
    /// API addresses that the configuration names: asking those is what the operator wants.
    apis: Vec<String>,
    /// The node's directory, which is nobody's business: the same place as it may be written, longest first.
    data_dir: Vec<String>,
}

impl Guarded {
    /// Guards a node that is set up like this.
    pub fn new(node: Arc<dyn Node>, setup: &Setup, read_only: bool) -> Self {
        let config = &setup.config;
        let named = [&config.bootstrap_from_ipfs, &config.bootstrap_from_cluster];
        let apis = named.into_iter().flatten().filter_map(|api| match api {
            ApiAddress::At(address) => Some(address.clone()),
            _ => None,
        });
        Guarded { node, read_only, apis: apis.collect(), data_dir: spellings(&setup.data_dir) }
    }

    /// Tells whether what acts is refused.
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
            .with_hint("leave `api` out, or have the server's configuration name it")),
            _ => Ok(()),
        }
    }

    fn may_ask(&self, api: &str) -> bool {
        peerkit::is_loopback_api(api) || self.apis.iter().any(|known| known == api)
    }

    /// Takes local paths out of a failure, and out of the node's state, the one success that tells them.
    fn without_paths(&self, method: &str, reply: Reply) -> Reply {
        if reply.is_success() {
            return if method == "status" { self.state_without_paths(&reply) } else { reply };
        }
        let mut object = reply.object();
        let detail = object.get_mut("detail").and_then(Value::as_object_mut);
        let path = detail.and_then(|detail| detail.shift_remove("path"));
        let path = path.as_ref().and_then(Value::as_str).filter(|path| is_telling(path));
        object.values_mut().for_each(|value| self.hide(value, path));
        Reply::new(Value::Object(object).to_string())
    }

    fn state_without_paths(&self, reply: &Reply) -> Reply {
        let mut object = reply.object();
        object.values_mut().for_each(|value| self.hide(value, None));
        if let Some(data_dir) = object.get_mut("data_dir") {
            *data_dir = Value::Null;
        }
        Reply::new(Value::Object(object).to_string())
    }

    fn hide(&self, value: &mut Value, path: Option<&str>) {
        match value {
            Value::String(text) => {
                for place in &self.data_dir {
                    *text = text.replace(place.as_str(), "<data_dir>");
                }
                if let Some(path) = path {
                    *text = text.replace(path, "<file>");
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item, path)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide(field, path)),
            _ => {}
        }
    }
}

/// Spells a directory as it was given, and as the system calls it; and as the messages of errors show either.
fn spellings(data_dir: &Path) -> Vec<String> {
    let known = [
        Some(data_dir.to_owned()),
        std::path::absolute(data_dir).ok(),
        data_dir.canonicalize().ok(),
    ];
    let known = known.into_iter().flatten().map(|path| path.display().to_string());
    let mut all: Vec<_> = known.flat_map(|text| [visible(&text).into_owned(), text]).collect();
    all.retain(|text| is_telling(text));
    all.sort_by_key(|text| std::cmp::Reverse(text.len()));
    all.dedup();
    all
}

/// Tells whether a text is a path that can be told from the words around it: `data` alone isn't, nor is `/`.
fn is_telling(path: &str) -> bool {
    path.len() > 1 && path.contains('/')
}

impl Node for Guarded {
    fn call(&self, method: &str, params: Map<String, Value>, timeout: Duration) -> Reply {
        let reply = match self.check(method, &params) {
            Ok(()) => self.node.call(method, params, timeout),
            Err(error) => Reply::refused(method, &error),
        };
        self.without_paths(method, reply)
    }

    fn events(&self, options: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
        self.node.events(options).map_err(|reply| self.without_paths("", reply))
    }

    fn cancel(&self, token: u64) {
        self.node.cancel(token);
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use peerkit::Config;
    use serde_json::json;

    use super::*;

    /// A node that answers everything with a failure.
    struct Failing(Error);

    impl Node for Failing {
        fn call(&self, method: &str, _: Map<String, Value>, _: Duration) -> Reply {
            Reply::refused(method, &self.0)
        }

        fn events(&self, _: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
            Err(Reply::refused("events_open", &self.0))
        }
    }

    fn guarded(error: Error, config: &str, read_only: bool) -> Guarded {
        let setup = Setup {
            data_dir: PathBuf::from("/home/alice/peers"),
            config: Config::from_json(config).unwrap(),
        };
        Guarded::new(Arc::new(Failing(error)), &setup, read_only)
    }

    fn asked(guarded: &Guarded, method: &str, params: Value) -> Value {
        let params = params.as_object().cloned().unwrap_or_default();
        guarded.call(method, params, Duration::ZERO).object().into()
    }

    #[test]
    fn a_failure_names_no_local_path() {
        let book = "/home/alice/peers/book.redb";
        let error = Error::new(ErrorKind::Storage, format!("{book} can't be read"))
            .with("path", book)
            .with("tried", json!([book, "/ip4/192.0.2.1/tcp/1"]))
            .with_hint(format!("chmod 600 {book}"));
        let reply = asked(&guarded(error, "{}", false), "status", json!({}));
        assert_eq!(reply["error"], "<data_dir>/book.redb can't be read");
        assert_eq!(reply["hint"], "chmod 600 <data_dir>/book.redb");
        assert_eq!(
            reply["detail"],
            json!({"tried": ["<data_dir>/book.redb", "/ip4/192.0.2.1/tcp/1"]})
        );
        let error = Error::new(ErrorKind::Identity, "/etc/key is no key").with("path", "/etc/key");
        let reply = guarded(error, "{}", false).events(&EventsOptions::new()).err().unwrap();
        assert_eq!(reply.object()["error"], "<file> is no key");
    }

    /// A node that is well, and says where it lives.
    struct Telling;

    impl Node for Telling {
        fn call(&self, _: &str, _: Map<String, Value>, _: Duration) -> Reply {
            let warnings = json!(["/home/alice/peers/book.redb is old"]);
            Reply::new(
                json!({"success": true, "data_dir": "/home/alice/peers", "warnings": warnings})
                    .to_string(),
            )
        }

        fn events(&self, _: &EventsOptions) -> Result<Box<dyn EventSource>, Reply> {
            Err(Reply::refused("events_open", &Error::new(ErrorKind::Closed, "no events")))
        }
    }

    #[test]
    fn the_state_names_no_local_path() {
        let setup = Setup { data_dir: PathBuf::from("/home/alice/peers"), config: Config::new() };
        let guarded = Guarded::new(Arc::new(Telling), &setup, false);
        let reply = asked(&guarded, "status", json!({}));
        assert_eq!(reply["success"], true);
        assert_eq!(reply.get("data_dir"), Some(&Value::Null), "the field stays");
        assert_eq!(reply["warnings"], json!(["<data_dir>/book.redb is old"]));
    }

    #[test]
    fn only_this_machine_or_what_the_configuration_names_is_asked() {
        let there = Error::new(ErrorKind::Timeout, "it was asked");
        let config = r#"{"bootstrap_from_ipfs": "http://192.0.2.9:5001"}"#;
        let guarded = guarded(there, config, false);
        let code =
            |api: &str| asked(&guarded, "bootstrap_from_ipfs", json!({"api": api}))["code"].clone();
        for own in [
            "http://127.0.0.1:5001",
            "/ip4/127.0.0.1/tcp/5001",
            "http://[::1]:1",
            "http://192.0.2.9:5001",
        ] {
            assert_eq!(code(own), "timeout", "{own}");
        }
        for other in [
            "http://192.0.2.1",
            "http://127.0.0.1@192.0.2.1",
            "http://192.0.2.9:5001@192.0.2.1",
            "x",
            "",
        ] {
            assert_eq!(code(other), "blocked", "{other}");
        }
    }

    #[test]
    fn read_only_lets_through_what_reads_and_nothing_else() {
        let there = Error::new(ErrorKind::Timeout, "it was asked");
        let guarded = guarded(there, "{}", true);
        for op in ops::catalogue() {
            let expected = if op.effect == Effect::Reads { "timeout" } else { "blocked" };
            assert_eq!(asked(&guarded, op.name, json!({}))["code"], expected, "{}", op.name);
        }
        assert_eq!(asked(&guarded, "no_such", json!({}))["code"], "unknown_method");
    }
}
