//! The budget of the control socket: clients that read nothing of what they asked for, or never end what they ask, hold
//! little of the owner's memory together, and the others are served. docs/budgets.md promises it.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::control::{Bare, Owner, SOON, call, ok};
use crate::support::{eventually, some_peer_id};

/// Peers with rows of 4 KB each: all of them are a reply of 4 MB.
const PEERS: usize = 1_000;
/// Clients at once, of the 64 that there may be.
const CLIENTS: usize = 56;
/// The time of an attack.
const TIME: Duration = Duration::from_secs(4);
/// The most memory that the socket takes above rest.
const MOST_MIB: u64 = 64;

fn owner_of_many() -> Owner {
    let owner = Owner::start();
    let client = owner.attach();
    let host = "x".repeat(60);
    let addresses: Vec<String> = (1..=16)
        .map(|port| format!("/dns4/{host}.{host}.{host}.{host}.example/tcp/{port}"))
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..PEERS / 8 {
                    let peer = json!({ "peer_id": some_peer_id(), "multiaddrs": addresses });
                    ok(&client, "add_peer", peer);
                }
            });
        }
    });
    owner
}

fn memory_mib(owner: &Owner) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", owner.peer.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Calls as a good client does for as long as an attack lasts, and for everything at its end; returns the most memory
/// above rest.
fn bystander(owner: &Owner, rest: u64) -> u64 {
    let client = owner.attach();
    let until = Instant::now() + TIME;
    let (mut most, mut calls) = (0, 0);
    while Instant::now() < until {
        for (method, params) in [("status", json!({})), ("list_peers", json!({}))] {
            let reply = call(&client, method, params, SOON).unwrap();
            assert_eq!(reply["success"], true, "after {calls} calls: {}", reply["error"]);
            calls += 1;
            most = most.max(memory_mib(owner).saturating_sub(rest));
        }
    }
    let everything = || call(&client, "get_peers", json!({ "limit": 10_000 }), SOON).unwrap();
    eventually(4 * SOON, "a large reply has its turn", || everything()["success"] == true);
    most = most.max(memory_mib(owner).saturating_sub(rest));
    println!("{calls} calls, {most} MiB at most");
    assert!(calls >= 4);
    most
}

/// Returns the number of things that were refused for want of room.
fn refused(owner: &Owner) -> u64 {
    let stats = ok(&owner.attach(), "get_peer_stats", json!({}));
    stats["stats"]["dropped"]["control.no_room"].as_u64().unwrap_or_default()
}

#[test]
fn clients_that_read_nothing_hold_little_and_the_others_are_served() {
    let owner = owner_of_many();
    let rest = memory_mib(&owner);
    let mut deaf: Vec<_> = (0..CLIENTS).map(|_| Bare::greeted(&owner.socket())).collect();
    for client in &mut deaf {
        client.say(r#"{"call":"get_peers","params":{"limit":10000}}"#);
    }
    let most = bystander(&owner, rest);
    assert!(most < MOST_MIB, "{most} MiB");
    // Whoever got nothing was told why, or was closed; nobody is held on to.
    let mut told = 0;
    for mut client in deaf {
        let mut all = String::new();
        let _ = client.0.get_ref().shutdown(Shutdown::Write);
        let _ = client.0.read_to_string(&mut all);
        told += usize::from(all.contains("limit_reached"));
    }
    println!("{told} of {CLIENTS} were told");
    assert!(told > 0);
}

#[test]
fn requests_that_never_end_hold_little_and_the_others_are_served() {
    let owner = owner_of_many();
    let rest = memory_mib(&owner);
    let half = format!(r#"{{"call":"list_peers","params":{{"search":[{}"#, "0,".repeat(500_000));
    let mut endless: Vec<_> = (0..CLIENTS).map(|_| Bare::greeted(&owner.socket())).collect();
    for client in &mut endless {
        // Where there is no room for it, the owner closes before it has all of it.
        let _ = client.0.get_mut().write_all(half.as_bytes());
    }
    let most = bystander(&owner, rest);
    assert!(most < MOST_MIB, "{most} MiB");
    eventually(SOON, "the rest is refused", || refused(&owner) > 0);
}
