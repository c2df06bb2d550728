//! While the node can't run, the server says why in each reply; when it can, everything works again by itself.

use std::net::TcpListener;
use std::process::Command;

use serde_json::json;

use crate::support::http::{Server, fails, wait_for};
use crate::support::process::{Home, Running};

#[test]
fn a_port_that_is_taken_is_told_in_every_reply_until_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let home = Home::new();
    let listen = format!("/ip4/127.0.0.1/tcp/{port}");
    let config = json!({"profile": "offline", "listen": [listen]}).to_string();
    std::fs::write(home.path().join("config.json"), config).unwrap();
    let server = Server::at(home, &[]);
    assert_eq!(server.line["peer_id"], json!(null));
    assert_eq!(server.line["code"], "listen_failed");

    for read in ["/api/peers/list", "/api/peers/discovery/status", "/api/events", "/metrics"] {
        assert_eq!(server.get(read).refused(503), "listen_failed", "{read}");
    }
    for act in ["/api/peers/discovery/start", "/api/call/discover_peers"] {
        let answer = server.post(act, "");
        assert_eq!(answer.refused(503), "listen_failed", "{act}");
        assert!(answer.json()["hint"].is_string());
    }
    let health = server.get("/healthz").with_status(503);
    assert_eq!(health, json!({"status": "down", "code": "listen_failed"}));
    assert_eq!(server.get("/").status, 200, "the page is there to show it");

    drop(taken);
    wait_for("the node", || server.get("/healthz").status == 200);
    assert_eq!(server.get("/api/peers/list").status, 200);
    assert_eq!(server.post("/api/peers/discovery/start", "").status, 200);
}

#[test]
fn a_directory_that_somebody_else_has_is_served_once_it_is_free() {
    // A program with the library that serves no control socket: here, a lock and nothing behind it.
    let home = Home::new();
    drop(Running::start(&home.args(&["run", "--json"])));
    let lock = home.data_dir().join("lock");
    let mut holder = Command::new("flock")
        .args(["--exclusive", "--no-fork", lock.to_str().unwrap(), "sleep", "600"])
        .spawn()
        .unwrap();
    std::fs::write(&lock, format!("{}\n", holder.id())).unwrap();
    let locked = || {
        !Command::new("flock")
            .args(["--nonblock", lock.to_str().unwrap(), "true"])
            .status()
            .unwrap()
            .success()
    };
    wait_for("the lock", locked);
    let server = Server::at(home, &[]);
    assert_eq!(server.line["code"], "data_dir_locked", "{}", server.line);
    assert_eq!(server.get("/api/peers/list").refused(423), "data_dir_locked");
    assert_eq!(server.get("/healthz").status, 503);
    holder.kill().unwrap();
    holder.wait().unwrap();
    wait_for("the node", || server.get("/healthz").status == 200);
    assert_eq!(server.get("/api/peers/list").status, 200);
}

#[test]
fn a_directory_that_is_none_keeps_the_server_up_and_the_token_comes_with_it() {
    let home = Home::new();
    std::fs::write(home.data_dir(), "in the way").unwrap();
    let server = Server::at(home, &[]);
    assert_eq!(server.line["peer_id"], json!(null));
    let code = server.line["code"].as_str().unwrap();
    let read = server.stranger().get("/api/peers/list");
    assert_eq!(read.json()["code"], code);
    let act =
        server.stranger().with("authorization: Bearer x").post("/api/peers/discovery/start", "");
    assert_eq!(act.refused(503), "storage", "no token can be right yet");
    std::fs::remove_file(server.home.data_dir()).unwrap();
    wait_for("the node", || server.stranger().get("/healthz").status == 200);
    // Whoever asks with any token makes the server look for its own.
    server.stranger().with("authorization: Bearer x").get("/api/peers/list");
    assert_eq!(server.post("/api/peers/discovery/start", "").status, 200);
}

#[test]
fn an_address_that_is_taken_ends_the_program_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let refused = fails(&home, &["--json", "--http", &address]);
    assert_eq!(refused.status.code(), Some(7));
    let said: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(said["code"], "listen_failed");
    assert!(said["hint"].as_str().unwrap().contains("--http"));
}
