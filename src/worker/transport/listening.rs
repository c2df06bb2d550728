//! Listening on all addresses of this machine where its interfaces can't be watched.
//!
//! libp2p's TCP and QUIC watch the interfaces to tell at which addresses a listener on 0.0.0.0 or :: is
//! reached, and fail where the system refuses the socket for it. This wrapper stands around each. Where only
//! the watch fails, it listens on each address by itself and looks every few seconds which ones there are;
//! to the swarm it is one listener all the same.

use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use libp2p::core::transport::{
    DialOpts, ListenerId, PortUse, Transport, TransportError, TransportEvent,
};
use libp2p::multiaddr::Protocol;
use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

use super::words::innermost;
use crate::worker::util::interfaces;
use crate::worker::util::sockets::try_listen;
use crate::{Multiaddr, addr};

/// Time between two looks at the interfaces.
const LOOK: Duration = Duration::from_secs(5);
/// Addresses of this machine that one listener takes.
const MAX_ADDRESSES: usize = 64;

/// The reason why interfaces aren't watched, if they aren't.
#[derive(Default)]
pub(crate) struct Watch(Mutex<Option<String>>);

impl Watch {
    pub(crate) fn warning(&self) -> Option<String> {
        let reason = self.0.lock();
        reason.as_ref().map(|reason| {
            let seconds = LOOK.as_secs();
            format!(
                "network interfaces can't be watched ({reason}; a sandbox may have to allow AF_NETLINK): \
                 they are looked at every {seconds} s instead"
            )
        })
    }
}

/// A transport that listens without a watch where it must.
pub(crate) struct Listening<T> {
    inner: T,
    watch: Arc<Watch>,
    groups: Vec<Group>,
    /// The listeners removed, of which the swarm is still to be told.
    removed: VecDeque<ListenerId>,
    /// Goes off at the next look; None while there are no groups.
    look: Option<Pin<Box<Sleep>>>,
}

/// A listener on all addresses, which are listened on one by one.
struct Group {
    id: ListenerId,
    /// The address asked for, with the port that all its members have.
    address: Multiaddr,
    members: Vec<Member>,
}

struct Member {
    id: ListenerId,
    ip: IpAddr,
    /// The address told of; None until it is.
    told: Option<Multiaddr>,
}

impl<T: Transport + Unpin> Listening<T>
where
    T::Error: 'static,
{
    pub(crate) fn new(inner: T, watch: Arc<Watch>) -> Self {
        Listening { inner, watch, groups: Vec::new(), removed: VecDeque::new(), look: None }
    }

    /// Listens on every address there is now, and on those to come; false where none of them can be had.
    fn listen_on_each(&mut self, id: ListenerId, address: Multiaddr) -> bool {
        let mut group = Group { id, address, members: Vec::new() };
        let found = group.look(&mut self.inner);
        let refused = found > 0 && group.members.is_empty();
        if !refused {
            self.groups.push(group);
            self.look = Some(Box::pin(sleep(LOOK)));
        }
        !refused
    }

    /// Takes an event of a group's member as the group's; None where it is of nobody else's concern.
    fn of_group<U>(
        &mut self,
        event: TransportEvent<U, T::Error>,
    ) -> Option<TransportEvent<U, T::Error>> {
        use TransportEvent::{AddressExpired, Incoming, ListenerClosed, ListenerError, NewAddress};

        let (NewAddress { listener_id, .. }
        | AddressExpired { listener_id, .. }
        | Incoming { listener_id, .. }
        | ListenerClosed { listener_id, .. }
        | ListenerError { listener_id, .. }) = &event;
        let position = |group: &Group| group.members.iter().position(|one| one.id == *listener_id);
        let found = self.groups.iter_mut().find_map(|group| Some((position(group)?, group)));
        let Some((at, group)) = found else { return Some(event) };
        let listener_id = group.id;
        Some(match event {
            NewAddress { listen_addr, .. } => {
                group.members[at].told = Some(listen_addr.clone());
                NewAddress { listener_id, listen_addr }
            }
            AddressExpired { listen_addr, .. } => AddressExpired { listener_id, listen_addr },
            Incoming { upgrade, local_addr, send_back_addr, .. } => {
                Incoming { listener_id, upgrade, local_addr, send_back_addr }
            }
            ListenerClosed { .. } => {
                let listen_addr = group.members.swap_remove(at).told?;
                AddressExpired { listener_id, listen_addr }
            }
            ListenerError { error, .. } => ListenerError { listener_id, error },
        })
    }
}

