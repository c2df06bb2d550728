//! What is asked of the peer book: lists, one peer, and making it known or forgetting it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::{MultiaddrArg, PeerIdArg};
use crate::model::{PeerInfo, PeerRow, Policy, Text};

/// What callers send.
pub mod params {
    pub use super::{
        AddPeer, GetPeer, GetPeers, ListPeers, PeerStatus, RemovePeer, SearchPeers, SortBy,
    };
}

/// What is answered.
pub mod reply {
    pub use super::{Pagination, PeerPage, PeerReply, Peers, Removed, SearchResult};
}

params! {
    /// Parameters of `get_peers`.
    GetPeers() {
        /// Only connected or only disconnected peers.
        pub status: PeerStatus,
        /// Only peers whose id, addresses, protocols or agent contain this text, in any case.
        pub search: String = text,
        /// At most so many peers, 1 to 10000 (1000).
        pub limit: u32 [schemars(range(min = 1, max = 10_000))],
    }
}

/// The connection state a list is filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PeerStatus {
    /// Only peers with a live connection.
    Connected,
    /// Only peers without one.
    Disconnected,
}

params! {
    /// Parameters of `list_peers`.
    ListPeers() {
        /// Page size, 1 to 500 (50).
        pub limit: u32 [schemars(range(min = 1, max = 500))],
        /// How many peers to pass over (0). Not together with `cursor`.
        pub offset: u64,
        /// `next_cursor` of the page before; stays right while peers come and go.
        pub cursor: String = text,
        /// Only peers that speak exactly this protocol.
        pub filter_protocol: String = text,
        /// Only peers that are (true) or aren't (false) connected.
        pub filter_connected: bool,
        /// Only peers whose id, addresses, protocols or agent contain this text, in any case.
        pub search: String = text,
        /// Only peers with this tag.
        pub tag: String = text,
        /// Only peers with this policy.
        pub policy: Policy,
        /// The order (`last_seen`).
        pub sort: SortBy,
    }
}

/// What a list is sorted by. Peers without the value come last, ties are broken by peer id.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SortBy {
    /// Most recently heard of first. The one order that costs the same at any offset and size.
    #[default]
    LastSeen,
    /// Most recently discovered first.
    FirstSeen,
    /// Fastest first.
    Latency,
    /// By peer id text, ascending.
    PeerId,
}

params! {
    /// Parameters of `get_peer`.
    GetPeer(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {}
}

params! {
    /// Parameters of `search_peers`.
    SearchPeers(
        /// Text to find in id, addresses, protocols or agent, in any case.
        query: String = text,
    ) {
        /// At most so many peers, 1 to 10000 (1000).
        pub limit: u32 [schemars(range(min = 1, max = 10_000))],
    }
}

params! {
    /// Parameters of `add_peer`. The id may also stand in the addresses.
    AddPeer {
        /// The peer, in any form of a peer id.
        pub(crate) peer_id: String = peer,
        /// Where to reach it, at most 16 addresses.
        pub(crate) multiaddrs: Vec<String> = addresses,
        /// Taken as by every call that waits; but a write to the disk, once begun, is not taken back.
        pub cancel_token: u64,
    }
}

impl AddPeer {
    /// A peer; where to reach it can be added by [`multiaddrs`](Self::multiaddrs).
    pub fn new(peer_id: impl PeerIdArg) -> Self {
        AddPeer { peer_id: Some(peer_id.into_text()), multiaddrs: None, cancel_token: None }
    }

    /// The peer whose id stands at the end of these addresses, or of one of them.
    pub fn at(multiaddrs: impl IntoIterator<Item = impl MultiaddrArg>) -> Self {
        let multiaddrs = multiaddrs.into_iter().map(MultiaddrArg::into_text).collect();
        AddPeer { peer_id: None, multiaddrs: Some(multiaddrs), cancel_token: None }
    }
}

params! {
    /// Parameters of `remove_peer`.
    RemovePeer(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `get_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Peers {
    /// The peers, most recently heard of first.
    pub peers: Vec<PeerRow>,
    /// How many match, all told.
    pub total: u64,
    /// Whether there are more than `peers` holds.
    pub truncated: bool,
}

/// Reply of `list_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerPage {
    /// The page.
    pub peers: Vec<PeerRow>,
    /// Where it stands.
    pub pagination: Pagination,
}

/// Where a page stands in its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Pagination {
    /// How many peers match, all told.
    pub total: u64,
    /// The page size asked for.
    pub limit: u32,
    /// The index of the page's first peer.
    pub offset: u64,
    /// Whether a further page exists.
    pub has_more: bool,
    /// What to pass as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// Reply of `get_peer` and `add_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerReply {
    /// Everything known of the peer.
    pub peer_info: PeerInfo,
}

/// Reply of `search_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SearchResult {
    /// The matches, most recently heard of first.
    #[serde(flatten)]
    pub found: Peers,
    /// The text searched for.
    pub query: String,
}

/// Reply of `remove_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Removed {
    /// The peer.
    pub peer_id: Text,
    /// True; an unknown peer is `peer_not_found`.
    pub removed: bool,
}
