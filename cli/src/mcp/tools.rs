//! The table of tools: which operation each one is, and what an agent must know to read its reply. All the rest of a
//! tool comes from the catalogue of operations (see `offer` and `schema`). `call` is for the operations that have no
//! tool of their own; one that the library gains appears there by itself.

use peerkit::Error;
use peerkit::ops::{self, Effect, Operation};
use serde_json::Value;

/// A row of the table.
#[derive(Debug)]
pub struct Tool {
    pub name: &'static str,
    pub is: Is,
    /// Parameters that must be given.
    pub required: &'static [&'static str],
    /// Advice how to use it and read the reply, after the summary of the operation.
    pub note: &'static str,
}

/// The kinds of tools.
#[derive(Debug)]
pub enum Is {
    /// One operation.
    Operation(&'static str),
    /// Several, by its parameter `action`.
    Actions(&'static [(&'static str, &'static str)]),
    /// A page of events.
    Events,
    /// Any operation, by its parameter `method`.
    Call,
}

const PEER: &[&str] = &["peer_id"];

/// The tools, in the order that clients show.
pub const TABLE: &[Tool] = &[
    Tool {
        name: "get_peers",
        is: Is::Operation("get_peers"),
        required: &[],
        note: "`total` counts all that match; `truncated` says that there are more than `peers` shows. For paging \
               use list_peers.",
    },
    Tool {
        name: "list_peers",
        is: Is::Operation("list_peers"),
        required: &[],
        note: "For the next page pass pagination.next_cursor as `cursor`, while pagination.has_more is true.",
    },
    Tool {
        name: "get_peer_info",
        is: Is::Operation("get_peer"),
        required: PEER,
        note: "`peer_info` has its addresses, protocols, live connections, tags, and the last failure, if any.",
    },
    Tool {
        name: "connect_peer",
        is: Is::Operation("connect_peer"),
        required: &[],
        note: "Give peer_id, or multiaddr (also called peer_address), or both. On failure `code` says why and \
               detail.attempts what happened at each address. May take until timeout_ms.",
    },
    Tool {
        name: "disconnect_peer",
        is: Is::Operation("disconnect_peer"),
        required: PEER,
        note: "`was_connected` is false where there was nothing to close. This node does not dial that peer by \
               itself afterwards.",
    },
    Tool {
        name: "ping_peer",
        is: Is::Operation("ping_peer"),
        required: PEER,
        note: "`rtts_ms` are the round trips in milliseconds. It never dials: connect first.",
    },
    Tool {
        name: "get_peer_stats",
        is: Is::Operation("get_peer_stats"),
        required: &[],
        note: "Totals of known and connected peers, traffic, limits in force, and what was refused from remotes.",
    },
    Tool {
        name: "discover_peers",
        is: Is::Operation("discover_peers"),
        required: &[],
        note: "`discovered_peers` are those that were not known before; `sources` says what each source did. May \
               take until `timeout` seconds.",
    },
    Tool {
        name: "bootstrap_peers",
        is: Is::Actions(&[
            ("list", "list_bootstrap_peers"),
            ("add", "add_bootstrap_peer"),
            ("remove", "remove_bootstrap_peer"),
            ("from_ipfs", "bootstrap_from_ipfs"),
            ("from_cluster", "bootstrap_from_cluster"),
        ]),
        required: &["action"],
        note: "`multiaddr` goes with add and remove; `api` and `connect` go with from_ipfs and from_cluster.",
    },
    Tool {
        name: "search_peers",
        is: Is::Operation("search_peers"),
        required: &["query"],
        note: "`total` counts all matches; narrow the text where `truncated` is true.",
    },
    Tool {
        name: "find_peer",
        is: Is::Operation("find_peer"),
        required: PEER,
        note: "`multiaddrs` is where it is, `found_by` who knew. It does not connect.",
    },
    Tool { name: "get_events", is: Is::Events, required: &[], note: "" },
    Tool { name: "call", is: Is::Call, required: &["method"], note: "" },
];

/// Finds the tool of a name.
pub fn find(name: &str) -> Option<&'static Tool> {
    TABLE.iter().find(|tool| tool.name == name)
}

/// Names the tool that runs an operation, with the action where that decides.
#[cfg(test)]
pub fn of_operation(operation: &str) -> String {
    let own = TABLE.iter().find_map(|tool| match tool.is {
        Is::Operation(name) if name == operation => Some(tool.name.to_owned()),
        Is::Actions(actions) => {
            let (action, _) = actions.iter().find(|(_, name)| *name == operation)?;
            Some(format!("{} {action}", tool.name))
        }
        _ => None,
    });
    own.unwrap_or_else(|| "call".to_owned())
}

impl Tool {
    /// Lists the operations that it may run: none for events, which are read from a subscription.
    pub fn operations(&self, read_only: bool) -> Result<Vec<&'static Operation>, Error> {
        let names = match self.is {
            Is::Operation(name) => vec![name],
            Is::Actions(actions) => actions.iter().map(|(_, name)| *name).collect(),
            Is::Call => ops::catalogue().iter().map(|op| op.name).collect(),
            Is::Events => Vec::new(),
        };
        let mut found = names.into_iter().map(ops::find).collect::<Result<Vec<_>, _>>()?;
        found.retain(|op| !(read_only && op.effect == Effect::Acts));
        Ok(found)
    }
}

/// Finds the operation of an `action`.
pub fn action(actions: &[(&str, &'static str)], given: Option<&Value>) -> Option<&'static str> {
    let given = given.and_then(Value::as_str)?;
    actions.iter().find(|(action, _)| *action == given).map(|(_, name)| *name)
}
