//! What a person sees. Writing to a pipe that nobody reads any more ends the program in silence.

use std::io::{self, Write};
use std::process;

use peerkit::Error;
use peerkit::reply::Status;

use crate::node::Reply;

/// Prints a line on standard output.
pub fn line(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        // The reader has gone; whatever else went wrong with standard output can't be told there either.
        process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 });
    }
}

/// Prints on standard error what went wrong, and what to do.
pub fn error(error: &Error, json: bool) {
    let text = if json {
        Reply::refused("peerkit", error).into_json()
    } else {
        let hint = error.hint().map(|hint| format!("\n  {hint}")).unwrap_or_default();
        format!("peerkit: {error}{hint}")
    };
    let _ = writeln!(io::stderr(), "{text}");
}

/// Tells of a node that runs now, or doesn't.
pub fn started(status: &Reply, attached_to: Option<u32>) {
    match serde_json::from_str::<Status>(status.json()) {
        Ok(status) => {
            let whose = attached_to.map(|pid| format!(", in process {pid}")).unwrap_or_default();
            line(&format!("{}{whose}", status.peer_id));
            status.listen_addrs.iter().for_each(|address| line(&format!("  {address}")));
        }
        Err(_) => line(status.json()),
    }
}
