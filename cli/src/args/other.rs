//! Arguments of the commands about events, operations by name, and the shell.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap_complete::Shell;
use peerkit::event::EventKind;

#[derive(Debug, Args)]
pub struct Events {
    /// Go on with what happens, until interrupted
    #[arg(long, short)]
    pub follow: bool,
    /// Begin with the events after this number that are still kept
    /// [default: 0, or with --follow: now]
    #[arg(long, value_name = "SEQ")]
    pub since: Option<u64>,
    /// Only events of these kinds
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', value_parser = PossibleValuesParser::new(EventKind::NAMES))]
    pub kinds: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Call {
    /// The operation, such as list_peers
    #[arg(required_unless_present = "list")]
    pub method: Option<String>,
    /// Its parameters, a JSON object; `-` reads it from standard input
    #[arg(default_value = "{}")]
    pub params: String,
    /// List the operations there are
    #[arg(long, conflicts_with_all = ["method", "schema"])]
    pub list: bool,
    /// Print the JSON Schemas of the operation's parameters and reply
    #[arg(long)]
    pub schema: bool,
}

#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

#[derive(Debug, Args)]
pub struct Man {
    /// Where to write the pages
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
