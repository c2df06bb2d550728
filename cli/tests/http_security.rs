//! The rights of callers over HTTP, and the limits on them.

use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;

use crate::support::http::{Server, fails};
use crate::support::process::Home;

const START: &str = "/api/peers/discovery/start";
const LIST: &str = "/api/peers/list";

#[test]
fn on_loopback_reading_is_free_and_acting_needs_the_token() {
    let server = Server::start(&[]);
    let token = server.token();
    assert_eq!(token.len(), 43);
    let mut stranger = server.stranger();
    for read in [LIST, "/metrics", "/api/openapi.json", "/healthz", "/"] {
        assert_eq!(stranger.get(read).status, 200, "{read}");
    }
    assert_eq!(
        stranger.post("/api/call/status", "").status,
        200,
        "reads by its effect, not by its verb"
    );
    for act in [START, "/api/call/start_discovery", "/mcp"] {
        let refused = stranger.post(act, "");
        assert_eq!(refused.refused(401), "blocked", "{act}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    }
    assert_eq!(stranger.get("/mcp").status, 401);
    assert_eq!(
        stranger.post(&format!("{START}?token={token}"), "").status,
        401,
        "never by the query"
    );
    assert_eq!(server.post(START, "").status, 200);
    let shown = |header: String| server.stranger().with(&header).get(LIST).status;
    assert_eq!(shown(format!("authorization: bearer  {token}")), 200);
    for wrong in
        ["Bearer x", "Bearer ", "Bearer", &format!("Basic {token}"), &format!("Bearer {token}x")]
    {
        assert_eq!(
            shown(format!("authorization: {wrong}")),
            401,
            "{wrong}: a wrong token is told at once"
        );
    }
    let twice = server.client().with("authorization: Bearer x").get(LIST);
    assert_eq!(twice.status, 401);
}

#[test]
fn bound_elsewhere_all_but_health_and_page_needs_the_token() {
    let server = Server::start(&["--http", "0.0.0.0:0"]);
    assert!(server.authority().starts_with("127.0.0.1:"), "one that it accepts");
    let mut stranger = server.stranger();
    for free in ["/healthz", "/", "/app.js"] {
        assert_eq!(stranger.get(free).status, 200, "{free}");
    }
    for locked in [LIST, "/metrics", "/api/openapi.json", "/api/events", "/api/nothing"] {
        assert_eq!(stranger.get(locked).status, 401, "{locked}");
    }
    assert_eq!(server.get(LIST).status, 200);
}

#[test]
fn insecure_loopback_asks_no_token_but_looks_where_requests_come_from() {
    let server = Server::start(&["--insecure-loopback"]);
    assert_eq!(server.stranger().post(START, "").status, 200);
    assert_eq!(server.stranger().with("origin: http://evil.example").post(START, "").status, 403);
    let home = Home::new();
    let refused = fails(&home, &["--http", "0.0.0.0:0", "--insecure-loopback"]);
    assert_eq!(refused.status.code(), Some(2), "not where others can reach it");
}

#[test]
fn another_host_name_or_another_sites_page_gets_nothing() {
    let server = Server::start(&["--allow-host", "node.example"]);
    let authority = server.authority().to_owned();
    let port = authority.rsplit(':').next().unwrap();
    let host = |host: &str| {
        let mut client = server.client();
        host.clone_into(&mut client.authority);
        client.get(LIST).status
    };
    for own in [
        &format!("LOCALHOST:{port}"),
        &format!("localhost.:{port}"),
        &format!("[::1]:{port}"),
        "node.example",
    ] {
        assert_eq!(host(own), 200, "{own}");
    }
    for other in
        ["evil.example", &format!("evil.example:{port}"), "127.0.0.1", &format!("0.0.0.0:{port}")]
    {
        assert_eq!(host(other), 421, "{other}");
    }
    let raw = |text: String| server.stranger().raw(&text).status;
    assert_eq!(raw(format!("GET {LIST} HTTP/1.0\r\n\r\n")), 421, "no Host at all");
    assert_eq!(
        raw(format!("GET http://evil.example{LIST} HTTP/1.1\r\nhost: {authority}\r\n\r\n")),
        421
    );
    assert_eq!(
        raw(format!("GET http://{authority}{LIST} HTTP/1.1\r\nhost: {authority}\r\n\r\n")),
        200
    );
    assert_eq!(
        raw(format!("GET {LIST} HTTP/1.1\r\nhost: {authority}\r\nhost: evil.example\r\n\r\n")),
        421
    );

    let with = |header: &str| server.client().with(header).get(LIST).status;
    assert_eq!(with(&format!("origin: http://{authority}")), 200);
    for origin in [
        "null",
        "http://evil.example",
        &format!("http://localhost:{port}"),
        &format!("https://{authority}"),
    ] {
        let status = with(&format!("origin: {origin}"));
        // A proxy that terminates TLS in front of us is named by --allow-host; the scheme alone gives nobody away.
        assert_eq!(status, if origin.starts_with("https://127") { 200 } else { 403 }, "{origin}");
    }
    assert_eq!(with("sec-fetch-site: same-origin"), 200);
    assert_eq!(with("sec-fetch-site: cross-site"), 403);
    let mut mcp = server.client().with("origin: http://evil.example");
    assert_eq!(mcp.post("/mcp", "{}").status, 403);
}

#[test]
fn every_answer_says_how_it_may_be_used_and_none_is_for_other_origins() {
    let server = Server::start(&[]);
    for target in ["/", LIST, "/api/nothing", "/healthz"] {
        let answer = server.stranger().with("origin: http://evil.example").get(target);
        assert_eq!(answer.status, 403, "{target}");
        for answer in [answer, server.get(target)] {
            let csp = answer.header("content-security-policy").unwrap();
            assert!(
                csp.starts_with("default-src 'none'") && csp.contains("frame-ancestors 'none'")
            );
            assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
            assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
            assert!(answer.header("cache-control").is_some_and(|cache| cache.starts_with("no-")));
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[test]
fn a_read_only_server_refuses_what_acts_and_does_not_offer_it() {
    let server = Server::start(&["--read-only"]);
    assert_eq!(server.get(LIST).status, 200);
    assert_eq!(server.post(START, "").refused(403), "blocked");
    assert_eq!(server.post("/api/call/add_peer", "{}").refused(403), "blocked");
    let document = server.get("/api/openapi.json").with_status(200);
    assert!(document["paths"].get(START).is_none());
    assert!(document["paths"].get("/api/call/list_peers").is_some());
    assert!(document["paths"].get("/api/call/add_peer").is_none());
}

#[test]
fn no_caller_makes_the_node_fetch_from_elsewhere() {
    // An API that somebody might have on the local network: another loopback address isn't this machine's API.
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = trap.local_addr().unwrap().port();
    let server = Server::start(&[]);
    for api in [
        "http://192.0.2.1:5001",
        "http://example.com",
        "http://127.0.0.1.example.com",
        "/dns4/example.com/tcp/5001",
        &format!("http://127.0.0.1:{port}@192.0.2.1"),
        "http://169.254.169.254/latest",
        "http://0.0.0.0:1",
        "file:///etc/passwd",
    ] {
        for op in ["bootstrap_from_ipfs", "bootstrap_from_cluster"] {
            let body = json!({"api": api}).to_string();
            let answer = server.post(&format!("/api/call/{op}?timeout_ms=2000"), &body);
            assert_eq!(answer.refused(403), "blocked", "{api}");
        }
    }
    let body = json!({"api": format!("http://127.0.0.1:{port}")}).to_string();
    let mut client = server.client();
    client.ask("POST", "/api/call/bootstrap_from_ipfs?timeout_ms=2000", &body);
    let (mut asked, _) = trap.accept().unwrap();
    let mut first = [0; 5];
    asked.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"POST ", "its own machine's API is asked");
}

#[test]
fn requests_that_are_too_large_or_of_another_kind_are_refused() {
    let server = Server::start(&[]);
    let large = format!("{{\"search\": \"{}\"}}", "x".repeat(1 << 20));
    assert_eq!(server.post("/api/call/list_peers", &large).status, 413);
    let authority = server.authority();
    let body = |kind: &str, body: &str| {
        let length = body.len();
        let text = format!(
            "POST /api/call/list_peers HTTP/1.1\r\nhost: {authority}\r\n{kind}content-length: {length}\r\n\r\n{body}"
        );
        server.stranger().raw(&text).status
    };
    assert_eq!(body("", "{}"), 415);
    assert_eq!(
        body("content-type: text/plain\r\n", "{}"),
        415,
        "what a form of another site could send"
    );
    assert_eq!(body("content-type: application/json; charset=utf-8\r\n", "{}"), 200);
    assert_eq!(body("content-type: application/json\r\n", "[]"), 400);
    assert_eq!(body("content-type: application/json\r\n", "{"), 400);
    let long =
        format!("GET {LIST} HTTP/1.1\r\nhost: {authority}\r\nx: {}\r\n\r\n", "x".repeat(300 << 10));
    assert_eq!(server.stranger().raw(&long).status, 431);
}

#[test]
fn what_is_refused_before_anything_is_asked_has_the_envelope_too() {
    let server = Server::start(&[]);
    let host = format!("host: {}\r\n", server.authority());
    let get = |rest: &str| format!("GET {LIST} HTTP/1.1\r\n{host}{rest}\r\n");
    for (status, text) in [
        (400, "no request\r\n\r\n".to_owned()),
        (400, "GET / HTTP/3.0\r\n\r\n".to_owned()),
        (400, get("no header\r\n")),
        (400, get("content-length: many\r\n")),
        (400, get("content-length: 1\r\ncontent-length: 2\r\n")),
        (400, get("transfer-encoding: none\r\n")),
        (400, format!("GET /\u{7f} HTTP/1.1\r\n{host}\r\n")),
        (414, format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(65_534))),
        (431, get(&"x: x\r\n".repeat(200))),
        (431, get(&format!("x: {}\r\n", "x".repeat(300 << 10)))),
    ] {
        let mut client = server.stranger();
        let answer = client.raw(&text);
        assert_eq!(answer.refused(status), "invalid_argument", "{answer:?}");
        let envelope = answer.with_status(status);
        assert!(
            ["method", "category", "error", "retryable", "hint", "detail", "source"]
                .iter()
                .all(|field| envelope.get(field).is_some())
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.is_closed(Duration::from_secs(25)), "{status}");
    }
    // Behind one that was served, and sent together with it.
    let mut client = server.stranger();
    client.send(&format!("{}no request\r\n\r\n", get("")));
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().refused(400), "invalid_argument");
}

#[test]
fn whoever_sends_slowly_is_hung_up_on_and_keeps_nobody_else() {
    let server = Server::start(&[]);
    let mut slow: Vec<_> = (0..100).map(|_| server.stranger()).collect();
    slow.iter_mut().for_each(|client| client.send("GET /api/peers/list HTTP/1.1\r\nhost:"));
    assert_eq!(server.get(LIST).status, 200);
    let text = format!(
        "POST /api/call/list_peers HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        server.authority()
    );
    assert_eq!(server.stranger().raw(&text).refused(408), "timeout");
    for mut client in slow {
        assert!(client.is_closed(Duration::from_secs(25)));
    }
}

#[test]
fn a_call_that_nobody_waits_for_any_more_is_given_up() {
    // Accept and say nothing, one for each call, so that each is known to have its turn.
    let silent: Vec<_> = (0..16).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let server = Server::start(&[]);
    let mut clients: Vec<_> = silent.iter().map(|_| server.client()).collect();
    for (client, silent) in clients.iter_mut().zip(&silent) {
        let address = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port());
        let body = json!({"multiaddr": address}).to_string();
        client.ask("POST", "/api/call/connect_peer?timeout_ms=600000", &body);
    }
    let _dialled: Vec<_> = silent.iter().map(|silent| silent.accept().unwrap()).collect();
    assert_eq!(server.get(LIST).status, 200, "reads go on");
    drop(clients);
    // All turns were taken for ten minutes.
    assert_eq!(server.post(START, "").status, 200);
}

#[test]
fn a_token_that_others_may_read_ends_the_start_and_the_token_is_printed_nowhere() {
    let mut server = Server::start(&[]);
    let token = server.token();
    assert!(!server.line.to_string().contains(&token));
    server.signal("-TERM");
    assert_eq!(server.ended(), Some(0));
    let file = server.line["token_file"].as_str().unwrap().to_owned();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = fails(&server.home, &["--http", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(7));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("chmod 600") && !said.contains(&token), "{said}");
}

#[test]
fn no_local_path_is_in_a_failure() {
    let home = Home::new();
    std::fs::create_dir(home.data_dir()).unwrap();
    std::fs::set_permissions(home.data_dir(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(home.data_dir().join("identity.key"), "no key").unwrap();
    let server = Server::at(home, &[]);
    assert_eq!(server.line["code"], "identity");
    let answer = server.get(LIST);
    assert_eq!(answer.refused(503), "identity");
    assert!(!answer.body.contains(&*server.home.path().display().to_string()), "{}", answer.body);
    assert!(answer.body.contains("<data_dir>"), "{}", answer.body);
}
