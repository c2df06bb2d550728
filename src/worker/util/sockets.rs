//! Plain sockets, by which to find out whether an address can be listened on, and why not.

use std::io;
use std::net::SocketAddr;

use multiaddr::Protocol;
use socket2::{Domain, Socket, Type};

use crate::{Multiaddr, addr};

/// Takes an address for a moment as libp2p's listeners would, but shares its port with nobody. Returns
/// the port.
pub(crate) fn try_listen(address: &Multiaddr) -> io::Result<u16> {
    const BACKLOG: i32 = 1;

    let port = |part| match part {
        Protocol::Tcp(port) => Some((Type::STREAM, port)),
        Protocol::Udp(port) => Some((Type::DGRAM, port)),
        _ => None,
    };
    let (Some(ip), Some((kind, port))) = (addr::ip_of(address), address.iter().find_map(port))
    else {
        return Err(io::ErrorKind::Unsupported.into());
    };
    let at = SocketAddr::new(ip, port);
    let socket = Socket::new(Domain::for_address(at), kind, None)?;
    if ip.is_ipv6() {
        // IPv4 may have the port already: another program's, or ours.
        socket.set_only_v6(true)?;
    }
    if kind == Type::STREAM {
        // Connections that ended a moment ago don't hold the port.
        #[cfg(unix)]
        socket.set_reuse_address(true)?;
        socket.bind(&at.into())?;
        socket.listen(BACKLOG)?;
    } else {
        socket.bind(&at.into())?;
    }
    Ok(socket.local_addr()?.as_socket().map_or(port, |bound| bound.port()))
}
