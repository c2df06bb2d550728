//! The context of a command: the options of all commands, the node that is meant, and how to give its answer.

use std::io;
use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::outcome::{Failure, Outcome};
use crate::args::Global;
use crate::node::{Needs, Node, Opened, Reply, Setup, open};
use crate::show::progress::Progress;
use crate::{exit, show};

/// The context of a command.
pub struct Context<'a> {
    pub global: &'a Global,
    pub setup: &'a Setup,
}

impl Context<'_> {
    /// Opens the node that serves the operation; the failure is told as that operation's.
    pub fn open(&self, method: &str, needs: Needs) -> Result<Opened, Failure> {
        open(self.setup, needs).map_err(|error| Reply::refused(method, &error).into())
    }

    /// Calls an operation.
    pub fn call<const N: usize>(
        &self,
        node: &dyn Node,
        method: &str,
        params: [(&str, Value); N],
    ) -> Reply {
        node.call(method, present(params), self.global.timeout.unwrap_or_default())
    }

    /// Tells on a terminal what is waited for, until the result is dropped.
    pub fn progress(&self, what: &str) -> Progress {
        Progress::of(what, self.global.json)
    }

    /// Opens a node, calls, and shows the answer, where nothing else is to be done.
    pub fn ask<R: DeserializeOwned, const N: usize>(
        &self,
        needs: Needs,
        method: &str,
        params: [(&str, Value); N],
        shown: impl FnOnce(&R) -> Vec<String>,
    ) -> Outcome {
        let node = self.open(method, needs)?;
        self.answer(&self.call(&*node, method, params), shown)
    }

    /// Gives the answer: as JSON, or what `shown` makes of it; a failure as such.
    pub fn answer<R: DeserializeOwned>(
        &self,
        reply: &Reply,
        shown: impl FnOnce(&R) -> Vec<String>,
    ) -> Outcome {
        if !reply.is_success() {
            failed(reply, self.global.json)?;
        } else if self.global.json {
            show::reply(reply)?;
        } else {
            match serde_json::from_str(reply.json()) {
                Ok(typed) => show::print(&shown(&typed))?,
                // An owner of another version: what it says may still help.
                Err(_) => show::reply(reply)?,
            }
        }
        Ok(exit::of_reply(reply))
    }

    /// Tells something beside the answer; a script that reads JSON isn't told.
    pub fn note(&self, text: &str) {
        if !self.global.json {
            show::note(text);
        }
    }

    /// Says that the connections of a node end with it, where it runs for this command alone.
    pub fn note_own(&self, node: &Opened) {
        if node.is_own() {
            let dir = self.setup.data_dir.display();
            self.note(&format!(
                "No node runs on {dir}; this one ran for this command only, and its connections end with it. \
                 `peerkit run` keeps one running."
            ));
        }
    }
}

/// Tells of a failure: a script that reads JSON gets the reply where it would get that of a success.
pub fn failed(reply: &Reply, json: bool) -> io::Result<()> {
    if json {
        return show::reply(reply);
    }
    show::failure::print(&show::failure::lines(reply));
    Ok(())
}

/// Collects the parameters that are there.
pub fn present<const N: usize>(params: [(&str, Value); N]) -> Map<String, Value> {
    let present = params.into_iter().filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Gives the exit code of several answers: that of the first which failed.
pub fn first_failure(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
    codes.into_iter().find(|code| *code != ExitCode::SUCCESS).unwrap_or(ExitCode::SUCCESS)
}
