//! What a user can type. Each command's arguments are the parameters of an operation, or say how to show its reply.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// A libp2p node: its peers, its connections, and who else can be found.
#[derive(Debug, Parser)]
#[command(name = "peerkit", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Where the node lives [default: $XDG_DATA_HOME/peerkit, or ~/.local/share/peerkit]
    #[arg(long, global = true, value_name = "DIR", env = "PEERKIT_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// A JSON file with configuration keys, for a node that isn't running yet
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the reply as JSON, one object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// How long to wait for an answer, such as 500ms, 10s or 2m [default: the node's, 30 s]
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub timeout: Option<Duration>,
    /// When to colour the output
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
}

/// When to colour the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// Where it goes to a terminal and NO_COLOR isn't set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the node in the foreground
    Run,
    /// Run the node with its HTTP interface: dashboard, REST, MCP, metrics
    Serve(Serve),
    /// Serve MCP on standard input and output
    Mcp(Mcp),
    /// Call an operation by name
    Call(Call),
}

#[derive(Debug, Args)]
pub struct Serve {
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5080")]
    pub http: SocketAddr,
    /// Another name this server is reached by; may be given more than once
    #[arg(long = "allow-host", value_name = "NAME")]
    pub allow_hosts: Vec<String>,
    /// Refuse everything that acts
    #[arg(long)]
    pub read_only: bool,
    /// Ask no token of callers on this machine; Host and Origin are still checked
    #[arg(long)]
    pub insecure_loopback: bool,
}

#[derive(Debug, Args)]
pub struct Mcp {
    /// Offer no tool that acts
    #[arg(long)]
    pub read_only: bool,
}

#[derive(Debug, Args)]
pub struct Call {
    /// The operation, such as list_peers
    pub method: String,
    /// Its parameters, a JSON object
    #[arg(default_value = "{}")]
    pub params: String,
}

/// Reads a length of time: a number with ms, s, m or h.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "not a number with ms, s, m or h".to_owned())?;
    let ms = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("unknown unit `{unit}`; use ms, s, m or h")),
    };
    Ok(Duration::from_millis(number.saturating_mul(ms)))
}
