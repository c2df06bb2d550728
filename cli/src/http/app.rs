//! The state that all requests share.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use peerkit::Error;
use peerkit::admission::Refusal;
use tokio::sync::{Semaphore, watch};

use super::budget::{Budget, SHARES};
use super::caller::Policy;
use super::connections::Connections;
use super::hosts::Hosts;
use super::refusals::Refusals;
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
    /// Those that make large replies: few, because the allocator keeps what each of them had.
    pub large: Threads,
    pub hosts: Hosts,
    pub token: Token,
    pub policy: Policy,
    pub connections: Arc<Connections>,
    pub budget: Arc<Budget>,
    pub refusals: Arc<Refusals>,
    pub requests: Room,
    pub acting: Arc<Semaphore>,
    pub streams: Room,
    /// Turns true when the server ends.
    pub ending: watch::Receiver<bool>,
    /// The OpenAPI document, once somebody has asked for it.
    pub document: OnceLock<Bytes>,
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
        let refusals = Arc::<Refusals>::default();
        let connections = Arc::new(Connections::new(Arc::clone(&refusals)));
        Ok(App {
            node: Arc::new(Guarded::new(node, setup, args.read_only)),
            threads,
            large: Threads::start(SHARES)?,
            hosts: Hosts::new(bound, &args.allow_hosts)?,
            token: Token::of(&setup.data_dir, setup.config.allow_foreign_data_dir == Some(true)),
            policy: Policy::of(args)?,
            budget: Arc::new(Budget::new(Arc::clone(&connections), Arc::clone(&refusals))),
            connections,
            refusals,
            requests: Room::for_requests(),
            acting: Arc::new(Semaphore::new(MAX_ACTING)),
            streams: Room::for_streams(),
            ending,
            document: OnceLock::new(),
        })
    }

    /// Lists what was refused or closed for want of room, by reason.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let connections = self.connections.counts();
        let at_the_door = Refusal::ALL.map(|why| (why.as_str(), connections.of(why)));
        at_the_door.into_iter().chain(self.refusals.all()).filter(|(_, count)| *count > 0).collect()
    }
}
