//! What callers send: one struct for each operation, with builder methods for Rust and serde for
//! JSON. A field's documentation is its description in the JSON Schema.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Policy;

/// Declares a parameter struct whose fields are all optional, with a builder method for each. Where
/// `= text` stands it takes anything with a text form, so a `PeerId` or `Multiaddr` as it is.
macro_rules! params {
    (
        $(#[$meta:meta])* $name:ident {
            $( $(#[$fmeta:meta])* $field:ident : $ty:ty $(= $arg:tt)?, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$fmeta])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$ty>, )*
        }

        impl $name {
            /// Nothing set.
            pub fn new() -> Self {
                Self::default()
            }
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                pub fn $field(mut self, value: params!(@arg $ty $(, $arg)?)) -> Self {
                    self.$field = Some(params!(@value value $(, $arg)?));
                    self
                }
            )*
        }
    };
    // A number's own type: `impl Into<u32>` would refuse a plain `50`, which is an i32 until told.
    (@arg $ty:ty) => { $ty };
    (@arg $ty:ty, text) => { impl ToString };
    (@arg $ty:ty, texts) => { impl IntoIterator<Item = impl ToString> };
    (@value $value:ident) => { $value };
    (@value $value:ident, text) => { $value.to_string() };
    (@value $value:ident, texts) => { $value.into_iter().map(|text| text.to_string()).collect() };
}

/// The connection state a list is filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerStatus {
    /// Only peers with a live connection.
    Connected,
    /// Only peers without one.
    Disconnected,
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
    /// No parameters.
    NoParams {}
}

params! {
    /// Parameters of `get_peers`.
    GetPeers {
        /// Only connected or only disconnected peers.
        status: PeerStatus,
        /// Only peers whose id, addresses, protocols or agent contain this text, in any case.
        search: String = text,
        /// At most so many peers, 1 to 10000 (1000).
        #[schemars(range(min = 1, max = 10_000))]
        limit: u32,
    }
}

params! {
    /// Parameters of `list_peers`.
    ListPeers {
        /// Page size, 1 to 500 (50).
        #[schemars(range(min = 1, max = 500))]
        limit: u32,
        /// How many peers to pass over (0). Not together with `cursor`.
        offset: u64,
        /// `next_cursor` of the page before; stays right while peers come and go.
        cursor: String = text,
        /// Only peers that speak exactly this protocol.
        filter_protocol: String = text,
        /// Only peers that are (true) or aren't (false) connected.
        filter_connected: bool,
        /// Only peers whose id, addresses, protocols or agent contain this text, in any case.
        search: String = text,
        /// Only peers with this tag.
        tag: String = text,
        /// Only peers with this policy.
        policy: Policy,
        /// The order (`last_seen`).
        sort: SortBy,
    }
}

params! {
    /// Parameters of `get_peer`.
    GetPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
    }
}

params! {
    /// Parameters of `search_peers`.
    SearchPeers {
        /// Text to find in id, addresses, protocols or agent, in any case.
        query: String = text,
        /// At most so many peers, 1 to 10000 (1000).
        #[schemars(range(min = 1, max = 10_000))]
        limit: u32,
    }
}

params! {
    /// Parameters of `connect_peer`. At least one of `peer_id` and `multiaddr` is needed.
    ConnectPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// Where to reach it; tried before the addresses already known.
        #[serde(alias = "peer_address")]
        multiaddr: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `disconnect_peer`.
    DisconnectPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `ping_peer`.
    PingPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// How many pings, one after the other, 1 to 100 (3).
        #[schemars(range(min = 1, max = 100))]
        count: u32,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `add_peer`. The id may also stand in the addresses.
    AddPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// Where to reach it, at most 16 addresses.
        multiaddrs: Vec<String> = texts,
        /// Taken as by every call that waits; but a write to the disk, once begun, is not taken back.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `remove_peer`.
    RemovePeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `add_bootstrap_peer` and `remove_bootstrap_peer`.
    BootstrapPeer {
        /// The peer's address with its `/p2p/` part; `/dnsaddr/` may stand without one.
        multiaddr: String = text,
        /// Taken as by every call that waits; but a write to the disk, once begun, is not taken back.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `bootstrap_from_ipfs` and `bootstrap_from_cluster`.
    BootstrapFrom {
        /// Where the daemon's API is, as a URL (user and password may stand in it) or a multiaddr (the
        /// configured one, else the daemon's default on this machine).
        api: String = text,
        /// Whether to connect to the peers it names, at most 64 of them (true).
        connect: bool,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `discover_peers`.
    DiscoverPeers {
        /// Answer once so many new peers are found, 1 to 1000 (100).
        #[schemars(range(min = 1, max = 1_000))]
        limit: u32,
        /// Answer after so many seconds, where that is sooner than the call's own deadline.
        timeout: f64,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `find_peer`.
    FindPeer {
        /// The peer, in any form of a peer id.
        peer_id: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `provide`.
    Provide {
        /// The content, as a CID of any version.
        cid: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `find_providers`.
    FindProviders {
        /// The content, as a CID of any version.
        cid: String = text,
        /// End the search once so many are found, 1 to 100 (20).
        #[schemars(range(min = 1, max = 100))]
        limit: u32,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `publish`.
    Publish {
        /// The topic, 1 to 256 bytes.
        topic: String = text,
        /// The message, base64, at most 60 KiB decoded.
        data_base64: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Parameters of `subscribe` and `unsubscribe`.
    Topic {
        /// The topic, 1 to 256 bytes.
        topic: String = text,
        /// A number of the caller's own, by which `cancel` ends this call.
        cancel_token: u64,
    }
}

params! {
    /// Options of a subscription to events.
    EventsOptions {
        /// Begin with the events after this number that are still kept; 0 for all that are. Without
        /// it, with what happens from now on.
        since: u64,
        /// Only events of these kinds, and `stopped`.
        kinds: Vec<String> = texts,
    }
}
