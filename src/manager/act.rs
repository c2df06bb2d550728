//! The operations that touch the network or the disk: each checks what it was given, asks the
//! worker or the store, and waits for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::check::{in_range, required_peer};
use super::{PeerManager, not_in_book};
use crate::book::{Committing, Record, UserChange};
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::model::Source;
use crate::model::event::EventKind;
use crate::model::params::*;
use crate::model::reply::*;
use crate::worker::{ConnectionsCommand, DialingCommand, Target};
use crate::{Multiaddr, PeerId, addr, clock};

/// Addresses taken by one `add_peer`.
const MAX_ADDED_ADDRESSES: usize = 16;
/// The least time that a commit gets.
const COMMIT_GRACE: Duration = Duration::from_secs(2);

impl PeerManager {
    /// Connects to a peer and waits until it has accepted us.
    ///
    /// By id, by address, or both; then the address is tried first. By id alone the addresses in the book
    /// are tried, and where none works others are asked where the peer is. An address that led there is on
    /// disk when this returns.
    ///
    /// # Errors
    /// `dial_failed`, `dial_timeout` or `wrong_peer_id`; `detail.attempts` tells what became of each
    /// address. `no_addresses`, `self_dial`, `blocked` or `limit_reached`: nothing was dialled.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::ConnectPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    /// let to = ConnectPeer::to(id).multiaddr("/ip4/192.0.2.1/udp/4001/quic-v1");
    /// match manager.connect_peer(to, Duration::from_secs(5)) {
    ///     Ok(there) => println!("{} over {:?}", there.message, there.transport),
    ///     Err(error) => println!("{error}: {:?}", error.detail().get("attempts")),
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn connect_peer(
        &self,
        params: ConnectPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Connected> {
        let deadline = self.act(timeout)?;
        let target = self.target(params.peer_id, params.multiaddr)?;
        let address = target.address.clone();
        // The user wants the peer again however the dial ends, so that goes to disk meanwhile.
        let disabled = target.peer.filter(|peer| self.is_dial_disabled(peer));
        let enabling = disabled.map(|peer| self.begin_dial_change(peer, false)).transpose()?;
        let connected = self.ask(deadline, params.cancel_token, |terms| {
            DialingCommand::Connect { target, terms }
        })?;
        if let Some(enabling) = enabling {
            enabling.wait(commit_deadline(deadline))?;
        }
        if let Some(address) = address.filter(|address| led_there(&connected, address)) {
            let peer = addr::parse_peer_id(&connected.peer_id)?;
            let on_disk =
                self.run.shared.book.get(&peer).is_some_and(|known| known.has_users(&address));
            if !on_disk {
                self.store_added(peer, vec![address], deadline)?;
            }
        }
        Ok(connected)
    }

    fn target(&self, peer_id: Option<String>, multiaddr: Option<String>) -> Result<Target> {
        let peer = peer_id.as_deref().map(addr::parse_peer_id).transpose()?;
        let address = multiaddr.as_deref().map(addr::parse_address).transpose()?;
        let named = address.as_ref().and_then(|address| address.peer_id);
        if let (Some(peer), Some(named)) = (peer, named)
            && peer != named
        {
            return Err(invalid_argument(format!(
                "the address is of peer {named}, but peer_id is {peer}"
            )));
        }
        let peer = peer.or(named);
        let address = address.map(|address| address.addr);
        if peer.is_none() && address.is_none() {
            return Err(invalid_argument("give `peer_id`, `multiaddr`, or both"));
        }
        let ours = address.as_ref().is_some_and(|address| self.run.shared.listens_on(address));
        if peer == Some(self.run.shared.peer_id) || peer.is_none() && ours {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        Ok(Target { peer, address })
    }

    /// Closes all connections to a peer and waits until they are closed. The node dials the peer
    /// automatically no more, also after a restart, until [`connect_peer`](Self::connect_peer) does or
    /// the peer connects to us.
    ///
    /// # Errors
    /// `peer_not_found` where the book doesn't know it; one that isn't connected is a success.
    ///
    /// ```no_run
    /// use peerkit::params::DisconnectPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let gone = manager.disconnect_peer(
    ///     DisconnectPeer::new("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"), None)?;
    /// println!("{}, {}", gone.message, gone.was_connected);
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn disconnect_peer(
        &self,
        params: DisconnectPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Disconnected> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let peer_id = self.known(&peer)?.id_text.clone();
        if !self.is_dial_disabled(&peer) {
            self.begin_dial_change(peer, true)?.wait(commit_deadline(deadline))?;
        }
        let was_connected = self.disconnect(peer, false, params.cancel_token, deadline)?;
        Ok(Disconnected {
            message: match was_connected {
                true => format!("disconnected from {peer_id}"),
                false => format!("{peer_id} was not connected"),
            },
            peer_id,
            was_connected,
        })
    }

    fn is_dial_disabled(&self, peer: &PeerId) -> bool {
        self.run.shared.book.get(peer).is_some_and(|record| record.dial_disabled)
    }

    /// Begins to store whether the node may dial the peer automatically.
    fn begin_dial_change(&self, id: PeerId, dial_disabled: bool) -> Result<Committing> {
        self.run.store.begin(UserChange::DisableDial { id, dial_disabled })
    }

    fn disconnect(
        &self,
        peer: PeerId,
        forget: bool,
        token: Option<u64>,
        deadline: Instant,
    ) -> Result<bool> {
        self.ask(deadline, token, |terms| ConnectionsCommand::Disconnect { peer, forget, terms })
    }

    /// Measures the round trip time to a connected peer; it never dials.
    ///
    /// # Errors
    /// `peer_not_found`, `not_connected`; `protocol` where the peer speaks no ping; `timeout`, with
    /// `detail.rtts_ms` of the pings that were answered.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::PingPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let ping = PingPeer::new("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA").count(5);
    /// let pinged = manager.ping_peer(ping, Duration::from_secs(2))?;
    /// println!("{:?} ms, {} of {} lost", pinged.rtts_ms, pinged.sent - pinged.received, pinged.sent);
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn ping_peer(
        &self,
        params: PingPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Pinged> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let count = in_range("count", params.count, 3, 100)?;
        self.known(&peer)?;
        self.ask(deadline, params.cancel_token, |terms| ConnectionsCommand::Ping {
            peer,
            count,
            terms,
        })
    }

    /// Adds a peer to the book, or addresses to a known one. On disk when this returns.
    ///
    /// ```
    /// use peerkit::params::{AddPeer, RemovePeer};
    /// # use peerkit::{Config, PeerManager, Profile};
    /// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
    ///
    /// let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    /// manager.add_peer(AddPeer::new(id), None)?;
    /// let at = AddPeer::at([format!("/ip4/192.0.2.1/tcp/4001/p2p/{id}")]);
    /// let known = manager.add_peer(at, None)?.peer_info;
    /// assert_eq!(*known.row.multiaddrs[0], *"/ip4/192.0.2.1/tcp/4001");
    ///
    /// assert!(manager.remove_peer(RemovePeer::new(id), None)?.removed);
    /// # manager.stop(None)?;
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn add_peer(
        &self,
        params: AddPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<PeerReply> {
        let deadline = self.act(timeout)?;
        let (peer, addresses) = self.added(params)?;
        let discovered = self.run.shared.book.get(&peer).is_none();
        let record = self.store_added(peer, addresses, deadline)?;
        let info = record.info();
        if discovered {
            let kind = EventKind::PeerDiscovered {
                source: Source::User,
                multiaddrs: info.row.multiaddrs.clone(),
            };
            self.run.shared.hub.publish(Some(record.id_text.clone()), kind);
        }
        Ok(PeerReply { peer_info: info })
    }

    fn added(&self, params: AddPeer) -> Result<(PeerId, Vec<Multiaddr>)> {
        let mut peer = params.peer_id.as_deref().map(addr::parse_peer_id).transpose()?;
        let texts = params.multiaddrs.unwrap_or_default();
        if texts.len() > MAX_ADDED_ADDRESSES {
            return Err(invalid_argument(format!(
                "`multiaddrs` holds {} addresses; at most {MAX_ADDED_ADDRESSES} are taken",
                texts.len()
            )));
        }
        let mut addresses = Vec::with_capacity(texts.len());
        for text in &texts {
            let address = addr::parse_address(text)?;
            match (peer, address.peer_id) {
                (Some(peer), Some(named)) if peer != named => {
                    return Err(invalid_argument(format!("{text} is of another peer than {peer}")));
                }
                (None, named) => peer = named,
                _ => {}
            }
            addresses.push(address.addr);
        }
        let peer = peer.ok_or_else(|| {
            invalid_argument("give `peer_id`, or an address that ends in /p2p/ and an id")
        })?;
        if peer == self.run.shared.peer_id {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        Ok((peer, addresses))
    }

    /// Stores what the user told of a peer; on disk when this returns. The dial before it may have used
    /// up the caller's time, but was a success all the same.
    fn store_added(
        &self,
        id: PeerId,
        addrs: Vec<Multiaddr>,
        deadline: Instant,
    ) -> Result<Arc<Record>> {
        let now = clock::now();
        let change = UserChange::Add { id, addrs, now };
        let added = self.run.store.commit(change, commit_deadline(deadline))?;
        added.ok_or_else(|| not_in_book(&id))
    }

    /// Disconnects a peer and forgets everything about it, also that it was disconnected: a source that
    /// advertises it again makes it a new peer. On disk when this returns. [`add_peer`](Self::add_peer)
    /// has an example.
    ///
    /// # Errors
    /// `peer_not_found` where the book doesn't know it.
    pub fn remove_peer(
        &self,
        params: RemovePeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Removed> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let peer_id = self.known(&peer)?.id_text.clone();
        self.disconnect(peer, false, params.cancel_token, deadline)?;
        self.run.store.commit(UserChange::Remove { id: peer }, deadline)?;
        // It may have connected anew between the two; no connection stays without a record.
        self.disconnect(peer, true, params.cancel_token, deadline)?;
        Ok(Removed { peer_id, removed: true })
    }
}

/// Gives a commit some time, even where the steps before it have used up the caller's.
fn commit_deadline(deadline: Instant) -> Instant {
    deadline.max(Instant::now() + COMMIT_GRACE)
}

/// Tells whether a dial to this address made the connection.
fn led_there(connected: &Connected, address: &Multiaddr) -> bool {
    let text = address.to_string();
    connected
        .attempts
        .iter()
        .any(|attempt| **attempt.known_by() == *text && attempt.stage.is_none())
}
