//! The C tests of the contract: each program of `tests/c` checks what it is about and says where it fails.

use std::process::Command;

use crate::peers::Watch;
use crate::process::run;
use crate::skip::skipped;
use crate::toolchain::{program, static_program};

/// Runs a C test; each promise it keeps is a line, and so is one that this machine doesn't permit.
#[track_caller]
pub(crate) fn keeps_its_promises(name: &str, args: &[&str]) {
    let printed = run(Command::new(program(&format!("tests/c/{name}.c"))).args(args));
    print!("{printed}");
    let lines = |start| printed.lines().filter_map(move |line| line.strip_prefix(start));
    lines("skip - ").for_each(skipped);
    assert!(
        lines("ok - ").chain(lines("skip - ")).next().is_some(),
        "it checked nothing:\n{printed}"
    );
}

pub(crate) const LISTEN: [&str; 4] =
    ["--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1"];

#[test]
fn the_lifecycle_is_as_its_table_says() {
    let dir = tempfile::tempdir().expect("there is room for temporary files");
    keeps_its_promises("lifecycle", &[&dir.path().display().to_string()]);
}

#[test]
fn events_come_in_order_and_the_waiting_are_woken() {
    keeps_its_promises("events", &[]);
}

#[test]
fn bad_input_is_a_clear_error_and_never_a_crash() {
    keeps_its_promises("bad_input", &[]);
}

#[test]
fn a_call_needs_no_more_of_its_callers_stack_than_the_header_says() {
    keeps_its_promises("stack", &[]);
}

#[test]
fn every_operation_of_discovery_answers_as_documented() {
    keeps_its_promises("discover", &[]);
}

#[test]
fn a_forked_child_is_told_so_at_once() {
    keeps_its_promises("fork", &[]);
}

#[test]
fn a_forked_child_with_its_parents_pid_is_told_so_too() {
    keeps_its_promises("fork", &["samepid"]);
}

#[test]
fn two_processes_of_peerkit_connect_over_tcp_and_quic() {
    let watch = Watch::start(&LISTEN);
    keeps_its_promises("connect", &[&watch.tcp(), &watch.quic()]);
    watch.stop();
}

#[test]
fn a_name_that_does_not_resolve_fails_at_that_stage() {
    keeps_its_promises("connect", &["dns"]);
}

#[test]
fn a_cpp_program_compiles_and_links() {
    let printed = run(&Command::new(program("tests/c/header.cpp")));
    assert!(printed.starts_with("ok - "), "{printed}");
}

#[test]
fn a_program_with_the_static_library_inside_runs() {
    let watch = Watch::start(&LISTEN);
    let program = static_program("examples/c/quickstart.c");
    let needed = run(Command::new("readelf").arg("-d").arg(&program));
    assert!(!needed.contains("libpeerkit"), "it needs the shared library:\n{needed}");
    let printed = run(Command::new(program).arg(watch.quic()));
    assert!(printed.contains("\nstop: done"), "{printed}");
}
