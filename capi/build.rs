//! Tells the linker what a C program may rely on in the shared library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|system| system == "linux") {
        // The number is that of the ABI (docs/adr/0003-crate-type.md).
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libpeerkit.so.0");
        // Unloading the library under a running worker would crash the program.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    }
}
