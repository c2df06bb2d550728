//! `publish`, `subscribe` and `unsubscribe`.

use std::io::Read;
use std::process::ExitCode;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use peerkit::event::{Event, EventKind, Kind};
use peerkit::params::EventsOptions;
use peerkit::reply::{Published, Topics};
use peerkit::{Error, ErrorKind};
use serde_json::Value;

use super::context::Context;
use super::events::follow;
use super::outcome::{Failure, Outcome};
use crate::args;
use crate::node::{Needs, Reply};
use crate::show::escape::escape;
use crate::show::ids::Ids;
use crate::{input, show, signals};

/// The most that is read of a message: more than the library takes, so that it says so.
const MAX_INPUT: u64 = 1 << 20;

/// Runs `peerkit publish`.
pub fn publish(context: &Context<'_>, args: &args::Publish) -> Outcome {
    let data = data(args)?;
    let node = context.open("publish", Needs::Network)?;
    let progress = context.progress("publishing");
    let params = [("topic", Value::from(&*args.topic)), ("data_base64", data.into())];
    let reply = context.call(&*node, "publish", params);
    drop(progress);
    context.answer(&reply, |reply: &Published| {
        vec![format!("published as {}", escape(&reply.message_id))]
    })
}

/// Reads the message, as base64.
fn data(args: &args::Publish) -> Result<String, Failure> {
    const INPUT: &str = "standard input";
    let wrong = |message: String| {
        Reply::refused("publish", &Error::new(ErrorKind::InvalidArgument, message))
    };
    let given = args.data.as_deref().filter(|data| *data != "-");
    if args.base64 {
        let text = match given {
            Some(text) => text.to_owned(),
            None => input::text(INPUT, std::io::stdin(), MAX_INPUT).map_err(wrong)?,
        };
        // Text that was wrapped into lines is base64 all the same; what is wrong with it the library says.
        return Ok(text.split_whitespace().collect());
    }
    let mut data = given.unwrap_or_default().as_bytes().to_vec();
    if given.is_none() {
        let read = std::io::stdin().take(MAX_INPUT).read_to_end(&mut data);
        read.map_err(|error| wrong(format!("{INPUT} can't be read: {error}")))?;
    }
    Ok(BASE64_STANDARD.encode(data))
}

/// Runs `peerkit subscribe`: prints messages until a signal comes, then leaves the topics as they were.
pub fn subscribe(context: &Context<'_>, args: &args::Subscribe) -> Outcome {
    let params = || [("topic", Value::from(&*args.topic))];
    if args.keep {
        return context.ask(Needs::Running, "subscribe", params(), topics);
    }
    let mut end = signals::wait_for_end()?;
    let node = context.open("subscribe", Needs::Network)?;
    // Before subscribing, so that no message is missed.
    let mut events = node.events(&EventsOptions::new().kinds([Kind::Message]))?;
    let reply = context.call(&*node, "subscribe", params());
    let Ok(topics) = serde_json::from_str::<Topics>(reply.json()) else { return Err(reply.into()) };
    context.note(&format!("subscribed to {}; Ctrl-C ends it", args.topic));
    let ids = Ids::one_by_one(!show::is_terminal());
    let outcome = follow(context, &mut *events, &mut end, &mut |event| {
        print(context, event, &args.topic, &ids)
    });
    // Somebody else's subscription stays.
    if topics.changed {
        let reply = context.call(&*node, "unsubscribe", params());
        if outcome.is_ok() && !reply.is_success() {
            return Err(reply.into());
        }
    }
    outcome
}

fn print(context: &Context<'_>, event: &Event, wanted: &str, ids: &Ids) -> Result<(), Failure> {
    let EventKind::Message { topic, data, .. } = &event.kind else { return Ok(()) };
    if &**topic != wanted {
        return Ok(());
    }
    if context.global.json {
        let json = serde_json::to_string(event)
            .map_err(|error| Error::new(ErrorKind::Protocol, error.to_string()))?;
        show::json(&json)?;
    } else {
        show::print(&[show::events::message(event, data, ids)])?;
    }
    Ok(())
}

fn topics(reply: &Topics) -> Vec<String> {
    reply.topics.iter().map(|topic| escape(topic).into_owned()).collect()
}

/// Runs `peerkit unsubscribe`: prints the topics that are left.
pub fn unsubscribe(context: &Context<'_>, args: &args::Unsubscribe) -> Outcome {
    let node = context.open("unsubscribe", Needs::Running)?;
    let reply = context.call(&*node, "unsubscribe", [("topic", Value::from(&*args.topic))]);
    let mut changed = true;
    let code = context.answer(&reply, |reply: &Topics| {
        changed = reply.changed;
        topics(reply)
    })?;
    if code == ExitCode::SUCCESS && !changed {
        context.note(&format!("{} was not subscribed to", args.topic));
    }
    Ok(code)
}
