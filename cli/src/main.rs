//! The program `peerkit`: a libp2p node for people, scripts and agents. It uses the library as any other program
//! would; what it adds is how operations are typed, shown and served.
//!
//! `args` is what can be typed, `commands` what that does, `node` where operations go, `show` what a person sees;
//! `mcp` and `http` serve the operations to others.

mod args;
mod commands;
mod exit;
mod guard;
mod http;
mod mcp;
mod node;
#[cfg(test)]
mod reference;
mod show;
mod signals;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    commands::run(&args::Cli::parse())
}
