//! The support that the tests share.

#[path = "../../../tests/support/arrows.rs"]
pub mod arrows;
pub mod crowd;
pub mod http;
#[path = "../../../tests/support/preload.rs"]
pub mod preload;
pub mod process;
pub mod program;
#[path = "../../../tests/support/shortage.rs"]
pub mod shortage;
#[path = "../../../tests/support/skip.rs"]
pub mod skip;
pub mod snapshot;
pub mod terminal;
#[path = "../../../tests/support/threads.rs"]
pub mod threads;
