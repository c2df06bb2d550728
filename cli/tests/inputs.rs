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
fn a_name_is_given_once_wherever_json_is_read() {
    let home = Home::new();
    let path = home.path().join("config.json");
    std::fs::write(&path, r#"{"profile":"offline","limits":{"max_peers":9,"max_peers":8}}"#)
        .unwrap();
    let ran = run(&home.args(&["status"]));
    assert!(ran.err.contains("`limits.max_peers`: it is given more than once"), "{ran:?}");

    let node = Node::start(json!({}));
    for (params, name) in
        [(r#"{"limit":1,"limit":1}"#, "limit"), (r#"{"search":{"a":1,"\u0061":2}}"#, "search.a")]
    {
        let ran = node.run(&["call", "list_peers", params]);
        assert_eq!(
            (&ran.json()["code"], &ran.json()["detail"]["key"]),
            (&"invalid_argument".into(), &name.into())
        );
    }
    let server = Server::start(&[]);
    let by_query = server.get("/api/peers/list?limit=1&limit=2").with_status(400);
    let by_body = server.post("/api/call/list_peers", r#"{"limit":1,"limit":2}"#).with_status(400);
    assert_eq!(by_body["error"], by_query["error"]);
    assert_eq!(by_body["detail"]["key"], "limit");
    // Under two names it is one parameter all the same.
    let both = r#"{"multiaddr":"/ip4/127.0.0.1/tcp/1","peer_address":"/ip4/127.0.0.1/tcp/2"}"#;
    let refused = server.post("/api/call/connect_peer", both).with_status(400);
    assert_eq!(refused["detail"]["key"], "multiaddr", "{refused}");
}

#[test]
fn nothing_is_hidden_in_what_a_route_answers() {
    let server = Server::start(&[]);
    let answer = server.get("/api/peers/list?lim%E2%80%AEit%F3%A0%81%81=1");
    let told = answer.with_status(400);
    assert!(answer.body.is_ascii(), "{}", answer.body);
    assert_eq!(told["detail"]["key"], "lim\u{202e}it\u{e0041}");
    assert_eq!(
        told["error"],
        "unknown parameter `lim\\u{202e}it\\u{e0041}`; did you mean `limit`?"
    );
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
