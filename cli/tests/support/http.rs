//! `peerkit serve` and a client for it. The client is a socket: tests say things that a library for HTTP wouldn't.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::{Home, PEERKIT};

/// The time that anything a test waits for may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A `peerkit serve` that has said where it serves. It is killed at the end.
pub struct Server {
    /// The line it printed.
    pub line: Value,
    pub home: Home,
    child: Child,
    /// Kept open for further lines.
    _stdout: BufReader<std::process::ChildStdout>,
}

impl Server {
    pub fn start(options: &[&str]) -> Self {
        Self::at(Home::new(), options)
    }

    /// For a directory which may have been used before.
    pub fn at(home: Home, options: &[&str]) -> Self {
        Self::by(&mut Command::new(PEERKIT), home, options)
    }

    /// By a command that runs the program.
    pub fn by(program: &mut Command, home: Home, options: &[&str]) -> Self {
        let mut command = vec!["serve", "--json"];
        if !options.contains(&"--http") {
            command.extend(["--http", "127.0.0.1:0"]);
        }
        command.extend(options);
        let mut child = program
            .args(home.args(&command))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Server { line, home, child, _stdout: stdout }
    }

    pub fn authority(&self) -> &str {
        self.line["http"].as_str().unwrap().strip_prefix("http://").unwrap()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.line["token_file"].as_str().unwrap())
            .unwrap()
            .trim()
            .to_owned()
    }

    /// A client that shows the token.
    pub fn client(&self) -> Client {
        Client {
            headers: vec![format!("authorization: Bearer {}", self.token())],
            ..self.stranger()
        }
    }

    /// A client that shows nothing.
    pub fn stranger(&self) -> Client {
        let stream = TcpStream::connect(self.authority()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        let stream = BufReader::new(stream);
        Client { authority: self.authority().to_owned(), headers: Vec::new(), stream }
    }

    pub fn get(&self, target: &str) -> Answer {
        self.client().get(target)
    }

    pub fn post(&self, target: &str, body: &str) -> Answer {
        self.client().post(target, body)
    }

    /// An address of the node, over TCP on IPv4.
    pub fn address(&self) -> String {
        tcp_address(&self.line)
    }

    pub fn peer_id(&self) -> String {
        self.line["peer_id"].as_str().unwrap().to_owned()
    }

    /// Kilobytes of memory in use.
    pub fn memory_kb(&self) -> u64 {
        memory_kb(self.pid())
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for its end; the exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it doesn't end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a `peerkit serve` that doesn't come to serve.
pub fn fails(home: &Home, options: &[&str]) -> std::process::Output {
    let command: Vec<&str> = [&["serve"], options].concat();
    let seconds = LIMIT.as_secs().to_string();
    Command::new("timeout")
        .args([seconds.as_str(), PEERKIT])
        .args(home.args(&command))
        .output()
        .unwrap()
}

/// The TCP address on IPv4 among the `listen_addrs` of a status.
pub fn tcp_address(status: &Value) -> String {
    let mut addresses =
        status["listen_addrs"].as_array().unwrap().iter().map(|a| a.as_str().unwrap());
    addresses.find(|a| a.starts_with("/ip4/") && a.contains("/tcp/")).unwrap().to_owned()
}

/// A connection that is kept, and headers that go with each request.
pub struct Client {
    pub authority: String,
    pub headers: Vec<String>,
    stream: BufReader<TcpStream>,
}

impl Client {
    pub fn with(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    pub fn post(&mut self, target: &str, body: &str) -> Answer {
        self.request("POST", target, body)
    }

    pub fn request(&mut self, method: &str, target: &str, body: &str) -> Answer {
        self.ask(method, target, body);
        self.answer()
    }

    /// Sends a request as a client does, and doesn't wait.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) {
        let own: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let about = match body {
            "" => "content-length: 0\r\n".to_owned(),
            body => format!("content-length: {}\r\ncontent-type: application/json\r\n", body.len()),
        };
        let head =
            format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n{own}{about}\r\n", self.authority);
        self.send(&(head + body));
    }

    /// Sends these bytes.
    pub fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Sends these bytes and reads an answer.
    pub fn raw(&mut self, text: &str) -> Answer {
        self.send(text);
        self.answer()
    }

    /// Reads an answer.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.header("content-length").and_then(|length| length.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Reads the head of an answer that is a stream, and the JSON of the first event in it.
    pub fn first_event(&mut self) -> (Answer, String) {
        let head = self.head();
        loop {
            let mut line = String::new();
            assert!(self.stream.read_line(&mut line).unwrap() > 0, "{head:?}: no event");
            if let Some(data) = line.trim_end().strip_prefix("data: {") {
                return (head, format!("{{{data}"));
            }
        }
    }

    /// Tells whether the server closes the connection within this time.
    pub fn is_closed(&mut self, within: Duration) -> bool {
        self.stream.get_mut().set_read_timeout(Some(within)).unwrap();
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn head(&mut self) -> Answer {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            match self.line() {
                line if line.is_empty() => break,
                line => headers.push(line),
            }
        }
        Answer { status, headers, body: String::new() }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Asks for events and reads them as they come.
    pub fn events(mut self, target: &str) -> EventStream {
        self.ask("GET", target, "");
        let head = self.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type").unwrap(), "text/event-stream");
        EventStream { client: self, last_id: None }
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<String>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter().filter_map(|header| header.split_once(": "));
        headers.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// The JSON of an answer with this status.
    pub fn with_status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.json()
    }

    /// The code of a failure with this status.
    pub fn refused(&self, status: u16) -> String {
        let json = self.with_status(status);
        assert_eq!(json["success"], false, "{json}");
        json["code"].as_str().unwrap().to_owned()
    }

    /// `data` of a success.
    pub fn data(&self) -> Value {
        let json = self.with_status(200);
        assert_eq!(json["success"], true);
        json["data"].clone()
    }
}

/// An event of a stream.
#[derive(Debug)]
pub struct Told {
    pub name: String,
    pub data: Value,
}

/// A stream of events that is being read.
pub struct EventStream {
    client: Client,
    /// The id that a browser would show when it connects again.
    pub last_id: Option<String>,
}

impl EventStream {
    /// The next event; None at the end of the stream.
    pub fn next(&mut self) -> Option<Told> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let mut line = String::new();
            if self.client.stream.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(':') {
                Some(("event", value)) => value.trim().clone_into(&mut name),
                Some(("data", value)) => data.push_str(value.trim_start()),
                Some(("id", value)) => self.last_id = Some(value.trim().to_owned()),
                // The length of a chunk, or the end of the last one.
                None if line.trim_end() == "0" => return None,
                None if !data.is_empty() => {
                    let data = serde_json::from_str(&data).unwrap();
                    return Some(Told { name, data });
                }
                _ => {}
            }
        }
    }

    /// The next event of this name; those before it are passed over.
    pub fn await_named(&mut self, name: &str) -> Told {
        loop {
            let told = self.next().unwrap_or_else(|| panic!("the stream ended without {name}"));
            if told.name == name {
                return told;
            }
        }
    }
}

/// Kilobytes of memory that a process has in use.
pub fn memory_kb(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Waits until this holds.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} doesn't come");
        std::thread::sleep(Duration::from_millis(50));
    }
}
