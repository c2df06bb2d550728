//! A failure, for a person: what happened in one line, what became of each address, what to do.

use std::io::Write;

use peerkit::{Attempt, ErrorKind};
use serde_json::Value;

use super::escape::escape;
use super::names::name;
use super::style;
use super::table::{Cell, Table, cut, left, right};
use super::time;
use crate::hints::{Door, reworded};
use crate::node::Reply;

/// Prints lines on standard error. Where that can't be done there is nobody to tell.
pub fn print(lines: &[String]) {
    let mut err = anstream::stderr().lock();
    let _ = lines.iter().try_for_each(|line| writeln!(err, "{line}"));
}

/// Makes the lines for a failure reply.
pub fn lines(reply: &Reply) -> Vec<String> {
    let reply = reworded(reply.clone(), Door::Command);
    let object = reply.object();
    let text = |key: &str| object.get(key).and_then(Value::as_str);
    let bad = style::BAD;
    let message = text("error").unwrap_or("the answer isn't understood");
    let code = text("code").map(|code| format!(" [{code}]")).unwrap_or_default();
    let mut lines = vec![format!("{bad}peerkit:{bad:#} {}{}", escape(message), escape(&code))];
    let detail = object.get("detail").and_then(Value::as_object);
    let attempts = detail.and_then(|detail| detail.get("attempts")).cloned();
    let attempts: Vec<Attempt> =
        attempts.and_then(|attempts| serde_json::from_value(attempts).ok()).unwrap_or_default();
    lines.extend(attempt_lines(&attempts));
    let candidates = detail.and_then(|detail| detail.get("candidates")).and_then(Value::as_array);
    let candidates = candidates.into_iter().flatten().filter_map(Value::as_str);
    lines.extend(candidates.map(|candidate| format!("  {}", escape(candidate))));
    // The attempts that are listed say more than the general hint about them.
    let listed = reply.code() == Some(ErrorKind::DialFailed) && !attempts.is_empty();
    let hint = text("hint").filter(|hint| !listed || Some(*hint) != ErrorKind::DialFailed.hint());
    lines.extend(hint.map(|hint| format!("  {}", escape(hint))));
    lines
}

/// Tells what became of each address.
pub fn attempt_lines(attempts: &[Attempt]) -> Vec<String> {
    if attempts.is_empty() {
        return Vec::new();
    }
    let columns = [
        cut("ADDRESS", 20),
        left("STAGE"),
        left("CODE"),
        right("TIME"),
        cut("ERROR", 20),
        cut("HINT", 10),
    ];
    let mut table = Table::new(&columns);
    for attempt in attempts {
        let (stage, stage_style) = match attempt.stage {
            None => ("connected".to_owned(), style::GOOD),
            Some(stage) => (name(&stage), style::WARN),
        };
        table.row([
            Cell::new(match &attempt.resolved_from {
                Some(name) => format!("{} of {name}", attempt.address),
                None => attempt.address.to_string(),
            }),
            Cell::new(stage).styled(stage_style),
            Cell::of(attempt.code.map(ErrorKind::as_str)),
            Cell::of(attempt.duration_ms.map(time::ms)),
            Cell::of(attempt.error.as_deref()),
            Cell::of(attempt.hint.as_deref()),
        ]);
    }
    let width = terminal_size::terminal_size_of(std::io::stderr());
    let width = width.map(|(width, _)| usize::from(width.0).saturating_sub(2));
    table.lines(width).into_iter().map(|line| format!("  {line}")).collect()
}
