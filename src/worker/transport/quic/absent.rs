//! A build without the feature `quic` meets no error of QUIC's.

use std::error::Error;

pub(super) fn is_handshake_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}

pub(super) fn is_out_of_validity(_: &(dyn Error + 'static)) -> bool {
    false
}

pub(crate) fn is_idle_timeout(_: &(dyn Error + 'static)) -> bool {
    false
}
