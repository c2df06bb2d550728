//! A small name server over UDP, which also asks others. Its options:
//!
//! - `listen`: the address and port, as `127.0.0.1:53`;
//! - `records`: the answers, as `{"peer.test": {"A": ["10.77.0.2"], "TXT": ["a", "b"]}}`. Other names
//!   don't exist. A text record of several strings is an array of them: `{"TXT": [["half", "half"]]}`.
//!
//! It prints `{"listen": ..}` and answers requests in the manner of a peer:
//!
//! - `set_records`: the parameters are the records from now on; all have a TTL of zero, so no resolver
//!   remembers one;
//! - `questions`: those asked so far, as `{"questions": ["peer.test A", ..]}`;
//! - `ask` `{server, name, type}`: asks any server, at a multicast address too, and returns the first
//!   answer, `{"from": "10.77.0.2:53", "answers": ["10.77.0.2"]}`. (For multicast DNS that is a legacy
//!   unicast query.)

use std::io::{self, BufRead};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use serde_json::{Value, json};

use crate::print_line;

/// The longest message that UDP carries.
const MAX_MESSAGE_BYTES: usize = 65_535;

#[derive(Default)]
struct Zone {
    records: Value,
    questions: Vec<String>,
}

/// Runs until the input ends.
pub fn run(options: &str) {
    let options: Value = serde_json::from_str(options).expect("the options are JSON");
    let socket = UdpSocket::bind(options["listen"].as_str().expect("where to listen")).unwrap();
    print_line(&json!({ "listen": socket.local_addr().unwrap() }));
    let records = options["records"].clone();
    let zone = Arc::new(Mutex::new(Zone { records, ..Zone::default() }));
    let served = Arc::clone(&zone);
    std::thread::spawn(move || serve(&socket, &served));
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let request: Value = serde_json::from_str(&line).expect("a request is JSON");
        let reply = reply(&zone, &request);
        print_line(&json!({ "id": request["id"], "reply": reply }));
    }
}

fn reply(zone: &Mutex<Zone>, request: &Value) -> Value {
    let params = &request["params"];
    match request["call"].as_str().unwrap_or_default() {
        "set_records" => {
            zone.lock().unwrap().records = params.clone();
            json!({ "success": true })
        }
        "questions" => json!({ "success": true, "questions": zone.lock().unwrap().questions }),
        "ask" => {
            match ask(params, Duration::from_millis(request["timeout_ms"].as_u64().unwrap())) {
                Ok((from, answers)) => json!({ "success": true, "from": from, "answers": answers }),
                Err(error) => failure("no_answer", &error.to_string()),
            }
        }
        name => failure("unknown_method", name),
    }
}

fn failure(code: &str, error: &str) -> Value {
    json!({ "success": false, "code": code, "error": error })
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).unwrap();
        let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
        let answer = zone.lock().unwrap().answer(&question);
        // The asker may be gone.
        let _ = socket.send_to(&answer.to_vec().unwrap(), from);
    }
}

impl Zone {
    fn answer(&mut self, question: &Message) -> Message {
        let mut answer = Message::response(question.metadata.id, OpCode::Query);
        answer.metadata.authoritative = true;
        answer.metadata.recursion_desired = question.metadata.recursion_desired;
        for query in &question.queries {
            let name = query.name().to_string().trim_end_matches('.').to_lowercase();
            let kind = query.query_type();
            self.questions.push(format!("{name} {kind}"));
            if self.records[&name].is_null() {
                answer.metadata.response_code = ResponseCode::NXDomain;
            }
            let values = self.records[&name][kind.to_string()].as_array().into_iter().flatten();
            for value in values {
                answer.add_answer(record(query.name(), kind, value));
            }
            answer.add_query(query.clone());
        }
        answer
    }
}

fn record(name: &Name, kind: RecordType, value: &Value) -> Record {
    let text = |value: &Value| value.as_str().expect("a record is text").to_owned();
    let data = match (kind, value) {
        (RecordType::A, ip) => RData::A(A(text(ip).parse().unwrap())),
        (RecordType::AAAA, ip) => RData::AAAA(AAAA(text(ip).parse().unwrap())),
        (RecordType::TXT, Value::Array(strings)) => {
            RData::TXT(TXT::new(strings.iter().map(text).collect()))
        }
        (RecordType::TXT, string) => RData::TXT(TXT::new(vec![text(string)])),
        (kind, _) => panic!("this server has no {kind} records"),
    };
    const REMEMBER_S: u32 = 0;
    Record::from_rdata(name.clone(), REMEMBER_S, data)
}

fn ask(params: &Value, timeout: Duration) -> io::Result<(SocketAddr, Vec<String>)> {
    let text = |key: &str| params[key].as_str().unwrap_or_default();
    let name = Name::from_utf8(text("name")).map_err(io::Error::other)?;
    let kind: RecordType = text("type").parse().map_err(io::Error::other)?;
    const ID: u16 = 7;
    let mut question = Message::new(ID, MessageType::Query, OpCode::Query);
    question.add_query(Query::query(name, kind));
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(timeout))?;
    socket.send_to(&question.to_vec().map_err(io::Error::other)?, text("server"))?;
    let mut buffer = vec![0; MAX_MESSAGE_BYTES];
    let (length, from) = socket.recv_from(&mut buffer)?;
    let answer = Message::from_vec(&buffer[..length]).map_err(io::Error::other)?;
    Ok((from, answer.answers.iter().map(|record| record.data.to_string()).collect()))
}
