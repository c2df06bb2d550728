//! The forms in which routes answer: the library's envelope as it is, or `{"success":true,"data":{...}}` as the Python
//! project's routes did, some with fields that its dashboards expect. Failures are the library's own everywhere.

use axum::http::StatusCode;
use axum::response::Response;
use peerkit::text::visible_json;
use serde_json::{Map, Value, json};

use super::status;
use crate::node::Reply;

/// The form of a route's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The library's envelope.
    Envelope,
    /// `data` holds the operation's fields.
    Data,
    /// The same, and the operation's own `message` beside it.
    Message,
    /// The same, and a fixed message beside it.
    Says(&'static str),
    /// The same, and a message that tells whether something changed.
    Changed(&'static str, &'static str),
    /// A peer with what it shares.
    Peer,
    /// The content of a peer: all of it, or one part.
    Content,
    Metadata,
    Pins,
    Files,
    /// The state of discovery.
    DiscoveryStatus,
    /// The statistics, without a level between.
    NetworkStats,
}

/// The field that says whether a peer's content is known; it never is yet.
const AVAILABLE: &str = "available";
/// The last events that a status of discovery shows.
const LAST_EVENTS: usize = 10;

impl Shape {
    /// Makes the response to a reply.
    pub fn response(self, reply: Reply) -> Response {
        if self == Shape::Envelope || !reply.is_success() {
            return status::plain(reply);
        }
        if let (Shape::Data, Some(fields)) = (self, fields_text(reply.json())) {
            // In place: a large reply is there once.
            let (begin, length) = (offset(reply.json(), fields), fields.len());
            let mut text = reply.into_json();
            text.truncate(begin + length);
            text.push_str("}}");
            text.replace_range(..begin, "{\"success\":true,\"data\":{");
            return status::json(StatusCode::OK, text);
        }
        let fields = fields(&reply);
        let mut answer = Map::new();
        answer.insert("success".into(), true.into());
        if let Some(message) = self.message(&fields) {
            answer.insert("message".into(), message);
        }
        answer.insert("data".into(), self.data(fields));
        let answer = visible_json(Value::Object(answer).to_string());
        status::json(StatusCode::OK, answer.into_owned())
    }

    fn message(self, fields: &Map<String, Value>) -> Option<Value> {
        match self {
            Shape::Message => fields.get("message").cloned(),
            Shape::Says(text) => Some(text.into()),
            Shape::Changed(text, already) => Some(
                if fields.get("changed") == Some(&true.into()) { text } else { already }.into(),
            ),
            _ => None,
        }
    }

    fn data(self, mut fields: Map<String, Value>) -> Value {
        let mut take = |name: &str| fields.shift_remove(name).unwrap_or_default();
        match self {
            Shape::Peer => {
                let peer = take("peer_info");
                let connections = peer.get("connections").cloned().unwrap_or_default();
                json!({
                    "peer": peer, "metadata": {}, "shared_content": content(), "connection_history": connections,
                    AVAILABLE: false
                })
            }
            Shape::Content => content(),
            Shape::Metadata => of_peer(&take("peer_info"), "metadata", json!({})),
            Shape::Pins => of_peer(&take("peer_info"), "pins", json!([])),
            Shape::Files => of_peer(&take("peer_info"), "files", json!([])),
            Shape::DiscoveryStatus => discovery_status(fields),
            Shape::NetworkStats => {
                let stats = take("stats");
                let mut data = stats.as_object().cloned().unwrap_or_default();
                data.insert("stats".into(), stats);
                data.into()
            }
            _ => fields.into(),
        }
    }
}

fn content() -> Value {
    json!({"pins": [], "files": [], "metadata": {}, "knowledge_base": {}, AVAILABLE: false})
}

fn of_peer(peer: &Value, name: &str, nothing: Value) -> Value {
    json!({"peer_id": peer["peer_id"], name: nothing, AVAILABLE: false})
}

fn discovery_status(mut fields: Map<String, Value>) -> Value {
    let mut take = |name: &str| fields.shift_remove(name).unwrap_or_default();
    let events = take("recent_events");
    let events = events.as_array().map(Vec::as_slice).unwrap_or_default();
    json!({
        "discovery_active": take("discovery_active"),
        "total_discovered": take("total_discovered"),
        "discovery_events": &events[events.len().saturating_sub(LAST_EVENTS)..],
        "bootstrap_peers": take("bootstrap_peers"),
        "supported_protocols": take("protocols_supported"),
    })
}

/// Returns where a part of a text begins.
fn offset(text: &str, part: &str) -> usize {
    part.as_ptr() as usize - text.as_ptr() as usize
}

/// Cuts the operation's fields out of a success as the library writes it: a page of peers isn't read
/// and written again only to put it into another envelope. None where it looks another way.
fn fields_text(json: &str) -> Option<&str> {
    let rest = json.strip_prefix("{\"success\":true,\"method\":\"")?;
    let (_, rest) = rest.split_once("\",\"category\":\"peer\",")?;
    let rest = rest.strip_prefix("\"error\":null,").unwrap_or(rest);
    rest.strip_suffix(",\"source\":\"peerkit\"}")
}

/// Gives the operation's fields.
fn fields(reply: &Reply) -> Map<String, Value> {
    let mut fields = reply.object();
    for name in ["success", "method", "category", "error", "source"] {
        fields.shift_remove(name);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_out_as_they_would_be_read() {
        let json = r#"{"success":true,"method":"connect_peer","category":"peer","error":null,"a":[{"source":"peerkit"}],"b":1,"source":"peerkit"}"#;
        let cut: Map<String, Value> =
            serde_json::from_str(&format!("{{{}}}", fields_text(json).unwrap())).unwrap();
        assert_eq!(cut, fields(&Reply::new(json.to_owned())));
    }
}
