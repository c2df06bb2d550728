//! Standard output and standard error: whether a person reads them, and how lines get there. Colours are put in
//! everywhere and taken out again where the output is no terminal.
//!
//! A pipe that nobody reads any more ends a command in silence: its output fails with an `io::Error`, which
//! `commands::run` knows.

use std::io::{self, IsTerminal, Write};
use std::process;

use anstream::ColorChoice;

use super::escape;
use super::style;
use crate::args::Color;

/// Chooses when to colour, for everything that is shown from here on.
pub fn choose(color: Color) {
    let choice = match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    };
    choice.write_global();
}

/// Measures standard output; None where it is no terminal, and takes lines of any length.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
}

/// Tells whether standard output goes to a person, who wants short ids.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Prints lines on standard output.
pub fn print(lines: &[String]) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    out.flush()
}

/// Prints JSON as a line on standard output, with nothing in it that a terminal would obey.
pub fn json(json: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", escape::escape_json(json)).and_then(|()| out.flush())
}

/// Tells something beside the answer, on standard error.
pub fn note(text: &str) {
    let dim = style::DIM;
    let _ = writeln!(anstream::stderr(), "{dim}{}{dim:#}", escape::escape(text));
}

/// Prints a line on standard output; where that can't be done the program ends.
pub fn line(text: &str) {
    if let Err(error) = json(text) {
        // The reader has gone; whatever else went wrong with standard output can't be told there either.
        process::exit(if error.kind() == io::ErrorKind::BrokenPipe { 0 } else { 1 });
    }
}
