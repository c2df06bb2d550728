//! Part "http": list_peers over HTTP, by clients that keep their connections, beside the same call through
//! the C ABI by as many threads. The clients run in the driver and share the processors with the server.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Result;
use crate::child::{Child, Scratch, progress};
use crate::connect::number;
use crate::stats::{Rounds, Samples, median};
use crate::table::{Section, count, duration, times};
use crate::{line, records};

const ROUNDS: usize = 6;
/// Records in either book. A page costs the same in a larger one: see the part "pages".
const RECORDS: u64 = 1_000;
/// Clients at once.
const CLIENTS: [u64; 3] = [1, 8, 64];
const TARGET: &str = "/api/peers/list?limit=50";
const OPTIONS: &str = r#"{"limit":50}"#;
/// The time of a turn, unless PEERKIT_BENCH_HTTP_MS says otherwise.
const TURN_MS: u64 = 2_000;

pub fn run() -> Result<Vec<Section>> {
    let turn_ms = match std::env::var("PEERKIT_BENCH_HTTP_MS") {
        Ok(text) => text.parse()?,
        Err(_) => TURN_MS,
    };
    let scratch = [Scratch::new("http-abi")?, Scratch::new("http")?];
    let mut node = Child::node(None, Some(&scratch[0].path()))?;
    node.ask(&json!({ "cmd": "fill", "from": 0, "to": RECORDS, "threads": 8 }))?;
    let server = Child::server(&scratch[1].path())?;
    let authority = server.ready["http"].as_str().and_then(|url| url.strip_prefix("http://"));
    let authority = authority.ok_or("the server doesn't say where it is")?;
    let mut client = Client::new(authority)?;
    for n in 0..RECORDS {
        client.ask("POST", "/api/call/add_peer", &records::add_peer_params(n))?;
    }
    let mut section = Section::new(
        "Pages over HTTP",
        &format!(
            "A page of 50 peers of {}: GET {TARGET} of `peerkit serve`, by so many clients that keep their \
             connections, and peerkit_list_peers by as many threads. {ROUNDS} rounds of {turn_ms} ms in turn. The \
             clients share the processors with the server, and read each reply whole.",
            count(RECORDS)
        ),
        &[
            "clients",
            "C / HTTP, calls/s",
            "HTTP / C, p99",
            "HTTP, requests/s",
            "C, calls/s",
            "HTTP p50",
            "HTTP p99",
            "C p50",
            "C p99",
        ],
    );
    for clients in CLIENTS {
        let (mut rates, mut rounds) = (<[Vec<f64>; 2]>::default(), <[Rounds; 2]>::default());
        for round in 0..=ROUNDS {
            progress(&format!("http, {clients} clients, round {round} of {ROUNDS}"));
            let http = at_once(clients, turn_ms, || {
                let mut client = Client::new(authority)?;
                Ok(move || client.ask("GET", TARGET, "").map(drop))
            })?;
            let command = json!({ "cmd": "pages-at-once", "threads": clients, "ms": turn_ms, "options": OPTIONS });
            let abi = node.ask(&command)?;
            if round > 0 {
                for (at, summary) in [http, abi].iter().enumerate() {
                    rates[at].push(number(summary, "per_s"));
                    rounds[at].note(summary);
                }
            }
        }
        let [http, abi] = rates.map(|rates| median(&rates));
        let [over_http, through_c] = rounds;
        section.row([
            clients.to_string(),
            times(abi / http),
            times(over_http.p99() / through_c.p99()),
            count(http as u64),
            count(abi as u64),
            duration(over_http.p50()),
            duration(over_http.p99()),
            duration(through_c.p50()),
            duration(through_c.p99()),
        ]);
    }
    Ok(vec![section])
}

/// Lets `threads` threads repeat some work for `ms` milliseconds.
pub fn at_once<W: FnMut() -> Result<()>>(
    threads: u64,
    ms: u64,
    worker: impl Fn() -> Result<W> + Sync,
) -> Result<Value> {
    let threads = usize::try_from(threads)?;
    let start = Barrier::new(threads);
    let work = || {
        let made = worker();
        start.wait();
        let mut work = made?;
        let (began, mut took) = (Instant::now(), Vec::new());
        while began.elapsed() < Duration::from_millis(ms) {
            let call = Instant::now();
            work()?;
            took.push(call.elapsed());
        }
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(took)
    };
    let began = Instant::now();
    let all = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let joined = workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|_| Err("it panicked".into())));
        joined.collect::<Result<Vec<_>>>()
    })?;
    let seconds = began.elapsed().as_secs_f64();
    let mut samples = Samples::default();
    all.into_iter().flatten().for_each(|took| samples.push(took));
    let mut summary = samples.summary();
    summary["per_s"] = json!(samples.len() as f64 / seconds);
    Ok(summary)
}

/// A connection that is kept.
pub struct Client {
    authority: String,
    /// The header that shows the token, or nothing.
    authorization: String,
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
}

impl Client {
    fn new(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority)?;
        stream.set_nodelay(true)?;
        Ok(Client {
            authority: authority.to_owned(),
            authorization: String::new(),
            stream: BufReader::new(stream),
            body: Vec::new(),
        })
    }

    /// Connects as the token's holder, who waits so long for each step.
    pub fn with_token(authority: &str, token: &str, patience: Duration) -> Result<Self> {
        let mut client = Client::new(authority)?;
        client.authorization = format!("authorization: Bearer {token}\r\n");
        client.stream.get_ref().set_read_timeout(Some(patience))?;
        client.stream.get_ref().set_write_timeout(Some(patience))?;
        Ok(client)
    }

    /// Sends a request and reads the reply, which must be a success; returns its length.
    pub fn ask(&mut self, method: &str, target: &str, body: &str) -> Result<usize> {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {}\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            self.authorization,
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes())?;
        let (mut length, mut first, mut chunked) = (0, true, false);
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            if std::mem::take(&mut first) && !line.starts_with("HTTP/1.1 200") {
                return Err(format!("{target}: {line}").into());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse()?
                }
                Some((name, _)) if name.eq_ignore_ascii_case("transfer-encoding") => chunked = true,
                None if line.trim_end().is_empty() => break,
                _ => {}
            }
        }
        if chunked {
            return self.read_chunks();
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body)?;
        Ok(length)
    }

    fn read_chunks(&mut self) -> Result<usize> {
        let mut all = 0;
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim_end(), 16)?;
            // The line's end after a chunk is read with it.
            self.body.resize(length + 2, 0);
            self.stream.read_exact(&mut self.body)?;
            all += length;
            if length == 0 {
                return Ok(all);
            }
        }
    }
}

/// Returns the path of the program.
pub fn program() -> Result<PathBuf> {
    let named = std::env::var_os("PEERKIT_PROGRAM").map(PathBuf::from);
    Ok(named.unwrap_or(std::env::current_exe()?.with_file_name("peerkit")))
}

/// Measures the same in a node: threads that call list_peers through the C ABI.
pub fn pages_at_once(node: &crate::abi::Node, command: &Value) -> Result<Value> {
    let options = std::ffi::CString::new(line::text(command, "options")?)?;
    at_once(line::number(command, "threads")?, line::number(command, "ms")?, || {
        Ok(|| if node.list_peers(&options).success() { Ok(()) } else { Err("no page".into()) })
    })
}
