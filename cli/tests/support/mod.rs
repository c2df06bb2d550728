//! What the tests share.

pub mod process;
pub mod program;
pub mod snapshot;
pub mod terminal;
