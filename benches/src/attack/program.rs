//! Numbers 21 (d) and 22: strangers at the door of `peerkit serve`; and all doors at once.

use std::time::Duration;

use serde_json::{Value, json};

use super::ground::Ground;
use super::{Attacked, Goal, Row, doors, measure, scene};
use crate::Result;
use crate::child::{Child, Scratch, progress};
use crate::line;

/// The calls of the holder's in a second, of each kind.
pub const CALLS_PER_S: u64 = 20;
/// The connections that are held, and the pace at which they come: in a second at first, and then.
const CONNECTIONS: [u64; 3] = [512, 400, 100];
const READERS: [u64; 3] = [315, 100, 50];
/// Records in the book: as many as a reply has room for.
const RECORDS: u64 = 10_000;
const FILLING_THREADS: u64 = 64;
const QUESTION: &str = r#"{"limit":10000}"#;

/// A `peerkit serve`, and the holder of its token.
struct Program {
    server: Child,
    holder: Child,
    authority: String,
    /// The remote that the holder connects to, where it does.
    remote: Option<Child>,
    _book: Scratch,
}

impl Program {
    fn start(ground: &Ground, remote: Option<Child>) -> Result<Program> {
        let book = Scratch::new("attack")?;
        progress("attack, filling a book");
        let config = json!({ "profile": "offline", "data_dir": book.path() });
        let mut node = Child::node_at(ground.here(), &config.to_string())?;
        let threads = FILLING_THREADS;
        node.ask(&json!({ "cmd": "fill", "from": 0, "to": RECORDS, "threads": threads }))?;
        node.quit()?;
        let listen = [format!("/ip4/{}/tcp/0", ground.ip())];
        let config = json!({ "profile": "offline", "listen": listen });
        let server = Child::server_at(ground.here(), &book.path(), &config)?;
        let authority = line::text(&server.ready, "http")?.trim_start_matches("http://").to_owned();
        let token = std::fs::read_to_string(line::text(&server.ready, "token_file")?)?;
        let options = json!({ "authority": authority, "token": token.trim() });
        let holder = ground.near_role("holder", &options)?;
        Ok(Program { server, holder, authority, remote, _book: book })
    }

    /// Returns where its node listens.
    fn address(&self) -> Result<String> {
        let addresses = self.server.ready["listen_addrs"].as_array().into_iter().flatten();
        let address = addresses.filter_map(Value::as_str).find(|address| address.contains("/tcp/"));
        Ok(address.ok_or("the server doesn't say where it listens")?.to_owned())
    }
}

impl Attacked for Program {
    fn process(&self) -> &Child {
        &self.server
    }

    fn watch(&mut self, ms: u64) -> Result<Value> {
        let address = self.remote.as_ref().map(|remote| remote.address("/tcp/")).transpose()?;
        let command = json!({ "cmd": "calls", "ms": ms, "per_s": CALLS_PER_S, "addr": address });
        self.holder.ask(&command)
    }
}

/// The ways in which strangers take HTTP connections.
#[derive(Clone, Copy)]
enum Manner {
    Silent,
    Drips,
    DoesNotRead,
}

/// Starts attackers at the machine of the program: its HTTP is the loopback's.
fn sockets(ground: &Ground, authority: &str, manner: Manner) -> Result<Child> {
    let plan = if matches!(manner, Manner::DoesNotRead) { READERS } else { CONNECTIONS };
    let mut options = doors::holding(plan, false);
    options["target"] = json!(authority);
    options["source"] = json!("127.0.0.1");
    let (named, request) = match manner {
        Manner::Silent => ("silent", String::new()),
        Manner::Drips => {
            ("drips", format!("GET /healthz HTTP/1.1\r\nhost: {authority}\r\nx-drip: "))
        }
        Manner::DoesNotRead => ("doesn't read", question(authority)),
    };
    options["manner"] = json!(named);
    options["request"] = json!(request);
    ground.near_role("sockets", &options)
}

fn question(authority: &str) -> String {
    format!(
        "POST /api/call/get_peers HTTP/1.1\r\nhost: {authority}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{QUESTION}",
        QUESTION.len()
    )
}

const HOLDER: [(&str, &str, Goal); 2] = [
    ("anew", "the holder, new connections", Goal::Served(100.0)),
    ("kept", "the holder, a kept connection", Goal::Served(100.0)),
];

pub fn run(ground: &Ground) -> Result<Vec<Row>> {
    let attacks = [
        ("21 (d), silent HTTP connections", Manner::Silent),
        ("21 (d), dripping headers", Manner::Drips),
        ("22, replies that nobody reads", Manner::DoesNotRead),
    ];
    let mut rows = Vec::new();
    for (name, manner) in attacks {
        let mut program = Program::start(ground, None)?;
        let authority = program.authority.clone();
        let measured = measure(name, &mut program, Duration::from_secs(4), || {
            Ok(vec![sockets(ground, &authority, manner)?])
        })?;
        rows.extend(measured.rows(name, &HOLDER));
    }
    Ok(rows)
}

/// Attacks all doors at once.
pub fn all_doors(ground: &Ground) -> Result<Vec<Row>> {
    let mut program = Program::start(ground, Some(scene::remote(ground)?))?;
    let (name, authority, target) =
        ("all doors at once", program.authority.clone(), program.address()?);
    let measured = measure(name, &mut program, Duration::from_secs(7), || {
        Ok(vec![
            sockets(ground, &authority, Manner::DoesNotRead)?,
            sockets(ground, &authority, Manner::Silent)?,
            doors::identities(ground, &target)?,
            doors::silent(ground, &target)?,
        ])
    })?;
    let mut rows = measured.rows(name, &HOLDER);
    rows.extend(measured.rows(
        name,
        &[
            ("connects", "the user's connect_peer, over HTTP", Goal::Served(100.0)),
            ("memory", "memory", Goal::Memory),
        ],
    ));
    Ok(rows)
}
