//! Limits on what goes on at once, with a share for the holder of the token that nobody else can take.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::caller::Caller;

/// The most requests at once; an event stream counts until it has begun.
const MAX_REQUESTS: usize = 384;
/// The most of them that callers without the token have.
const ANONYMOUS_REQUESTS: usize = 320;
/// The most calls that act at once; further ones wait a little. Each has a thread for as long as it takes, which may
/// be an hour, and where the node is another process' one of the two dozen connections to it.
pub const MAX_ACTING: usize = 16;
/// The time that a call that acts waits for its turn.
pub const TURN: Duration = Duration::from_secs(5);
/// The most event streams at once. Each has a thread.
pub const MAX_STREAMS: usize = 64;
/// The most of them that callers without the token have.
const ANONYMOUS_STREAMS: usize = 48;
/// The threads that are left for calls which read, whatever else goes on.
pub const READERS: usize = 32;

/// A bounded number of places, not all of which callers without the token may take.
pub struct Room {
    all: Arc<Semaphore>,
    anonymous: Arc<Semaphore>,
}

/// A place in a room, as long as it is kept.
pub type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

impl Room {
    /// Makes the room for requests.
    pub fn for_requests() -> Self {
        Room::new(MAX_REQUESTS, ANONYMOUS_REQUESTS)
    }

    /// Makes the room for event streams.
    pub fn for_streams() -> Self {
        Room::new(MAX_STREAMS, ANONYMOUS_STREAMS)
    }

    fn new(all: usize, anonymous: usize) -> Self {
        Room { all: Arc::new(Semaphore::new(all)), anonymous: Arc::new(Semaphore::new(anonymous)) }
    }

    /// Gives the caller a place; None where there is none left.
    pub fn enter(&self, caller: Caller) -> Option<Place> {
        let anonymous = match caller {
            Caller::Authenticated => None,
            Caller::Anonymous => Some(Arc::clone(&self.anonymous).try_acquire_owned().ok()?),
        };
        Some((Arc::clone(&self.all).try_acquire_owned().ok()?, anonymous))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_without_the_token_leave_room_for_its_holder() {
        let room = Room::new(3, 2);
        let one = room.enter(Caller::Anonymous);
        let another = room.enter(Caller::Anonymous);
        assert!(one.is_some() && another.is_some());
        assert!(room.enter(Caller::Anonymous).is_none());
        let holder = room.enter(Caller::Authenticated);
        assert!(holder.is_some() && room.enter(Caller::Authenticated).is_none());
        drop(one);
        assert!(room.enter(Caller::Anonymous).is_some());
    }
}