impl Group {
    /// Listens on addresses that have come, and no more on those that are gone. Returns how many there are.
    fn look<T: Transport>(&mut self, transport: &mut T) -> usize {
        let ips = ips_like(&self.address);
        let found = ips.len();
        for member in self.members.iter().filter(|member| !ips.contains(&member.ip)) {
            transport.remove_listener(member.id);
        }
        for ip in ips {
            let known = self.members.iter().any(|member| member.ip == ip);
            if known || self.members.len() == MAX_ADDRESSES {
                continue;
            }
            let id = ListenerId::next();
            let address = self.address.replace(0, |_| Some(ip.into()));
            // One that can't be had is tried again at the next look.
            if address.is_some_and(|address| transport.listen_on(id, address).is_ok()) {
                self.members.push(Member { id, ip, told: None });
            }
        }
        found
    }
}

impl<T> Transport for Listening<T>
where
    T: Transport + Unpin,
    T::Error: 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        let Err(error) = self.inner.listen_on(id, address.clone()) else { return Ok(()) };
        let TransportError::Other(reason) = &error else { return Err(error) };
        let everywhere = addr::ip_of(&address).is_some_and(|ip| ip.is_unspecified());
        // If a plain socket can have the address, what failed is the watch.
        let port = everywhere.then(|| try_listen(&address).ok()).flatten();
        let each = port.and_then(|port| with_port(&address, port));
        let reason = innermost(reason);
        if let Some(each) = each
            && self.listen_on_each(id, each)
        {
            *self.watch.0.lock() = Some(reason);
            return Ok(());
        }
        Err(error)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        let Some(at) = self.groups.iter().position(|group| group.id == id) else {
            return self.inner.remove_listener(id);
        };
        for member in self.groups.swap_remove(at).members {
            self.inner.remove_listener(member.id);
        }
        self.removed.push_back(id);
        true
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        mut opts: DialOpts,
    ) -> Result<Self::Dial, TransportError<T::Error>> {
        // A socket that listens on one address can't reach what others can.
        if !self.groups.is_empty() {
            opts.port_use = PortUse::New;
        }
        self.inner.dial(address, opts)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        let this = &mut *self;
        if let Some(listener_id) = this.removed.pop_front() {
            return Poll::Ready(TransportEvent::ListenerClosed { listener_id, reason: Ok(()) });
        }
        while let Some(look) = &mut this.look
            && look.as_mut().poll(cx).is_ready()
        {
            for group in &mut this.groups {
                group.look(&mut this.inner);
            }
            this.look = Some(Box::pin(sleep(LOOK)));
        }
        loop {
            let event = ready!(Pin::new(&mut this.inner).poll(cx));
            if let Some(event) = this.of_group(event) {
                return Poll::Ready(event);
            }
        }
    }
}

fn with_port(address: &Multiaddr, port: u16) -> Option<Multiaddr> {
    address.replace(1, |part| match part {
        Protocol::Tcp(_) => Some(Protocol::Tcp(port)),
        Protocol::Udp(_) => Some(Protocol::Udp(port)),
        _ => None,
    })
}

/// Returns this machine's addresses of the same IP version, as far as they can be found out.
fn ips_like(address: &Multiaddr) -> Vec<IpAddr> {
    let ipv4 = addr::ip_of(address).is_some_and(|ip| ip.is_ipv4());
    let mut ips: Vec<_> = match interfaces::addresses() {
        Ok(addresses) => addresses.into_iter().map(|address| address.ip).collect(),
        Err(_) => [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]
            .into_iter()
            .chain(source_of(ipv4))
            .collect(),
    };
    // Without its interface's name a link-local IPv6 address can't be listened on.
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => ipv4,
        IpAddr::V6(ip) => !ipv4 && !ip.is_unicast_link_local(),
    };
    ips.retain(usable);
    ips
}

/// Returns the address that packets to the Internet would leave from. None is sent.
fn source_of(ipv4: bool) -> Option<IpAddr> {
    const SOMEWHERE_V4: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);
    const SOMEWHERE_V6: (Ipv6Addr, u16) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9);

    let socket = match ipv4 {
        true => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?,
        false => UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok()?,
    };
    match ipv4 {
        true => socket.connect(SOMEWHERE_V4).ok()?,
        false => socket.connect(SOMEWHERE_V6).ok()?,
    }
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified())
}
