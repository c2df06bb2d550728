//! Tests of what start finds on disk: the data directory, its lock, `config.json` and the identity.
//! None of them relies on permissions that root bypasses, except where it says so.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use libp2p::identity::Keypair;
use serde_json::{Value, json};

use super::{KEY, KEY_ID, base64_text};
use crate::config::*;
use crate::error::{Error, ErrorKind};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A directory that only we may write, inside one that goes away.
fn scratch() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    chmod(dir.path(), 0o700);
    dir
}

fn offline(dir: &Path) -> Config {
    Config::new().profile(Profile::Offline).data_dir(dir)
}

fn id_of(opened: &Opened) -> String {
    opened.keypair.public().to_peer_id().to_base58()
}

fn open_error(config: &Config) -> Error {
    open(config).expect_err("it opened")
}

#[test]
fn a_new_data_dir_is_ours_alone_and_keeps_the_identity() {
    let scratch = scratch();
    let dir = scratch.path().join("a/b");
    let first = open(&offline(&dir)).unwrap();
    let id = id_of(&first);
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("identity.key")), 0o600);
    assert_eq!(mode(&dir.join("lock")), 0o600);
    assert!(first.settings.warnings.is_empty(), "{:?}", first.settings.warnings);
    let text = fs::read_to_string(dir.join("identity.key")).unwrap();
    assert!(text.ends_with("=\n"));
    let mut names: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["identity.key", "lock"]);
    drop(first);
    assert_eq!(id_of(&open(&offline(&dir)).unwrap()), id);
    assert_eq!(fs::read_to_string(dir.join("identity.key")).unwrap(), text);
}

#[test]
fn without_a_data_dir_each_run_is_someone_new() {
    let config = Config::new().profile(Profile::Offline);
    let (one, two) = (open(&config).unwrap(), open(&config).unwrap());
    assert!(one.data_dir.is_none());
    assert_ne!(id_of(&one), id_of(&two));
}

#[test]
fn a_locked_data_dir_names_its_holder() {
    let scratch = scratch();
    let held = DataDir::open(scratch.path(), false).unwrap();
    let error = DataDir::open(scratch.path(), false).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataDirLocked);
    assert_eq!(error.detail()["pid"], json!(std::process::id()));
    assert_eq!(error.detail()["path"], json!(scratch.path()));
    assert!(error.message().contains("another copy of peerkit in this process"), "{error}");

    fs::write(scratch.path().join("lock"), "1\n").unwrap();
    let error = DataDir::open(scratch.path(), false).unwrap_err();
    assert_eq!(error.detail()["pid"], json!(1));
    assert!(error.message().ends_with("in use by process 1"), "{error}");

    // A process that is gone can't be stopped.
    fs::write(scratch.path().join("lock"), format!("{}\n", i32::MAX)).unwrap();
    let error = DataDir::open(scratch.path(), false).unwrap_err();
    assert_eq!(error.detail()["pid"], Value::Null);
    assert!(error.hint().unwrap().contains("`lock`"), "{error}");

    fs::write(scratch.path().join("lock"), "rubbish").unwrap();
    assert_eq!(DataDir::open(scratch.path(), false).unwrap_err().detail()["pid"], Value::Null);

    held.close();
    assert!(scratch.path().join("lock").exists());
    DataDir::open(scratch.path(), false).unwrap();
}

#[test]
fn the_lock_outlives_neither_the_manager_nor_a_shared_descriptor() {
    let scratch = scratch();
    let held = DataDir::open(scratch.path(), false).unwrap();
    // A child that inherits no descriptor by name still shares the open file until it execs.
    let copy = held.clone_lock();
    drop(held);
    DataDir::open(scratch.path(), false).unwrap();
    drop(copy);
}

#[test]
fn a_stale_pid_needs_no_person() {
    let scratch = scratch();
    fs::write(scratch.path().join("lock"), "1\n").unwrap();
    let held = DataDir::open(scratch.path(), false).unwrap();
    let text = fs::read_to_string(scratch.path().join("lock")).unwrap();
    assert_eq!(text, format!("{}\n", std::process::id()));
    drop(held);
}

#[test]
fn a_data_dir_that_others_may_write_is_refused() {
    let scratch = scratch();
    for bits in [0o770, 0o722, 0o702, 0o1777] {
        chmod(scratch.path(), bits);
        let error = open_error(&offline(scratch.path()));
        assert_eq!(error.kind(), ErrorKind::Storage, "{bits:o}");
        assert!(error.hint().unwrap().contains("chmod 700"));
        assert!(!scratch.path().join("lock").exists());
    }
    chmod(scratch.path(), 0o755);
    open(&offline(scratch.path())).unwrap();
}

