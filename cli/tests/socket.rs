//! The place of the control socket where the data directory's path is too long for one, and who is in the way there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::process::Home;
use crate::support::program::command;

/// Gives the first line of a node whose socket has to be among these temporary files.
fn started(data_dir: &Path, temporary: &Path) -> Value {
    let data_dir = data_dir.display().to_string();
    let mut program = command(&["run", "--json", "--data-dir", &data_dir]);
    program.env("TMPDIR", temporary).env_remove("XDG_RUNTIME_DIR").stdout(Stdio::piped());
    let mut node = program.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(node.stdout.take().unwrap()).read_line(&mut line).unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn whoever_is_in_the_way_of_the_short_path_is_named_and_left_alone() {
    let home = Home::new();
    let data_dir = home.path().join("d".repeat(100));
    fs::create_dir(&data_dir).unwrap();
    fs::write(data_dir.join("config.json"), json!({"profile": "offline"}).to_string()).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let us = fs::metadata(temporary.path()).unwrap().uid();
    let short = temporary.path().join(format!("peerkit-{us}"));
    let is_named = |what: &str| {
        let told = started(&data_dir, temporary.path());
        assert_eq!(told["code"], "config_invalid", "{told}");
        let named = format!("{} is {what} of user {us}", short.display());
        assert!(told["error"].as_str().unwrap().contains(&named), "{told}");
        assert_eq!(told["detail"]["owner_uid"], us);
    };
    fs::write(&short, "precious").unwrap();
    is_named("a file");
    assert_eq!(fs::read(&short).unwrap(), b"precious");
    fs::remove_file(&short).unwrap();

    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), &short).unwrap();
    is_named("a link");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "it isn't followed");
    fs::remove_file(&short).unwrap();

    assert_eq!(started(&data_dir, temporary.path())["success"], true);
    assert!(short.is_dir());
}
