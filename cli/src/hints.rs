//! Hints in the words of the door where they are read. The library's are neutral: "connect to the peer first". A
//! person types a command for that, an agent calls a tool, a client of HTTP asks for a path. One table has the words
//! of all three for the general hint of each kind of error; a hint for the very case is neutral, and stays.

use peerkit::ErrorKind::{self, *};
use serde_json::Value;

use crate::node::Reply;

/// The way by which a failure comes to whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The command line.
    Command,
    /// MCP.
    Tool,
    /// HTTP.
    Route,
}

/// Puts the door's words in place of the general hint of a failure's kind.
pub fn reworded(reply: Reply, door: Door) -> Reply {
    let Some(kind) = reply.code() else { return reply };
    let Some(words) = words(kind, door) else { return reply };
    let mut failure = reply.object();
    if failure.get("hint").and_then(Value::as_str) != kind.hint() {
        return reply;
    }
    failure.insert("hint".into(), words.into());
    Reply::new(Value::Object(failure).to_string())
}

/// Said by a server, which starts its node again by itself.
const SERVER: Option<&str> =
    Some("the server looks after its node by itself: a later call finds it");

/// Gives the door's words for a kind; None where the library's own will do.
fn words(kind: ErrorKind, door: Door) -> Option<&'static str> {
    let [command, tool, route] = match kind {
        NotRunning => [Some("`peerkit run` or `peerkit serve` starts a node"), SERVER, SERVER],
        InvalidHandle | Dead | Closed => [None, SERVER, SERVER],
        DataDirLocked => [
            Some("stop that process, or use another --data-dir"),
            Some("stop the process named in detail.pid: this server then takes the directory over"),
            Some("stop the process named in detail.pid: this server then takes the directory over"),
        ],
        StorageVersion => {
            [Some("use the peerkit that wrote it, or another --data-dir"), None, None]
        }
        PeerNotFound => [
            Some("`peerkit add` or `peerkit connect` with an address makes a peer known"),
            Some("connect_peer with a multiaddr makes a peer known; so does call with add_peer"),
            Some(
                "`POST /api/call/connect_peer` or `POST /api/call/add_peer` with an address makes a peer known",
            ),
        ],
        NoAddresses => [
            Some("give an address after the peer id"),
            Some("give connect_peer a multiaddr beside the peer_id"),
            None,
        ],
        NotConnected => [
            Some("connect first: `peerkit connect`"),
            Some("call connect_peer first"),
            Some("connect first: `POST /api/peers/{peer_id}/connect`"),
        ],
        WrongPeerId => {
            [Some("the address belongs to another peer now; its attempt says which"), None, None]
        }
        _ => [None, None, None],
    };
    match door {
        Door::Command => command,
        Door::Tool => tool,
        Door::Route => route,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use peerkit::{Error, ops};

    use super::*;
    use crate::{args, http, mcp};

    /// Lists the hints that a door gives, its own and the library's.
    fn hints(door: Door) -> impl Iterator<Item = &'static str> {
        ErrorKind::ALL.iter().filter_map(move |kind| words(*kind, door).or(kind.hint()))
    }

    /// Lists what stands in backticks.
    fn quoted(hint: &str) -> impl Iterator<Item = &str> {
        hint.split('`').skip(1).step_by(2)
    }

    #[test]
    fn each_door_names_only_what_it_has() {
        let command = args::Cli::command();
        for quoted in hints(Door::Command).flat_map(quoted) {
            let name = quoted.strip_prefix("peerkit ");
            assert!(name.is_some_and(|name| command.find_subcommand(name).is_some()), "{quoted}");
        }
        let tools: Vec<_> = ops::catalogue().iter().map(|op| mcp::tool_of(op.name)).collect();
        for hint in hints(Door::Tool) {
            let names = hint.split(|c: char| !c.is_alphanumeric() && c != '_');
            for name in names.filter(|name| ops::find(name).is_ok()) {
                let called = hint.contains(&format!("call with {name}"));
                assert!(called || tools.iter().any(|tool| tool == name), "{hint}");
            }
        }
        for quoted in hints(Door::Route).flat_map(quoted) {
            let (verb, path) = quoted.split_once(' ').unwrap();
            let of_table = |op: &ops::Operation| http::routes_of(op.name).contains(&(verb, path));
            let by_name =
                path.strip_prefix("/api/call/").is_some_and(|name| ops::find(name).is_ok());
            assert!(by_name || ops::catalogue().iter().any(of_table), "{quoted}");
        }
    }

    /// The hints that each door gives for a whole kind stand side by side in a snapshot. `PEERKIT_UPDATE=1` writes it.
    #[test]
    fn the_hints_of_all_doors_stand_side_by_side() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/hints.txt");
        let mut actual = String::new();
        for kind in ErrorKind::ALL {
            actual += &format!("{kind}\n    library: {}\n", kind.hint().unwrap_or("-"));
            for door in [Door::Command, Door::Tool, Door::Route] {
                if let Some(own) = words(*kind, door) {
                    actual += &format!("    {door:?}: {own}\n");
                }
            }
        }
        if std::env::var_os("PEERKIT_UPDATE").is_some() {
            std::fs::write(path, &actual).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), actual);
    }

    #[test]
    fn no_door_speaks_anothers_words() {
        let words = ["peerkit_", "`peerkit ", "--", "/api/", "connect_peer", "add_peer"];
        for (door, own) in [
            (Door::Command, &["`peerkit ", "--"][..]),
            (Door::Tool, &["connect_peer", "add_peer"]),
            (Door::Route, &["/api/", "connect_peer", "add_peer"]),
        ] {
            for hint in hints(door) {
                for word in words.iter().filter(|word| !own.contains(word)) {
                    assert!(!hint.contains(word), "{door:?}: {hint}");
                }
            }
        }
        for hint in ErrorKind::ALL.iter().filter_map(|kind| kind.hint()) {
            assert!(words.iter().all(|word| !hint.contains(word)), "the library: {hint}");
        }
    }

    #[test]
    fn only_the_general_hint_is_put_otherwise() {
        let hint = |error: &Error, door| {
            reworded(Reply::refused("ping_peer", error), door).object()["hint"].clone()
        };
        let error = Error::new(NotConnected, "it isn't connected");
        assert_eq!(hint(&error, Door::Tool), "call connect_peer first");
        assert_eq!(hint(&Error::new(Closed, "it stopped"), Door::Tool), SERVER.unwrap());
        assert_eq!(hint(&Error::new(Closed, "it stopped"), Door::Command), Value::Null);
        let special = error.with_hint("connect to a peer that subscribes");
        assert_eq!(hint(&special, Door::Route), "connect to a peer that subscribes");
        let success = Reply::new(r#"{"success":true,"hint":"x"}"#.to_owned());
        assert_eq!(reworded(success.clone(), Door::Command), success);
    }
}
