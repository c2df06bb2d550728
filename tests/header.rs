//! The committed C header is what cbindgen makes of the source. `make header` (which sets
//! `PEERKIT_UPDATE`) writes it anew.

use std::path::Path;

#[test]
fn the_committed_header_is_the_generated_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let mut generated = Vec::new();
    cbindgen::Builder::new()
        .with_config(config)
        .with_src(root.join("src/ffi/lifecycle.rs"))
        .with_src(root.join("src/ffi/peers.rs"))
        .with_src(root.join("src/ffi/events.rs"))
        .generate()
        .expect("cbindgen reads src/ffi")
        .write(&mut generated);
    let generated = String::from_utf8(generated).expect("a header is text");
    let committed = root.join("include/peerkit.h");
    if std::env::var_os("PEERKIT_UPDATE").is_some() {
        std::fs::write(&committed, &generated).expect("include/peerkit.h is writable");
    }
    let committed = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(generated.contains("Running out of memory aborts the process"), "a caller must know");
    assert!(committed == generated, "include/peerkit.h is stale: run `make header`");
}
