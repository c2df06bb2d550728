//! QUIC beside TCP, and what its errors mean.

use std::error::Error;
use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{OptionalTransport, Transport};
use libp2p::identity::Keypair;
use libp2p::quic;

use super::wrappers::{Connection, Reach};
use crate::config::{MAX_TIMEOUT, Settings};

/// QUIC closes a connection on which it heard nothing for this long; well inside the 60 s within
/// which dead peers are noticed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Puts QUIC beside TCP, but for a private network: QUIC has no pre-shared key.
pub(super) fn beside<T>(
    tcp: T,
    keypair: &Keypair,
    settings: &Settings,
) -> impl Transport<Output = Connection, Error: Send + Sync, Dial: Send, ListenerUpgrade: Send>
+ Send
+ Unpin
+ use<T>
where
    T: Transport<Output = Connection, Error: Send + Sync, Dial: Send, ListenerUpgrade: Send>,
    T: Send + Unpin + 'static,
{
    let quic = match settings.swarm_key {
        Some(_) => OptionalTransport::none(),
        None => OptionalTransport::some(
            Reach::quic(quic::tokio::Transport::new(config(keypair)), settings.local_only())
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer))),
        ),
    };
    quic.or_transport(tcp).map(|connection, _| connection.into_inner())
}

fn config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.max_idle_timeout = IDLE_TIMEOUT.as_millis() as u32;
    // A dial ends at its own deadline, an inbound handshake by `Attempted`'s timeout.
    config.handshake_timeout = MAX_TIMEOUT;
    config
}

/// Whether nobody answered in time.
pub(super) fn is_handshake_timeout(error: &(dyn Error + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(quic::Error::HandshakeTimedOut))
}

/// Whether QUIC heard nothing for its idle timeout.
pub(crate) fn is_idle_timeout(error: &(dyn Error + 'static)) -> bool {
    // quinn's error is private inside; its text for `ConnectionError::TimedOut` is this.
    error.is::<quic::Error>() && error.to_string() == "timed out"
}
