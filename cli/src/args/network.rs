//! Arguments of the commands that reach out to other peers.

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub struct Connect {
    /// Whom: an id, an address, or an id and then an address of it
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,
}

#[derive(Debug, Args)]
pub struct Ping {
    /// The peer: its id, or the end of it
    #[arg(value_name = "PEER")]
    pub peer: String,
    /// How many pings, 1 to 100
    #[arg(long, short = 'c', value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: u32,
}

#[derive(Debug, Subcommand)]
pub enum Bootstrap {
    /// Print the bootstrap list
    List,
    /// Add addresses to the list
    Add(Addresses),
    /// Take addresses off the list
    #[command(visible_alias = "remove")]
    Rm(Addresses),
    /// Add the peers of the Kubo daemon beside this node, and connect to them
    FromIpfs(FromDaemon),
    /// Add the members of the ipfs-cluster beside this node, and connect to them
    FromCluster(FromDaemon),
}

#[derive(Debug, Args)]
pub struct Addresses {
    /// Addresses, each with its /p2p/ part
    #[arg(value_name = "ADDRESS", required = true)]
    pub addresses: Vec<String>,
}

#[derive(Debug, Args)]
pub struct FromDaemon {
    /// Where the daemon's API is, as a URL or a multiaddr [default: the configured one, or the daemon's own default]
    #[arg(value_name = "API")]
    pub api: Option<String>,
    /// Only add the peers, don't connect to them
    #[arg(long)]
    pub no_connect: bool,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Discover {
    #[command(subcommand)]
    pub what: Option<DiscoverWhat>,
    /// End once so many new peers are found, 1 to 1000
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: Option<u32>,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum DiscoverWhat {
    /// Let discovery run by itself
    Start,
    /// Stop discovery: nothing is asked, announced or dialled by itself
    Stop,
    /// Show what discovery has found, by source
    Status,
}

#[derive(Debug, Args)]
pub struct Content {
    /// The content, as a CID of any version
    pub cid: String,
}

#[derive(Debug, Args)]
pub struct Providers {
    /// The content, as a CID of any version
    pub cid: String,
    /// End the search once so many are found, 1 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Publish {
    /// The topic
    pub topic: String,
    /// The message; `-`, or none, reads it from standard input
    pub data: Option<String>,
    /// The message is given as base64
    #[arg(long)]
    pub base64: bool,
}

#[derive(Debug, Args)]
pub struct Subscribe {
    /// The topic
    pub topic: String,
    /// Subscribe the node and end at once; the messages then come as events
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Args)]
pub struct Unsubscribe {
    /// The topic
    pub topic: String,
}
