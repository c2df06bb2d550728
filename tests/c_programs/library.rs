//! The shared library and its header as a linker, a compiler and a reader see them.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::process::run;
use crate::toolchain::{C_FLAGS, library_dir, repo, scratch};

/// Every function of ABI version 1. One more is a new version of the header; one less breaks programs.
const FUNCTIONS: [&str; 20] = [
    "peerkit_abi_version",
    "peerkit_call",
    "peerkit_cancel",
    "peerkit_connect_peer",
    "peerkit_current",
    "peerkit_disconnect_peer",
    "peerkit_events_close",
    "peerkit_events_fd",
    "peerkit_events_next",
    "peerkit_events_open",
    "peerkit_get_peer",
    "peerkit_get_peer_stats",
    "peerkit_get_peers",
    "peerkit_list_peers",
    "peerkit_ping_peer",
    "peerkit_start",
    "peerkit_status",
    "peerkit_stop",
    "peerkit_string_free",
    "peerkit_version",
];

fn library() -> String {
    library_dir().join("libpeerkit.so").display().to_string()
}

/// A function of the header with the comment above it.
struct Function {
    comment: Vec<String>,
    returns: String,
    name: String,
    parameters: Vec<String>,
}

fn functions() -> Vec<Function> {
    let header = fs::read_to_string(repo("include/peerkit.h")).expect("the header is there");
    let mut functions = Vec::new();
    let mut comment = Vec::new();
    let mut declaration = String::new();
    for line in header.lines() {
        if let Some(text) = line.strip_prefix("//") {
            comment.push(text.strip_prefix(' ').unwrap_or(text).to_owned());
        } else if line.is_empty() || line.starts_with(['#', '}']) || line.ends_with('{') {
            comment.clear();
            declaration.clear();
        } else {
            declaration.push_str(line.trim());
            declaration.push(' ');
            if line.ends_with(';') {
                functions.extend(function(&declaration, std::mem::take(&mut comment)));
                declaration.clear();
            }
        }
    }
    functions
}

/// `char *peerkit_stop(peerkit_t h, uint32_t timeout_ms);`; nothing where it declares no function.
fn function(declaration: &str, comment: Vec<String>) -> Option<Function> {
    let (head, parameters) = declaration.split_once('(')?;
    let start = head.find("peerkit_")?;
    let (parameters, _) = parameters.split_once(')')?;
    let parameters = parameters
        .split(',')
        .map(|parameter| parameter.rsplit([' ', '*']).next().unwrap_or_default().to_owned());
    Some(Function {
        comment,
        returns: head[..start].trim().to_owned(),
        name: head[start..].to_owned(),
        parameters: parameters.filter(|name| name != "void").collect(),
    })
}

#[test]
fn the_header_declares_exactly_the_documented_functions() {
    let declared: BTreeSet<_> = functions().into_iter().map(|function| function.name).collect();
    assert_eq!(declared, FUNCTIONS.map(String::from).into());
}

#[test]
fn the_shared_library_exports_exactly_the_documented_functions() {
    let symbols =
        run(Command::new("nm").args(["-D", "--defined-only", "--format=just-symbols", &library()]));
    let exported: BTreeSet<_> = symbols.lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(exported, FUNCTIONS.map(String::from).into());
}

#[test]
fn the_shared_library_has_its_soname_and_stays_loaded() {
    let dynamic = run(Command::new("readelf").args(["-d", &library()]));
    assert!(dynamic.contains("soname: [libpeerkit.so.0]"), "{dynamic}");
    assert!(dynamic.contains("NODELETE"), "{dynamic}");
    let link = fs::read_link(library_dir().join("libpeerkit.so.0"))
        .expect("`make dev-lib` makes the link");
    assert_eq!(link.as_os_str(), "libpeerkit.so");
}

#[test]
fn the_libraries_hold_no_fault_injection() {
    for library in ["libpeerkit.so", "libpeerkit.a"] {
        let bytes = fs::read(library_dir().join(library)).expect("the library can be read");
        for trace in ["inject_worker_panic", "injected fault"] {
            let found = bytes.windows(trace.len()).any(|window| window == trace.as_bytes());
            assert!(!found, "`{trace}` is in {library}");
        }
    }
}

/// The comment of a function has these parts, in this order.
fn check_comment(function: &Function) {
    let find = |start: usize, what: &str, wanted: &dyn Fn(&str) -> bool| {
        let found = function.comment.iter().skip(start).position(|line| wanted(line));
        let found = found.unwrap_or_else(|| {
            panic!(
                "{}: no {what}, or not in its place, in\n{}",
                function.name,
                function.comment.join("\n")
            )
        });
        start + found
    };
    let mut at = find(0, "first line", &|line| line.ends_with('.') || line.contains(' '));
    assert_eq!(at, 0, "{}: the comment begins with what it does", function.name);
    for parameter in &function.parameters {
        let tag = format!("@param {parameter} ");
        at = find(at, &tag, &|line| line.starts_with(&tag));
    }
    if function.returns == "char *" {
        at = find(at, "Reply:", &|line| line.starts_with("Reply:"));
        at = find(at, "Errors:", &|line| line.starts_with("Errors:"));
    }
    at = find(at, "word on blocking", &|line| {
        line.contains("Blocks ") || line.contains("Doesn't block")
    });
    find(at, "word on threads", &|line| line.contains("Safe from any thread"));
    let documented = function.comment.iter().filter(|line| line.starts_with("@param ")).count();
    assert_eq!(documented, function.parameters.len(), "{}: a @param too many", function.name);
}

#[test]
fn every_function_is_documented_in_the_order_of_the_house() {
    functions().iter().for_each(check_comment);
}

#[test]
fn the_header_may_be_included_twice_and_is_pedantic_c11() {
    let source = scratch().join("twice.c");
    fs::write(
        &source,
        "#include <peerkit.h>\n#include <peerkit.h>\nint main(void) { return 0; }\n",
    )
    .expect("the target directory is writable");
    let mut cc = Command::new("cc");
    run(cc
        .args(C_FLAGS)
        .args(["-pedantic", "-fsyntax-only", "-I"])
        .arg(repo("include"))
        .arg(&source));
}
