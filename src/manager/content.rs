//! The operations on content: who has it, by the DHT.

use std::time::Duration;

use cid::Cid;

use super::PeerManager;
use super::check::{in_range, required};
use crate::error::{Result, invalid_argument};
use crate::model::params::{FindProviders, Provide};
use crate::model::reply::{Provided, Providers};
use crate::worker::ContentCommand;

impl PeerManager {
    /// Tells the DHT that this node has some content. The DHT's peers forget it after a day or two; until the
    /// run ends they are told again every 12 hours.
    ///
    /// # Errors
    /// `unsupported` where the DHT is off, `not_connected` where it knows no peer yet, `limit_reached` with 4096
    /// contents.
    ///
    /// ```no_run
    /// use peerkit::params::{FindProviders, Provide};
    /// # let manager = peerkit::PeerManager::current()?;
    ///
    /// let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    /// manager.provide(Provide::new(cid), None)?;
    /// for provider in manager.find_providers(FindProviders::new(cid).limit(5), None)?.peers {
    ///     println!("{} at {:?}", provider.peer_id, provider.multiaddrs);
    /// }
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    pub fn provide(
        &self,
        params: Provide,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Provided> {
        let deadline = self.act(timeout)?;
        let (cid, key) = content(params.cid)?;
        let took = self
            .ask(deadline, params.cancel_token, |terms| ContentCommand::Provide { key, terms })?;
        Ok(Provided { cid, duration_ms: took.as_secs_f64() * 1e3 })
    }

    /// Asks the DHT who has some content, and puts those peers into the book. Past the deadline what was found by then
    /// is the answer. [`provide`](Self::provide) has an example.
    ///
    /// # Errors
    /// `unsupported` where the DHT is off, `not_connected` where it knows no peer yet.
    pub fn find_providers(
        &self,
        params: FindProviders,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Providers> {
        let deadline = self.act(timeout)?;
        let limit = in_range("limit", params.limit, 20, 100)? as usize;
        let (cid, key) = content(params.cid)?;
        let peers = self.ask(deadline, params.cancel_token, |terms| {
            ContentCommand::FindProviders { key, limit, terms }
        })?;
        Ok(Providers { cid, peers })
    }
}

/// The CID as it is answered, and its key in the DHT: the multihash, whatever version and codec say
/// (libp2p specs, kad-dht, "Content provider advertisement").
fn content(given: Option<String>) -> Result<(String, Vec<u8>)> {
    let text = required(given, "cid")?;
    let cid = Cid::try_from(text.as_str()).map_err(|_| {
        invalid_argument("`cid` is no CID").with_hint("a CID looks like bafy…, bafk… or Qm…")
    })?;
    // The parser takes the CID that the text begins with. (A version 0 has a fixed length.)
    let encoded = text.split_once("/ipfs/").map_or(text.as_str(), |(_, cid)| cid);
    let bytes = multibase::decode(encoded).map_or(0, |(_, bytes)| bytes.len());
    if cid.version() != cid::Version::V0 && bytes != cid.encoded_len() {
        return Err(invalid_argument("`cid` is no CID: there is more behind it"));
    }
    Ok((cid.to_string(), cid.hash().to_bytes()))
}
