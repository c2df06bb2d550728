//! The C libraries: what `include/peerkit.h` declares, and nothing else. The functions are the library's own
//! (its `ffi`); this package only links them.

extern crate peerkit as _;
