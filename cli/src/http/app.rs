//! What all requests share: the node, who may come, and how much goes on at once.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use peerkit::{Error, ErrorKind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::gate::Caller;
use super::hosts::Hosts;
use super::token::Token;
use crate::args::Serve;
use crate::guard::Guarded;
use crate::node::{Node, Setup};

/// Requests that are answered at once; event streams count until they have begun.
pub const MAX_REQUESTS: usize = 384;
/// How many of them callers without the token may have, so that they can't crowd out its holder.
pub const STRANGERS_REQUESTS: usize = 320;
/// Calls that act at once; further ones wait a little. Each has a thread for as long as it takes, which may be an
/// hour, and where the node is another process' one of the two dozen connections to it.
pub const MAX_ACTING: usize = 16;
/// How long a call that acts waits for its turn.
pub const TURN: Duration = Duration::from_secs(5);
/// Event streams at once. Each has a thread.
pub const MAX_STREAMS: usize = 64;
/// How many of them callers without the token may have.
pub const STRANGERS_STREAMS: usize = 48;
/// Threads that are left for calls which read, whatever else goes on.
pub const READERS: usize = 32;

/// Room for so many at once, of whom some may be strangers.
pub struct Room {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// A place in a room, as long as it is kept.
pub type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

impl Room {
    fn new(all: usize, strangers: usize) -> Self {
        Room { all: Arc::new(Semaphore::new(all)), strangers: Arc::new(Semaphore::new(strangers)) }
    }

    /// A place for this caller; None where there is none left.
    pub fn enter(&self, caller: Caller) -> Option<Place> {
        let strangers = match caller {
            Caller::Trusted => None,
            Caller::Anybody => Some(Arc::clone(&self.strangers).try_acquire_owned().ok()?),
        };
        Some((Arc::clone(&self.all).try_acquire_owned().ok()?, strangers))
    }
}

/// What all requests share.
pub struct App {
    pub node: Arc<Guarded>,
    pub hosts: Hosts,
    pub token: Token,
    pub policy: Policy,
    pub room: Room,
    pub acting: Arc<Semaphore>,
    pub streams: Room,
    /// Turns true when the server ends.
    pub ending: watch::Receiver<bool>,
    /// The OpenAPI document, once somebody has asked for it.
    pub document: OnceLock<String>,
}

/// Who must show the token.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Nobody: callers on this machine may do everything.
    pub needs_no_token: bool,
    /// Whoever reads, too; else only who acts.
    pub token_for_reads: bool,
}

impl Policy {
    /// By the arguments and where the server is bound.
    pub fn of(args: &Serve) -> Result<Self, Error> {
        let loopback = args.http.ip().is_loopback();
        if args.insecure_loopback && !loopback {
            let message =
                format!("--insecure-loopback isn't for {}, which others can reach", args.http);
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_hint("bind 127.0.0.1 or [::1], or let callers show the token"));
        }
        Ok(Policy { needs_no_token: args.insecure_loopback, token_for_reads: !loopback })
    }
}

impl App {
    /// For a server bound there.
    pub fn new(
        args: &Serve,
        bound: SocketAddr,
        node: Arc<dyn Node>,
        setup: &Setup,
        ending: watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        Ok(App {
            node: Arc::new(Guarded::new(node, setup, args.read_only)),
            hosts: Hosts::new(bound, &args.allow_hosts)?,
            token: Token::of(&setup.data_dir),
            policy: Policy::of(args)?,
            room: Room::new(MAX_REQUESTS, STRANGERS_REQUESTS),
            acting: Arc::new(Semaphore::new(MAX_ACTING)),
            streams: Room::new(MAX_STREAMS, STRANGERS_STREAMS),
            ending,
            document: OnceLock::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_room_for_who_shows_the_token() {
        let room = Room::new(3, 2);
        let stranger = room.enter(Caller::Anybody);
        let another = room.enter(Caller::Anybody);
        assert!(stranger.is_some() && another.is_some());
        assert!(room.enter(Caller::Anybody).is_none());
        let holder = room.enter(Caller::Trusted);
        assert!(holder.is_some() && room.enter(Caller::Trusted).is_none());
        drop(stranger);
        assert!(room.enter(Caller::Anybody).is_some());
    }
}
