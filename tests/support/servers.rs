//! Servers at a port that aren't peers.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::Peer;

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

/// A TCP server that lets clients connect and stays silent.
pub struct SilentServer(TcpListener);

impl SilentServer {
    pub fn new() -> Self {
        SilentServer(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    pub fn address(&self) -> String {
        tcp(self.0.local_addr().unwrap())
    }

    /// Waits for a connection, and returns it without reading from it.
    pub fn accept(&self) -> TcpStream {
        self.0.accept().unwrap().0
    }
}

/// Hands on what a peer and its dialler send each other over TCP, until it meddles. Serves one connection.
pub struct Meddler {
    address: String,
    dialler: Receiver<TcpStream>,
}

impl Meddler {
    pub fn before(peer: &Peer) -> Meddler {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = tcp(listener.local_addr().unwrap());
        let port = peer.bare("tcp").rsplit('/').next().unwrap().parse().unwrap();
        let (accepted, dialler) = channel();
        std::thread::spawn(move || {
            let near = listener.accept().unwrap().0;
            let far = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            accepted.send(near.try_clone().unwrap()).unwrap();
            let (mut near_in, mut far_out) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut near_in, &mut far_out));
            let (mut far_in, mut near_out) = (far, near);
            // Ends with the connection, whatever ends that.
            let _ = std::io::copy(&mut far_in, &mut near_out);
        });
        Meddler { address, dialler }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends the dialler a frame that the other side never sent and that doesn't decrypt.
    pub fn garble(&self) {
        let mut frame = vec![0, 32];
        frame.extend([0xff; 32]);
        self.dialler.recv().unwrap().write_all(&frame).unwrap();
    }
}

/// Starts an HTTP server, which answers everything with 400. Returns its address; it lasts as long as
/// the tests.
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

/// The HTTP API of a daemon, as good or bad as a test wants it. It lasts as long as the tests.
pub struct ApiServer {
    port: u16,
    pages: Pages,
    requests: Arc<Mutex<Vec<String>>>,
}

type Pages = Arc<Mutex<HashMap<String, Page>>>;

/// The answer to a path.
#[derive(Clone)]
pub enum Page {
    /// 200 and this text.
    Json(String),
    /// This status, with headers, and a body that mustn't be quoted.
    Status(&'static str),
    /// Nothing, until the client goes.
    Silence,
    /// 200 and this number of bytes, declared beforehand or not.
    Flood { bytes: usize, told: bool },
}

/// A text in the body of every fault.
pub const BODY_OF_A_FAULT: &str = "the-body-of-a-fault";

impl ApiServer {
    /// Starts on loopback.
    pub fn start() -> ApiServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (pages, requests) = (Pages::default(), Arc::new(Mutex::new(Vec::new())));
        let (its_pages, its_requests) = (Arc::clone(&pages), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (pages, requests) = (Arc::clone(&its_pages), Arc::clone(&its_requests));
                std::thread::spawn(move || serve(stream.unwrap(), &pages, &requests));
            }
        });
        ApiServer { port, pages, requests }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the URL with credentials in it.
    pub fn url_as(&self, user_and_password: &str) -> String {
        format!("http://{user_and_password}@127.0.0.1:{}", self.port)
    }

    /// Sets the answer to this path from now on; every other is 404.
    pub fn page(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    pub fn json(&self, path: &str, body: &Value) {
        self.page(path, Page::Json(body.to_string()));
    }

    /// Answers as a Kubo that is this peer and has connections to these.
    pub fn kubo(&self, itself: &Peer, connected: &[&Peer]) {
        let id = json!({ "ID": itself.id(), "Addresses": itself.status["listen_addrs"] });
        let connection = |peer: &&Peer| json!({ "Peer": peer.id(), "Addr": peer.bare("tcp") });
        let connections: Vec<Value> = connected.iter().map(connection).collect();
        self.json("/api/v0/id", &id);
        self.json("/api/v0/swarm/peers", &json!({ "Peers": connections }));
    }

    /// Answers as an ipfs-cluster of these members.
    pub fn cluster(&self, members: &[&Peer]) {
        let members: Vec<Value> = members
            .iter()
            .map(|peer| json!({ "id": peer.id(), "addresses": peer.status["listen_addrs"] }))
            .collect();
        self.json("/id", &members[0]);
        self.json("/peers", &json!(members));
    }

    /// Returns the heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, pages: &Pages, requests: &Mutex<Vec<String>>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|bytes| bytes == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let page = pages.lock().unwrap().get(path).cloned();
    requests.lock().unwrap().push(head);
    let mut send = |status: &str, headers: &str, body: &[u8]| {
        // The client may be gone already: that is its right.
        let _ = write!(stream, "HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n");
        let _ = stream.write_all(body);
    };
    match page.unwrap_or(Page::Status("404 Not Found")) {
        Page::Json(body) => send("200 OK", "", body.as_bytes()),
        Page::Status(status) => {
            send(status, "Location: http://127.0.0.1:1/elsewhere\r\n", BODY_OF_A_FAULT.as_bytes());
        }
        Page::Silence => while stream.read(&mut byte).is_ok_and(|bytes| bytes > 0) {},
        Page::Flood { bytes, told } => {
            let headers = if told { format!("Content-Length: {bytes}\r\n") } else { String::new() };
            send("200 OK", &headers, b"");
            let block = [b'['; 1 << 16];
            let _ = (0..bytes / block.len()).try_for_each(|_| stream.write_all(&block));
        }
    }
}

/// Returns the address of a UDP port that was free a moment ago.
pub fn closed_udp_port() -> String {
    let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
}

fn tcp(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}
