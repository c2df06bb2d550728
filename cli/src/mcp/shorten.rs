//! Replies as an agent gets them: short where it didn't ask for detail, bounded always, and as text in which nothing
//! is hidden. What is left out is told.
//!
//! Short means: of any inner list the beginning, of a peer in a list an address and a few protocols, and nothing that
//! is null or empty, but for the fields that the Python project's handlers always gave: who reads those finds them in a
//! short reply too. The names stay the library's.

use peerkit::text::is_hidden;
use serde_json::{Map, Value, json};
use unicode_width::UnicodeWidthChar;

/// The most that the text of a reply takes, in bytes.
pub const MAX_TEXT: usize = 50_000;

/// The fields of a peer's record that the Python project had.
const PEER: &[&str] = &[
    "peer_id",
    "multiaddrs",
    "connected",
    "last_seen",
    "first_seen",
    "protocols",
    "agent_version",
    "protocol_version",
    "cluster_peer",
    "connection_attempts",
    "successful_connections",
    "last_connection_attempt",
    "last_successful_connection",
    "latency_ms",
    "shared_pins",
    "shared_files",
];
/// The fields of the statistics that the Python project had.
const STATS: &[&str] = &[
    "total_peers",
    "connected_peers",
    "bootstrap_peers",
    "discovery_active",
    "protocols_supported",
    "total_files",
    "total_pins",
    "last_discovery",
    "host_id",
    "uptime_seconds",
    "peer_breakdown",
];
/// The entries that an inner list of a short reply has.
const INNER: usize = 10;
/// The same for lists that are long by nature, wherever they stand.
const LISTS: &[(&str, usize)] =
    &[("protocols", 20), ("protocols_supported", 30), ("recent_events", 5)];
/// The same for a peer in a list.
const ROW_LISTS: &[(&str, usize)] = &[("multiaddrs", 1), ("protocols", 8)];
/// The entries of an inner list and the bytes of a text that stay where a reply is too long, tried one after the other.
const CUTS: &[(usize, usize)] = &[(64, 4096), (16, 1024), (4, 256)];

/// A reply, and its text.
pub struct Short {
    pub reply: Map<String, Value>,
    pub text: String,
}

/// Makes a reply short and bounds it.
pub fn shorten(mut reply: Map<String, Value>, detail: bool) -> Short {
    if !detail {
        compact(&mut reply);
    }
    bound(reply)
}

/// Leaves out what a reader can do without.
fn compact(reply: &mut Map<String, Value>) {
    reply.values_mut().for_each(compact_value);
    for (list, most) in LISTS {
        cut_list(reply, list, *most);
    }
    // A list is there even where it is empty; and these say by being null that all is well, or nothing to be done.
    reply.retain(|name, value| !value.is_null() || ["error", "hint"].contains(&name.as_str()));
}

fn compact_value(value: &mut Value) {
    match value {
        Value::Array(entries) => {
            for entry in entries {
                if let Value::Object(row) = entry
                    && always_of(row) == PEER
                {
                    ROW_LISTS.iter().for_each(|(list, most)| cut_list(row, list, *most));
                }
                compact_value(entry);
            }
        }
        Value::Object(object) => {
            object.values_mut().for_each(compact_value);
            let always = always_of(object);
            object.retain(|name, value| always.contains(&name.as_str()) || !is_empty(value));
            let lists: Vec<String> = object.keys().cloned().collect();
            for list in lists {
                let most = LISTS.iter().find(|(name, _)| *name == list);
                cut_list(object, &list, most.map_or(INNER, |(_, most)| *most));
            }
        }
        _ => {}
    }
}

