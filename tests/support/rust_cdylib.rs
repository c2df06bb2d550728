//! A shared library of somebody's that uses the crate, for the test of what it exports.
#![allow(unsafe_code)]

/// Tells whether a manager runs in this process.
// SAFETY: nobody else has a function of that name.
#[unsafe(no_mangle)]
pub extern "C" fn a_function_of_the_program() -> bool {
    peerkit::PeerManager::current().is_ok()
}
