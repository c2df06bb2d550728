//! Behaviours of our own, and wrappers around libp2p's. None of them knows the worker.

pub(crate) mod autonat;
pub(crate) mod find_peer;
#[cfg(feature = "gossip")]
pub(crate) mod gossipsub;
#[cfg_attr(not(feature = "dht"), path = "kad/absent.rs")]
pub(crate) mod kad;
#[cfg(feature = "mdns")]
pub(crate) mod mdns;
pub(crate) mod perf;
pub(crate) mod ping;
