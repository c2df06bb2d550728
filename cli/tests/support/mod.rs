//! The support that the tests share.

#[path = "../../../tests/support/arrows.rs"]
pub mod arrows;
pub mod http;
pub mod process;
pub mod program;
pub mod snapshot;
pub mod terminal;
