//! The one error in which a failed dial ends: from what became of each address, or from what libp2p
//! said of the dial as a whole.

use libp2p::swarm::DialError;

use crate::error::{Error, ErrorKind};
use crate::model::Attempt;
use crate::worker::behaviour::limits::Exceeded;
use crate::worker::transport::progress::CLOCK_HINT;

/// Returns the one error for a dial at whose end no address had connected.
pub(super) fn all_failed(report: &[Attempt], out_of_time: bool) -> Error {
    let failed = || report.iter().filter_map(|attempt| attempt.code);
    let all = |kind| failed().all(|code| code == kind);
    let kind = if failed().next().is_none() {
        // Not even one address had its turn.
        ErrorKind::DialTimeout
    } else if all(ErrorKind::WrongPeerId) {
        ErrorKind::WrongPeerId
    } else if all(ErrorKind::DialTimeout)
        || out_of_time && failed().any(|c| c == ErrorKind::DialTimeout)
    {
        ErrorKind::DialTimeout
    } else if all(ErrorKind::Blocked) {
        ErrorKind::Blocked
    } else if all(ErrorKind::Unsupported) {
        ErrorKind::Unsupported
    } else if all(ErrorKind::LimitReached) {
        ErrorKind::LimitReached
    } else {
        ErrorKind::DialFailed
    };
    // Puts first what is wrong with this machine: whoever reads on looks for it elsewhere.
    let of_clock = |attempt: &&Attempt| attempt.hint.as_deref() == Some(CLOCK_HINT);
    let worst = report.iter().filter(|attempt| attempt.code == Some(kind));
    let first = report
        .iter()
        .filter(of_clock)
        .chain(worst)
        .chain(report)
        .find_map(|attempt| Some((attempt.error.as_ref()?, named(attempt))));
    let error = match (first, failed().count()) {
        (Some((error, address)), 1) => Error::new(kind, format!("{error} ({address})")),
        (Some((error, address)), n) => {
            Error::new(kind, format!("none of {n} addresses connected; {address}: {error}"))
        }
        (None, _) => Error::new(kind, "the deadline passed before an address could be tried"),
    };
    match report.iter().any(|attempt| of_clock(&attempt)) {
        true => error.with_hint(CLOCK_HINT),
        false => error,
    }
}

/// Returns an attempt's address, and the one with a name that led there.
fn named(attempt: &Attempt) -> String {
    match &attempt.resolved_from {
        Some(name) => format!("{} of {name}", attempt.address),
        None => attempt.address.to_string(),
    }
}

/// Returns the error for a dial that libp2p, or a limit, refused as a whole.
pub(super) fn refused(error: &DialError) -> Error {
    match error {
        DialError::LocalPeerId { address } => {
            Error::new(ErrorKind::SelfDial, format!("{address} is this node's own address"))
        }
        DialError::WrongPeerId { obtained, address } => Error::new(
            ErrorKind::WrongPeerId,
            format!("another peer answered at {address}: {obtained}"),
        ),
        DialError::NoAddresses => {
            Error::new(ErrorKind::NoAddresses, "no address of the peer is known")
        }
        DialError::Denied { cause } => match cause.downcast_ref::<Exceeded>() {
            Some(limit) => Error::new(ErrorKind::LimitReached, limit.to_string())
                .with_hint("disconnect peers, or raise limits in the configuration"),
            None => Error::new(ErrorKind::Blocked, format!("{cause}")),
        },
        DialError::Aborted => {
            Error::new(ErrorKind::Cancelled, "the dial was aborted by a disconnect")
        }
        DialError::DialPeerConditionFalse(_) | DialError::Transport(_) => {
            Error::new(ErrorKind::DialFailed, format!("{error}"))
        }
    }
}
