//! The commands, a file for each group: arguments become parameters, the reply is shown.

mod call;
mod run;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use peerkit::{Config, Error, ErrorKind};

use crate::args::{Cli, Command, Global};
use crate::node::Setup;
use crate::{exit, http, mcp, show};

/// Runs the command; says on standard error what went wrong, if anything did.
pub fn run(cli: &Cli) -> ExitCode {
    dispatch(cli).unwrap_or_else(|error| {
        show::error(&error, cli.global.json);
        exit::of_kind(error.kind())
    })
}

fn dispatch(cli: &Cli) -> Result<ExitCode, Error> {
    let setup = setup(&cli.global)?;
    match &cli.command {
        Command::Run => run::run(&cli.global, setup),
        Command::Serve(args) => http::serve(&cli.global, args, setup),
        Command::Mcp(args) => mcp::serve_stdio(args, setup),
        Command::Call(args) => call::run(&cli.global, &setup, args),
    }
}

/// Which node is meant, by the options and the environment.
fn setup(global: &Global) -> Result<Setup, Error> {
    let config = match &global.config {
        Some(path) => read_config(path)?,
        None => Config::new(),
    };
    let given = global.data_dir.clone().or_else(|| config.data_dir.clone());
    let data_dir = given.or_else(default_data_dir).ok_or_else(|| {
        Error::new(ErrorKind::InvalidArgument, "no data directory is named and there is no HOME")
            .with_hint("use --data-dir")
    })?;
    Ok(Setup { config: config.data_dir(data_dir.clone()), data_dir })
}

fn read_config(path: &Path) -> Result<Config, Error> {
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("{} can't be read: {error}", path.display());
        Error::new(ErrorKind::ConfigInvalid, message)
    })?;
    Config::from_json(&text)
}

fn default_data_dir() -> Option<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = of("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(base.or_else(|| Some(of("HOME")?.join(".local/share")))?.join("peerkit"))
}
