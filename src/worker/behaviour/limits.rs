//! Counts connections against their limits: in their handshakes, established, and to one peer; and finds who
//! has to go where there isn't room for everybody, by the rule of `crate::admission`. `gater` asks it.
//!
//! libp2p's own `connection_limits` 0.7 keeps an empty entry for every peer id it ever saw, which
//! remotes can fill, and refuses whoever comes last; this forgets.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use futures::future::AbortHandle;
use libp2p::swarm::ConnectionId;

use crate::PeerId;
use crate::admission::{Pool, Refusal, Rules, Source, Standing};
use crate::book::Origin;
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

/// A connection that lost its place to another, and has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Displaced {
    pub peer: PeerId,
    pub connection: ConnectionId,
}

/// The connections there are, and their limits.
pub(crate) struct Limits {
    limits: LimitsInForce,
    handshakes: Pool<ConnectionId>,
    /// The ways to end the inbound handshakes.
    ends: HashMap<ConnectionId, AbortHandle>,
    dials: HashSet<ConnectionId>,
    established: Pool<ConnectionId>,
    /// Everything that is open, what is being closed as well.
    open: HashMap<ConnectionId, PeerId>,
    per_peer: HashMap<PeerId, u32>,
}

impl Limits {
    pub(crate) fn new(limits: LimitsInForce) -> Self {
        // Who is in its handshake may be anybody, so none of these places is kept for anybody.
        let pending = limits.max_pending as usize;
        let handshakes = Rules { reserve: 0, ..Rules::of(pending) };
        Limits {
            handshakes: Pool::new(handshakes),
            ends: HashMap::new(),
            dials: HashSet::new(),
            established: Pool::new(Rules::of(limits.max_connections as usize)),
            open: HashMap::new(),
            per_peer: HashMap::new(),
            limits,
        }
    }

    /// Counts a dial that begins, unless too many are under way. An eighth of them is kept for calls.
    pub(crate) fn begin_dial(&mut self, id: ConnectionId, origin: Origin) -> Result<(), Exceeded> {
        let most = self.limits.max_pending;
        let kept = if origin.is_automatic() { most / 8 } else { 0 };
        if self.dials.len() >= (most - kept) as usize {
            return Err(Exceeded::Pending(most));
        }
        self.dials.insert(id);
        Ok(())
    }

    /// Counts an inbound connection whose handshake begins, and ends those that are overdue or that make room
    /// for it: each is `told`.
    pub(crate) fn begin_handshake(
        &mut self,
        id: ConnectionId,
        source: Source,
        end: Option<AbortHandle>,
        now: Instant,
        told: impl Fn(Refusal),
    ) -> Result<(), Refusal> {
        while let Some(overdue) = self.handshakes.overdue(now) {
            told(Refusal::Overdue);
            self.end(overdue);
        }
        if let Some(displaced) = self.handshakes.admit(id, source, Standing::Unproven, now)? {
            told(Refusal::Displaced);
            self.end(displaced);
        }
        self.ends.extend(end.map(|end| (id, end)));
        Ok(())
    }

    fn end(&mut self, id: ConnectionId) {
        if let Some(end) = self.ends.remove(&id) {
            end.abort();
        }
    }

    /// Forgets a connection that is over before it was established.
    pub(crate) fn fail(&mut self, id: ConnectionId) {
        self.dials.remove(&id);
        self.handshakes.leave(&id);
        self.ends.remove(&id);
        self.established.leave(&id);
    }

    /// Ends the handshake of an inbound connection; false where it has lost its place meanwhile.
    pub(crate) fn end_handshake(&mut self, id: ConnectionId) -> bool {
        let has_place = self.handshakes.contains(&id);
        self.handshakes.leave(&id);
        self.ends.remove(&id);
        has_place
    }

    /// Decides whether a connection may be established, and which other has to be closed for it.
    pub(crate) fn admit(
        &mut self,
        id: ConnectionId,
        peer: &PeerId,
        (source, standing): (Source, Standing),
        now: Instant,
    ) -> Result<Option<Displaced>, NoPlace> {
        self.dials.remove(&id);
        let LimitsInForce { max_connections, max_per_peer, .. } = self.limits;
        if self.per_peer.get(peer).is_some_and(|open| *open >= max_per_peer) {
            return Err(NoPlace { limit: Exceeded::PerPeer(max_per_peer), why: None });
        }
        let full = |why| NoPlace { limit: Exceeded::Connections(max_connections), why: Some(why) };
        // What is being closed has no place any more and is still open. Strangers' connections of that kind
        // take up half of the reserve at most.
        let kept = if standing == Standing::Trusted { 0 } else { max_connections / 16 };
        if self.open.len() >= (max_connections - kept) as usize {
            return Err(full(Refusal::Full));
        }
        let displaced = self.established.admit(id, source, standing, now).map_err(full)?;
        Ok(displaced.and_then(|connection| {
            let peer = *self.open.get(&connection)?;
            Some(Displaced { peer, connection })
        }))
    }

    pub(crate) fn established(&mut self, id: ConnectionId, peer: PeerId) {
        self.open.insert(id, peer);
        *self.per_peer.entry(peer).or_default() += 1;
    }

