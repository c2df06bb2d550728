//! Below the swarm: the transport stack (`stack`), the wrappers that note how far each dial comes
//! (`wrappers`, `security` with `tls`, `progress`), what speaks against this machine's clock (`evidence`) and doing
//! without it (`fallback`), the terms that dials go under (`terms`), and the bytes of connections (`counted`).

pub(crate) mod counted;
pub(crate) mod evidence;
mod fallback;
pub(crate) mod progress;
#[cfg_attr(not(feature = "quic"), path = "quic/absent.rs")]
pub(crate) mod quic;
mod security;
mod stack;
pub(crate) mod terms;
mod tls;
mod wrappers;

pub(crate) use self::stack::build;
