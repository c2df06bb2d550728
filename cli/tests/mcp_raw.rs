//! MCP by hand: lines and requests as no official client would send them, and the answer that each gets.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::support::http::{Answer, LIMIT, Server};
use crate::support::process::{Home, PEERKIT};

const PARSE_ERROR: i32 = -32700;
const INVALID_REQUEST: i32 = -32600;
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
/// The longest line, without its end.
const MAX_LINE: usize = 1 << 20;

/// `peerkit mcp`, by its streams.
struct Raw {
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    child: Child,
    _home: Home,
}

impl Raw {
    fn start() -> Self {
        let home = Home::new();
        let mut child = Command::new(PEERKIT)
            .args(home.args(&["mcp"]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (told, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| told.send(line))
        });
        Raw { input: child.stdin.take(), lines, child, _home: home }
    }

    /// One that has shaken hands.
    fn begun() -> Self {
        let mut raw = Raw::start();
        raw.initialize(0);
        raw
    }

    fn initialize(&mut self, id: u32) {
        self.send(initialize(id).to_string());
        assert_eq!(self.next()["id"], id);
        self.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    }

    /// Sends a line.
    fn send(&mut self, line: impl AsRef<[u8]>) {
        self.send_unended(&[line.as_ref(), b"\n"].concat());
    }

