//! The state that all requests share.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use peerkit::Error;
use tokio::sync::{Semaphore, watch};

use super::caller::Policy;
use super::hosts::Hosts;
use super::room::{MAX_ACTING, Room};
use super::token::Token;
use crate::args::Serve;
use crate::guard::Guarded;
use crate::node::{Node, Setup};
use crate::threads::Threads;

/// The state that all requests share.
pub struct App {
    pub node: Arc<Guarded>,
    /// Those on which calls wait.
    pub threads: Threads,
    pub hosts: Hosts,
    pub token: Token,
    pub policy: Policy,
    pub requests: Room,
    pub acting: Arc<Semaphore>,
    pub streams: Room,
    /// Turns true when the server ends.
    pub ending: watch::Receiver<bool>,
    /// The OpenAPI document, once somebody has asked for it.
    pub document: OnceLock<String>,
}

impl App {
    /// Makes the state of a server that is bound there.
    pub fn new(
        args: &Serve,
        bound: SocketAddr,
        node: Arc<dyn Node>,
        setup: &Setup,
        threads: Threads,
        ending: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        Ok(App {
            node: Arc::new(Guarded::new(node, setup, args.read_only)),
            threads,
            hosts: Hosts::new(bound, &args.allow_hosts)?,
            token: Token::of(&setup.data_dir, setup.config.allow_foreign_data_dir == Some(true)),
            policy: Policy::of(args)?,
            requests: Room::for_requests(),
            acting: Arc::new(Semaphore::new(MAX_ACTING)),
            streams: Room::for_streams(),
            ending,
            document: OnceLock::new(),
        })
    }
}
