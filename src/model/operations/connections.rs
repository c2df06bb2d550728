//! Connecting to a peer, measuring the way to it, and leaving it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::{MultiaddrArg, PeerIdArg};
use super::lookup::Lookup;
use crate::model::{Attempt, Text, TransportKind};

/// Sent by callers.
pub mod params {
    pub(crate) use super::MAX_MEASURED_BYTES;
    pub use super::{ConnectPeer, DisconnectPeer, MeasureBandwidth, PingPeer};
}

/// Answered to callers.
pub mod reply {
    pub use super::{Bandwidth, Connected, Disconnected, Pinged, Throughput};
}

/// Bytes that `measure_bandwidth` moves each way at most: what a node of peerkit serves in one go.
pub(crate) const MAX_MEASURED_BYTES: u64 = 256 << 20;

params! {
    /// Parameters of `connect_peer`. At least one of `peer_id` and `multiaddr` is needed.
    ConnectPeer {
        /// The peer, in any form of a peer id.
        pub(crate) peer_id: String = peer,
        /// The address to reach it at, tried before the addresses already known: those wait until it has failed, for
        /// 1 s at most.
        pub(crate) multiaddr: String = address [serde(alias = "peer_address")],
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

impl ConnectPeer {
    /// Names a peer, to be reached at the addresses known of it, or at those that the DHT or connected peers know.
    pub fn to(peer_id: impl PeerIdArg) -> Self {
        ConnectPeer { peer_id: Some(peer_id.into_text()), multiaddr: None, cancel_token: None }
    }

    /// Names an address, and whichever peer answers there; with `/p2p/` and an id at its end, only that peer.
    pub fn at(multiaddr: impl MultiaddrArg) -> Self {
        ConnectPeer { peer_id: None, multiaddr: Some(multiaddr.into_text()), cancel_token: None }
    }
}

params! {
    /// Parameters of `disconnect_peer`.
    DisconnectPeer(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `ping_peer`.
    PingPeer(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {
        /// The number of pings, sent one after the other, 1 to 100; 3 where not given.
        pub count: u32 [schemars(range(min = 1, max = 100))],
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

params! {
    /// Parameters of `measure_bandwidth`.
    MeasureBandwidth(
        /// The peer, in any form of a peer id.
        peer_id: String = peer,
    ) {
        /// The number of bytes to send it, 0 to 268435456; 10485760 where not given. 0: the way there isn't measured.
        pub upload_bytes: u64 [schemars(range(max = MAX_MEASURED_BYTES))],
        /// The number of bytes that it sends, 0 to 268435456; 10485760 where not given. 0: the way back isn't measured.
        pub download_bytes: u64 [schemars(range(max = MAX_MEASURED_BYTES))],
        /// A number of the caller's own, by which `cancel` ends this call.
        pub cancel_token: u64,
    }
}

/// Reply of `connect_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Connected {
    /// The peer connected to.
    pub peer_id: Text,
    /// The outcome in words, for a person.
    pub message: String,
    /// The remote's address.
    pub address: Text,
    /// The transport of the connection.
    pub transport: TransportKind,
    /// True where the connection was there before this call.
    pub already_connected: bool,
    /// The time the call took, in milliseconds.
    pub duration_ms: f64,
    /// The addresses dialled, and how far each came; empty where nothing was dialled.
    pub attempts: Vec<Attempt>,
    /// The sources asked for addresses, in order; empty where none were needed.
    pub lookups: Vec<Lookup>,
}

/// Reply of `disconnect_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Disconnected {
    /// The peer.
    pub peer_id: Text,
    /// The outcome in words, for a person.
    pub message: String,
    /// True if there was a connection to close.
    pub was_connected: bool,
}

/// Reply of `ping_peer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Pinged {
    /// The peer.
    pub peer_id: Text,
    /// Round trip times of the answered pings, in order, in milliseconds.
    pub rtts_ms: Vec<f64>,
    /// The number of pings sent.
    pub sent: u32,
    /// The number of pings answered.
    pub received: u32,
}

/// Reply of `measure_bandwidth`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Bandwidth {
    /// The peer.
    pub peer_id: Text,
    /// The way to the peer; null where nothing was sent.
    pub upload: Option<Throughput>,
    /// The way from the peer; null where nothing was asked for.
    pub download: Option<Throughput>,
}

/// The bytes that went through a stream one way, and the time they took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Throughput {
    /// The number of bytes.
    pub bytes: u64,
    /// The time from the first byte written to the end of the answer, one round trip included, in milliseconds.
    pub duration_ms: f64,
    /// Bytes in a second of that time.
    pub bytes_per_s: f64,
    /// The transport of the connection; null where it has closed since.
    pub transport: Option<TransportKind>,
}