#[test]
fn a_data_dir_that_cannot_be_is_refused() {
    let scratch = scratch();
    let file = scratch.path().join("file");
    fs::write(&file, "").unwrap();
    let full = scratch.path().join("lock-is-a-directory");
    fs::create_dir_all(full.join("lock")).unwrap();
    chmod(&full, 0o700);
    for dir in [file.clone(), file.join("below"), full, "/proc/peerkit".into()] {
        let error = open_error(&offline(&dir));
        assert_eq!(error.kind(), ErrorKind::Storage, "{}: {error}", dir.display());
        assert!(error.detail()["path"].as_str().unwrap().starts_with(dir.to_str().unwrap()));
        assert!(error.hint().is_some());
    }
    assert!(
        open_error(&offline(&file.join("below"))).message().contains("file instead of a directory")
    );
}

#[test]
fn a_read_only_data_dir_is_refused() {
    let scratch = scratch();
    chmod(scratch.path(), 0o500);
    if fs::write(scratch.path().join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write where nobody may (root)");
        return;
    }
    let error = open_error(&offline(scratch.path()));
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.message().contains("permission denied"), "{error}");
}

#[test]
fn a_bad_configuration_leaves_no_directory_behind() {
    let scratch = scratch();
    let dir = scratch.path().join("new");
    open_error(&offline(&dir).limits(Limits::new().max_peers(0)));
    assert!(!dir.exists());
}

#[test]
fn a_failed_start_gives_the_lock_back() {
    let scratch = scratch();
    fs::write(scratch.path().join("identity.key"), "rubbish").unwrap();
    open_error(&offline(scratch.path()));
    DataDir::open(scratch.path(), false).unwrap();
}

#[test]
fn config_json_stands_between_profile_and_call() {
    let scratch = scratch();
    let text = json!({
        "profile": "offline", "agent_version": "from-file", "limits": {"max_peers": 5, "max_pending": 6},
        "discovery_sources": 1, "log": {"file": "peerkit.log"}, "data_dir": "/elsewhere", "identity": {"file": "my.key"},
    })
    .to_string();
    fs::write(scratch.path().join("config.json"), &text).unwrap();
    fs::write(scratch.path().join("my.key"), KEY).unwrap();
    chmod(&scratch.path().join("my.key"), 0o600);
    let call = Config::new().data_dir(scratch.path()).limits(Limits::new().max_peers(9));
    let opened = open(&call).unwrap();
    let settings = &opened.settings;
    assert_eq!(settings.profile, Profile::Offline);
    assert_eq!(settings.agent_version, "from-file");
    assert_eq!((settings.limits.max_peers, settings.limits.max_pending), (9, 6));
    assert_eq!(settings.log.as_ref().unwrap().file, Some(scratch.path().join("peerkit.log")));
    assert_eq!(settings.data_dir.as_deref(), Some(scratch.path()));
    assert_eq!(id_of(&opened), KEY_ID);
    assert!(!scratch.path().join("identity.key").exists());
    assert_eq!(
        settings.warnings,
        ["config.json: unknown key `discovery_sources`", "`data_dir` has no effect in config.json",]
    );
    assert_eq!(fs::read_to_string(scratch.path().join("config.json")).unwrap(), text);
}

#[test]
fn a_bad_config_json_is_refused_by_its_path() {
    let scratch = scratch();
    let path = scratch.path().join("config.json");
    let long = format!("{{\"agent_version\":\"{}\"}}", "x".repeat(1024 * 1024));
    for (text, kind) in [
        ("", ErrorKind::ConfigInvalid),
        ("[]", ErrorKind::ConfigInvalid),
        ("{\"profile\": 1}", ErrorKind::ConfigInvalid),
        ("{\"limits\": {\"max_peers\": 0}}", ErrorKind::ConfigInvalid),
        ("{\"bootstrap\": [\"x\"]}", ErrorKind::ConfigInvalid),
        ("{\"metadata_cache_ttl\": 1}", ErrorKind::Unsupported),
        (&long, ErrorKind::ConfigInvalid),
    ] {
        fs::write(&path, text).unwrap();
        let error = open_error(&Config::new().data_dir(scratch.path()));
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.detail()["path"], json!(path), "{error}");
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = open_error(&Config::new().data_dir(scratch.path()));
    assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
}

