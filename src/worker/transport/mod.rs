//! Below the swarm: the transport stack (`stack`, `quic`), the wrappers that make dials tell their story
//! (`wrappers`, `security`, `progress`), the terms they go under (`terms`), and the bytes they carry
//! (`counted`).

pub(crate) mod counted;
pub(crate) mod progress;
#[cfg_attr(not(feature = "quic"), path = "quic/absent.rs")]
pub(crate) mod quic;
mod security;
mod stack;
pub(crate) mod terms;
mod wrappers;

pub(crate) use self::stack::build;
