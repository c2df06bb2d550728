//! `peerkit peers --watch`: the table kept on the screen, drawn anew when something happened, at most four times
//! a second, and each second, for times go on.

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use peerkit::event::EventKind;
use peerkit::params::EventsOptions;
use peerkit::reply::PeerPage;
use peerkit::{Error, ErrorKind};

use super::context::Context;
use super::outcome::{Failure, Outcome};
use super::peers;
use crate::args::Peers;
use crate::node::{EventSource, Needs, Node, Reply};
use crate::show::screen::Screen;
use crate::show::{self, style, table, time};
use crate::signals;

/// The least time between two drawings, and the most.
const LEAST: Duration = Duration::from_millis(250);
const MOST: Duration = Duration::from_secs(1);
/// The time within which a terminal of another size, or a signal, is noticed.
const LOOK: Duration = Duration::from_millis(100);

/// Watches until a signal comes or the node ends.
pub fn run(context: &Context<'_>, args: &Peers) -> Outcome {
    let json = context.global.json;
    if !json && !io::stdout().is_terminal() {
        let error = Error::new(ErrorKind::InvalidArgument, "--watch needs a terminal");
        let error = error.with_hint("--json prints the list as a line whenever it changes");
        return Err(Reply::refused("list_peers", &error).into());
    }
    let mut end = signals::wait_for_end()?;
    let node = context.open("list_peers", Needs::Network)?;
    let mut events = node.events(&EventsOptions::new())?;
    if json {
        return lines(context, &*node, &mut *events, &mut end, args);
    }
    let screen = Screen::enter()?;
    let mut drawn_size = (0, 0);
    let mut drawn: Option<Instant> = None;
    let mut changed = true;
    while !end.came() {
        let age = drawn.map_or(Duration::MAX, |drawn| drawn.elapsed());
        let resized = drawn_size != screen.size();
        if resized || age >= MOST || changed && age >= LEAST {
            drawn_size = screen.size();
            screen.draw(&frame(&list(context, &*node, args)?, drawn_size))?;
            drawn = Some(Instant::now());
            changed = false;
        }
        changed |= happened(&mut *events, LOOK)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the list as a line of JSON whenever it has changed.
fn lines(
    context: &Context<'_>,
    node: &dyn Node,
    events: &mut dyn EventSource,
    end: &mut signals::End,
    args: &Peers,
) -> Outcome {
    let mut last = None;
    while !end.came() {
        let reply = list(context, node, args)?;
        if last.as_ref() != Some(&reply) {
            show::json(reply.json())?;
            last = Some(reply);
        }
        let drawn = Instant::now();
        while !end.came() && !happened(events, LOOK)? {}
        std::thread::sleep(LEAST.saturating_sub(drawn.elapsed()));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(context: &Context<'_>, node: &dyn Node, args: &Peers) -> Result<Reply, Failure> {
    let timeout = context.global.timeout.unwrap_or_default();
    let reply = node.call("list_peers", peers::params(args), timeout);
    if reply.is_success() { Ok(reply) } else { Err(reply.into()) }
}

/// Takes what is queued; tells whether there was anything.
fn happened(events: &mut dyn EventSource, wait: Duration) -> Result<bool, Failure> {
    let failed = |error: Error| Failure::from(Reply::refused("events_open", &error));
    let batch = events.next(wait).map_err(failed)?;
    if batch.events.iter().any(|event| matches!(event.kind, EventKind::Stopped { .. })) {
        return Err(failed(Error::new(ErrorKind::Closed, "the node stopped")));
    }
    Ok(!batch.events.is_empty())
}

/// Makes the lines of a screen of this size.
fn frame(reply: &Reply, (width, height): (usize, usize)) -> Vec<String> {
    let Ok(page) = serde_json::from_str::<PeerPage>(reply.json()) else {
        return vec!["the list isn't understood: the node is of another version".to_owned()];
    };
    let (head, dim) = (style::HEADER, style::DIM);
    let connected = page.peers.iter().filter(|peer| peer.connected).count();
    let title = format!("{}, {connected} of these connected", peers::place(&page));
    let clock = format!("{}  Ctrl-C ends", time::utc(now()));
    let title = table::fit(&title, width);
    let room = width.saturating_sub(title.chars().count() + 2);
    let clock = if clock.len() <= room { format!("{clock:>room$}") } else { String::new() };
    let mut lines = vec![format!("{head}{title}{head:#}  {dim}{clock}{dim:#}"), String::new()];
    if !page.peers.is_empty() {
        lines.extend(show::peers::table(&page.peers, Some(width)));
    }
    if lines.len() > height && height > 1 {
        let more = lines.len() - height + 1;
        lines.truncate(height - 1);
        lines.push(format!("{dim}{more} more{dim:#}"));
    }
    lines
}

fn now() -> peerkit::Timestamp {
    peerkit::Timestamp::from_micros((time::now() * 1e6) as i64)
}
