//! A data directory that is mounted elsewhere: a command finds the node that runs on it, whatever path it runs by.

use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::process::PEERKIT;
use crate::support::program::Node;
use crate::support::skip::skipped;

/// A command that runs another in a mount namespace of its own.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount"]).stdin(Stdio::null());
    command
}

#[test]
fn a_data_directory_that_is_mounted_elsewhere_is_attached_to() {
    if !unshare().arg("true").status().is_ok_and(|status| status.success()) {
        return skipped("no mount namespace to be had");
    }
    let (node, elsewhere) = (Node::start(json!({})), tempfile::tempdir().unwrap());
    // Hides it where the node has it.
    let script = r#"mount --bind "$1" "$2" && mount -t tmpfs none "$1" && exec "$0" --json --data-dir "$2" status"#;
    let output = unshare()
        .args(["sh", "-c", script, PEERKIT])
        .args([node.home.data_dir(), elsewhere.path().to_owned()])
        .output()
        .unwrap();
    let status: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{error}: {output:?}");
        });
    assert_eq!(status["peer_id"], *node.id, "{status:#}");
    assert_eq!(status["success"], true, "{status:#}");
}
