//! The kinds of value that keys have beside numbers and texts; secrets are in `secret`.
//!
//! `keys` says which key takes which; here is only how they are read.

use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::Asks;

/// A set of defaults for other keys, and a rule about which addresses are dialled and let in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Profile {
    /// Listens on loopback, discovers nobody by itself, and dials automatically on loopback only.
    Offline,
    /// Listens on all interfaces; multicast DNS, DHT and gossip are on. Public addresses are neither dialled nor let in.
    #[default]
    Lan,
    /// Listens on all interfaces and takes part in the public DHT (`/ipfs/kad/1.0.0`) and gossip. Relays, hole punching
    /// and port mapping will belong to it; status warns that they aren't built yet.
    Internet,
}

/// The part this node takes in the DHT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DhtMode {
    /// It takes no part.
    Off,
    /// It asks and doesn't answer.
    Client,
    /// It asks and answers.
    Server,
    /// It is a server once an external address of it is known, by `advertise` or AutoNAT, else a client.
    Auto,
}

impl Asks for DhtMode {
    fn asks(&self) -> bool {
        *self != DhtMode::Off
    }
}

/// The least severe events that are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LogLevel {
    /// Failures only.
    Error,
    /// Also signs of trouble.
    Warn,
    /// Also what the node decides: whom it dials, trims, refuses and backs off from; passes; who came and went.
    #[default]
    Info,
    /// Also the steps towards it, libp2p's included.
    Debug,
    /// Everything.
    Trace,
}

/// The API of a daemon beside this node: false for none, true for the local default, or an address.
/// Its `Debug` doesn't show the address, which may have a password in it.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
#[non_exhaustive]
pub enum ApiAddress {
    /// True: the daemon's default on this machine, `/ip4/127.0.0.1/tcp/5001` or `/ip4/127.0.0.1/tcp/9094`; false: none.
    On(bool),
    /// A URL or a multiaddr; empty: none.
    At(String),
}

impl fmt::Debug for ApiAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiAddress::On(on) => write!(f, "On({on})"),
            ApiAddress::At(_) => f.write_str("At(redacted)"),
        }
    }
}

impl Asks for ApiAddress {
    fn asks(&self) -> bool {
        match self {
            ApiAddress::On(on) => *on,
            ApiAddress::At(address) => !address.is_empty(),
        }
    }
}

impl From<bool> for ApiAddress {
    fn from(on: bool) -> Self {
        ApiAddress::On(on)
    }
}

impl From<&str> for ApiAddress {
    fn from(address: &str) -> Self {
        ApiAddress::At(address.to_owned())
    }
}

impl<'de> Deserialize<'de> for ApiAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(on) => Ok(ApiAddress::On(on)),
            Value::String(address) => Ok(ApiAddress::At(address)),
            // Doesn't quote the value: there may be a password in it.
            _ => Err(D::Error::custom("it must be true, false or an address")),
        }
    }
}
