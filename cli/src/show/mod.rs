//! Everything that a person sees: peers, events, failures and the node itself as lines of text (`peers`, `events`,
//! `failure`, `node`), which are made of tables, short ids and times (`table`, `ids`, `time`, `style`); `escape` makes
//! text of others safe to look at, `output` prints it.

pub mod escape;
pub mod events;
pub mod failure;
pub mod ids;
mod names;
pub mod node;
mod output;
pub mod peers;
pub mod progress;
pub mod screen;
pub mod style;
pub mod table;
pub mod time;

use std::io;

use peerkit::reply::Status;

pub use self::names::name;
pub use self::output::{choose, is_terminal, json, line, note, print, width};
use crate::hints::{Door, reworded};
use crate::node::Reply;

/// Prints a reply as a line of JSON, its hint in terms of commands.
pub fn reply(reply: &Reply) -> io::Result<()> {
    json(reworded(reply.clone(), Door::Command).json())
}

/// Tells of a node that runs now, or doesn't.
pub fn started(status: &Reply, attached_to: Option<u32>) {
    match serde_json::from_str::<Status>(status.json()) {
        Ok(status) => {
            let whose = attached_to.map(|pid| format!(", in process {pid}")).unwrap_or_default();
            line(&format!("the node runs{whose}: {}", status.peer_id));
            for address in &status.listen_addrs {
                line(&format!("  listens at {address}"));
            }
        }
        Err(_) => failure::print(&failure::lines(status)),
    }
}
