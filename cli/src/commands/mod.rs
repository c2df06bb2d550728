//! The commands, a file for each group: arguments become parameters, the reply is shown. `operations` says which
//! command serves which operation, `context` how each of them gets its node and gives its answer.

mod bootstrap;
mod call;
mod connect;
mod context;
mod discover;
mod events;
mod operations;
mod outcome;
mod peers;
mod pubsub;
mod run;
mod shell;
mod stats;
mod target;
mod watch;

use std::env;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use peerkit::{Config, Error, ErrorKind};

use self::context::Context;
pub use self::operations::of_operation;
use self::outcome::{Failure, Outcome};
use crate::args::{Cli, Command, Global};
use crate::input;
use crate::node::{Reply, Setup};
use crate::{exit, http, mcp, show};

/// Runs the command; says what went wrong, if anything did.
pub fn run(cli: &Cli) -> ExitCode {
    show::choose(cli.global.color);
    match dispatch(cli) {
        Ok(code) => code,
        Err(Failure::Reply(reply)) => {
            let told = context::failed(&reply, cli.global.json);
            told.map_or_else(unwritten, |()| exit::of_reply(&reply))
        }
        Err(Failure::Output(error)) => unwritten(error),
    }
}

/// Says, as JSON, that the arguments aren't right; `why` is what the parser of arguments says.
pub fn mistyped(why: &str) -> ExitCode {
    let mut lines = why.lines().filter(|line| !line.trim().is_empty()).map(str::trim);
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ");
    let error = Error::new(ErrorKind::InvalidArgument, message);
    let reply = Reply::refused("call", &error.with_hint("`peerkit help` tells what there is"));
    let told = context::failed(&reply, true);
    told.map_or_else(unwritten, |()| exit::of_reply(&reply))
}

/// Ends where standard output can't be written to: that its reader has gone is no failure of ours.
fn unwritten(error: io::Error) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ExitCode::SUCCESS;
    }
    show::failure::print(&[format!("peerkit: standard output can't be written: {error}")]);
    ExitCode::FAILURE
}

fn dispatch(cli: &Cli) -> Outcome {
    // These two need no node, and none of what names one.
    match &cli.command {
        Command::Completions(args) => return shell::completions(args),
        Command::Man(args) => return shell::man(args),
        _ => {}
    }
    let global = &cli.global;
    let setup = setup(global)?;
    let context = &Context { global, setup: &setup };
    match &cli.command {
        Command::Run => Ok(run::run(global, setup.clone())?),
        Command::Serve(args) => Ok(http::serve(global, args, setup.clone())?),
        Command::Mcp(args) => Ok(mcp::serve_stdio(args, setup.clone())?),
        Command::Status => stats::status(context),
        Command::Stats => stats::stats(context),
        Command::Summary => stats::summary(context),
        Command::Metrics => stats::metrics(context),
        Command::Peers(args) if args.watch => watch::run(context, args),
        Command::Peers(args) => peers::list(context, args),
        Command::Peer(args) => peers::one(context, args),
        Command::Add(args) => peers::add(context, args),
        Command::Remove(args) => peers::remove(context, args),
        Command::Connect(args) => connect::connect(context, args),
        Command::Disconnect(args) => connect::disconnect(context, args),
        Command::Ping(args) => connect::ping(context, args),
        Command::Bootstrap(args) => bootstrap::run(context, args),
        Command::Discover(args) => discover::run(context, args),
        Command::Find(args) => discover::find(context, args),
        Command::Provide(args) => discover::provide(context, args),
        Command::Providers(args) => discover::providers(context, args),
        Command::Publish(args) => pubsub::publish(context, args),
        Command::Subscribe(args) => pubsub::subscribe(context, args),
        Command::Unsubscribe(args) => pubsub::unsubscribe(context, args),
        Command::Events(args) => events::run(context, args),
        Command::Call(args) => call::run(context, args),
        // Done above.
        Command::Completions(_) | Command::Man(_) => Ok(ExitCode::SUCCESS),
    }
}

/// The longest file of a configuration.
const MAX_CONFIG: u64 = 1 << 20;

/// Finds which node is meant, by the options and the environment.
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
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| format!("{name} can't be read: {error}"));
    let text = file.and_then(|file| input::text(&name, file, MAX_CONFIG));
    let text = text.map_err(|message| Error::new(ErrorKind::ConfigInvalid, message))?;
    Config::from_json(&text).map_err(|error| {
        let message = format!("{}: {error}", path.display());
        let named = Error::new(error.kind(), message);
        match (error.hint(), error.detail().contains_key("key")) {
            (Some(hint), _) => named.with_hint(hint),
            (None, true) => named,
            (None, false) => named.with_hint("a configuration is a JSON object"),
        }
    })
}

fn default_data_dir() -> Option<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = of("XDG_DATA_HOME").filter(|path| path.is_absolute());
    Some(base.or_else(|| Some(of("HOME")?.join(".local/share")))?.join("peerkit"))
}
