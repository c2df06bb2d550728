//! The shapes of peerkit's answers, as files under `tests/snapshots`: a change of one is a visible
//! diff. `PEERKIT_UPDATE=1` writes them anew. Every real reply is also held against its schema.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use peerkit::{ErrorKind, ops};
use serde_json::{Map, Value, json};

use crate::support::servers::{ApiServer, ClosedPort};
use crate::support::{Peer, eventually, some_peer_id};

/// The CID of some content.
const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
/// Keys of the envelope, which the schemas of replies leave out.
const ENVELOPE: [&str; 9] =
    ["success", "method", "category", "error", "code", "retryable", "hint", "detail", "source"];

#[track_caller]
fn assert_snapshot(name: &str, value: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    let actual = format!("{value:#}\n");
    if std::env::var_os("PEERKIT_UPDATE").is_some() {
        std::fs::write(&path, &actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).find(|(old, new)| old != new);
    assert!(
        expected == actual,
        "{} is not what peerkit answers; first difference: {differs:?}. If that is meant, run with \
         PEERKIT_UPDATE=1 and tell of it in the CHANGELOG",
        path.display()
    );
}

/// Returns the keys and the types of a value. An array has the shapes of its members, each once.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::String(_) => json!("string"),
        Value::Number(number) if number.is_f64() => json!("number"),
        Value::Number(_) => json!("integer"),
        Value::Array(members) => {
            let mut shapes: Vec<Value> = Vec::new();
            for member in members.iter().map(shape) {
                if !shapes.contains(&member) {
                    shapes.push(member);
                }
            }
            // The order of answers isn't a matter of shape.
            shapes.sort_by_key(Value::to_string);
            Value::Array(shapes)
        }
        Value::Object(object) => {
            let object = object.iter().map(|(key, value)| (key.clone(), shape(value)));
            Value::Object(object.collect())
        }
    }
}

/// Returns a schema without its descriptions: wording may change without notice.
fn without_words(schema: impl serde::Serialize) -> Value {
    let mut schema = serde_json::to_value(schema).unwrap();
    drop_descriptions(&mut schema, false);
    schema
}

/// Removes descriptions. In an object of properties a key is a property's name, whatever it is.
fn drop_descriptions(value: &mut Value, names_properties: bool) {
    match value {
        Value::Object(object) => {
            if !names_properties {
                object.remove("description");
            }
            for (key, value) in object {
                drop_descriptions(value, !names_properties && key == "properties");
            }
        }
        Value::Array(members) => {
            members.iter_mut().for_each(|member| drop_descriptions(member, false));
        }
        _ => {}
    }
}

/// Tells why a value isn't as the schema says, in the parts of JSON Schema that schemars writes.
fn mismatch(value: &Value, schema: &Value, at: &str) -> Option<String> {
    let schema = schema.as_object()?;
    if let Some(types) = schema.get("type") {
        let types = types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
        if !types.iter().any(|name| has_type(value, name.as_str().unwrap())) {
            return Some(format!("{at}: {value} is none of {types:?}"));
        }
    }
    if schema.get("enum").is_some_and(|all| !all.as_array().unwrap().contains(value))
        || schema.get("const").is_some_and(|only| only != value)
    {
        return Some(format!("{at}: {value} is not a value of {schema:?}"));
    }
    for either in ["anyOf", "oneOf"] {
        if let Some(options) = schema.get(either).and_then(Value::as_array) {
            let tried: Vec<_> = options.iter().map(|option| mismatch(value, option, at)).collect();
            if tried.iter().all(Option::is_some) {
                return Some(format!("{at}: {value} fits no option: {tried:?}"));
            }
        }
    }
    let object = value.as_object().into_iter().flat_map(|object| {
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        let missing = required.map(|key| key.as_str().unwrap());
        let missing = missing.filter(|key| !object.contains_key(*key));
        let missing = missing.map(|key| format!("{at}.{key} is missing"));
        let properties = schema.get("properties").and_then(Value::as_object);
        let wrong = properties.into_iter().flatten().filter_map(move |(key, property)| {
            mismatch(object.get(key)?, property, &format!("{at}.{key}"))
        });
        missing.chain(wrong)
    });
    let items = value.as_array().into_iter().flatten().enumerate().filter_map(|(index, member)| {
        mismatch(member, schema.get("items")?, &format!("{at}[{index}]"))
    });
    object.chain(items).next()
}

fn has_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("no type of JSON Schema: {other}"),
    }
}

