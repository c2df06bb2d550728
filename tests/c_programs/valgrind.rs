//! Valgrind is the judge: no invalid access, no memory definitely lost, nothing suppressed.
//!
//! Everything runs as it is, TCP and QUIC, TLS and Noise: valgrind tells programs of a processor without the
//! instructions it doesn't know, and ring believes it.

use std::process::Command;

use crate::contract::LISTEN;
use crate::examples::watch_meets;
use crate::peers::{GoPeer, Watch};
use crate::process::run;
use crate::toolchain::program;

/// Exit status for errors and definite leaks; the programs' own are 0, 1 and 2.
const FOUND: &str = "--error-exitcode=99";

fn valgrind(source: &str) -> Command {
    let mut command = Command::new("valgrind");
    command.args([
        "--quiet",
        FOUND,
        "--leak-check=full",
        "--show-leak-kinds=definite",
        "--errors-for-leak-kinds=definite",
    ]);
    command.arg(program(source));
    command
}

#[test]
fn a_thousand_calls_leak_nothing() {
    let go = GoPeer::start(&[]);
    let printed = run(valgrind("tests/c/connect.c").args(["leak", &go.tcp()]));
    assert!(printed.contains("ok - a thousand calls"), "{printed}");
}

#[test]
fn bad_input_leaks_nothing_and_touches_nothing() {
    run(&valgrind("tests/c/bad_input.c"));
}

/// A hundred and more runs in one process, and every start that fails.
#[test]
fn starting_and_stopping_leaks_nothing() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    run(valgrind("tests/c/lifecycle.c").arg(dir.path()));
}

#[test]
fn subscriptions_leak_nothing() {
    run(&valgrind("tests/c/events.c"));
}

/// The other side is a forked child, which valgrind watches as well.
#[test]
fn discovery_leaks_nothing() {
    run(&valgrind("tests/c/discover.c"));
}

#[test]
fn the_quickstart_is_clean_under_valgrind() {
    let go = GoPeer::start(&[]);
    for address in [go.tcp(), go.quic()] {
        let printed = run(valgrind("examples/c/quickstart.c").arg(address));
        assert!(printed.contains("\nstop: done"), "{printed}");
    }
}

#[test]
fn watch_is_clean_under_valgrind() {
    let go = GoPeer::start(&["-agent", "go/1"]);
    let watch = Watch::run(valgrind("examples/c/watch.c").args(LISTEN));
    watch_meets(watch, &go.quic(), &go.id, "go/1");
}