/// Names the fields that stay in an object, null and empty too.
fn always_of(object: &Map<String, Value>) -> &'static [&'static str] {
    let has = |names: &[&str]| names.iter().all(|name| object.contains_key(*name));
    if has(&["peer_id", "connected", "multiaddrs"]) {
        PEER
    } else if has(&["host_id", "peer_breakdown"]) {
        STATS
    } else {
        &[]
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Leaves `most` entries of a list; `more_` and its name is how many there were beyond them.
fn cut_list(object: &mut Map<String, Value>, name: &str, most: usize) {
    let Some(Value::Array(entries)) = object.get_mut(name) else { return };
    let more = entries.len().saturating_sub(most);
    if more > 0 {
        // Events come oldest first, and the newest matter.
        entries.drain(..if name == "recent_events" { more } else { 0 });
        entries.truncate(most);
        object.insert(format!("more_{name}"), more.into());
    }
}

/// Cuts until the text fits: first the lists of the reply, then whatever is long in it.
fn bound(mut reply: Map<String, Value>) -> Short {
    let mut text = text(&reply);
    if text.len() > MAX_TEXT {
        cut_lists(&mut reply);
        text = self::text(&reply);
    }
    for (entries, bytes) in CUTS {
        if text.len() <= MAX_TEXT {
            break;
        }
        reply.values_mut().for_each(|value| cut_inside(value, *entries, *bytes));
        reply.insert("truncated".into(), true.into());
        text = self::text(&reply);
    }
    if text.len() > MAX_TEXT {
        // Nothing of it is worth more than its envelope.
        reply.retain(|_, value| !value.is_object());
        cut_lists(&mut reply);
        text = self::text(&reply);
    }
    Short { reply, text }
}

/// Leaves of the reply's own lists as much as fits, the longest one cut first.
fn cut_lists(reply: &mut Map<String, Value>) {
    let mut omitted = Map::new();
    loop {
        let over = text(reply).len().saturating_sub(MAX_TEXT - ROOM);
        let lists = reply.iter().filter_map(|(name, value)| {
            let entries = value.as_array().filter(|entries| !entries.is_empty())?;
            Some((name.clone(), escaped(&value.to_string()).len(), entries.len()))
        });
        let longest = lists.max_by_key(|(_, bytes, _)| *bytes);
        let Some((name, bytes, entries)) = longest.filter(|_| over > 0) else { break };
        // By the entries' average length, and always some progress.
        let stay = (bytes.saturating_sub(over) * entries / bytes).min(entries - 1);
        let Some(Value::Array(list)) = reply.get_mut(&name) else { break };
        list.truncate(stay);
        let before = omitted.get(&name).and_then(Value::as_u64).unwrap_or_default();
        omitted.insert(name, (before + (entries - stay) as u64).into());
    }
    if !omitted.is_empty() {
        mark_omitted(reply, omitted, rest(reply));
    }
}

/// The bytes that `truncated`, `omitted` and `rest` take.
const ROOM: usize = 600;

/// Tells how to get the rest of a reply.
fn rest(reply: &Map<String, Value>) -> &'static str {
    match reply.get("method").and_then(Value::as_str) {
        Some("list_peers") => "pass pagination.next_cursor as cursor, or a smaller limit",
        Some("get_peers" | "search_peers") => {
            "page through list_peers (it takes search, filters, cursor), or narrow the search"
        }
        Some("get_events") => "pass cursor",
        Some("discover_peers" | "get_discovery") => "list_peers with sort first_seen",
        _ => "ask for less, or for one thing at a time",
    }
}

fn mark_omitted(reply: &mut Map<String, Value>, omitted: Map<String, Value>, rest: &str) {
    reply.insert("truncated".into(), true.into());
    let all = reply.entry("omitted").or_insert_with(|| json!({}));
    if let Value::Object(all) = all {
        all.extend(omitted);
    }
    reply.insert("rest".into(), rest.into());
}

fn cut_inside(value: &mut Value, entries: usize, bytes: usize) {
    match value {
        Value::String(text) if text.len() > bytes => {
            text.truncate(text.floor_char_boundary(bytes));
            text.push('…');
        }
        Value::Array(list) => {
            list.iter_mut().for_each(|entry| cut_inside(entry, entries, bytes));
        }
        Value::Object(object) => {
            let names: Vec<String> = object.keys().cloned().collect();
            for name in names {
                cut_list(object, &name, entries);
            }
            object.values_mut().for_each(|value| cut_inside(value, entries, bytes));
        }
        _ => {}
    }
}

/// Writes the reply as JSON in which every character can be seen.
pub fn text(reply: &Map<String, Value>) -> String {
    escaped(&serde_json::to_string(reply).unwrap_or_default())
}

/// Escapes, in JSON text, what a reader doesn't see or what changes how the rest is seen: controls, marks of
/// direction, characters without width, tags, private ones. Outside its strings JSON has none of them.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    let mut from = 0;
    for (at, c) in json.char_indices() {
        if !is_plain(c) {
            shown.push_str(&json[from..at]);
            for unit in c.encode_utf16(&mut [0; 2]) {
                shown.push_str(&format!("\\u{unit:04x}"));
            }
            from = at + c.len_utf8();
        }
    }
    shown.push_str(&json[from..]);
    shown
}

fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    // Nobody but two who agreed on it knows what a private one shows.
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !private && !is_hidden(c) && c.width().is_some_and(|width| width > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    /// Makes the row of a peer with that many addresses and protocols.
    fn row(addresses: usize, protocols: usize) -> Value {
        let many =
            |name: &str, count| (0..count).map(|n| format!("{name}/{n}.0.0")).collect::<Vec<_>>();
        json!({"peer_id": "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
            "multiaddrs": many("/ip4/192.0.2.1/udp/4001/quic-v1", addresses), "connected": true,
            "last_seen": 1795381511.123456, "first_seen": 1795381511.123456,
            "protocols": many("/libp2p/circuit/relay", protocols), "agent_version": "kubo/0.40.1/39f8a23",
            "protocol_version": null, "cluster_peer": false, "connection_attempts": 0,
            "successful_connections": 0, "last_connection_attempt": null,
            "last_successful_connection": null, "latency_ms": null, "shared_pins": [],
            "shared_files": [], "direction": "outbound", "transport": null})
    }

    fn names(value: &Value) -> Vec<&str> {
        value.as_object().unwrap().keys().map(String::as_str).collect()
    }

    #[test]
    fn a_row_keeps_what_the_python_handlers_gave_and_tells_of_the_rest() {
        let reply = json!({"success": true, "peers": [row(3, 20), row(0, 0)], "failed": []});
        let short = shorten(object(reply), false).reply;
        let [many, none] = &short["peers"].as_array().unwrap()[..] else { panic!("{short:?}") };
        for row in [many, none] {
            assert!(PEER.iter().all(|name| names(row).contains(name)), "{row}");
            assert!(!names(row).contains(&"transport"), "of the others none that is null: {row}");
            assert_eq!(row["direction"], "outbound");
        }
        assert_eq!((&many["more_multiaddrs"], &many["more_protocols"]), (&json!(2), &json!(12)));
        assert_eq!((&none["protocols"], &none["latency_ms"]), (&json!([]), &Value::Null));
        assert_eq!(short["failed"], json!([]));
        let info = shorten(object(json!({"peer_info": row(3, 30)})), false).reply;
        assert!(PEER.iter().all(|name| names(&info["peer_info"]).contains(name)), "{info:?}");
        assert_eq!(info["peer_info"]["more_protocols"], 10);
    }

    #[test]
    fn the_statistics_keep_what_the_python_handlers_gave() {
        let protocols: Vec<_> = (0..40).map(|n| format!("/p/{n}")).collect();
        let stats = STATS.iter().map(|name| ((*name).to_owned(), Value::Null));
        let mut stats: Map<_, _> = stats.chain([("dropped".to_owned(), json!({}))]).collect();
        stats["protocols_supported"] = json!(protocols);
        let reply = json!({"protocols_supported": protocols, "stats": stats});
        let short = shorten(object(reply), false).reply;
        let kept = &short["stats"];
        assert!(STATS.iter().all(|name| names(kept).contains(name)), "{kept}");
        assert!(!names(kept).contains(&"dropped"), "{kept}");
        assert_eq!(kept["protocols_supported"].as_array().unwrap().len(), 30);
        assert_eq!(
            (&kept["more_protocols_supported"], &short["more_protocols_supported"]),
            (&json!(10), &json!(10))
        );
    }

    #[test]
    fn what_is_kept_are_fields_of_the_library() {
        let schema = |op: &str, path: &str| {
            let schema = peerkit::ops::find(op).unwrap().reply_schema().to_value();
            schema.pointer(path).unwrap().clone()
        };
        for (names, properties) in [
            (PEER, schema("list_peers", "/properties/peers/items/properties")),
            (PEER, schema("get_peer", "/properties/peer_info/properties")),
            (STATS, schema("get_peer_stats", "/properties/stats/properties")),
            (STATS, schema("get_peers_summary", "/properties/stats/properties")),
        ] {
            assert!(names.iter().all(|name| properties.get(name).is_some()), "{properties}");
        }
    }

    #[test]
    fn a_page_of_the_usual_size_is_whole_whatever_the_peers_speak() {
        let peers = vec![row(16, 256); super::super::schema::DEFAULT_LIMIT as usize];
        let short = shorten(object(json!({"method": "get_peers", "peers": peers})), false);
        assert_eq!(short.reply.get("omitted"), None, "{} bytes", short.text.len());
        let small = serde_json::to_string(
            &shorten(object(json!({"peers": [row(1, 0)]})), false).reply["peers"],
        );
        assert!(small.unwrap().len() < 600);
    }

    #[test]
    fn however_long_a_reply_is_its_text_is_bounded_and_says_so() {
        let long = "é".repeat(20_000);
        let replies = [
            json!({"method": "get_peers", "peers": vec![json!({"peer_id": "12D3"}); 10_000], "total": 10_000}),
            json!({"peers": vec![json!({"agent_version": "\u{202e}".repeat(300)}); 1000]}),
            json!({"peer_info": {"metadata": {"a": long, "b": vec![long.clone(); 10]}}}),
            json!({"peer_info": (0..2_000).map(|n| (n.to_string(), json!("x".repeat(200)))).collect::<Map<_, _>>()}),
            json!({"events": [{"data_base64": "A".repeat(80_000)}]}),
        ];
        for reply in replies {
            for detail in [false, true] {
                let short = shorten(object(reply.clone()), detail);
                assert!(short.text.len() <= MAX_TEXT, "{}", short.text.len());
                assert_eq!(
                    serde_json::from_str::<Value>(&short.text).unwrap(),
                    Value::Object(short.reply.clone())
                );
                assert!(short.reply["truncated"].as_bool().unwrap());
            }
        }
    }

    #[test]
    fn the_number_left_out_is_told() {
        let reply =
            json!({"method": "get_peers", "peers": vec![json!({"peer_id": "12D3"}); 10_000]});
        let short = shorten(object(reply), false).reply;
        let shown = short["peers"].as_array().unwrap().len() as u64;
        assert!(shown > 1000 && shown + short["omitted"]["peers"].as_u64().unwrap() == 10_000);
        assert!(short["rest"].as_str().unwrap().contains("list_peers"));
    }

    #[test]
    fn nothing_is_hidden_in_the_text() {
        let agent = "go\u{202e}\u{200b}\u{e0041}\u{7f}\u{85}é漢\n\"";
        let short = shorten(object(json!({"agent": agent})), false);
        assert_eq!(short.text, r#"{"agent":"go\u202e\u200b\udb40\udc41\u007f\u0085é漢\n\""}"#);
        assert_eq!(serde_json::from_str::<Value>(&short.text).unwrap()["agent"], agent);
    }
}
