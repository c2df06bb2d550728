//! The end of a command: an exit code, or the failure to show.

use std::io;
use std::process::ExitCode;

use peerkit::Error;

use crate::node::Reply;

/// The reason why a command ended early.
#[derive(Debug)]
pub enum Failure {
    /// An operation failed, or couldn't be asked for.
    Reply(Reply),
    /// Standard output takes no more.
    Output(io::Error),
}

/// The end of a command.
pub type Outcome = Result<ExitCode, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Reply(Reply::refused("call", &error))
    }
}

impl From<Reply> for Failure {
    fn from(reply: Reply) -> Self {
        Failure::Reply(reply)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}
