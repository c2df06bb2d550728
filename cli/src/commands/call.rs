//! `peerkit call`: any operation of the catalogue by its name.

use std::process::ExitCode;

use peerkit::ops::{self, Effect};
use peerkit::{Error, ErrorKind};
use serde_json::{Map, Value, json};

use super::context::Context;
use super::outcome::{Failure, Outcome};
use crate::args::Call;
use crate::hints::{Door, reworded};
use crate::node::{Needs, Reply};
use crate::show::table::{Cell, Table, cut, left};
use crate::{exit, input, show};

/// The most that is read from standard input: what the library takes.
const MAX_INPUT: u64 = 1 << 20;
const INPUT: &str = "standard input";

/// Calls the operation and prints its reply, which is JSON in any case, of failure too; indented for a person.
pub fn run(context: &Context<'_>, args: &Call) -> Outcome {
    let Some(method) = args.method.as_deref().filter(|_| !args.list) else {
        return list(context);
    };
    if args.schema {
        return schema(context, method);
    }
    let reply = match call(context, method, &args.params) {
        Ok(reply) | Err(Failure::Reply(reply)) => reply,
        Err(failure) => return Err(failure),
    };
    print(context, &reply)?;
    Ok(exit::of_reply(&reply))
}

fn call(context: &Context<'_>, method: &str, params_text: &str) -> Result<Reply, Failure> {
    let params = params(method, params_text)?;
    let found = ops::find(method);
    // An owner may know operations that this program doesn't; without one there is nobody to ask.
    let needs = match &found {
        Ok(op) if op.effect == Effect::Reads => Needs::Book,
        Ok(_) => Needs::Network,
        Err(_) => Needs::Running,
    };
    let node = context.open(method, needs).map_err(|failure| match &found {
        Err(unknown) => Failure::from(unknown.clone()),
        Ok(_) => failure,
    })?;
    Ok(node.call(method, params, context.global.timeout.unwrap_or_default()))
}

fn print(context: &Context<'_>, reply: &Reply) -> std::io::Result<()> {
    if context.global.json || !show::is_terminal() {
        return show::reply(reply);
    }
    show::json(&format!("{:#}", Value::Object(reworded(reply.clone(), Door::Command).object())))
}

fn params(method: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    let refused = |error: Error| -> Failure { Reply::refused(method, &error).into() };
    let wrong = |message: String| refused(Error::new(ErrorKind::InvalidArgument, message));
    let (name, read) = match text {
        "-" => (INPUT, input::text(INPUT, std::io::stdin(), MAX_INPUT)),
        text => ("the parameters", input::text("the parameters", text.as_bytes(), MAX_INPUT)),
    };
    match ops::read_json(read.map_err(wrong)?.as_bytes()) {
        Ok(Value::Object(params)) => Ok(params),
        Ok(_) => Err(wrong(format!("{name}: JSON, but no object"))),
        Err(why) => {
            Err(refused(why.into_error(|error| format!("{name}: no JSON object: {error}"))))
        }
    }
}

/// Lists all operations, with what they do and which command does it.
fn list(context: &Context<'_>) -> Outcome {
    if context.global.json {
        for op in ops::catalogue() {
            let command = format!("peerkit {}", super::of_operation(op.name));
            let line = json!({ "name": op.name, "aliases": op.aliases, "summary": op.summary,
                "acts": op.effect == Effect::Acts, "command": command });
            show::json(&line.to_string())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[left("OPERATION"), left("COMMAND"), cut("", 20)]);
    for op in ops::catalogue() {
        let command = super::of_operation(op.name);
        table.row([Cell::new(op.name), Cell::new(command), Cell::new(op.summary)]);
    }
    show::print(&table.lines(show::width()))?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the schemas of an operation's parameters and reply.
fn schema(context: &Context<'_>, method: &str) -> Outcome {
    let op = ops::find(method)?;
    let schemas =
        json!({ "method": op.name, "params": op.params_schema(), "reply": op.reply_schema() });
    if context.global.json {
        show::json(&schemas.to_string())?
    } else {
        show::json(&format!("{schemas:#}"))?
    }
    Ok(ExitCode::SUCCESS)
}
