//! Text that people hand to the program: as editors and shells save it, it is read; what is no such text is told by
//! name, and so is where it stands.

use std::process::Stdio;

use serde_json::json;

use crate::support::http::Server;
use crate::support::process::Home;
use crate::support::program::{Node, command, run};

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_configuration_is_read_with_a_byte_order_mark_and_named_where_it_cannot_be() {
    let home = Home::new();
    let path = home.path().join("config.json");
    let status = || run(&home.args(&["call", "list_bootstrap_peers"]));
    std::fs::write(&path, "\u{feff}{\r\n\"profile\": \"offline\"\r\n}\r\n").unwrap();
    assert_eq!(status().code, 0, "{:?}", status());
    for (bytes, why) in [
        (utf16(r#"{"profile": "offline"}"#), "is text in UTF-16: save it as UTF-8"),
        (b"{\n\n\"profile\": \"\x80\"}".to_vec(), "is no text in UTF-8: see its line 3"),
        (vec![b' '; (1 << 20) + 1], "is longer than 1024 KiB"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let ran = status();
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(&format!("{} {why}", path.display())), "{ran:?}");
    }
}

#[test]
fn standard_input_and_bodies_are_read_in_the_same_way() {
    let node = Node::start(json!({}));
    let list = |input: &[u8]| node.run_with(&["call", "list_peers", "-"], input);
    let marked = list(b"\xef\xbb\xbf{\"limit\": 1}\r\n");
    assert_eq!(marked.code, 0, "{marked:?}");
    for (input, why) in [
        (utf16(r#"{"limit": 1}"#), "standard input is text in UTF-16: save it as UTF-8"),
        (b"{\"limit\": \xff}".to_vec(), "standard input is no text in UTF-8: see its line 1"),
        (b"{\"limit\"".to_vec(), "standard input: no JSON object: "),
    ] {
        let ran = list(&input);
        assert!(ran.json()["error"].as_str().unwrap().starts_with(why), "{ran:?}");
    }
    let server = Server::start(&[]);
    let marked = server.post("/api/call/list_peers", "\u{feff}{\"limit\": 1}");
    assert_eq!(marked.with_status(200)["pagination"]["limit"], 1);
}

#[test]
fn a_token_of_the_users_own_may_have_a_byte_order_mark() {
    let home = Home::new();
    std::fs::create_dir(home.data_dir()).unwrap();
    let token = "A".repeat(43);
    let file = home.data_dir().join("token");
    std::fs::write(&file, format!("\u{feff}{token}\r\n")).unwrap();
    for (path, mode) in [(home.data_dir(), "700"), (file, "600")] {
        let chmod = std::process::Command::new("chmod").arg(mode).arg(path).status();
        assert!(chmod.unwrap().success());
    }
    let server = Server::at(home, &[]);
    let mut stranger = server.stranger().with(&format!("authorization: Bearer {token}"));
    assert_eq!(stranger.get("/api/peers/list").status, 200);
    assert_eq!(stranger.post("/api/call/start_discovery", "").status, 200);
}

#[test]
fn a_configuration_may_come_through_a_pipe() {
    let home = Home::new();
    let data_dir = home.data_dir().display().to_string();
    let args = ["call", "list_bootstrap_peers", "--data-dir", &data_dir, "--config", "/dev/stdin"];
    let mut child = command(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"{\"profile\": \"offline\"}")
        .unwrap();
    assert!(child.wait().unwrap().success());
}
