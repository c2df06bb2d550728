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
/// Bytes that `measure_bandwidth` moves each way where the caller doesn't say: a tenth of a second of a gigabit.
const MEASURED_BYTES: u64 = 10 << 20;
/// The least time that a commit gets.
const COMMIT_GRACE: Duration = Duration::from_secs(2);

impl PeerManager {
    /// Connects to a peer and waits until it has accepted us.
    ///
    /// By id, by address, or both; then the address is tried first. By id alone the addresses in the book
    /// are tried, and where none works the DHT and then the connected peers are asked where the peer is. An
    /// address that was given and led there is on disk when this returns. A peer that is connected already is a
    /// success, without a dial.
    ///
    /// # Errors
    /// `dial_failed`, `dial_timeout`, `wrong_peer_id`, and `blocked` or `unsupported` where that is so of every
    /// address; `detail.attempts` has the stage and the reason of each. `no_addresses`, `self_dial` or
    /// `limit_reached`: nothing was dialled.
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
        let disabled = target.peer.filter(|peer| self.is_dial_disabled(peer));
        let answer = self.begin_ask(deadline, params.cancel_token, |terms| {
            DialingCommand::Connect { target, terms }
        })?;
        // The user wants the peer again however the dial ends, so that goes to disk meanwhile.
        let enabling = disabled.map(|peer| self.begin_dial_change(peer, false));
        let connected = self.answered(&answer, deadline)?;
        if let Some(enabling) = enabling {
            enabling?.wait(commit_deadline(deadline))?;
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
    /// `peer_not_found`; `not_connected`, also where the connection closed meanwhile; `protocol` where the peer
    /// speaks no ping; `timeout`, with `detail.rtts_ms` of the pings that were answered.
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

    /// Measures how fast bytes go to a connected peer, then how fast they come from it, by libp2p's perf
    /// protocol; it never dials. The peer must serve that, which nodes don't unless they are told to: those
    /// of peerkit by `serve_perf`.
    ///
    /// # Errors
    /// `peer_not_found`, `not_connected`; `protocol` where the peer doesn't serve it, or broke off; `busy`
    /// where the peer is measured already; `timeout`, with `detail.upload` where that was done by then.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::MeasureBandwidth;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let id = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
    /// let measure = MeasureBandwidth::new(id).upload_bytes(0).download_bytes(100 << 20);
    /// let measured = manager.measure_bandwidth(measure, Duration::from_secs(60))?;
    /// if let Some(download) = measured.download {
    ///     println!("{:.1} MB/s over {:?}", download.bytes_per_s / 1e6, download.transport);
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn measure_bandwidth(
        &self,
        params: MeasureBandwidth,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Bandwidth> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        let upload_bytes = measured_bytes("upload_bytes", params.upload_bytes)?;
        let download_bytes = measured_bytes("download_bytes", params.download_bytes)?;
        if upload_bytes == 0 && download_bytes == 0 {
            return Err(invalid_argument("`upload_bytes` and `download_bytes` can't both be 0"));
        }
        self.known(&peer)?;
        self.ask(deadline, params.cancel_token, |terms| ConnectionsCommand::MeasureBandwidth {
            peer,
            upload_bytes,
            download_bytes,
            terms,
        })
    }

    /// Adds a peer to the book, or addresses to a known one. On disk when this returns.
    ///
    /// # Errors
    /// `self_dial`: it is this node. `limit_reached`: the book is full of peers that must stay, or the peer has 32
    /// addresses in use.
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

fn measured_bytes(name: &str, given: Option<u64>) -> Result<u64> {
    match given.unwrap_or(MEASURED_BYTES) {
        bytes if bytes <= MAX_MEASURED_BYTES => Ok(bytes),
        bytes => Err(invalid_argument(format!(
            "`{name}` is {bytes}; it must be 0 to {MAX_MEASURED_BYTES}"
        ))),
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
