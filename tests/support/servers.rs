//! What listens at a port without being a peer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// A TCP port where connections are refused: bound, so that nobody else gets it, never listening.
pub struct ClosedPort(tokio::net::TcpSocket);

impl ClosedPort {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        ClosedPort(socket)
    }

    pub fn address(&self) -> String {
        tcp(self.0.local_addr().unwrap())
    }
}

/// A TCP server that lets connect and stays silent.
pub struct SilentServer(TcpListener);

impl SilentServer {
    pub fn new() -> Self {
        SilentServer(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    pub fn address(&self) -> String {
        tcp(self.0.local_addr().unwrap())
    }
}

/// An HTTP server, which answers everything with 400. Gives its address; it lasts as long as the
/// tests.
pub fn http_server() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = tcp(listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            let _ = connection.read(&mut [0; 1024]);
            let _ = connection.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    address
}

/// The address of a UDP port that was free a moment ago.
pub fn closed_udp_port() -> String {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
}

fn tcp(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}
