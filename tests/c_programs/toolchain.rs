//! Finding what `make` built, and compiling C against it as a user would.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::process::run;

pub(crate) const C_FLAGS: [&str; 5] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pthread"];

/// The libraries that a C program needs beside libpeerkit.a; as `rustc --print native-static-libs` lists them.
const STATIC_LIBS: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];

/// A path inside this repository.
pub(crate) fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Returns the directory for programs and their data.
pub(crate) fn scratch() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_programs");
    fs::create_dir_all(&dir).expect("the target directory is writable");
    dir
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// Returns the directory in which `make dev-lib` put libpeerkit.so and libpeerkit.a, or that of
/// `PEERKIT_LIB_DIR`; fails where they are older than the source.
pub(crate) fn library_dir() -> PathBuf {
    let dir = match (std::env::var_os("PEERKIT_LIB_DIR"), std::env::var_os("CARGO_TARGET_DIR")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(target)) => Path::new(&target).join("debug"),
        (None, None) => PathBuf::from("target/debug"),
    };
    let dir = repo("").join(dir);
    for library in ["libpeerkit.so", "libpeerkit.a"] {
        let library = dir.join(library);
        let Some(built) = changed(&library) else {
            panic!("{} isn't there: run `make dev-lib`", library.display());
        };
        for source in sources(&dir.join("libpeerkit.d")) {
            assert!(
                changed(&source).is_some_and(|changed| changed <= built),
                "{} is older than {}: run `make dev-lib`",
                library.display(),
                source.display()
            );
        }
    }
    dir
}

/// The files that the library was made of, as cargo noted: `libpeerkit.so: src/a.rs src/b.rs`.
fn sources(noted: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(noted).unwrap_or_default();
    let (_, files) = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_once(": ")
        .unwrap_or_else(|| panic!("{} isn't there: run `make dev-lib`", noted.display()));
    files
        .replace("\\ ", "\0")
        .split_whitespace()
        .map(|file| PathBuf::from(file.replace('\0', " ")))
        .collect()
}

/// The compiled program of a C source file, linked with the shared library.
pub(crate) fn program(source: &str) -> PathBuf {
    compile(source, "", |cc, lib| {
        cc.arg("-L").arg(lib).arg("-lpeerkit").arg(format!("-Wl,-rpath,{}", lib.display()));
    })
}

/// The C program that the README shows, as `program` would have it.
pub(crate) fn readme_program() -> PathBuf {
    let readme = fs::read_to_string(repo("README.md")).expect("there is a README");
    let shown = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next());
    let source = scratch().join("readme.c");
    fs::write(&source, shown.expect("the README shows a C program")).expect("it is writable");
    program(&source.display().to_string())
}

/// The same, with the library inside it.
pub(crate) fn static_program(source: &str) -> PathBuf {
    compile(source, "-static", |cc, lib| {
        cc.arg(lib.join("libpeerkit.a")).args(STATIC_LIBS);
    })
}

/// Compiles each program once; tests that want the same one wait.
fn compile(source: &str, suffix: &str, link: impl Fn(&mut Command, &Path)) -> PathBuf {
    static DONE: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let done = done.get_or_insert_default();
    let name = source.replace('/', "-") + suffix;
    if let Some(program) = done.get(&name) {
        return program.clone();
    }
    let lib = library_dir();
    let program = scratch().join(&name);
    let mut cc = if source.ends_with(".cpp") {
        let mut cc = Command::new("c++");
        cc.args(["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread"]);
        cc
    } else {
        let mut cc = Command::new("cc");
        cc.args(C_FLAGS);
        cc
    };
    cc.args(["-g", "-I"]).arg(repo("include")).arg(repo(source)).arg("-o").arg(&program);
    link(&mut cc, &lib);
    run(&cc);
    done.insert(name, program.clone());
    program
}

/// The Go peer that `make go-peer` built.
pub(crate) fn go_peer() -> PathBuf {
    let dir = repo("tests/interop/go");
    let program = dir.join("bin/interop");
    let built =
        changed(&program).unwrap_or_else(|| panic!("there is no Go peer: run `make go-peer`"));
    for file in fs::read_dir(&dir).expect("tests/interop/go is there").filter_map(Result::ok) {
        let file = file.path();
        if file.extension().is_some_and(|kind| kind == "go") {
            assert!(
                changed(&file).is_some_and(|changed| changed <= built),
                "the Go peer is older than {}: run `make go-peer`",
                file.display()
            );
        }
    }
    program
}

/// A Rust example, which `cargo test` builds beside the tests.
pub(crate) fn rust_example(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a test knows where it is");
    let program = this.ancestors().nth(2).map(|dir| dir.join("examples").join(name));
    program.filter(|program| program.exists()).unwrap_or_else(|| {
        panic!("the example {name} isn't built: run `cargo build --all-features --example {name}`")
    })
}