    pub(crate) fn closed(&mut self, id: ConnectionId, peer: PeerId) {
        self.established.leave(&id);
        self.open.remove(&id);
        if let Some(open) = self.per_peer.get_mut(&peer) {
            *open -= 1;
            if *open == 0 {
                self.per_peer.remove(&peer);
            }
        }
    }
}

/// The reason why a connection isn't established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoPlace {
    /// The limit that it would have exceeded.
    pub limit: Exceeded,
    /// The rule by which nobody made room for it; None where the limit is one that nobody can make room under.
    pub why: Option<Refusal>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::RefCell;

    use super::*;

    const STRANGER: (Source, Standing) = (Source::Local, Standing::Proven);
    const FRIEND: (Source, Standing) = (Source::Local, Standing::Trusted);

    fn peer() -> PeerId {
        PeerId::random()
    }

    fn limits(max_connections: u32, max_pending: u32) -> Limits {
        Limits::new(LimitsInForce {
            max_connections,
            max_per_peer: 1,
            max_pending,
            ..LimitsInForce::default()
        })
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    #[test]
    fn each_limit_holds_and_gives_room_again() {
        let (mut limits, now) = (limits(2, 1), Instant::now());
        assert_eq!(limits.begin_dial(id(1), Origin::Call), Ok(()));
        assert_eq!(limits.begin_dial(id(2), Origin::Call), Err(Exceeded::Pending(1)));
        limits.fail(id(1));
        assert_eq!(limits.begin_dial(id(2), Origin::Call), Ok(()));

        let (a, b, c) = (peer(), peer(), peer());
        assert_eq!(limits.admit(id(1), &a, STRANGER, now), Ok(None));
        limits.established(id(1), a);
        let refused = |limits: &mut Limits, peer| limits.admit(id(9), peer, STRANGER, now);
        assert_eq!(refused(&mut limits, &a).unwrap_err().limit, Exceeded::PerPeer(1));
        assert_eq!(limits.admit(id(3), &b, FRIEND, now), Ok(None));
        limits.established(id(3), b);
        assert_eq!(refused(&mut limits, &c).unwrap_err().limit, Exceeded::Connections(2));
        limits.closed(id(1), a);
        assert_eq!(refused(&mut limits, &c), Ok(None));
    }

    #[test]
    fn a_handshake_that_makes_room_is_really_ended() {
        let (mut limits, now) = (limits(9, 1), Instant::now());
        let (end, _registration) = AbortHandle::new_pair();
        let told = RefCell::new(Vec::new());
        let mut begin = |number, end| {
            let tell = |why| told.borrow_mut().push(why);
            limits.begin_handshake(id(number), Source::Local, end, now, tell)
        };
        assert_eq!(begin(1, Some(end.clone())), Ok(()));
        assert_eq!(begin(2, None), Ok(()));
        assert_eq!(told.into_inner(), [Refusal::Displaced]);
        assert!(end.is_aborted() && !limits.end_handshake(id(1)) && limits.end_handshake(id(2)));
    }

    #[test]
    fn strangers_leave_the_reserve_to_dials_of_ours_also_while_many_are_being_closed() {
        let (mut limits, now) = (limits(64, 64), Instant::now());
        let mut open = 0;
        let mut come = |limits: &mut Limits, as_whom| {
            open += 1;
            let peer = peer();
            let admitted = limits.admit(id(open), &peer, as_whom, now);
            if admitted.is_ok() {
                limits.established(id(open), peer);
            }
            admitted
        };
        let crowd = (Source::V4([11, 0, 0, 1]), Standing::Proven);
        let alone = |nth| (Source::V4([11, 0, nth, 1]), Standing::Proven);
        assert_eq!((0..99).filter(|_| come(&mut limits, crowd).is_ok()).count(), 56);
        let made_room = (1..99).filter(|nth| matches!(come(&mut limits, alone(*nth)), Ok(Some(_))));
        assert_eq!(made_room.count(), 4, "half of the reserve, until those are closed");
        assert_eq!((0..99).filter(|_| come(&mut limits, FRIEND).is_ok()).count(), 4);
    }

    #[test]
    fn automatic_dials_leave_room_for_calls() {
        let mut limits = limits(9, 16);
        let dials = (0..99).filter(|nth| limits.begin_dial(id(*nth), Origin::Query).is_ok());
        assert_eq!(dials.count(), 14);
        assert_eq!(limits.begin_dial(id(100), Origin::Call), Ok(()));
        assert_eq!(limits.begin_dial(id(101), Origin::Auto), Err(Exceeded::Pending(16)));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let (mut limits, now) = (limits(9, 9), Instant::now());
        for (nth, peer) in (0..100).map(|nth| (nth, peer())) {
            limits.begin_handshake(id(nth), Source::Local, None, now, |_| {}).unwrap();
            assert!(limits.end_handshake(id(nth)));
            limits.admit(id(nth), &peer, STRANGER, now).unwrap();
            limits.established(id(nth), peer);
            limits.closed(id(nth), peer);
        }
        let left = (limits.open.len(), limits.per_peer.len(), limits.ends.len());
        assert_eq!(left, (0, 0, 0));
        assert!(limits.established.is_empty() && limits.handshakes.is_empty());
    }
}
