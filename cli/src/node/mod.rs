//! Nodes, to which operations go. Nobody above this module knows more of the library than a [`Node`] tells.
//!
//! `interface` says what that is. `own` is the manager of this process, `attached` one in another process, reached by
//! the control socket; `host` is for what stays up (`run`, `serve`, `mcp`): whichever of the two can be had at the
//! moment; `open` is for commands that end: attach, or run a node meanwhile.

mod attached;
mod host;
mod interface;
mod open;
mod own;
mod reply;

pub use self::host::Host;
pub use self::interface::{EventSource, Node};
pub use self::open::{Needs, Opened, Setup, open};
pub use self::reply::Reply;
