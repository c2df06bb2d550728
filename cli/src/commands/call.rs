//! `peerkit call`: any operation of the catalogue by its name.

use std::process::ExitCode;

use peerkit::ops::{self, Effect};
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value};

use crate::args::{Call, Global};
use crate::node::{Needs, Setup, open};
use crate::{exit, show};

/// Calls the operation and prints its reply, which is JSON in any case.
pub fn run(global: &Global, setup: &Setup, args: &Call) -> Result<ExitCode, Error> {
    let params: Map<String, Value> = serde_json::from_str(&args.params).map_err(|error| {
        let message = format!("the parameters are no JSON object: {error}");
        Error::new(ErrorKind::InvalidArgument, message)
    })?;
    // An owner may know operations that this program doesn't.
    let reads = ops::find(&args.method).is_ok_and(|op| op.effect == Effect::Reads);
    let node = open(setup, if reads { Needs::Book } else { Needs::Network })?;
    let reply = node.call(&args.method, params, global.timeout.unwrap_or_default());
    show::line(reply.json());
    Ok(exit::of_reply(&reply))
}
