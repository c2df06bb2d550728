//! Compiles a library of C that the loader puts before libc, for a process that is to meet what libc doesn't do.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles `tests/support/NAME.c` into a directory; returns the library.
pub fn compile(name: &str, into: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = [root, &root.join("..")].map(|root| root.join(format!("tests/support/{name}.c")));
    let source = source.iter().find(|source| source.exists()).expect("the source is there");
    let library = into.join(format!("{name}.so"));
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&library).arg(source);
    assert!(cc.arg("-ldl").status().unwrap().success());
    library
}
