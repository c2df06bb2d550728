//! Looks up the name of a daemon's API within the time that is left for the question. The system's resolver
//! blocks, so it is asked on a thread of its own, and an address in place of a name needs neither.
//!
//! It stands in for ureq's own, which panics where the system gives no thread. `http` hands it to ureq.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crossbeam_channel::{Receiver, bounded, select};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use super::questions::Questions;
use crate::error::Error;
use crate::os;

/// The most addresses of a name that are tried: what ureq has room for.
const MAX_ADDRESSES: usize = 16;

#[derive(Debug)]
pub(super) struct NameResolver {
    /// Disconnected when nobody wants to know any more.
    ended: Receiver<Infallible>,
}

impl NameResolver {
    pub(super) fn new(questions: &Questions) -> Self {
        NameResolver { ended: questions.ended() }
    }
}

impl Resolver for NameResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // The origin of an API has both.
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(ureq::Error::HostNotFound);
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => look_up(host, port, &timeout, &self.ended)?,
        };
        let mut wanted = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(MAX_ADDRESSES) {
            wanted.push(address);
        }
        if wanted.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(wanted) }
    }
}

fn look_up(
    host: &str,
    port: u16,
    timeout: &NextTimeout,
    ended: &Receiver<Infallible>,
) -> Result<Vec<SocketAddr>, ureq::Error> {
    let (found, answer) = bounded(1);
    let host = host.to_owned();
    let ask = move || drop(found.send((host.as_str(), port).to_socket_addrs()));
    os::spawn("peerkit-resolve", Box::new(ask))
        .map_err(|error| ureq::Error::Other(Box::new(Error::no_thread(&error))))?;
    let late = || ureq::Error::Timeout(timeout.reason);
    select! {
        recv(answer) -> found => Ok(found.map_err(|_| late())??.collect()),
        recv(ended) -> _ => Err(late()),
        default(*timeout.after) => Err(late()),
    }
}
