//! Helpers that know nothing of the node: pure, and used by several rooms.

pub(crate) mod addresses;
pub(crate) mod lru;
pub(crate) mod rate;
