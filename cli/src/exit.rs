//! Exit codes: one for each family of errors, so that a script can tell a typing error from a peer that isn't there.

use std::process::ExitCode;

use peerkit::ErrorKind::{self, *};

use crate::node::Reply;

/// Gives the exit code of a reply.
pub fn of_reply(reply: &Reply) -> ExitCode {
    reply.code().map_or(ExitCode::SUCCESS, of_kind)
}

/// Gives the exit code of a kind of error. 2 is what the argument parser uses too.
pub fn of_kind(kind: ErrorKind) -> ExitCode {
    ExitCode::from(match kind {
        InvalidArgument | InvalidHandle | InvalidPeerId | InvalidMultiaddr | UnknownMethod => 2,
        PeerNotFound | NoAddresses => 3,
        DialFailed | DialTimeout | WrongPeerId | NotConnected | Protocol | Blocked | SelfDial => 4,
        Timeout | Cancelled => 5,
        DataDirLocked | ConfigConflict | Busy | LimitReached => 6,
        Storage | StorageCorrupt | StorageVersion | Identity | ConfigInvalid | ListenFailed => 7,
        NotRunning | Dead | Closed => 8,
        _ => 1,
    })
}
