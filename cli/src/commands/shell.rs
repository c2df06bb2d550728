//! `completions` and `man`: what a shell and `man` want to know of the commands.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use peerkit::{Error, ErrorKind};

use super::outcome::{Failure, Outcome};
use crate::args::{Cli, Completions, Man};

/// Runs `peerkit completions`.
pub fn completions(args: &Completions) -> Outcome {
    // Into memory first: what writes them takes no failure.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "peerkit", &mut script);
    print(script)
}

/// Runs `peerkit man`.
pub fn man(args: &Man) -> Outcome {
    let command = Cli::command();
    if let Some(dir) = &args.dir {
        return write(command, dir);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(page)
}

fn write(command: clap::Command, dir: &Path) -> Outcome {
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(command, dir));
    written.map_err(|error| {
        let message = format!("{} can't be written: {error}", dir.display());
        Failure::from(Error::new(ErrorKind::Storage, message))
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(text: Vec<u8>) -> Outcome {
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush())?;
    Ok(ExitCode::SUCCESS)
}
