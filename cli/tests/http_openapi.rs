//! The OpenAPI document, judged by the tools of others: `make python-tools` installs them.

use std::path::Path;
use std::process::Command;

use crate::support::http::Server;

/// A program of the environment for Python that `make python-tools` made.
fn tool(name: &str) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/.venv/bin").join(name);
    assert!(path.exists(), "{} isn't there: run `make python-tools`", path.display());
    Command::new(path)
}

#[test]
fn the_document_is_valid_and_dials_nobody() {
    let server = Server::start(&[]);
    let answer = server.get("/api/openapi.json");
    let document = answer.with_status(200);
    let file = server.home.path().join("openapi.json");
    std::fs::write(&file, &answer.body).unwrap();
    let checked =
        tool("python").args(["-m", "openapi_spec_validator"]).arg(&file).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let operations = peerkit::ops::catalogue().iter();
    for op in operations {
        assert!(document["paths"].get(format!("/api/call/{}", op.name)).is_some(), "{}", op.name);
    }
    assert!(!answer.body.contains("\"example"));
}

#[test]
fn schemathesis_finds_no_server_error_and_no_broken_schema() {
    let server = Server::start(&[]);
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/schemathesis.toml");
    let url = format!("http://{}/api/openapi.json", server.authority());
    let checked = tool("schemathesis")
        .arg("--config-file")
        .arg(config)
        .args(["run", &url, "--exclude-path", "/api/events"])
        .args(["--max-examples", "10", "--seed", "1", "--no-color"])
        .arg("--header")
        .arg(format!("Authorization: Bearer {}", server.token()))
        .current_dir(server.home.path())
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    assert_eq!(server.get("/healthz").status, 200);
}
