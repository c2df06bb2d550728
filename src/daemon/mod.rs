//! Asking the IPFS daemon or the ipfs-cluster beside this node for the peers it knows.
//!
//! `api` reads where a daemon's API is, `resolver` looks its name up, `http` asks it one thing, `kubo` and `cluster` know the two
//! APIs, and here is what they have in common: making bounded, checked peers of a daemon's replies. All
//! of it blocks until its deadline at the latest, or until its `questions` end, so it is called from a
//! thread of its own; it knows neither the swarm nor the book, and whether an address may be dialled is
//! for the caller.

mod api;
#[cfg(test)]
mod api_tests;
mod cluster;
mod gather;
mod http;
mod kubo;
mod questions;
mod resolver;
#[cfg(test)]
mod test_server;
#[cfg(test)]
mod tests;

pub(crate) use self::api::Api;
pub(crate) use self::cluster::cluster_peers;
pub(crate) use self::gather::Found;
pub(crate) use self::kubo::kubo_peers;
pub(crate) use self::questions::Questions;

/// Tells whether the address of a daemon's API, a URL or a multiaddr as `bootstrap_from_ipfs` takes it in
/// `api`, names this machine: `localhost`, or a loopback address in its usual notation. False for
/// everything else, and for what can't be read.
///
/// It reads the text as the call does, so a program that passes on `api` from somebody it doesn't
/// trust asks this first, and nobody makes it send requests to others. Redirects are never followed.
///
/// ```
/// use peerkit::is_loopback_api;
///
/// assert!(is_loopback_api("http://user:password@127.0.0.1:5001"));
/// assert!(is_loopback_api("/dns4/localhost/tcp/5001"));
/// assert!(!is_loopback_api("http://127.0.0.1:5001@example.com"));
/// ```
#[must_use]
pub fn is_loopback_api(api: &str) -> bool {
    Api::parse(api).is_ok_and(|api| api.is_loopback())
}
