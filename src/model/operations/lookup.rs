//! Asking others where a peer is, and who has some content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::PeerIdArg;
use crate::model::{Source, Text};

/// Sent by callers.
pub mod params {
    pub use super::{FindPeer, FindProviders, Provide};
}

/// Answered to callers.
pub mod reply {
    pub use super::{Lookup, PeerFound, Provided, Provider, Providers};
}

params! {
    /// Parameters of `find_peer`.
    FindPeer(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `provide`.
    Provide(
        /// The content, as a CID of any version.
        cid: String = text,
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `find_providers`.
    FindProviders(
        /// The content, as a CID of any version.
        cid: String = text,
    ) {
        /// The number of providers after which the search ends, 1 to 100; 20 where not given.
        pub limit: u32 [schemars(range(min = 1, max = 100))],
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `find_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerFound {
    /// The peer.
    pub peer_id: Text,
    /// The addresses at which it is, by whoever knew.
    pub multiaddrs: Vec<Text>,
    /// The source that knew: `dht`, `exchange` for the connected peers, or only the `book`.
    pub found_by: Source,
    /// The sources asked, in order.
    pub lookups: Vec<Lookup>,
}

/// A step of the search for where a peer is: one source that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Lookup {
    /// The source that was asked: `dht`, or `exchange` for the connected peers.
    pub source: Source,
    /// The number of addresses that came of it and hadn't been tried already.
    pub found: u32,
    /// The time it took, in milliseconds.
    pub duration_ms: f64,
    /// The reason why nothing came of it; null where something did.
    pub error: Option<String>,
}

/// Reply of `provide`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Provided {
    /// The content.
    pub cid: String,
    /// The time it took to tell the DHT, in milliseconds.
    pub duration_ms: f64,
}

/// Reply of `find_providers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Providers {
    /// The content.
    pub cid: String,
    /// The peers that say to have it.
    pub peers: Vec<Provider>,
}

/// A peer that says to have some content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Provider {
    /// The peer.
    pub peer_id: Text,
    /// Its addresses; empty where none is known.
    pub multiaddrs: Vec<Text>,
}
