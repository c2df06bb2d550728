//! A build without QUIC: TCP alone, and no error of QUIC's.

use std::error::Error;

use libp2p::identity::Keypair;

use crate::config::Settings;

pub(super) fn beside<T>(tcp: T, _: &Keypair, _: &Settings) -> T {
    tcp
}

pub(super) fn is_handshake_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}

pub(crate) fn is_idle_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}
