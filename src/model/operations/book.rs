//! Parameters and replies of the peer book: lists, one peer, and making it known or forgetting it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::{MultiaddrArg, PeerIdArg};
use crate::model::{PeerInfo, PeerRow, Policy, Text};

/// Sent by callers.
pub mod params {
    pub use super::{
        AddPeer, GetPeer, GetPeers, ListPeers, PeerStatus, RemovePeer, SearchPeers, SortBy,
    };
}

/// Answered to callers.
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
        /// The most peers to return, 1 to 10000; 1000 where not given.
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
        /// The most peers of a page, 1 to 500; 50 where not given.
        pub limit: u32 [schemars(range(min = 1, max = 500))],
        /// The number of peers to pass over; 0 where not given. Not together with `cursor`.
        pub offset: u64,
        /// `next_cursor` of the page before: unlike an `offset` it neither repeats nor passes over peers while others
        /// come and go.
        pub cursor: String = text,
        /// Only peers that speak exactly this protocol.
        pub filter_protocol: String = text,
        /// Only peers that are (true) or aren't (false) connected.
        pub filter_connected: bool,
        /// Only peers whose id, addresses, protocols or agent contain this text, in any case.
        pub search: String = text,
        /// Only peers with this tag. `unsupported` until tags are built.
        pub tag: String = text,
        /// Only peers with this policy. All but `normal` is `unsupported` until policies are built.
        pub policy: Policy,
        /// The order; `last_seen` where not given.
        pub sort: SortBy,
    }
}

/// The order of a list. Peers without the value come last, ties are broken by peer id.
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
        /// The text to find in id, addresses, protocols or agent, in any case.
        query: String = text,
    ) {
        /// The most peers to return, 1 to 10000; 1000 where not given.
        pub limit: u32 [schemars(range(min = 1, max = 10_000))],
    }
}

params! {
    /// Parameters of `add_peer`. The id may also stand at the end of the addresses.
    AddPeer {
        /// The peer, in any form of a peer id.
        pub(crate) peer_id: String = peer,
        /// The addresses to reach it at, at most 16.
        pub(crate) multiaddrs: Vec<String> = addresses,
        /// Accepted as by every call that waits, but it cancels nothing: the call waits for the disk only, and a
        /// write isn't taken back.
        pub cancel_token: u64,
    }
}

impl AddPeer {
    /// Names a peer; [`multiaddrs`](Self::multiaddrs) adds addresses of it.
    pub fn new(peer_id: impl PeerIdArg) -> Self {
        AddPeer { peer_id: Some(peer_id.into_text()), multiaddrs: None, cancel_token: None }
    }

    /// Names the peer whose id stands at the end of these addresses, or of one of them.
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
    /// The number of all peers that match.
    pub total: u64,
    /// True if more match than `peers` holds.
    pub truncated: bool,
}

/// Reply of `list_peers`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct PeerPage {
    /// The peers of the page, in the order asked for.
    pub peers: Vec<PeerRow>,
    /// The page's place in the list.
    pub pagination: Pagination,
}

/// The place of a page in its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Pagination {
    /// The number of all peers that match.
    pub total: u64,
    /// The most peers of a page, as asked for.
    pub limit: u32,
    /// The number of peers before the page.
    pub offset: u64,
    /// True if another page follows.
    pub has_more: bool,
    /// The `cursor` of the next page; null on the last.
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
    /// Always true: an unknown peer is the error `peer_not_found`.
    pub removed: bool,
}
