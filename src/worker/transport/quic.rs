//! Settings of QUIC, and the meaning of its errors.

use std::error::Error;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::quic;

use crate::config::MAX_TIMEOUT;

/// QUIC closes a connection on which it heard nothing for this long; well inside the 60 s within
/// which dead peers are noticed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.max_idle_timeout = IDLE_TIMEOUT.as_millis() as u32;
    // A dial ends at its own deadline, an inbound handshake by `Attempted`'s timeout.
    config.handshake_timeout = MAX_TIMEOUT;
    config
}

/// Tells whether nobody answered in time.
pub(super) fn is_handshake_timeout(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(quic::Error::HandshakeTimedOut))
}

/// Tells whether this side refused the remote's certificate as not valid at this time. The layers around QUIC
/// leave nothing of the error but its text. What a remote says by closing begins otherwise.
pub(super) fn is_out_of_validity(error: &(dyn Error + 'static)) -> bool {
    let mut current = Some(error);
    while let Some(error) = current {
        let text = error.to_string();
        if text.contains("invalid peer certificate: ") && text.contains("InvalidCertValidity") {
            return !text.contains("by peer: ");
        }
        current = error.source();
    }
    false
}

/// Tells whether QUIC heard nothing for its idle timeout.
pub(crate) fn is_idle_timeout(error: &(dyn Error + 'static)) -> bool {
    // quinn's error is private inside; its text for `ConnectionError::TimedOut` is this.
    error.is::<quic::Error>() && error.to_string() == "timed out"
}
