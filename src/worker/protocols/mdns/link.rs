//! One interface: its socket, the addresses we advertise there and when, and the counts of what was
//! received. The service (`mod.rs`) has one for each and reads the packets.

use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hickory_proto::rr::Name;

use super::InterfaceReport;
use super::pace::{Budget, Pace};
use super::packet::{self, Instance};
use super::socket::{Interface, Socket};
use crate::addr::ip_of;
use crate::{Multiaddr, PeerId};

/// Time that an answer waits, in milliseconds at the least and at the most, so that not all peers speak
/// at once (RFC 6762 section 6, for what many have to tell).
const DELAY_MS: std::ops::RangeInclusive<u32> = 20..=120;

pub(crate) struct Link {
    pub interface: Interface,
    /// The socket; None where it couldn't be opened or broke; the next scan tries again.
    socket: Option<Socket>,
    error: Option<String>,
    pub received: u64,
    pub budget: Budget,
    /// Our addresses here, and the answer made of them.
    addresses: Vec<Multiaddr>,
    instance: Option<Instance>,
    question: Pace,
    answer: Pace,
}

impl Link {
    pub(crate) fn new(interface: Interface) -> Self {
        let mut link = Link {
            interface,
            socket: None,
            error: None,
            received: 0,
            budget: Budget::new(),
            addresses: Vec::new(),
            instance: None,
            question: Pace::default(),
            answer: Pace::default(),
        };
        link.open();
        link
    }

    /// Takes over what a scan found of this interface now.
    pub(crate) fn update(&mut self, interface: Interface) {
        let same = (interface.index, interface.ipv4) == (self.interface.index, self.interface.ipv4);
        self.interface = interface;
        if !same || self.socket.is_none() {
            self.open();
        }
    }

    fn open(&mut self) {
        let opened = Socket::open(self.interface.ipv4);
        self.error = opened.as_ref().err().map(ToString::to_string);
        self.socket = opened.ok();
    }

    /// Advertises those of our addresses that are this interface's, IPv4 first. A change is sent after
    /// the delay of an answer.
    pub(crate) fn tell(&mut self, local: &PeerId, addresses: &[Multiaddr], now: Instant) {
        let mine = addresses.iter().filter(|addr| self.interface.owns(addr));
        let mut mine: Vec<_> = mine.cloned().collect();
        mine.sort_by_key(|addr| ip_of(addr).is_some_and(|ip| ip.is_ipv6()));
        if mine == self.addresses && (self.instance.is_some() || mine.is_empty()) {
            return;
        }
        let made = Instance::new(local, self.interface.ipv4, &mine);
        self.addresses = mine;
        self.instance = made.unwrap_or_else(|error| {
            self.error = Some(error.to_string());
            None
        });
        self.answer_soon(now);
    }

    /// Returns our name here; None while there is nothing to advertise.
    pub(crate) fn name(&self) -> Option<&Name> {
        self.instance.as_ref().map(|instance| &instance.name)
    }

    /// Asks who is there, and advertises this node.
    pub(crate) fn ask(&mut self, now: Instant) {
        self.question.want(now);
        self.answer.want(now);
        self.send_due(now);
    }

    /// Answers after a random delay.
    pub(crate) fn answer_soon(&mut self, now: Instant) {
        let (least, most) = DELAY_MS.into_inner();
        let delay = getrandom::u32().map_or(most, |random| least + random % (most - least + 1));
        self.answer.want(now + Duration::from_millis(delay.into()));
    }

    /// Returns the moment at which there is something to send.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.question.due().into_iter().chain(self.answer.due()).min()
    }

    pub(crate) fn send_due(&mut self, now: Instant) {
        if self.question.take(now) {
            self.send(|_| Some(packet::QUERY));
        }
        if self.answer.take(now) {
            self.send(|link| Some(link.instance.as_ref()?.answer.as_slice()));
        }
    }

    fn send(&mut self, packet: impl FnOnce(&Self) -> Option<&[u8]>) {
        if let (Some(socket), Some(packet)) = (&self.socket, packet(self)) {
            self.error = socket.send(packet).err().map(|error| error.to_string());
        }
    }

    /// Receives the next packet. Closes a socket that breaks, or it would be ready for ever.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<(usize, SocketAddr)> {
        let Some(socket) = &self.socket else { return Poll::Pending };
        match std::task::ready!(socket.poll_receive(cx, buffer)) {
            Ok(received) => Poll::Ready(received),
            Err(error) => {
                self.error = Some(error.to_string());
                self.socket = None;
                Poll::Pending
            }
        }
    }

    pub(crate) fn report(&self) -> InterfaceReport {
        InterfaceReport {
            name: self.interface.name.clone(),
            received: self.received,
            error: self.error.clone(),
        }
    }
}
