//! The machine's interfaces, and a multicast socket on one. `packet` has the messages sent over it.
//!
//! IPv4 only (224.0.0.251): a link that has peers has IPv4, or link-local 169.254/16 at the least, and
//! IPv6 addresses are told over it just as well. Joining ff02::fb would double every packet.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::task::{Context, Poll};

use socket2::{Domain, SockRef, Type};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use crate::Multiaddr;
use crate::addr::ip_of;
use crate::worker::util::interfaces;

pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(crate) const PORT: u16 = 5353;
/// The IP TTL that RFC 6762 section 11 asks for.
const IP_TTL: u32 = 255;

/// True on Linux, where a socket bound to the group sends with its interface's address as the source;
/// on BSD, macOS and Windows it can't send, or be bound so.
const GROUP_SENDS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// An interface that has an IPv4 address, is up, and leads to a network of more than two machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub name: String,
    pub index: Option<u32>,
    /// The address we speak from: the first that is not 169.254/16.
    pub ipv4: Ipv4Addr,
    /// All its addresses but link-local IPv6, which none can dial without the interface's name.
    subnets: Vec<Subnet>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    pub ip: IpAddr,
    pub prefix: u8,
}

impl Interface {
    /// Makes an interface; None without an IPv4 address.
    pub(crate) fn new(name: &str, index: Option<u32>, mut subnets: Vec<Subnet>) -> Option<Self> {
        subnets.retain(|subnet| match subnet.ip {
            IpAddr::V4(_) => true,
            IpAddr::V6(ip) => !ip.is_unicast_link_local(),
        });
        let ipv4s = subnets.iter().filter_map(|subnet| match subnet.ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let ipv4 = ipv4s.min_by_key(Ipv4Addr::is_link_local)?;
        Some(Interface { name: name.to_owned(), index, ipv4, subnets })
    }

    /// Tells whether `ip` is a neighbour's on this interface, or our own.
    pub(crate) fn is_on_link(&self, ip: IpAddr) -> bool {
        self.subnets.iter().any(|subnet| subnet.contains(ip))
    }

    /// Tells whether an address that a neighbour gave leads to this link: nobody can make us dial this
    /// machine, another network, or a name.
    pub(crate) fn reaches(&self, addr: &Multiaddr) -> bool {
        ip_of(addr).is_some_and(|ip| !ip.is_loopback() && self.is_on_link(ip))
    }

    /// Tells whether an address is this machine's on this interface.
    pub(crate) fn owns(&self, addr: &Multiaddr) -> bool {
        ip_of(addr).is_some_and(|ip| self.subnets.iter().any(|subnet| subnet.ip == ip))
    }
}

impl Subnet {
    fn contains(&self, ip: IpAddr) -> bool {
        let differing = match (self.ip, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
            _ => return false,
        };
        // A prefix of 0 is how if-addrs tells that it has no netmask, not a network of everybody.
        differing == 0 || self.prefix > 0 && differing.leading_zeros() >= u32::from(self.prefix)
    }
}

/// Returns the interfaces to speak on, in the system's order. Point-to-point ones are left out: a tunnel
/// has no neighbours to ask, and its far end need not learn who we are. The rest are tried: which
/// can multicast isn't told.
pub(crate) fn interfaces() -> io::Result<Vec<Interface>> {
    let all = interfaces::addresses()?;
    let loopback: HashSet<_> =
        all.iter().filter(|each| each.loopback).map(|each| each.name.clone()).collect();
    let mut found: Vec<(String, Option<u32>, Vec<Subnet>)> = Vec::new();
    for each in all {
        if loopback.contains(&each.name) || each.point_to_point || !each.up {
            continue;
        }
        let subnet = Subnet { ip: each.ip, prefix: each.prefix };
        // By index where there is one: Linux names a second address of eth0 `eth0:1`.
        let same = |(name, index, _): &&mut (String, Option<u32>, _)| {
            if each.index.is_some() { *index == each.index } else { *name == each.name }
        };
        match found.iter_mut().find(same) {
            Some((_, _, subnets)) => subnets.push(subnet),
            None => found.push((each.name, each.index, vec![subnet])),
        }
    }
    let joined =
        found.into_iter().filter_map(|(name, index, nets)| Interface::new(&name, index, nets));
    Ok(joined.collect())
}

/// A member of the group on one interface, until it is dropped.
pub(crate) struct Socket {
    receiver: UdpSocket,
    /// The socket that sends where [`GROUP_SENDS`] is false.
    sender: Option<socket2::Socket>,
}

impl Socket {
    /// Opens the socket. Must be called on the runtime.
    pub(crate) fn open(ip: Ipv4Addr) -> io::Result<Self> {
        let receiver = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
        // The system's own resolver and other peers have this port too; each gets every multicast.
        receiver.set_reuse_address(true)?;
        // Not on Linux, where that is enough: among sockets with SO_REUSEPORT it hands a packet to one that
        // a hash chooses, and asks neither whether others want it nor which interface it came by.
        #[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
        receiver.set_reuse_port(true)?;
        // Linux gives a socket what comes for the group on any interface, unless told not to.
        #[cfg(target_os = "linux")]
        receiver.set_multicast_all_v4(false)?;
        // Bound to the group, it takes no answer that was sent to another program by unicast.
        let bound = if cfg!(windows) { ip } else { GROUP };
        receiver.bind(&SocketAddrV4::new(bound, PORT).into())?;
        receiver.join_multicast_v4(&GROUP, &ip)?;
        receiver.set_nonblocking(true)?;
        let sender = if GROUP_SENDS {
            send_on(&receiver, ip)?;
            None
        } else {
            // From a port of its own, as rust-libp2p does.
            let sender = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            sender.bind(&SocketAddrV4::new(ip, 0).into())?;
            sender.set_nonblocking(true)?;
            send_on(&sender, ip)?;
            Some(sender)
        };
        Ok(Socket { receiver: UdpSocket::from_std(receiver.into())?, sender })
    }

    /// Sends at once or not at all.
    pub(crate) fn send(&self, packet: &[u8]) -> io::Result<()> {
        let group = SocketAddrV4::new(GROUP, PORT).into();
        // Past tokio, which calls a socket unready until its first turn of the event loop.
        match &self.sender {
            Some(sender) => sender.send_to(packet, &group)?,
            None => SockRef::from(&self.receiver).send_to(packet, &group)?,
        };
        Ok(())
    }

    /// Receives the next packet: how much of it the buffer holds, and its source.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, SocketAddr)>> {
        let mut read = ReadBuf::new(buffer);
        let from = std::task::ready!(self.receiver.poll_recv_from(cx, &mut read))?;
        Poll::Ready(Ok((read.filled().len(), from)))
    }
}

/// Has multicasts leave by the interface of `ip`, and come back to other peers on this machine.
fn send_on(socket: &socket2::Socket, ip: Ipv4Addr) -> io::Result<()> {
    socket.set_multicast_if_v4(&ip)?;
    socket.set_multicast_loop_v4(true)?;
    socket.set_multicast_ttl_v4(IP_TTL)
}
