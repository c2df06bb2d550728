//! Tests of the configuration: `keys` of reading it, `settings` of what follows from it, `discovery` of
//! how peers are found, `disk` of what start finds on disk. Here is what they share.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod discovery;
#[cfg(unix)]
mod disk;
mod key_forms;
mod keys;
mod settings;

use serde_json::Value;

use super::{Config, Settings};
use crate::error::Error;

/// The Ed25519 key of the peer id specification.
const KEY: &str =
    "CAESQH4IMGF8Sn3oOSXfsmlFVrEpNsR3oOH+suFI7J2mD+59HtHo+uLEoUS4vo/UtHvz07NLhxw8rPYBDw5C1HT84n4=";
const KEY_ID: &str = "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq";
const SWARM_KEY: &str = "/key/swarm/psk/1.0.0/\n/base16/\n0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef\n";

fn config(value: Value) -> Config {
    Config::from_json(&value.to_string()).unwrap_or_else(|e| panic!("{value}: {e}"))
}

fn settings(value: Value) -> Settings {
    Settings::resolve(&config(value.clone()), None).unwrap_or_else(|e| panic!("{value}: {e}"))
}

fn refused(value: Value) -> Error {
    let read = Config::from_json(&value.to_string());
    read.and_then(|config| Settings::resolve(&config, None)).expect_err(&value.to_string())
}

fn base64_text(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}
