//! A shared library of somebody's that uses the crate, for the test of what it exports.
#![allow(unsafe_code)]

/// Tells whether a manager runs in this process.
// SAFETY: nobody else has a function of that name.
#[cfg_attr(feature = "capi", unsafe(export_name = "this_one_is_built_with_capi"))]
#[cfg_attr(not(feature = "capi"), unsafe(export_name = "this_one_is_built_without_capi"))]
pub extern "C" fn is_running() -> bool {
    peerkit::PeerManager::current().is_ok()
}
