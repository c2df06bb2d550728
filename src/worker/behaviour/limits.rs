//! Counts connections against their limits: pending, established, and to one peer.
//!
//! libp2p's own `connection_limits` 0.7 keeps an empty entry for every peer id it ever saw, which
//! remotes can fill; this counts the same and forgets. `gater` asks it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use libp2p::swarm::ConnectionId;

use crate::PeerId;
use crate::model::Direction;
use crate::model::reply::LimitsInForce;

/// A limit that a connection would have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Connections(u32),
    PerPeer(u32),
    Pending(u32),
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, limit) = match self {
            Exceeded::Connections(limit) => ("max_connections", limit),
            Exceeded::PerPeer(limit) => ("max_per_peer", limit),
            Exceeded::Pending(limit) => ("max_pending", limit),
        };
        write!(f, "limits.{name} of {limit} is reached")
    }
}

impl std::error::Error for Exceeded {}

/// The counts of connections, and their limits.
pub(crate) struct Limits {
    limits: LimitsInForce,
    pending_inbound: HashSet<ConnectionId>,
    pending_outbound: HashSet<ConnectionId>,
    established: u32,
    per_peer: HashMap<PeerId, u32>,
}

impl Limits {
    pub(crate) fn new(limits: LimitsInForce) -> Self {
        Limits {
            limits,
            pending_inbound: HashSet::new(),
            pending_outbound: HashSet::new(),
            established: 0,
            per_peer: HashMap::new(),
        }
    }

    /// Counts a connection that begins, unless too many are pending.
    pub(crate) fn begin(&mut self, id: ConnectionId, direction: Direction) -> Result<(), Exceeded> {
        let most = self.limits.max_pending;
        let pending = self.pending(direction);
        if pending.len() >= most as usize {
            return Err(Exceeded::Pending(most));
        }
        pending.insert(id);
        Ok(())
    }

    /// Forgets a connection that is over before it was established.
    pub(crate) fn fail(&mut self, id: ConnectionId, direction: Direction) {
        self.pending(direction).remove(&id);
    }

    /// Decides whether a connection that had begun may be established.
    pub(crate) fn admit(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        peer: &PeerId,
    ) -> Result<(), Exceeded> {
        self.pending(direction).remove(&id);
        let limits = &self.limits;
        if self.established >= limits.max_connections {
            return Err(Exceeded::Connections(limits.max_connections));
        }
        if self.per_peer.get(peer).is_some_and(|open| *open >= limits.max_per_peer) {
            return Err(Exceeded::PerPeer(limits.max_per_peer));
        }
        Ok(())
    }

    pub(crate) fn established(&mut self, peer: PeerId) {
        self.established += 1;
        *self.per_peer.entry(peer).or_default() += 1;
    }

    pub(crate) fn closed(&mut self, peer: PeerId) {
        self.established = self.established.saturating_sub(1);
        if let Some(open) = self.per_peer.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }

    fn pending(&mut self, direction: Direction) -> &mut HashSet<ConnectionId> {
        match direction {
            Direction::Inbound => &mut self.pending_inbound,
            Direction::Outbound => &mut self.pending_outbound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerId {
        libp2p::identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    fn limits() -> Limits {
        let (max_connections, max_per_peer, max_pending) = (2, 1, 1);
        Limits::new(LimitsInForce {
            max_connections,
            max_per_peer,
            max_pending,
            ..LimitsInForce::default()
        })
    }

    #[test]
    fn each_limit_holds_and_gives_room_again() {
        let (mut limits, inbound) = (limits(), Direction::Inbound);
        let id = ConnectionId::new_unchecked;
        assert_eq!(limits.begin(id(1), inbound), Ok(()));
        assert_eq!(limits.begin(id(2), inbound), Err(Exceeded::Pending(1)));
        assert_eq!(limits.begin(id(2), Direction::Outbound), Ok(()));

        let (a, b, c) = (peer(), peer(), peer());
        assert_eq!(limits.admit(id(1), inbound, &a), Ok(()));
        limits.established(a);
        assert_eq!(limits.admit(id(3), inbound, &a), Err(Exceeded::PerPeer(1)));
        limits.established(b);
        assert_eq!(limits.admit(id(4), inbound, &c), Err(Exceeded::Connections(2)));
        limits.closed(a);
        assert_eq!(limits.admit(id(5), inbound, &c), Ok(()));
    }

    #[test]
    fn a_peer_that_is_gone_is_forgotten() {
        let mut limits = limits();
        for peer in (0..100).map(|_| peer()) {
            limits.established(peer);
            limits.closed(peer);
        }
        assert_eq!((limits.established, limits.per_peer.len()), (0, 0));
    }
}
