//! HTTP servers of a few lines, as good or bad as a test of `daemon` wants them. Each listens on
//! loopback at a port of its own, and lasts as long as the tests.

#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

pub(super) struct Server {
    pub port: u16,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Starts a server that reads the head of each request and then does what it is told.
    pub fn new(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Server {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let port = accept(move |stream| {
            let head = read_head(stream);
            seen.lock().unwrap().push(head.clone());
            let path = head.split(' ').nth(1).unwrap_or_default();
            answer(path, stream);
        });
        Server { port, requests }
    }

    /// Starts a server that reads nothing before it does what it is told.
    pub fn raw(answer: impl Fn(&mut TcpStream) + Send + 'static) -> Server {
        Server { port: accept(answer), requests: Arc::default() }
    }

    /// Starts a server that has these bodies at these paths, and nothing elsewhere.
    pub fn with(pages: impl IntoIterator<Item = (&'static str, String)>) -> Server {
        let pages: Vec<_> = pages.into_iter().collect();
        Server::new(move |path, stream| match pages.iter().find(|(at, _)| *at == path) {
            Some((_, body)) => reply(stream, "200 OK", body),
            None => reply(stream, "404 Not Found", ""),
        })
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the heads of the requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Answers with a status line's end and a body.
pub(super) fn reply(stream: &mut TcpStream, status: &str, body: &str) {
    let length = body.len();
    // The client may be gone already: that is its right.
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
}

/// Says nothing until the client hangs up.
pub(super) fn hold(stream: &mut TcpStream) {
    while stream.read(&mut [0; 1024]).is_ok_and(|bytes| bytes > 0) {}
}

fn accept(answer: impl Fn(&mut TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&mut stream.unwrap());
        }
    });
    port
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|bytes| bytes == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}
