//! Multicast DNS: peers on the same network find one another, with rust-libp2p's and go-libp2p's too.
//!
//! The worker owns one [`Mdns`], says when to ask, and puts discovered peers into the peer book. That
//! book is the one memory: no table of discovered peers is kept here, so nothing expires, and a
//! peer that falls silent loses neither its record nor its connections. TTLs are not heeded but for
//! 0, a goodbye, which is not reported.
//!
//! Any machine on the network can send anything, so: what is read in a second is bounded (`pace`); an
//! answer counts only when it comes from an address of the interface's own network, and of its
//! addresses only those in that network ([`Interface::reaches`](socket::Interface::reaches)).
//! That is stricter than the rule for identify, no smaller scope than where the peer is seen: a
//! remote's multicast never makes us dial another network, public or private, resolve a name, or
//! dial ourselves. A public address counts where the link itself has public addresses, as with IPv6.
//!
//! docs/adr/0010 says why libp2p-mdns isn't used. `link` is one interface, `socket` its addresses and
//! socket, `packet` the messages.

mod link;
mod pace;
mod packet;
mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use self::link::Link;
use self::pace::Recent;
use self::packet::Packet;
use crate::worker::util::clock::Clock;
use crate::{Multiaddr, PeerId};

/// Interfaces spoken on; the system's first ones.
const MAX_INTERFACES: usize = 32;
/// Packets read in one turn of the event loop, which has others to serve.
const READS_AT_ONCE: usize = 32;

/// The service on all interfaces. Dropping it closes its sockets.
pub(crate) struct Mdns {
    clock: Clock,
    local: PeerId,
    addresses: Vec<Multiaddr>,
    links: Vec<Link>,
    left_out: usize,
    scan_error: Option<String>,
    /// The peers of one packet: reading goes on when they have been handed out.
    ready: VecDeque<Discovered>,
    recent: Recent,
    received: u64,
    dropped: BTreeMap<&'static str, u64>,
    /// The buffer of a packet: one byte longer than any that is read, to know those that are longer.
    buffer: Box<[u8]>,
    /// The interface to read next first, so that a flood on one can't silence another.
    first: usize,
}

/// A discovered peer, with addresses that end before `/p2p/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Discovered {
    pub peer: PeerId,
    pub addresses: Vec<Multiaddr>,
}

/// The counts and errors of the service so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub interfaces: Vec<InterfaceReport>,
    /// Interfaces over the 32 that are spoken on.
    pub left_out: usize,
    /// The reason why the interfaces couldn't be listed the last time.
    pub error: Option<String>,
    /// Answers about another peer, repeats included.
    pub received: u64,
    /// The counts of what was dropped, by reason: packets for `rate`, `malformed`, `off_link` and
    /// `own_id`, single addresses for `address`, either for `oversize`.
    pub dropped: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InterfaceReport {
    pub name: String,
    /// Answers received here.
    pub received: u64,
    /// The reason why it couldn't be joined, or the last packet not sent.
    pub error: Option<String>,
}

/// The reason why something received isn't used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// It can't be read or dialled, or isn't of this network.
    Address,
    Malformed,
    /// The packet isn't from this network.
    OffLink,
    /// More than is heeded of one packet.
    Oversize,
    /// Our own answers, mostly.
    OwnId,
    /// More than is read in a second.
    Rate,
}

impl Refusal {
    fn as_str(self) -> &'static str {
        match self {
            Refusal::Address => "address",
            Refusal::Malformed => "malformed",
            Refusal::OffLink => "off_link",
            Refusal::Oversize => "oversize",
            Refusal::OwnId => "own_id",
            Refusal::Rate => "rate",
        }
    }
}

impl Mdns {
    /// Joins every interface; what can't be joined is in the report. Sends nothing yet. Must be
    /// called on the runtime.
    pub(crate) fn new(local: PeerId, clock: Clock) -> Self {
        let mut mdns = Mdns {
            clock,
            local,
            addresses: Vec::new(),
            links: Vec::new(),
            left_out: 0,
            scan_error: None,
            ready: VecDeque::new(),
            recent: Recent::default(),
            received: 0,
            dropped: BTreeMap::new(),
            buffer: vec![0; packet::MAX_BYTES + 1].into(),
            first: 0,
        };
        mdns.scan(mdns.clock.now());
        mdns
    }

