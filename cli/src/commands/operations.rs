//! The table of the commands that serve operations. It is the one place for that fact: the commands call operations by
//! these names, and tables of all operations are made of it.

use std::borrow::Cow;

/// The operations that have a command of their own.
const COMMANDS: &[(&str, &str)] = &[
    ("status", "status"),
    ("list_peers", "peers"),
    ("get_peer", "peer"),
    ("connect_peer", "connect"),
    ("disconnect_peer", "disconnect"),
    ("ping_peer", "ping"),
    ("add_peer", "add"),
    ("remove_peer", "remove"),
    ("list_bootstrap_peers", "bootstrap list"),
    ("add_bootstrap_peer", "bootstrap add"),
    ("remove_bootstrap_peer", "bootstrap rm"),
    ("bootstrap_from_ipfs", "bootstrap from-ipfs"),
    ("bootstrap_from_cluster", "bootstrap from-cluster"),
    ("discover_peers", "discover"),
    ("start_discovery", "discover start"),
    ("stop_discovery", "discover stop"),
    ("get_discovery", "discover status"),
    ("find_peer", "find"),
    ("provide", "provide"),
    ("find_providers", "providers"),
    ("publish", "publish"),
    ("subscribe", "subscribe"),
    ("unsubscribe", "unsubscribe"),
    ("get_peer_stats", "stats"),
    ("get_peers_summary", "summary"),
    ("get_metrics", "metrics"),
];

/// Names the command that serves an operation; every one can be called by its name at least.
pub fn of_operation(name: &str) -> Cow<'static, str> {
    match COMMANDS.iter().find(|(operation, _)| *operation == name) {
        Some((_, command)) => Cow::Borrowed(command),
        None => Cow::Owned(format!("call {name}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use peerkit::ops;

    use super::*;
    use crate::args::Cli;

    /// Tells whether the words lead to a command; `call` takes any word after it.
    fn is_command(words: &str) -> bool {
        let mut command = Cli::command();
        for word in words.split(' ') {
            if command.get_name() == "call" {
                return true;
            }
            match command.find_subcommand(word) {
                Some(found) => command = found.clone(),
                None => return false,
            }
        }
        true
    }

    #[test]
    fn every_operation_has_a_command() {
        for operation in ops::catalogue() {
            let command = of_operation(operation.name);
            assert!(is_command(&command), "{}: `{command}`", operation.name);
        }
        let by_name: Vec<_> = ops::catalogue().iter().map(|operation| operation.name).collect();
        let called = by_name.into_iter().filter(|name| of_operation(name).starts_with("call "));
        let known = ["get_peers", "search_peers", "measure_bandwidth", "network_changed"];
        assert_eq!(called.collect::<Vec<_>>(), known);
    }
}