/// Checks that the reply without its envelope has exactly the keys of the schema, and that they are as it says.
#[track_caller]
fn assert_fits(method: &str, reply: &Value) {
    let schema = serde_json::to_value(ops::find(method).unwrap().reply_schema()).unwrap();
    if let Some(mismatch) = mismatch(reply, &schema, method) {
        panic!("{mismatch}");
    }
    let told = schema["properties"].as_object().unwrap();
    let keys = reply.as_object().unwrap().keys();
    let strange: Vec<_> =
        keys.filter(|key| !ENVELOPE.contains(&key.as_str()) && !told.contains_key(*key)).collect();
    assert!(strange.is_empty(), "{method}: the schema has no {strange:?}");
}

fn event_schema() -> Value {
    let mut settings = schemars::generate::SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let schema = settings.into_generator().into_root_schema_for::<peerkit::event::Event>();
    serde_json::to_value(schema).unwrap()
}

/// Calls everything, so that every field there is gets filled.
fn replies() -> (Map<String, Value>, BTreeMap<String, Value>) {
    let sources = json!({ "dht": "server", "gossip": true, "interval_s": 3600 });
    let config = json!({
        "discovery": sources, "advertise": ["/ip4/127.0.0.1/tcp/9"], "limits": { "low_water": 0 },
    });
    let mut serving = config.clone();
    serving["serve_perf"] = json!(true);
    let (a, b, closed) = (Peer::with(config), Peer::with(serving), ClosedPort::new());
    let first_events = a.ok("get_peers_summary", json!({}))["recent_events"].clone();
    let stranger = some_peer_id();
    let api = ApiServer::start();
    api.kubo(&b, &[]);
    api.cluster(&[&b]);
    let mut replies = Map::new();
    let mut note = |name: &str, method: &str, params: Value| {
        let reply = a.call(method, params);
        assert_eq!(reply["method"], method, "{reply:#}");
        assert_fits_if_success(method, &reply);
        replies.insert(name.to_owned(), shape(&reply));
    };
    note("add_peer", "add_peer", json!({ "peer_id": stranger, "multiaddrs": [closed.address()] }));
    note("connect_peer (failure)", "connect_peer", json!({ "peer_id": stranger }));
    note("get_peer (never connected)", "get_peer", json!({ "peer_id": stranger }));
    note("remove_peer", "remove_peer", json!({ "peer_id": stranger }));
    note("connect_peer", "connect_peer", json!({ "multiaddr": b.at("tcp") }));
    note("ping_peer", "ping_peer", json!({ "peer_id": b.id() }));
    note("measure_bandwidth", "measure_bandwidth", json!({ "peer_id": b.id() }));
    note("status", "status", json!({}));
    note("get_peers", "get_peers", json!({}));
    note("list_peers", "list_peers", json!({ "limit": 1 }));
    note("search_peers", "search_peers", json!({ "query": "peerkit" }));
    note("get_peer", "get_peer", json!({ "peer_id": b.id() }));
    note("get_peer_stats", "get_peer_stats", json!({}));
    eventually(Duration::from_secs(10), "the DHT has a peer", || {
        b.call("provide", json!({ "cid": CID }))["success"] == true
    });
    note("provide", "provide", json!({ "cid": CID }));
    note("find_providers", "find_providers", json!({ "cid": CID }));
    note("find_peer", "find_peer", json!({ "peer_id": b.id() }));
    note("find_peer (failure)", "find_peer", json!({ "peer_id": some_peer_id() }));
    note("subscribe", "subscribe", json!({ "topic": "t" }));
    b.ok("subscribe", json!({ "topic": "t" }));
    for publisher in [&a, &b] {
        eventually(Duration::from_secs(10), "the other subscribes", || {
            let message = json!({ "topic": "t", "data_base64": "aGk=" });
            publisher.call("publish", message)["success"] == true
        });
    }
    note("publish", "publish", json!({ "topic": "t", "data_base64": "aG8=" }));
    let message = a.wait_for("message", b.id());
    note("unsubscribe", "unsubscribe", json!({ "topic": "t" }));
    let dead = format!("{}/p2p/{stranger}", closed.address());
    note("add_bootstrap_peer", "add_bootstrap_peer", json!({ "multiaddr": dead }));
    note("list_bootstrap_peers", "list_bootstrap_peers", json!({}));
    note("discover_peers", "discover_peers", json!({}));
    note("get_discovery", "get_discovery", json!({}));
    note("stop_discovery", "stop_discovery", json!({}));
    note("start_discovery", "start_discovery", json!({}));
    note("network_changed", "network_changed", json!({}));
    note("remove_bootstrap_peer", "remove_bootstrap_peer", json!({ "multiaddr": dead }));
    note("bootstrap_from_ipfs", "bootstrap_from_ipfs", json!({ "api": api.url() }));
    note("bootstrap_from_cluster", "bootstrap_from_cluster", json!({ "api": api.url() }));
    let down = closed.address();
    note("bootstrap_from_ipfs (failure)", "bootstrap_from_ipfs", json!({ "api": down }));
    api.json("/api/v0/id", &json!({ "ID": some_peer_id(), "Addresses": [closed.address()] }));
    note("bootstrap_from_ipfs (failed)", "bootstrap_from_ipfs", json!({ "api": api.url() }));
    note("disconnect_peer", "disconnect_peer", json!({ "peer_id": b.id() }));
    note("get_peer (disconnected)", "get_peer", json!({ "peer_id": b.id() }));
    note("get_peers_summary", "get_peers_summary", json!({}));
    note("get_metrics", "get_metrics", json!({}));
    // The protocols of the peers and the events aren't the shape of a reply.
    for reply in replies.values_mut().filter(|reply| reply["success"] == "boolean") {
        put_aside(reply);
    }

    a.ok("stop", json!({}));
    let first_events = first_events.as_array().unwrap().clone();
    let events = [first_events, vec![message], a.events_so_far()].concat();
    let schema = event_schema();
    for event in &events {
        assert_eq!(mismatch(event, &schema, "event"), None);
    }
    let events = events.iter().map(|event| {
        let mut shape = shape(event);
        put_aside(&mut shape);
        (event["event"].as_str().unwrap().to_owned(), shape)
    });
    (replies, events.collect())
}