    /// Sets the node's own addresses, without `/p2p/`. Each is advertised on the interface that has its IP
    /// address, and nowhere else; a change is sent after 20 to 120 ms.
    pub(crate) fn set_addresses(&mut self, addresses: &[Multiaddr]) {
        self.addresses = addresses.to_vec();
        self.scan(self.clock.now());
    }

    /// Asks on every interface who is there, those that came up lately included, and advertises this
    /// node. Called again within a second, it does so when the second is over.
    pub(crate) fn query(&mut self) {
        let now = self.clock.now();
        self.scan(now);
        self.links.iter_mut().for_each(|link| link.ask(now));
    }

    /// Waits for the next discovered peer. Answers and delayed questions go out while this is awaited.
    /// Nothing is lost when it is dropped instead.
    pub(crate) async fn next(&mut self) -> Discovered {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return told;
            }
            let due = self.links.iter().filter_map(Link::due).min();
            tokio::select! {
                () = until(due) => {
                    let now = self.clock.now();
                    self.links.iter_mut().for_each(|link| link.send_due(now));
                }
                () = poll_fn(|cx| self.poll_links(cx)) => {}
            }
        }
    }

    pub(crate) fn report(&self) -> Report {
        Report {
            interfaces: self.links.iter().map(Link::report).collect(),
            left_out: self.left_out,
            error: self.scan_error.clone(),
            received: self.received,
            dropped: self.dropped.clone(),
        }
    }

    /// Looks for interfaces that came, went or changed. One that stays keeps its socket and counts.
    fn scan(&mut self, now: Instant) {
        let mut found = match socket::interfaces() {
            Ok(found) => found,
            Err(error) => {
                self.scan_error = Some(error.to_string());
                return;
            }
        };
        self.scan_error = None;
        self.left_out = found.len().saturating_sub(MAX_INTERFACES);
        found.truncate(MAX_INTERFACES);
        let mut known = std::mem::take(&mut self.links);
        for interface in found {
            let at = known.iter().position(|link| link.interface.name == interface.name);
            let mut link = match at {
                Some(at) => {
                    let mut link = known.swap_remove(at);
                    link.update(interface);
                    link
                }
                None => Link::new(interface),
            };
            link.tell(&self.local, &self.addresses, now);
            self.links.push(link);
        }
    }

    /// Reads what came. Ready when something is to be handed out, or to be sent at another time than
    /// was known.
    fn poll_links(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let count = self.links.len();
        let mut left = READS_AT_ONCE;
        self.first = self.first.wrapping_add(1);
        for offset in 0..count {
            let at = self.first.wrapping_add(offset) % count;
            while let Poll::Ready((length, from)) =
                self.links[at].poll_receive(cx, &mut self.buffer)
            {
                let due = self.links[at].due();
                if let Err(refusal) = self.read(at, length, from) {
                    self.refuse(refusal, 1);
                }
                if !self.ready.is_empty() || self.links[at].due() != due {
                    return Poll::Ready(());
                }
                left -= 1;
                if left == 0 {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }

    /// Reads one packet, now in the buffer.
    fn read(&mut self, at: usize, length: usize, from: SocketAddr) -> Result<(), Refusal> {
        let now = self.clock.now();
        let link = &mut self.links[at];
        let bytes = &self.buffer[..length];
        if !packet::concerns_us(bytes) {
            return Ok(());
        }
        if !link.interface.is_on_link(from.ip()) {
            return Err(Refusal::OffLink);
        }
        if length > packet::MAX_BYTES {
            return Err(Refusal::Oversize);
        }
        if !link.budget.take(length, now) {
            return Err(Refusal::Rate);
        }
        let packet = Packet::read(bytes)?;
        if packet.is_query() {
            if link.name().is_some_and(|name| packet.asks_for(name)) {
                link.answer_soon(now);
            }
            return Ok(());
        }
        let told = packet.told(&self.local, |addr| link.interface.reaches(addr));
        if !told.peers.is_empty() {
            link.received += 1;
            self.received += 1;
        }
        self.refuse(Refusal::OwnId, told.own.into());
        self.refuse(Refusal::Address, told.refused);
        self.refuse(Refusal::Oversize, told.surplus);
        for (peer, addresses) in told.peers {
            let told = Discovered { peer, addresses };
            if !self.recent.is_repeat(&told, now) {
                self.ready.push_back(told);
            }
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Refusal, times: u64) {
        if times > 0 {
            *self.dropped.entry(refusal.as_str()).or_default() += times;
        }
    }
}

/// Waits until a moment; for ever where there is none.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
