//! `peerkit events`: what happens, or what happened and is still kept.

use std::process::ExitCode;
use std::time::Duration;

use peerkit::event::{Event, EventKind, Kind};
use peerkit::params::EventsOptions;
use peerkit::{Error, ErrorKind};

use super::context::Context;
use super::outcome::{Failure, Outcome};
use crate::args;
use crate::node::{EventSource, Needs, Reply};
use crate::show::ids::Ids;
use crate::{show, signals};

/// The interval at which a wait for events looks whether it is still wanted.
pub const LOOK: Duration = Duration::from_millis(200);
/// The operation whose failures these are.
const EVENTS: &str = "events_open";

/// Runs `peerkit events`.
pub fn run(context: &Context<'_>, args: &args::Events) -> Outcome {
    let needs = if args.follow { Needs::Network } else { Needs::Running };
    let mut end = signals::wait_for_end()?;
    let node = context.open(EVENTS, needs)?;
    let mut options = EventsOptions::new();
    options.since = args.since.or((!args.follow).then_some(0));
    if !args.kinds.is_empty() {
        let kinds: Result<Vec<Kind>, _> = args.kinds.iter().map(|kind| kind.parse()).collect();
        options = options.kinds(kinds?);
    }
    let mut events = node.events(&options)?;
    context.note_own(&node);
    let ids = Ids::one_by_one(!show::is_terminal());
    let mut print = |event: &Event| print(context, event, &ids);
    if args.follow {
        follow(context, &mut *events, &mut end, &mut print)
    } else {
        replay(context, &mut *events, &mut print)
    }
}

/// Prints what is kept.
fn replay(
    context: &Context<'_>,
    events: &mut dyn EventSource,
    print: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Outcome {
    let last = events.last_seq();
    loop {
        // Kept events are there at once; where events of other kinds are the last, an empty batch ends it.
        let batch = events.next(LOOK).map_err(closed)?;
        lost(context, batch.lagged);
        for event in batch.events.iter().filter(|event| event.seq <= last) {
            print(event)?;
        }
        if batch.events.last().is_none_or(|event| event.seq >= last) {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Gives every event to `print` until a signal comes; a run that ends is a failure.
pub fn follow(
    context: &Context<'_>,
    events: &mut dyn EventSource,
    end: &mut signals::End,
    print: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Outcome {
    while !end.came() {
        let batch = events.next(LOOK).map_err(closed)?;
        lost(context, batch.lagged);
        for event in &batch.events {
            print(event)?;
            if matches!(event.kind, EventKind::Stopped { .. }) {
                return Err(closed(Error::new(ErrorKind::Closed, "the node stopped")));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(context: &Context<'_>, event: &Event, ids: &Ids) -> Result<(), Failure> {
    if context.global.json {
        let json = serde_json::to_string(event)
            .map_err(|error| Error::new(ErrorKind::Protocol, error.to_string()))?;
        show::json(&json)?;
    } else {
        show::print(&[show::events::line(event, ids)])?;
    }
    Ok(())
}

/// Tells of events that were lost before those that came.
fn lost(context: &Context<'_>, lagged: u64) {
    if lagged > 0 {
        // Scripts see the gap in `seq`.
        context.note(&format!("{lagged} events before these are lost"));
    }
}

fn closed(error: Error) -> Failure {
    Reply::refused(EVENTS, &error).into()
}
