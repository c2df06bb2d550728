//! The program `peerkit`: a libp2p node for people, scripts and agents. It uses the library as any other program
//! would; what it adds is how operations are typed, shown and served.
//!
//! `args` is what can be typed, `commands` what that does, `node` where operations go, `show` what a person sees;
//! `input` is what they read, `mcp` and `http` serve the operations to others; `guard` says what those may do, `hints` what to do
//! about a failure; `signals` and `threads` are for what stays up.

mod args;
mod commands;
mod exit;
mod guard;
mod hints;
mod http;
mod input;
mod mcp;
mod node;
#[cfg(test)]
mod reference;
mod show;
mod signals;
mod threads;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind::{
    DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion,
};

fn main() -> ExitCode {
    match args::Cli::try_parse() {
        Ok(cli) => commands::run(&cli),
        Err(error) if wants_json() && !is_help(&error) => commands::mistyped(&error.to_string()),
        Err(error) => error.exit(),
    }
}

/// Tells whether a script reads the output; asked where the arguments couldn't be understood.
fn wants_json() -> bool {
    std::env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json")
}

fn is_help(error: &clap::Error) -> bool {
    let kind = error.kind();
    [DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion].contains(&kind)
}