/// Puts names in place of everything that differs from run to run: the keys a map happens to have, the
/// events that came last, the note of a source.
fn put_aside(shape: &mut Value) {
    let Value::Object(object) = shape else {
        return shape.as_array_mut().into_iter().flatten().for_each(put_aside);
    };
    for (key, value) in object {
        match key.as_str() {
            "protocols" | "dropped" | "found" if value.is_object() => {
                *value = json!({ "*": "integer" });
            }
            "sources" if value.is_object() => {
                for source in value.as_object_mut().unwrap().values_mut() {
                    source["dropped"] = json!({ "*": "integer" });
                    source["note"] = json!("string or null");
                    source["last_error"] = json!("object or null");
                    source["last_found"] = json!("number or null");
                }
            }
            "recent_events" => *value = json!(["events.json"]),
            "discovered_peers" => *value = json!(["a row of list_peers"]),
            _ => put_aside(value),
        }
    }
}

#[track_caller]
fn assert_fits_if_success(method: &str, reply: &Value) {
    if reply["success"] == true {
        assert_fits(method, reply);
    }
}

#[test]
fn replies_and_events_keep_their_shape_and_fit_their_schemas() {
    let (mut replies, events) = replies();
    let idle = Peer::start();
    for operation in ops::catalogue() {
        assert!(replies.contains_key(operation.name), "no reply of {} was taken", operation.name);
        // An unknown key is the one failure that every operation has.
        let failure = idle.call(operation.name, json!({ "no such key": 1 }));
        assert_eq!(failure["code"], "invalid_argument", "{failure:#}");
        let name = format!("{} (invalid_argument)", operation.name);
        replies.insert(name, shape(&failure));
    }
    replies.sort_keys();
    assert_snapshot("replies.json", &Value::Object(replies));
    assert_snapshot("events.json", &json!(events));
}

#[test]
fn the_schemas_of_the_catalogue_are_kept() {
    let schemas: Map<String, Value> = ops::catalogue()
        .iter()
        .map(|operation| {
            let schemas = json!({
                "aliases": operation.aliases,
                "effect": format!("{:?}", operation.effect),
                "destructive": operation.destructive,
                "idempotent": operation.idempotent,
                "open_world": operation.open_world,
                "params": without_words(operation.params_schema()),
                "reply": without_words(operation.reply_schema()),
            });
            (operation.name.to_owned(), schemas)
        })
        .collect();
    assert_snapshot("catalogue.json", &Value::Object(schemas));
}

#[test]
fn the_schema_of_events_is_kept() {
    assert_snapshot("event_schema.json", &without_words(event_schema()));
}

#[test]
fn the_error_codes_are_kept() {
    let codes: Map<String, Value> = ErrorKind::ALL
        .iter()
        .map(|kind| {
            let what = json!({ "retryable": kind.retryable(), "hint": kind.hint() });
            (kind.as_str().to_owned(), what)
        })
        .collect();
    assert_snapshot("errors.json", &Value::Object(codes));
}

#[test]
fn the_check_of_schemas_can_fail() {
    let schema = json!({
        "type": "object",
        "required": ["a"],
        "properties": { "a": { "type": ["string", "null"] }, "b": { "items": { "enum": [1, 2] } } },
    });
    for (value, fits) in [
        (json!({ "a": "x", "b": [1, 2] }), true),
        (json!({ "a": null }), true),
        (json!({ "a": 1 }), false),
        (json!({ "b": [1] }), false),
        (json!({ "a": "x", "b": [3] }), false),
        (json!([]), false),
    ] {
        assert_eq!(mismatch(&value, &schema, "").is_none(), fits, "{value}");
    }
}