#[test]
fn a_key_is_read_in_each_form_it_is_exported_in() {
    let scratch = scratch();
    let file = scratch.path().join("key");
    let raw = Keypair::from_protobuf_encoding(&private_key::decode_base64(KEY).unwrap()).unwrap();
    let raw = raw.to_protobuf_encoding().unwrap();
    let unpadded = KEY.trim_end_matches('=').to_owned();
    for bytes in [
        raw,
        KEY.as_bytes().to_vec(),
        format!("{KEY}\n").into_bytes(),
        unpadded.clone().into_bytes(),
    ] {
        fs::write(&file, bytes).unwrap();
        chmod(&file, 0o600);
        let opened =
            open(&Config::new().profile(Profile::Offline).identity(KeySource::file(&file)))
                .unwrap();
        assert_eq!(id_of(&opened), KEY_ID);
        assert!(opened.settings.warnings.is_empty());
    }
    for text in [KEY, &unpadded] {
        assert_eq!(id_of(&open(&Config::new().identity(text)).unwrap()), KEY_ID);
    }
    for key in [Keypair::generate_secp256k1(), Keypair::generate_ecdsa()] {
        let opened =
            open(&Config::new().identity(base64_text(&key.to_protobuf_encoding().unwrap())))
                .unwrap();
        assert_eq!(opened.keypair.public(), key.public());
    }
}

#[test]
fn a_bad_key_file_is_an_error_and_stays_as_it_is() {
    let scratch = scratch();
    let path = scratch.path().join("identity.key");
    let too_long = vec![b'A'; 70_000];
    let contents: [&[u8]; 6] =
        [b"", b"\n", b"rubbish", &KEY.as_bytes()[..40], b"-----BEGIN PRIVATE KEY-----", &too_long];
    for bytes in contents {
        fs::write(&path, bytes).unwrap();
        let error = open_error(&offline(scratch.path()));
        assert_eq!(error.kind(), ErrorKind::Identity, "{error}");
        assert_eq!(error.detail()["path"], json!(path));
        assert!(error.hint().is_some());
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    symlink("/nowhere/key", &path).unwrap();
    assert_eq!(open_error(&offline(scratch.path())).kind(), ErrorKind::Identity);
    assert!(path.is_symlink());
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_eq!(open_error(&offline(scratch.path())).kind(), ErrorKind::Identity);
    let missing = Config::new().identity(KeySource::file("/nowhere/key"));
    assert_eq!(open_error(&missing).kind(), ErrorKind::Identity);
}

#[test]
fn a_given_key_wins_and_leaves_the_stored_one() {
    let scratch = scratch();
    let stored = id_of(&open(&offline(scratch.path())).unwrap());
    let given = open(&offline(scratch.path()).identity(KEY)).unwrap();
    assert_eq!(id_of(&given), KEY_ID);
    drop(given);
    assert_eq!(id_of(&open(&offline(scratch.path())).unwrap()), stored);
}

#[test]
fn a_key_open_to_others_is_a_warning() {
    let scratch = scratch();
    drop(open(&offline(scratch.path())).unwrap());
    chmod(&scratch.path().join("identity.key"), 0o644);
    let opened = open(&offline(scratch.path())).unwrap();
    assert!(opened.settings.warnings[0].contains("mode 644"), "{:?}", opened.settings.warnings);
}

#[test]
fn a_key_file_left_by_a_crash_is_no_obstacle() {
    let scratch = scratch();
    fs::write(scratch.path().join("identity.key.new"), "half").unwrap();
    open(&offline(scratch.path())).unwrap();
    assert!(!scratch.path().join("identity.key.new").exists());
}

#[test]
fn config_json_is_read_as_editors_save_it_and_named_where_it_is_no_such_text() {
    let scratch = scratch();
    let path = scratch.path().join("config.json");
    let text = "\u{feff}{\r\n\"limits\": {\"max_peers\": 5}\r\n}\r\n";
    fs::write(&path, text).unwrap();
    assert_eq!(open(&offline(scratch.path())).unwrap().settings.limits.max_peers, 5);
    let bytes =
        |units: &str, each: fn(u16) -> [u8; 2]| units.encode_utf16().flat_map(each).collect();
    for (bytes, why) in [
        (bytes(text, u16::to_le_bytes), " is text in UTF-16: save it as UTF-8"),
        (bytes(text, u16::to_be_bytes), " is text in UTF-16: save it as UTF-8"),
        (bytes(&text[3..], u16::to_le_bytes), " is text in UTF-16: save it as UTF-8"),
        (b"{\n\"agent_version\": \"caf\xe9\"}".to_vec(), " is no text in UTF-8: see its line 2"),
        (b"{\n\"limits\": 5}".to_vec(), ": `limits`: it must be an object"),
        (
            b"{\n\"limits\": {\"max_peers\": \"5\"}}".to_vec(),
            ": `limits.max_peers`: it must be a whole number from 1 to 10000000, not \"5\"",
        ),
        (
            b"{\"limits\": {\"max_peers\": 0}}".to_vec(),
            ": `limits.max_peers`: it must be a whole number from 1 to 10000000, not 0",
        ),
        (
            b"{".to_vec(),
            ": the configuration is no JSON: EOF while parsing an object at line 1 column 1",
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let error = open_error(&offline(scratch.path()));
        assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
        assert_eq!(error.message(), format!("{}{why}", path.display()));
        assert_eq!(error.detail()["path"], json!(path));
    }
}