    fn send_unended(&mut self, bytes: &[u8]) {
        self.input.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// Ends the input, as a client does that goes away.
    fn hang_up(&mut self) {
        self.input = None;
    }

    fn next_line(&self) -> String {
        self.lines.recv_timeout(LIMIT).expect("an answer")
    }

    fn next(&self) -> Value {
        serde_json::from_str(&self.next_line()).unwrap()
    }

    #[track_caller]
    fn refuses(&mut self, line: impl AsRef<[u8]>, id: Value, code: i32) {
        self.send(line);
        assert_refused(&self.next(), &id, code);
    }

    /// Asks for something that can be answered, and is answered next.
    #[track_caller]
    fn still_serves(&mut self, id: &str) {
        self.send(json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string());
        assert_eq!(self.next(), json!({"jsonrpc": "2.0", "id": id, "result": {}}));
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const VERSION: &str = "2025-06-18";

fn initialize(id: u32) -> Value {
    initialize_for(id, VERSION)
}

fn initialize_for(id: u32, version: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {"protocolVersion": version,
        "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}})
}

/// A request with these parameters, as they are written.
fn asking(id: u32, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
}

#[track_caller]
fn assert_refused(answer: &Value, id: &Value, code: i32) {
    assert_eq!((&answer["id"], &answer["error"]["code"]), (id, &json!(code)), "{answer}");
    assert!(answer.as_object().unwrap().contains_key("id"), "{answer}");
    assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
}

/// A call of `search_peers` with this between the quotes of its text.
fn search(id: u32, text: &[u8]) -> Vec<u8> {
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"search_peers","arguments":{{"query":""#
    );
    [head.as_bytes(), text, b"\"}}}"].concat()
}

#[test]
fn a_request_that_is_no_json_is_answered_with_its_id_where_it_has_one() {
    let mut raw = Raw::begun();
    raw.refuses(search(7, br"\ud83d"), json!(7), PARSE_ERROR);
    raw.refuses(search(8, b"caf\xe9"), json!(8), PARSE_ERROR);
    let whole = search(9, b"go");
    raw.refuses(&whole[..whole.len() - 6], json!(9), PARSE_ERROR);
    raw.refuses(&whole[..20], Value::Null, PARSE_ERROR);
    raw.still_serves("a");
    // Its other half is there: an emoji is a text like others.
    raw.send(search(10, br"\ud83d\ude00"));
    assert_eq!(raw.next()["id"], 10);
}

#[test]
fn other_shapes_of_what_is_no_json_are_answered_too() {
    let mut raw = Raw::begun();
    // The id behind the broken place, as a text.
    raw.refuses(
        r#"{"params":{"name":"\udc00"},"method":"tools/call","jsonrpc":"2.0","id":"late"}"#,
        json!("late"),
        PARSE_ERROR,
    );
    let nested =
        format!(r#"{{"jsonrpc":"2.0","id":3,"method":"ping","params":{}"#, "[".repeat(500));
    raw.refuses(nested, json!(3), PARSE_ERROR);
    let long =
        format!(r#"{{"jsonrpc":"2.0","id":4,"method":"ping","x":"{}"}}"#, "x".repeat(3 << 20));
    raw.refuses(long, json!(4), INVALID_REQUEST);
    raw.refuses("hello", Value::Null, PARSE_ERROR);
    raw.refuses(r#"{"id":5,"method":"ping"}"#, json!(5), INVALID_REQUEST);
    raw.refuses(r#"{"jsonrpc":"2.0","id":5.5,"method":"ping"}"#, json!(5.5), INVALID_REQUEST);
    raw.refuses(r#"[{"jsonrpc":"2.0","id":6,"method":"ping"}]"#, Value::Null, INVALID_REQUEST);
    let misshapen =
        json!({"jsonrpc": "2.0", "id": 6, "method": "tools/call", "params": {"name": 6}});
    raw.refuses(misshapen.to_string(), json!(6), -32602);
    raw.still_serves("b");
    // Cut short by the end of the input, behind which nothing comes.
    raw.send_unended(br#"{"jsonrpc":"2.0","id":12,"method":"tools/li"#);
    raw.hang_up();
    assert_refused(&raw.next(), &json!(12), PARSE_ERROR);
    assert!(raw.child.wait().unwrap().success());
}

#[test]
fn a_session_keeps_its_version_whatever_a_later_initialize_asks_for() {
    let mut raw = Raw::begun();
    for unknown in ["2099-01-01", "1999-01-01", "", VERSION, "2026-07-28"] {
        raw.send(initialize_for(1, unknown).to_string());
        assert_eq!(raw.next()["result"]["protocolVersion"], VERSION, "{unknown}");
        // Of 2026-07-28 on there is no ping, and each result has a type.
        raw.still_serves(unknown);
    }
    for other in ["2024-11-05", "2025-11-25"] {
        raw.refuses(initialize_for(2, other).to_string(), json!(2), INVALID_REQUEST);
        raw.still_serves(other);
    }
    raw.send(asking(3, "tools/list", "{}"));
    assert_eq!(raw.next()["result"].get("resultType"), None);
}

#[test]
fn nor_does_one_that_began_without_initialize_get_another_by_it() {
    let mut raw = Raw::start();
    let meta = json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}});
    raw.send(asking(1, "tools/list", &meta.to_string()));
    assert_eq!(raw.next()["result"]["resultType"], "complete");
    raw.refuses(initialize(2).to_string(), json!(2), INVALID_REQUEST);
    raw.send(asking(3, "tools/list", &meta.to_string()));
    assert_eq!(raw.next()["result"]["resultType"], "complete");
}

#[test]
fn over_http_too_a_session_keeps_its_version() {
    let server = Server::start(&[]);
    let ask = |headers: &[String], body: String| {
        let mut client = server.client().with(BOTH);
        for header in headers {
            client = client.with(header);
        }
        client.ask("POST", "/mcp", &body);
        let (head, event) = client.first_event();
        (head, serde_json::from_str::<Value>(&event).unwrap())
    };
    let (head, begun) = ask(&[], initialize(0).to_string());
    assert_eq!(begun["result"]["protocolVersion"], VERSION);
    let session = [format!("mcp-session-id: {}", head.header("mcp-session-id").unwrap())];
    let (_, again) = ask(&session, initialize_for(1, "2099-01-01").to_string());
    assert_eq!(again["result"]["protocolVersion"], VERSION, "{again}");
    let (_, pinged) = ask(&session, asking(2, "ping", "{}"));
    assert_eq!(pinged, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    let (_, other) = ask(&session, initialize_for(3, "2024-11-05").to_string());
    assert_refused(&other, &json!(3), INVALID_REQUEST);
}

#[test]
fn parameters_without_mcps_form_are_invalid_params() {
    const BAD: &[&str] = &[
        "7",
        "\"x\"",
        "[]",
        "[null,\"get_peers\",{}]",
        "{}",
        r#"{"name":6}"#,
        r#"{"name":"nope"}"#,
        r#"{"name":"get_peers","arguments":7}"#,
        r#"{"name":"get_peers","arguments":[]}"#,
        r#"{"name":"get_peers","_meta":7}"#,
    ];
    let mut raw = Raw::begun();
    for params in BAD {
        raw.refuses(asking(1, "tools/call", params), json!(1), INVALID_PARAMS);
    }
    raw.send(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#);
    assert_refused(&raw.next(), &json!(1), INVALID_PARAMS);
    for method in ["tools/list", "resources/read", "server/discover", "initialize"] {
        raw.refuses(asking(2, method, "[]"), json!(2), INVALID_PARAMS);
    }
    raw.refuses(asking(3, "nope", "7"), json!(3), METHOD_NOT_FOUND);
    raw.still_serves("a");
    // The agent is to read that a tool doesn't take them.
    raw.send(asking(4, "tools/call", r#"{"name":"get_peers","arguments":{"limit":"x"}}"#));
    assert_eq!(raw.next()["result"]["isError"], true);

    let server = Server::start(&[]);
    for params in ["7", r#"{"name":"get_peers","_meta":7}"#] {
        let refused = post(&server, &[BOTH], &asking(5, "tools/call", params)).with_status(400);
        assert_refused(&refused, &json!(5), INVALID_PARAMS);
    }
}

#[test]
fn a_message_is_as_long_as_other_input_and_a_longer_one_is_answered_by_its_id() {
    let mut raw = Raw::begun();
    for end in ["\n", "\r\n"] {
        let ping = asking(1, "ping", "{}");
        let filled = " ".repeat(MAX_LINE - ping.len());
        raw.send_unended(format!("{ping}{filled}{end}").as_bytes());
        assert_eq!(raw.next(), json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    }
    for length in [MAX_LINE + 1, MAX_LINE + 2, 2 * MAX_LINE + 2, 3 * MAX_LINE] {
        // Official clients write the id last.
        let tail = format!(r#""}},"jsonrpc":"2.0","id":{length}}}"#);
        let head = r#"{"method":"ping","params":{"x":""#;
        let filled = "x".repeat(length - head.len() - tail.len());
        raw.refuses(format!("{head}{filled}{tail}"), json!(length), INVALID_REQUEST);
        raw.still_serves("behind it");
    }
    let server = Server::start(&[]);
    let long = asking(1, "ping", &format!(r#"{{"x":"{}"}}"#, "x".repeat(MAX_LINE)));
    assert_refused(&post(&server, &[BOTH], &long).with_status(413), &Value::Null, INVALID_REQUEST);
}

#[test]
fn a_name_given_twice_is_refused_at_every_depth() {
    let mut raw = Raw::begun();
    let twice = r#"{"name":"get_peers","arguments":{"limit":1,"limit":2}}"#;
    raw.refuses(asking(1, "tools/call", twice), json!(1), INVALID_PARAMS);
    raw.refuses(
        asking(2, "tools/call", r#"{"name":"get_peers","n\u0061me":"list_peers"}"#),
        json!(2),
        INVALID_PARAMS,
    );
    let ids = r#"{"jsonrpc":"2.0","id":3,"id":4,"method":"ping"}"#;
    raw.refuses(ids, Value::Null, INVALID_REQUEST);
    raw.still_serves("a");
    let server = Server::start(&[]);
    let refused = post(&server, &[BOTH], &asking(5, "tools/call", twice)).with_status(400);
    assert_refused(&refused, &json!(5), INVALID_PARAMS);
    assert_eq!(refused["error"]["message"], "`params.arguments.limit` is given more than once");
}

#[test]
fn nothing_is_hidden_in_a_line_and_programs_find_what_was_said() {
    let strange = "lim\u{202e}\u{200b}\u{e0041}";
    let params = json!({"name": "get_peers", "arguments": {strange: 1}}).to_string();
    let check = |line: &str| {
        assert!(line.is_ascii(), "{line}");
        let answer: Value = serde_json::from_str(line).unwrap();
        let reply = &answer["result"]["structuredContent"];
        assert_eq!(reply["detail"]["key"], strange);
        let said = "unknown parameter `lim\\u{202e}\\u{200b}\\u{e0041}`";
        assert!(reply["error"].as_str().unwrap().starts_with(said), "{reply}");
    };
    let mut raw = Raw::begun();
    raw.send(asking(1, "tools/call", &params));
    check(&raw.next_line());

    let server = Server::start(&[]);
    let mut client = server.client().with(BOTH);
    client.ask("POST", "/mcp", &initialize(0).to_string());
    let session = client.first_event().0.header("mcp-session-id").unwrap().to_owned();
    let mut client = server.client().with(BOTH).with(&format!("mcp-session-id: {session}"));
    client.ask("POST", "/mcp", &asking(1, "tools/call", &params));
    check(&client.first_event().1);
}

#[test]
fn a_last_request_without_a_newline_is_answered() {
    let mut raw = Raw::begun();
    raw.send_unended(br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    raw.hang_up();
    assert_eq!(raw.next()["id"], 1);
}

#[test]
fn a_notification_as_the_first_message_does_not_end_the_server() {
    let mut raw = Raw::start();
    raw.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    raw.initialize(1);
    raw.still_serves("a");
}

#[test]
fn nor_do_others_that_nobody_asked_for() {
    let mut raw = Raw::start();
    raw.send(r#"{"jsonrpc":"2.0","id":9,"result":{}}"#);
    raw.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}"#);
    raw.send(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#);
    raw.send(r#"{"jsonrpc":"2.0","method":"notifications/of_ours","params":7}"#);
    raw.refuses(search(2, br"\ud83d"), json!(2), PARSE_ERROR);
    raw.still_serves("before the handshake");
    raw.initialize(3);
    raw.still_serves("after it");
}

#[test]
fn agents_may_write_whole_numbers_as_floats() {
    let mut raw = Raw::begun();
    let mut call = |tool: &str, arguments: Value| {
        let params = json!({"name": tool, "arguments": arguments});
        raw.send(
            json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
                .to_string(),
        );
        raw.next()["result"]["structuredContent"].clone()
    };
    for (tool, arguments) in [
        ("list_peers", json!({"limit": 10.0, "offset": 0.0})),
        ("get_events", json!({"limit": 10.0, "cursor": 0.0, "wait_ms": 1.0})),
        ("discover_peers", json!({"timeout_ms": 1e4, "limit": 1e1, "timeout": 1.0})),
        ("call", json!({"method": "list_peers", "params": {"limit": 10.0}})),
    ] {
        let reply = call(tool, arguments);
        assert_eq!(reply["success"], true, "{tool}: {reply}");
    }
    for (tool, name, given, hint) in [
        ("list_peers", "limit", json!("10"), json!("write it without quotes: 10")),
        ("get_events", "cursor", json!("7"), json!("write it without quotes: 7")),
        ("discover_peers", "timeout_ms", json!("10"), json!("write it without quotes: 10")),
        ("get_peers", "detail", json!("true"), json!("write it without quotes: true")),
        ("get_events", "limit", json!(1.5), Value::Null),
        ("get_events", "limit", json!(1e4), Value::Null),
    ] {
        let reply = call(tool, json!({ name: given }));
        assert_eq!(reply["code"], "invalid_argument", "{reply}");
        assert!(
            reply["error"].as_str().unwrap().starts_with(&format!("`{name}` must be")),
            "{reply}"
        );
        assert_eq!(reply["hint"], hint, "{reply}");
    }
}

/// Sends a body to `/mcp` with these headers.
fn post(server: &Server, headers: &[&str], body: &str) -> Answer {
    let mut client = server.client();
    for header in headers {
        client = client.with(header);
    }
    client.post("/mcp", body)
}

const BOTH: &str = "accept: application/json, text/event-stream";

#[test]
fn who_takes_anything_need_not_name_what_is_answered() {
    let server = Server::start(&[]);
    let body = initialize(1).to_string();
    for headers in [
        &["accept: */*"][..],
        &[],
        &["accept: text/html;q=0.9, */*;q=0.8"],
        &["accept: application/*, text/*"],
        &["accept: application/json", "accept: text/event-stream"],
    ] {
        let mut client = server.client();
        for header in headers {
            client = client.with(header);
        }
        client.ask("POST", "/mcp", &body);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{headers:?}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/event-stream"), "{headers:?}");
    }
    let marked = post(&server, &[BOTH], &format!("\u{feff}{body}"));
    assert_eq!(marked.status, 200, "{marked:?}");
    for accept in ["accept: application/json", "accept: */*, text/event-stream;q=0"] {
        let refused = post(&server, &[accept], &body).with_status(406);
        assert_refused(&refused, &json!(1), INVALID_REQUEST);
    }
}

#[test]
fn over_http_too_each_refusal_is_json() {
    let server = Server::start(&[]);
    let lone = String::from_utf8(search(7, br"\ud83d")).unwrap();
    assert_refused(&post(&server, &[BOTH], &lone).with_status(400), &json!(7), PARSE_ERROR);
    let unversioned = r#"{"id":"x","method":"ping"}"#;
    let refused = post(&server, &[BOTH], unversioned).with_status(400);
    assert_refused(&refused, &json!("x"), INVALID_REQUEST);
    let ping = r#"{"jsonrpc":"2.0","id":2,"method":"ping"}"#;
    assert_refused(&post(&server, &[BOTH], ping).with_status(400), &json!(2), INVALID_REQUEST);
    let elsewhere = post(&server, &[BOTH, "mcp-session-id: none"], ping).with_status(404);
    assert_refused(&elsewhere, &json!(2), INVALID_REQUEST);
    let version = post(&server, &[BOTH, "mcp-session-id: none", "mcp-protocol-version: 1"], ping);
    assert_refused(&version.with_status(400), &json!(2), INVALID_REQUEST);

    let mut client = server.client();
    let put = client.request("PUT", "/mcp", "");
    assert_refused(&put.with_status(405), &Value::Null, INVALID_REQUEST);
    assert!(put.header("allow").is_some(), "{put:?}");
    assert_refused(&client.get("/mcp").with_status(400), &Value::Null, INVALID_REQUEST);
    let text = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{BOTH}\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{ping}",
        server.authority(),
        server.token(),
        ping.len()
    );
    assert_refused(&client.raw(&text).with_status(415), &json!(2), INVALID_REQUEST);
}
