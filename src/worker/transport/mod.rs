//! Below the swarm: the transport stack (`stack`), the wrappers that note how far each dial comes
//! (`wrappers`, `security` with `tls`, `attempt`, `progress`, with the words of `words`), the names in addresses
//! (`names`) and all they lead to (`race`), what speaks against this machine's clock (`evidence`) and doing without
//! it (`fallback`), listening where interfaces can't be watched (`listening`), the terms that dials go under
//! (`terms`), how an inbound handshake is ended (`handshakes`), the bytes of connections (`counted`), and what their
//! frames cost (`metered`).

mod attempt;
pub(crate) mod counted;
pub(crate) mod evidence;
mod fallback;
pub(crate) mod handshakes;
pub(crate) mod listening;
mod metered;
#[cfg_attr(not(feature = "dns"), path = "names/absent.rs")]
pub(crate) mod names;
pub(crate) mod progress;
#[cfg_attr(not(feature = "quic"), path = "quic/absent.rs")]
pub(crate) mod quic;
mod race;
mod security;
mod stack;
pub(crate) mod terms;
mod tls;
pub(crate) mod words;
mod wrappers;

pub(crate) use self::stack::build;
