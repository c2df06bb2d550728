//! Messages of JSON-RPC as they come in: read, or refused with the error that their sender waits for. Both transports
//! use it. rmcp answers nothing to what is no JSON, and leaves the id out of what it does answer; the sender of such a
//! request would wait until its own patience ends.

use peerkit::ops::{Misread, read_json};
use peerkit::text::visible_json;
use rmcp::model::ClientJsonRpcMessage;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::id::id_in;

/// The code of JSON-RPC for what is no JSON.
const PARSE_ERROR: i32 = -32700;
/// The code of JSON-RPC for JSON that is no request.
const INVALID_REQUEST: i32 = -32600;
/// The code of JSON-RPC for a method that there isn't.
const METHOD_NOT_FOUND: i32 = -32601;
/// The code of JSON-RPC for parameters that the method doesn't take.
const INVALID_PARAMS: i32 = -32602;
/// The code of JSON-RPC for what went wrong here.
const INTERNAL_ERROR: i32 = -32603;

/// The methods that this server knows.
const METHODS: &[&str] = &[
    "initialize",
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/read",
    "resources/templates/list",
];

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The outcome of reading a message.
#[derive(Debug)]
pub enum Read {
    Message(Box<ClientJsonRpcMessage>),
    /// A blank line, or what JSON-RPC forbids to answer: a notification or a response that makes no sense.
    Nothing,
    Refused(Refused),
}

/// An error for a message that can't be handed on.
#[derive(Debug, PartialEq)]
pub struct Refused {
    /// The id of the request; null where it can't be told.
    id: Value,
    code: i32,
    message: String,
}

impl Refused {
    /// Refuses a message of more bytes than `most`, with this id.
    pub fn too_long(id: Value, most: usize) -> Self {
        let message = format!("the message is longer than {most} bytes");
        Refused { id, code: INVALID_REQUEST, message }
    }

    /// Words what a server of HTTP answered to this body as text.
    pub fn answered(body: &[u8], by_server: bool, text: &str) -> Self {
        let code = if by_server { INTERNAL_ERROR } else { INVALID_REQUEST };
        Refused { id: id_in(body), code, message: text.trim().to_owned() }
    }

    /// Writes the error, without a newline.
    pub fn to_json(&self) -> String {
        let error = json!({"code": self.code, "message": self.message});
        let refused = json!({"jsonrpc": "2.0", "id": self.id, "error": error});
        visible_json(refused.to_string()).into_owned()
    }
}

/// Reads a message: a line of standard input, or the body of a request.
pub fn read(text: &[u8]) -> Read {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text).trim_ascii();
    if text.is_empty() {
        return Read::Nothing;
    }
    let value = match read_json(text) {
        Ok(value) => value,
        Err(Misread::NotJson(error)) => {
            let message = no_json(text, &error);
            return Read::Refused(Refused { id: id_in(text), code: PARSE_ERROR, message });
        }
        Err(why) => return doubled(text, why),
    };
    match ClientJsonRpcMessage::deserialize(&value) {
        Ok(message) => Read::Message(Box::new(message)),
        Err(_) => no_message(&value),
    }
}

/// Refuses a message in which a name is given twice; None of any other, also of one that is no message.
pub fn refuse_doubled(text: &[u8]) -> Option<Refused> {
    match read_json(text) {
        Ok(_) | Err(Misread::NotJson(_)) => None,
        Err(why) => match doubled(text, why) {
            Read::Refused(refused) => Some(refused),
            _ => None,
        },
    }
}

fn doubled(text: &[u8], why: Misread) -> Read {
    let (inside, id) = (matches!(&why, Misread::Doubled(name) if name.contains('.')), id_in(text));
    if inside && id.is_null() {
        return Read::Nothing;
    }
    let code = if inside { INVALID_PARAMS } else { INVALID_REQUEST };
    let message = why.into_error(|error| error.to_string()).message().to_owned();
    Read::Refused(Refused { id, code, message })
}

/// Says by code and words why a request of this method, which rmcp can't read, isn't answered.
pub fn unread(method: &str) -> (i32, String) {
    if METHODS.contains(&method) {
        let message = format!("the parameters of {method} have not the form that MCP gives them");
        return (INVALID_PARAMS, message);
    }
    (METHOD_NOT_FOUND, format!("there is no method {method}"))
}

fn no_json(text: &[u8], error: &serde_json::Error) -> String {
    if text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") || text.contains(&0) {
        return "the message is no JSON: it looks like UTF-16, and MCP is UTF-8".to_owned();
    }
    match str::from_utf8(text) {
        Ok(_) => format!("the message is no JSON: {error}"),
        Err(at) => {
            format!("the message is no JSON: it isn't UTF-8 from its byte {} on", at.valid_up_to())
        }
    }
}

