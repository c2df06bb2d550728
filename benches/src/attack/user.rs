//! The user of an attacked node: in the embedding program by the C ABI, and at `peerkit serve` as the
//! token's holder, over HTTP.

use std::ffi::CString;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::tally::paced;
use crate::abi::Node;
use crate::http::Client;
use crate::{Result, line};

/// The time a call of the user's may take.
const PATIENCE: Duration = Duration::from_secs(5);
const LIST: &str = "/api/peers/list?limit=50";

/// Connects to a peer and disconnects again, at a rate.
pub fn connects(node: &Node, command: &Value) -> Result<Value> {
    let address = line::text(command, "addr")?;
    let peer = CString::new(address.rsplit('/').next().unwrap_or_default())?;
    let address = CString::new(address)?;
    Ok(paced(line::number(command, "ms")?, line::number(command, "per_s")?, || {
        let begun = Instant::now();
        let reply = node.connect_within(&address, PATIENCE.as_millis() as u32);
        let took = begun.elapsed();
        drop(node.disconnect_peer(&peer));
        if reply.success() { Ok(took) } else { Err(code(&reply)) }
    }))
}

fn code(reply: &str) -> String {
    let reply: Value = serde_json::from_str(reply).unwrap_or_default();
    reply["code"].as_str().unwrap_or("no code").to_owned()
}

/// Counts the peers of which the history still has that they connected, and tells what time it covers.
pub fn history(node: &Node, command: &Value) -> Result<Value> {
    let events = node.events(c"{\"since\":0}")?;
    let asked: Vec<&str> = line::texts(command, "peers").collect();
    let (mut kept, mut times) = (std::collections::BTreeSet::new(), Vec::new());
    loop {
        let batch = events.next(0).json()?;
        let batch = batch["events"].as_array().filter(|batch| !batch.is_empty()).cloned();
        let Some(batch) = batch else { break };
        for event in &batch {
            times.extend(event["timestamp"].as_f64());
            if let Some(peer) = event["peer_id"].as_str()
                && event["event"] == "peer_connected"
                && asked.contains(&peer)
            {
                kept.insert(peer.to_owned());
            }
        }
    }
    let covers = times.last().unwrap_or(&0.0) - times.first().unwrap_or(&0.0);
    Ok(json!({ "served": kept.len(), "asked": asked.len(), "covers_s": covers }))
}

/// Plays the role "holder" of the token: calls over new connections, over one that is kept, and connects,
/// all at once.
pub fn serve_holder(options: &Value) -> Result<()> {
    let (authority, token) = (line::text(options, "authority")?, line::text(options, "token")?);
    let open = || Client::with_token(authority, token, PATIENCE);
    let last = Mutex::new(None);
    line::serve(&json!({}), |command| {
        let (ms, per_s) = (line::number(command, "ms")?, line::number(command, "per_s")?);
        std::thread::scope(|scope| {
            let anew = scope
                .spawn(|| paced(ms, per_s, || timed(|| open()?.ask("GET", LIST, "").map(drop))));
            let kept = scope.spawn(|| {
                // From one command to the next too: it is there before an attack.
                let mut last = last.lock();
                paced(ms, per_s, || {
                    timed(|| {
                        let mut client = last.take().map_or_else(open, Ok)?;
                        client.ask("GET", LIST, "")?;
                        *last = Some(client);
                        Ok(())
                    })
                })
            });
            let connects = scope.spawn(|| match command["addr"].as_str() {
                Some(address) => paced(ms, per_s, || connect_over_http(&open, address)),
                None => Value::Null,
            });
            let joined = [anew, kept, connects].map(|thread| thread.join().unwrap_or_default());
            Ok(json!({ "anew": joined[0], "kept": joined[1], "connects": joined[2] }))
        })
    })
}

fn connect_over_http(
    open: &impl Fn() -> Result<Client>,
    address: &str,
) -> std::result::Result<Duration, String> {
    let peer = address.rsplit('/').next().unwrap_or_default();
    let post = |method: &str, body: Value| {
        open()?.ask("POST", &format!("/api/call/{method}"), &body.to_string()).map(drop)
    };
    let connected = timed(|| post("connect_peer", json!({ "multiaddr": address })));
    drop(post("disconnect_peer", json!({ "peer_id": peer })));
    connected
}

/// Returns the time that a call took, or its HTTP status as the reason why it wasn't served.
fn timed(call: impl FnOnce() -> Result<()>) -> std::result::Result<Duration, String> {
    let begun = Instant::now();
    let done = call().map_err(|error| error.to_string());
    done.map(|()| begun.elapsed()).map_err(|error| {
        let status = error.split_once("HTTP/1.1 ").and_then(|(_, status)| status.get(..3));
        status.unwrap_or("no reply").to_owned()
    })
}
