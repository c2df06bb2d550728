//! Behaviours of our own, and wrappers around libp2p's. None of them knows the worker.

pub(crate) mod autonat;
pub(crate) mod find_peer;
pub(crate) mod gossipsub;
pub(crate) mod kad;
pub(crate) mod mdns;
pub(crate) mod ping;
