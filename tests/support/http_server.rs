//! Serves HTTP on whichever host it runs. Its options:
//!
//! - `listen`: the address and port, as `0.0.0.0:0`;
//! - `pages`: the body that each path is answered with, as `{"/id": {..}}`. Other paths are 404.
//!
//! It prints `{"port": ..}` and serves until its input ends.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Value, json};

use crate::print_line;

/// Runs until the input ends.
pub fn run(options: &str) {
    let options: Value = serde_json::from_str(options).expect("the options are JSON");
    let listener = TcpListener::bind(options["listen"].as_str().expect("where to listen")).unwrap();
    print_line(&json!({ "port": listener.local_addr().unwrap().port() }));
    let pages = options["pages"].clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Fails where the client is gone already, which is its right.
            let _ = answer(stream.unwrap(), &pages);
        }
    });
    let _ = io::copy(&mut io::stdin(), &mut io::sink());
}

fn answer(mut stream: TcpStream, pages: &Value) -> io::Result<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match pages.get(path) {
        Some(page) => ("200 OK", page.to_string()),
        None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}
