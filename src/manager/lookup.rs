//! The operation that asks others where a peer is.

use std::time::Duration;

use super::PeerManager;
use super::check::required_peer;
use crate::error::{Error, ErrorKind, Result};
use crate::model::params::FindPeer;
use crate::model::reply::PeerFound;
use crate::worker::LookupCommand;

impl PeerManager {
    /// Asks the DHT, then the connected peers, where a peer is, and puts the addresses into the book; it doesn't dial.
    /// Where nobody knows, or the time is over, the addresses that the book has are the answer.
    ///
    /// # Errors
    /// `peer_not_found`, or `timeout`, where the book has none either; `detail.lookups` tells who was asked.
    /// `self_dial`: it is this node.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use peerkit::params::FindPeer;
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let sought = FindPeer::new("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA");
    /// let found = manager.find_peer(sought, Duration::from_secs(20))?;
    /// println!("at {:?}, says {:?}", found.multiaddrs, found.found_by);
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn find_peer(
        &self,
        params: FindPeer,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<PeerFound> {
        let deadline = self.act(timeout)?;
        let peer = required_peer(params.peer_id)?;
        if peer == self.run.shared.peer_id {
            return Err(Error::new(ErrorKind::SelfDial, "that is this node itself"));
        }
        self.ask(deadline, params.cancel_token, |terms| LookupCommand::FindPeer { peer, terms })
    }
}
