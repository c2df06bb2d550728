//! Says of a test that this machine doesn't permit it, such as one that needs namespaces. A person's machine
//! may be like that; CI's may not, or the test would run nowhere: `.ci/run` sets `CI`, and then it's a failure.

use std::fmt::Display;
use std::io::Write;

/// Tells why the test doesn't run here; in CI, fails it.
#[track_caller]
pub fn skipped(why: impl Display) {
    let in_ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false");
    assert!(!in_ci, "CI has to be able to run this: {why}");
    // Writes to stderr directly: `eprintln!` of a test that succeeds isn't shown.
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
}
