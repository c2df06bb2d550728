//! Arguments of the commands about known peers.

use clap::{Args, ValueEnum};

#[derive(Debug, Clone, Args)]
pub struct Peers {
    /// Only peers that are connected
    #[arg(long, conflicts_with = "disconnected")]
    pub connected: bool,
    /// Only peers that aren't connected
    #[arg(long)]
    pub disconnected: bool,
    /// Only peers that speak exactly this protocol
    #[arg(long, value_name = "PROTOCOL")]
    pub protocol: Option<String>,
    /// Only peers whose id, addresses, protocols or agent contain this text
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
    /// Only peers with this tag
    #[arg(long)]
    pub tag: Option<String>,
    /// The order
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = Sort::LastSeen)]
    pub sort: Sort,
    /// At most so many peers, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub limit: u32,
    /// How many peers to pass over
    #[arg(long, value_name = "N")]
    pub offset: Option<u64>,
    /// Keep the table on the screen and up to date
    #[arg(long)]
    pub watch: bool,
}

/// The order of a list. Peers without the value come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sort {
    /// Most recently heard of first
    LastSeen,
    /// Most recently discovered first
    FirstSeen,
    /// Fastest first
    Latency,
    /// By id
    PeerId,
}

impl Sort {
    /// As the operation knows it.
    pub fn name(self) -> &'static str {
        match self {
            Sort::LastSeen => "last_seen",
            Sort::FirstSeen => "first_seen",
            Sort::Latency => "latency",
            Sort::PeerId => "peer_id",
        }
    }
}

#[derive(Debug, Args)]
pub struct OnePeer {
    /// The peer: its id, or the end of it
    #[arg(value_name = "PEER")]
    pub peer: String,
}

#[derive(Debug, Args)]
pub struct Add {
    /// The peer's id, its addresses, or both
    #[arg(value_name = "ID|ADDRESS", required = true, num_args = 1..=17)]
    pub parts: Vec<String>,
}
