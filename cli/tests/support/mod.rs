//! What the tests share.

pub mod http;
pub mod process;
pub mod program;
pub mod snapshot;
pub mod terminal;
