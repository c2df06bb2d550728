//! The reason why a connection ended: ours, or else the one its error tells.

use std::error::Error as StdError;
use std::io;

use libp2p::core::upgrade::NegotiationError;
use libp2p::swarm::ConnectionError;

use crate::model::event::DisconnectReason;
use crate::worker::transport::quic;
use crate::worker::util::budgets::OverBudget;

/// Returns the reason why a connection ended, and whether it is inferred rather than known.
pub(super) fn reason(
    ours: Option<DisconnectReason>,
    cause: Option<&ConnectionError>,
) -> (DisconnectReason, bool) {
    match (ours, cause) {
        (Some(reason), _) => (reason, false),
        (None, None) => (DisconnectReason::LocalRequest, true),
        (None, Some(ConnectionError::KeepAliveTimeout)) => (DisconnectReason::Idle, false),
        (None, Some(ConnectionError::IO(error))) if is_over_budget(error) => {
            (DisconnectReason::OverBudget, false)
        }
        (None, Some(ConnectionError::IO(error))) => (io_reason(error), true),
    }
}

fn io_reason(error: &io::Error) -> DisconnectReason {
    if chain(error).any(quic::is_idle_timeout) {
        DisconnectReason::PingDead
    } else if chain(error).any(is_closing) {
        DisconnectReason::RemoteClosed
    } else if chain(error).any(|inner| inner.is::<NegotiationError>()) || breaks_protocol(error) {
        DisconnectReason::Error
    } else {
        DisconnectReason::RemoteClosed
    }
}

/// Tells whether this node ended it because of what the remote had it do.
fn is_over_budget(error: &io::Error) -> bool {
    chain(error).any(|inner| inner.is::<OverBudget>())
}

/// Tells whether the socket says that the other side is gone.
fn is_closing(error: &(dyn StdError + 'static)) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof,
    };
    let closing = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof];
    error.downcast_ref::<io::Error>().is_some_and(|io| closing.contains(&io.kind()))
}

/// Tells whether the bytes that came broke a protocol: neither side wanted that end.
fn breaks_protocol(error: &io::Error) -> bool {
    let kinds = chain(error).filter_map(|inner| inner.downcast_ref::<io::Error>());
    kinds.map(io::Error::kind).any(|kind| kind == io::ErrorKind::InvalidData)
        || chain(error).any(|inner| inner.to_string().contains("decode error"))
}

/// Tells whether the two sides shared no stream multiplexer. Its negotiation is lazy, so a dialler
/// learns of it only when the connection is used.
pub(super) fn is_muxer_mismatch(cause: &ConnectionError) -> bool {
    match cause {
        ConnectionError::IO(error) => chain(error).any(|inner| inner.is::<NegotiationError>()),
        ConnectionError::KeepAliveTimeout => false,
    }
}

/// Walks an I/O error, the error it wraps, and so on: each boxing of a muxer wraps its errors once more,
/// and `source` passes over what an `io::Error` holds.
fn chain<'a>(error: &'a io::Error) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        match error.downcast_ref::<io::Error>() {
            Some(io) => io.get_ref().map(|inner| -> &'a (dyn StdError + 'static) { inner }),
            None => error.source(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason_of(error: io::Error) -> DisconnectReason {
        reason(None, Some(&ConnectionError::IO(error))).0
    }

    #[test]
    fn an_end_nobody_wanted_is_told_from_the_remote_closing() {
        let wrapped = |inner: io::Error| io::Error::other(io::Error::other(inner));
        for kind in [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
        ] {
            assert_eq!(reason_of(wrapped(kind.into())), DisconnectReason::RemoteClosed);
        }
        let garbled = io::Error::new(io::ErrorKind::InvalidData, "no such frame");
        assert_eq!(reason_of(wrapped(garbled)), DisconnectReason::Error);
        assert_eq!(reason_of(io::Error::other(NegotiationError::Failed)), DisconnectReason::Error);
        let ours = reason(Some(DisconnectReason::Trimmed), None);
        assert_eq!(ours, (DisconnectReason::Trimmed, false));
    }
}
