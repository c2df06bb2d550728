//! Fair doors of the HTTP server: whatever callers without the token do, its holder is served, and the memory that they
//! have together is bounded. docs/budgets.md and docs/admission.md promise it.

use std::time::Duration;

use serde_json::json;

use crate::support::crowd::{Crowd, Manner, Memory, fill, served};
use crate::support::http::{Server, wait_for};

const LIST: &str = "/api/peers/list";
/// Peers with rows of 4 KB each: all of them are a reply of 4 MB.
const PEERS: usize = 1_000;
/// The time of an attack.
const TIME: Duration = Duration::from_secs(6);
/// The most memory that all doors together take above rest.
const MOST_MIB: u64 = 64;
/// A caller that sends nothing and reads nothing, for as long as it is let.
const SILENT: Manner = Manner {
    says: String::new(),
    drips: None,
    reads: 0,
    every: Duration::from_millis(200),
    stays: Duration::from_secs(3600),
};

/// The request for everything that there is.
fn everything(server: &Server) -> String {
    let body = json!({"limit": 10_000}).to_string();
    let (authority, length) = (server.authority(), body.len());
    format!(
        "POST /api/call/get_peers HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// The calls of the token's holder, each over a connection of its own, and those of a stranger.
fn bystanders(server: &Server) {
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| served(TIME, || server.get(LIST).status));
        let large = scope.spawn(|| {
            let body = json!({"limit": 10_000}).to_string();
            served(TIME, || server.post("/api/call/get_peers", &body).status)
        });
        let (all, well) = served(TIME, || server.stranger().get("/api/peers/list?limit=1").status);
        assert!(all > 0 && well * 100 >= all * 95, "{well} of {all} calls of a stranger");
        for bystander in [holder, large] {
            let (all, well) = bystander.join().unwrap();
            assert!(all > 0 && well == all, "{well} of {all} calls of the token's holder");
        }
    });
}

fn refused(server: &Server, reason: &str) -> u64 {
    let metrics = server.get("/metrics").body;
    let series = format!("peerkit_http_refused_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(series.as_str()));
    line.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn callers_that_read_nothing_hold_little_and_nobody_waits_for_them() {
    let server = Server::start(&[]);
    fill(&server, PEERS);
    let memory = Memory::of(&server);
    let stays = Duration::from_secs(3);
    let manner = Manner { says: everything(&server), stays, ..SILENT };
    let crowd = Crowd::at(&server, 315, 1, &manner);
    wait_for("the crowd", || crowd.came() >= 315);
    bystanders(&server);
    let most = memory.most_mib();
    println!("{} came, {most} MiB at most", crowd.came());
    assert!(most < MOST_MIB, "{most} MiB");
    assert!(refused(&server, "replies") + refused(&server, "unread") > 0);
    drop(crowd);
    wait_for("the end of it", || {
        let metrics = server.get("/metrics").body;
        metrics.contains("peerkit_http_unsent_bytes{caller=\"anonymous\"} 0\n")
    });
}

#[test]
fn callers_that_read_a_little_now_and_then_hold_as_little() {
    let server = Server::start(&[]);
    fill(&server, PEERS);
    let memory = Memory::of(&server);
    let drips = Manner { reads: 512, every: Duration::from_millis(100), ..SILENT };
    let manner = Manner { says: everything(&server), ..drips.clone() };
    let crowd = Crowd::at(&server, 150, 16, &manner);
    // Small replies, many of them, and streams of events.
    let get =
        |target: &str| format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", server.authority());
    let many = get("/api/peers/list?limit=50").repeat(200);
    let small = Crowd::at(&server, 100, 16, &Manner { says: many, ..drips.clone() });
    let events = get("/api/events?since=0");
    let streams = Crowd::at(&server, 40, 16, &Manner { says: events, ..drips });
    wait_for("the crowd", || crowd.came() >= 150 && small.came() >= 100 && streams.came() >= 40);
    bystanders(&server);
    let most = memory.most_mib();
    println!("{} came, {most} MiB at most", crowd.came() + small.came() + streams.came());
    assert!(most < MOST_MIB, "{most} MiB");
}

#[test]
fn requests_that_never_end_hold_little() {
    let server = Server::start(&[]);
    fill(&server, 8);
    let memory = Memory::of(&server);
    let authority = server.authority();
    let body = format!(
        "POST /api/call/list_peers HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         content-length: 1000000\r\n\r\n{{\"search\":[{}",
        "0,".repeat(450_000)
    );
    let head = format!("GET {LIST} HTTP/1.1\r\nhost: {authority}\r\nx: {}", "x".repeat(60_000));
    let bodies = Crowd::at(&server, 200, 16, &Manner { says: body, ..SILENT });
    let heads = Crowd::at(&server, 200, 1, &Manner { says: head, ..SILENT });
    wait_for("the crowd", || bodies.came() >= 200 && heads.came() >= 200);
    bystanders(&server);
    let most = memory.most_mib();
    println!("{} came, {most} MiB at most", bodies.came() + heads.came());
    assert!(most < MOST_MIB, "{most} MiB");
    assert!(refused(&server, "bodies") > 0 && refused(&server, "heads") > 0);
}

#[test]
fn connections_that_say_nothing_lock_nobody_out() {
    let server = Server::start(&[]);
    let crowd = Crowd::at(&server, 700, 1, &SILENT);
    wait_for("the crowd", || crowd.came() >= 700);
    bystanders(&server);
    println!("{} came", crowd.came());
    assert!(crowd.came() > 700, "they are renewed");
    // The longest silent make room: for a newcomer, or because they take too long, as fast as the crowd comes.
    assert!(refused(&server, "displaced") + refused(&server, "overdue") > 0);
}

#[test]
fn connections_from_many_addresses_that_drip_or_stay_after_an_answer_lock_nobody_out() {
    let server = Server::start(&[]);
    let authority = server.authority();
    let drips = Manner {
        says: format!("GET {LIST} HTTP/1.1\r\nhost: {authority}\r\n"),
        drips: Some("x: y\r\n"),
        ..SILENT
    };
    let says = format!("GET /healthz HTTP/1.1\r\nhost: {authority}\r\n\r\n");
    let idle = Manner { says, reads: 4096, ..SILENT };
    let short = Manner { stays: Duration::from_millis(300), ..SILENT };
    let crowds = [
        Crowd::at(&server, 400, 32, &drips),
        Crowd::at(&server, 300, 32, &idle),
        Crowd::at(&server, 20, 4, &short),
    ];
    wait_for("the crowd", || crowds[0].came() >= 400 && crowds[1].came() >= 300);
    bystanders(&server);
    println!("{:?} came", crowds.iter().map(Crowd::came).collect::<Vec<_>>());
}
