//! An embedding program: it starts libpeerkit through its C ABI and does as the driver asks. It holds
//! no other libp2p, so its memory is peerkit's cost to a program.

use std::ffi::CString;
use std::time::{Duration, Instant};

use peerkit_bench::abi::{Node, Reply};
use peerkit_bench::attack::user;
use peerkit_bench::reference::Reference;
use peerkit_bench::stats::Samples;
use peerkit_bench::{Result, http, line, load, readers};
use serde_json::{Value, json};

fn main() -> Result<()> {
    let config = std::env::args().nth(1).unwrap_or_else(|| "{}".to_owned());
    // Loading the library is part of the cost to a program, and counted.
    let started = Instant::now();
    let node = Node::start(&config)?;
    let ready = json!({
        "start_us": started.elapsed().as_secs_f64() * 1e6,
        "peer_id": node.started["peer_id"],
        "addrs": node.started["listen_addrs"],
    });
    let mut reference = None;
    line::serve(&ready, |command| serve(&node, &mut reference, command))?;
    node.stop().json().map(drop)
}

fn serve(node: &Node, reference: &mut Option<Reference>, command: &Value) -> Result<Value> {
    match line::text(command, "cmd")? {
        "await-peers" => readers::await_peers(node, command),
        "bench-dial" => bench_dial(node, command),
        "call" => {
            let method = CString::new(line::text(command, "method")?)?;
            node.call(&method, &CString::new(command["params"].to_string())?).json()
        }
        "channel-cost" => readers::channel_cost(command),
        "connect" => {
            let address = CString::new(line::text(command, "addr")?)?;
            node.connect_peer(&address).json()
        }
        "fill" => load::fill(node, command),
        "find" => find(node, command),
        "history" => user::history(node, command),
        "hear" => readers::hear(node, command),
        "load" => load::measure(node, command),
        "pages" => {
            let options = line::texts(command, "options").map(CString::new);
            let options = options.collect::<std::result::Result<Vec<_>, _>>()?;
            let mut next = options.iter().cycle();
            let options = move || next.next().map_or(c"{}", |options| options.as_c_str());
            repeat(line::number(command, "n")?, options, |options| node.list_peers(options))
        }
        "pages-at-once" => http::pages_at_once(node, command),
        "get_peer" => {
            let peer = CString::new(line::text(command, "peer")?)?;
            repeat(line::number(command, "n")?, || &*peer, |peer| node.get_peer(peer))
        }
        "get_peer_stats" => repeat(line::number(command, "n")?, || (), |()| node.get_peer_stats()),
        "publish-cost" => readers::publish_cost(node, command),
        "prepare-reference" => {
            *reference = Some(Reference::of(node, line::text(command, "peer")?)?);
            Ok(json!({}))
        }
        "reference" => {
            let reference = reference.as_ref().ok_or("not prepared")?;
            reference.measure(line::number(command, "n")?)
        }
        "state" => state(node),
        "user-connects" => user::connects(node, command),
        "status" => node.status().json(),
        other => Err(format!("unknown command {other}").into()),
    }
}

/// Measures a call with one argument after the other, its reply read and freed as a C program does.
fn repeat<A: Copy>(
    calls: u64,
    mut next: impl FnMut() -> A,
    call: impl Fn(A) -> Reply,
) -> Result<Value> {
    let mut samples = Samples::default();
    let mut bytes = 0;
    for _ in 0..calls {
        let argument = next();
        let started = Instant::now();
        let reply = call(argument);
        let done = reply.success();
        let length = reply.len();
        drop(reply);
        samples.push(started.elapsed());
        if !done {
            call(argument).json()?;
        }
        bytes = length;
    }
    let mut summary = samples.summary();
    summary["bytes"] = json!(bytes);
    Ok(summary)
}

/// Measures connects, identify included, one at a time, and disconnects in between.
fn bench_dial(node: &Node, command: &Value) -> Result<Value> {
    let address = line::text(command, "addr")?;
    let peer = address.rsplit('/').next().unwrap_or_default();
    let (peer, address) = (CString::new(peer)?, CString::new(address)?);
    let (mut connects, mut worker) = (Samples::default(), Samples::default());
    for _ in 0..line::number(command, "n")? {
        let started = Instant::now();
        let reply = node.connect_peer(&address);
        let done = reply.success();
        let took = started.elapsed();
        let connected = reply.json()?;
        if !done || connected["already_connected"] == true {
            return Err(format!("not a connect: {connected}").into());
        }
        connects.push(took);
        let inside = connected["duration_ms"].as_f64().unwrap_or(f64::NAN);
        worker.push(Duration::from_secs_f64(inside / 1e3));
        node.disconnect_peer(&peer).json()?;
    }
    let mut summary = connects.summary();
    summary["worker_p50_us"] = json!(worker.percentile(50.0));
    Ok(summary)
}

/// Looks for peers, one after the other; one that isn't found is counted, and its time too.
fn find(node: &Node, command: &Value) -> Result<Value> {
    let mut samples = Samples::default();
    let (mut found, mut by) = (0, serde_json::Map::new());
    for peer in line::texts(command, "peers") {
        let params = CString::new(json!({ "peer_id": peer }).to_string())?;
        let started = Instant::now();
        let reply = node.call(c"find_peer", &params);
        let success = reply.success();
        samples.push(started.elapsed());
        found += u64::from(success);
        if let Ok(reply) = reply.json() {
            let count = by.entry(line::text(&reply, "found_by")?).or_insert(json!(0));
            *count = json!(count.as_u64().unwrap_or(0) + 1);
        }
    }
    let mut summary = samples.summary();
    summary["all_us"] = json!(samples.all_us());
    summary["found"] = json!(found);
    summary["found_by"] = by.into();
    summary["connected"] = node.get_peer_stats().json()?["connected_peers"].take();
    Ok(summary)
}

/// Returns the number of connections made so far, and the peers that aren't connected now.
fn state(node: &Node) -> Result<Value> {
    let page = node.list_peers(c"{\"limit\":500}").json()?;
    let peers: Vec<&Value> = page["peers"].as_array().into_iter().flatten().collect();
    let made = peers.iter().filter_map(|peer| peer["successful_connections"].as_u64());
    let apart = peers.iter().filter(|peer| peer["connected"] == false);
    let apart: Vec<_> = apart.map(|peer| &peer["peer_id"]).collect();
    Ok(json!({ "connections": made.sum::<u64>(), "apart": apart }))
}
