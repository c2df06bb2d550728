//! Asking others where a peer is, and who has some content.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::PeerIdArg;
use crate::model::{Source, Text};

/// What callers send.
pub mod params {
    pub use super::{FindPeer, FindProviders, Provide};
}

/// What is answered.
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
        /// End the search once so many are found, 1 to 100 (20).
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
    /// Where it is, by whoever knew.
    pub multiaddrs: Vec<Text>,
    /// Who knew: `dht`, `exchange` for the connected peers, or only the `book`.
    pub found_by: Source,
    /// Who was asked, in order.
    pub lookups: Vec<Lookup>,
}

/// Somebody was asked where a peer is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Lookup {
    /// Who was asked: `dht`, or `exchange` for the connected peers.
    pub source: Source,
    /// How many addresses came of it that weren't known before.
    pub found: u32,
    /// How long it took.
    pub duration_ms: f64,
    /// Why nothing came of it.
    pub error: Option<String>,
}

/// Reply of `provide`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Provided {
    /// The content.
    pub cid: String,
    /// How long telling the DHT took.
    pub duration_ms: f64,
}

/// Reply of `find_providers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Providers {
    /// The content.
    pub cid: String,
    /// Who says to have it.
    pub peers: Vec<Provider>,
}

/// A peer that says to have some content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Provider {
    /// The peer.
    pub peer_id: Text,
    /// Where it is, as far as known.
    pub multiaddrs: Vec<Text>,
}
