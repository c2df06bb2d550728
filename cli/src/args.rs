//! The arguments a user can type. Each command's arguments are the parameters of an operation, or say how to show its
//! reply.
//!
//! Here stands what all commands share, their list, and the hosts; `peers`, `network` and `other` have the
//! arguments of the rest.

mod network;
mod other;
mod peers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::network::*;
pub use self::other::*;
pub use self::peers::*;

/// Stands below every help text and in the manual.
const AFTER_HELP: &str = "\
A command asks the node that runs on the data directory: that of `peerkit run`, `serve` or `mcp`, or of any \
program with `control_socket`. Where none runs, it runs one for as long as it takes.

Where a PEER is asked for, a peer id in any form will do, or the last 6 or more characters of the id of a \
known peer.

With --json an answer, and a failure too, is one line of JSON on standard output.

Exit codes:
  0  success
  1  any other failure
  2  wrong usage, or a value that can't be right
  3  no such peer, or no address of it
  4  the peer can't be reached, isn't who was expected, or isn't connected
  5  no answer in time, or cancelled
  6  in use: the data directory, the configuration, a limit, or busy
  7  storage, identity, configuration, or an address to listen on
  8  no node runs, or it ended";

/// A libp2p node: its peers, its connections, and who else can be found.
#[derive(Debug, Parser)]
#[command(name = "peerkit", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// Where the node lives [default: $XDG_DATA_HOME/peerkit, or ~/.local/share/peerkit]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "PEERKIT_DATA_DIR",
        hide_env_values = true
    )]
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
    /// Tell whether a node runs, who it is and where it listens
    Status,
    /// List peers
    Peers(Peers),
    /// Show everything known of a peer
    Peer(OnePeer),
    /// Connect to peers
    Connect(Connect),
    /// Close all connections to a peer
    Disconnect(OnePeer),
    /// Measure the round trip time to a peer
    Ping(Ping),
    /// Make a peer known, or add addresses to one
    Add(Add),
    /// Disconnect a peer and forget everything about it
    Remove(OnePeer),
    /// The bootstrap list, and the peers of daemons beside this node
    #[command(subcommand)]
    Bootstrap(Bootstrap),
    /// Look for peers now, or let discovery run by itself
    Discover(Discover),
    /// Ask the DHT and the connected peers where a peer is
    Find(OnePeer),
    /// Tell the DHT that this node has some content
    Provide(Content),
    /// Ask the DHT who has some content
    Providers(Providers),
    /// Publish a message on a topic
    Publish(Publish),
    /// Print the messages of a topic until interrupted
    Subscribe(Subscribe),
    /// End the node's subscription to a topic
    Unsubscribe(Unsubscribe),
    /// Print what happens
    Events(Events),
    /// The statistics of the node
    Stats,
    /// Totals, the most spoken protocols and the last events
    Summary,
    /// The node's metrics, as OpenMetrics text
    Metrics,
    /// Call any operation by its name
    Call(Call),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page, or write those of all commands into a directory
    Man(Man),
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