/// Says what is wrong with JSON that is no message.
fn no_message(value: &Value) -> Read {
    let refused = |id: Value, message: &str| {
        Read::Refused(Refused { id, code: INVALID_REQUEST, message: message.to_owned() })
    };
    let object = match value {
        Value::Object(object) => object,
        Value::Array(_) => {
            return refused(Value::Null, "a batch isn't taken: send one message at a time");
        }
        _ => return refused(Value::Null, "a message is a JSON object"),
    };
    let has = |name: &str| object.contains_key(name);
    let is_notification = object.get("method").is_some_and(Value::is_string) && !has("id");
    let is_response = !has("method") && (has("result") || has("error"));
    if is_notification || is_response {
        return Read::Nothing;
    }
    let id = id_of(object);
    match (wrong(object), object.get("method").and_then(Value::as_str)) {
        (None, Some(method)) => {
            let (code, message) = unread(method);
            Read::Refused(Refused { id, code, message })
        }
        (wrong, _) => refused(id, wrong.unwrap_or("it is no request")),
    }
}

/// Says why an object is no request; None where it is one, of parameters that can't be read.
fn wrong(object: &Map<String, Value>) -> Option<&'static str> {
    let has = |name: &str| object.contains_key(name);
    if object.get("jsonrpc") != Some(&"2.0".into()) {
        Some("`jsonrpc` must be \"2.0\"")
    } else if !object.get("method").is_some_and(Value::is_string) {
        Some("`method` must be a text")
    } else if !object.get("id").is_some_and(|id| id.is_string() || id.is_i64()) {
        Some("`id` must be a text or a whole number")
    } else if has("result") || has("error") {
        Some("it is a request and a response at once")
    } else {
        None
    }
}

/// Gives the id by which the sender knows its request, also one of a kind that isn't taken.
fn id_of(object: &Map<String, Value>) -> Value {
    match object.get("id") {
        Some(id @ (Value::String(_) | Value::Number(_))) => id.clone(),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> (Value, i32) {
        match read(text) {
            Read::Refused(refused) => (refused.id, refused.code),
            other => panic!("{}: {other:?}", String::from_utf8_lossy(text)),
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_id_that_can_be_told() {
        for (text, id) in [
            (
                &br#"{"jsonrpc":"2.0","id":7,"method":"a","params":{"search":"\ud83d"}}"#[..],
                json!(7),
            ),
            (br#"{"params":{"id":1,"x":"\ud83d"},"method":"id","id" : "seven" }"#, json!("seven")),
            (b"{\"id\":\"\\u0061\\\"\",\"method\":\"\xff\"}", json!("a\"")),
            (br#"{"jsonrpc":"2.0","id":12,"method":"tools/ca"#, json!(12)),
            (br#"{"jsonrpc":"2.0","id":12"#, Value::Null),
            (br#"{"jsonrpc":"2.0","id":"12"#, Value::Null),
            (br#"{"id":1,"id":2,"#, Value::Null),
            (br#"{"id":{"id":3},"#, Value::Null),
            (br#"[{"id":4},"#, Value::Null),
            (b"hello", Value::Null),
            (b"\xff\xfe{\0\"\0", Value::Null),
        ] {
            assert_eq!(refused(text), (id, PARSE_ERROR), "{}", String::from_utf8_lossy(text));
        }
        let deep = format!(r#"{{"id":5,"params":{}"#, "[".repeat(100_000));
        assert_eq!(refused(deep.as_bytes()), (json!(5), PARSE_ERROR));
    }

    #[test]
    fn json_that_is_no_message_is_an_invalid_request() {
        for (text, id) in [
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#, json!(1.5)),
            (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, Value::Null),
            (r#"{"id":"x","method":"ping"}"#, json!("x")),
            (r#"{"jsonrpc":"2.0","id":3}"#, json!(3)),
            (r#"[{"jsonrpc":"2.0","id":3,"method":"ping"}]"#, Value::Null),
            ("7", Value::Null),
        ] {
            assert_eq!(refused(text.as_bytes()), (id, INVALID_REQUEST), "{text}");
        }
    }

    #[test]
    fn a_name_given_twice_is_refused_wherever_it_stands() {
        for (text, id, code) in [
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#, Value::Null, INVALID_REQUEST),
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"x"}"#, json!(1), INVALID_REQUEST),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"a":1,"a":2}}}"#,
                json!(1),
                INVALID_PARAMS,
            ),
        ] {
            assert_eq!(refused(text.as_bytes()), (id, code), "{text}");
            assert!(refuse_doubled(text.as_bytes()).is_some());
        }
        let notification =
            br#"{"jsonrpc":"2.0","method":"notifications/x","params":{"a":1,"a":2}}"#;
        assert!(matches!(read(notification), Read::Nothing));
    }

    #[test]
    fn parameters_in_another_form_than_mcps_are_invalid_params_of_a_method_that_there_is() {
        for (method, code) in [("tools/call", INVALID_PARAMS), ("nope", METHOD_NOT_FOUND)] {
            for params in ["7", "\"x\"", "[]", "[null,\"get_peers\",{}]", "{\"_meta\":7}"] {
                let text =
                    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#);
                assert_eq!(refused(text.as_bytes()), (json!(1), code), "{text}");
            }
        }
    }

    #[test]
    fn what_nobody_waits_for_is_passed_over() {
        for text in ["", " \r\n", "\u{feff}\n", r#"{"method":"x","params":3}"#, r#"{"result":5}"#] {
            assert!(matches!(read(text.as_bytes()), Read::Nothing), "{text}");
        }
        let ping = b"\xef\xbb\xbf{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\r\n";
        assert!(matches!(read(ping), Read::Message(_)));
    }
}
