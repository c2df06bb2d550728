//! The schemas in the document, made from those of the operations.

use peerkit::ErrorKind;
use peerkit::ops::{self, Operation};
use serde_json::{Map, Value, json};

use crate::http::shape::Shape;

/// Puts the library's envelope around an operation's fields.
pub fn envelope(op: &Operation) -> Value {
    let mut schema = reply(op);
    let fixed = [
        ("success", json!({"const": true})),
        ("method", json!({"const": op.name})),
        ("category", json!({"type": "string"})),
        ("source", json!({"type": "string"})),
    ];
    for (name, property) in fixed {
        schema["properties"][name] = property;
        if let Some(required) = schema["required"].as_array_mut() {
            required.push(name.into());
        }
    }
    schema
}

/// Describes what stands in `data`.
pub fn reply_data(shape: Shape, op: &Operation) -> Value {
    let reply = reply(op);
    let of_reply = |name: &str| reply["properties"][name].clone();
    let object = json!({"type": "object"});
    let list = json!({"type": "array"});
    let available = json!({"const": false, "description": "What peers share isn't known yet."});
    let content = all(json!({
        "pins": list, "files": list, "metadata": object, "knowledge_base": object, "available": available
    }));
    let id = json!({"type": "string"});
    match shape {
        Shape::Peer => all(json!({
            "peer": of_reply("peer_info"), "metadata": object, "shared_content": content, "connection_history": list,
            "available": available,
        })),
        Shape::Content => content,
        Shape::Metadata => all(json!({"peer_id": id, "metadata": object, "available": available})),
        Shape::Pins => all(json!({"peer_id": id, "pins": list, "available": available})),
        Shape::Files => all(json!({"peer_id": id, "files": list, "available": available})),
        Shape::DiscoveryStatus => all(json!({
            "discovery_active": of_reply("discovery_active"), "total_discovered": of_reply("total_discovered"),
            "discovery_events": of_reply("recent_events"), "bootstrap_peers": of_reply("bootstrap_peers"),
            "supported_protocols": {"type": "array", "items": {"type": "string"}},
        })),
        Shape::NetworkStats => {
            let mut stats = of_reply("stats");
            let nested = stats.clone();
            stats["properties"]["stats"] = nested;
            stats
        }
        _ => reply,
    }
}

/// Describes the failure reply.
pub fn failure() -> Value {
    json!({
        "type": "object",
        "required": ["success", "method", "category", "error", "code", "retryable", "hint", "detail", "source"],
        "properties": {
            "success": {"const": false},
            "method": {"type": "string"},
            "category": {"type": "string"},
            "error": {"type": "string", "description": "What happened, for a person."},
            "code": codes(),
            "retryable": {"type": "boolean", "description": "Whether the same call may succeed later."},
            "hint": {"type": ["string", "null"], "description": "What to do about it."},
            "detail": {"type": "object", "description": "Facts, such as `attempts` of a dial."},
            "source": {"type": "string"},
        },
    })
}

/// Lists the codes of the catalogue.
pub fn codes() -> Value {
    let codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
    json!({"type": "string", "enum": codes, "description": "What went wrong, for a program."})
}

/// Schemas that many replies have, by the names they get in the document.
pub fn shared() -> Map<String, Value> {
    let within = [
        ("Event", "get_peers_summary", "/properties/recent_events/items"),
        ("PeerRow", "list_peers", "/properties/peers/items"),
        ("PeerInfo", "get_peer", "/properties/peer_info"),
        ("Stats", "get_peer_stats", "/properties/stats"),
    ];
    let schema = |(name, op, path): (&str, &str, &str)| {
        let mut schema = reply(ops::find(op).ok()?).pointer(path)?.clone();
        about(&mut schema);
        Some((name.to_owned(), schema))
    };
    within.into_iter().filter_map(schema).collect()
}

/// Puts a reference where a shared schema stands; what is said about it there stays beside the reference.
pub fn refer(value: &mut Value, shared: &Map<String, Value>) {
    let mut bare = value.clone();
    let said = about(&mut bare);
    if let Some((name, _)) = shared.iter().find(|(_, schema)| **schema == bare) {
        *value = json!({"$ref": format!("#/components/schemas/{name}")});
        if let Some(said) = said {
            value["description"] = said;
        }
        return;
    }
    match value {
        Value::Object(object) => object.values_mut().for_each(|value| refer(value, shared)),
        Value::Array(items) => items.iter_mut().for_each(|value| refer(value, shared)),
        _ => {}
    }
}

/// Takes the description out.
fn about(schema: &mut Value) -> Option<Value> {
    schema.as_object_mut()?.shift_remove("description")
}

/// Describes a parameter of a query or a path.
pub fn parameter(name: &str, schema: &Value, in_path: bool) -> Value {
    let mut schema = schema.clone();
    tidy(&mut schema);
    without_null(&mut schema);
    let about = schema.as_object_mut().and_then(|schema| schema.shift_remove("description"));
    if in_path {
        schema["minLength"] = 1.into();
    }
    let place = if in_path { "path" } else { "query" };
    json!({"name": name, "in": place, "required": in_path, "schema": schema, "description": about.unwrap_or("".into())})
}

/// Takes null out: in a query or a path nothing can be null.
fn without_null(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = object.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = &kinds[..] {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(forms)) = object.get_mut("anyOf") {
        forms.retain(|form| form["type"] != "null");
        if let [Value::Object(only)] = &forms[..] {
            let only = only.clone();
            object.shift_remove("anyOf");
            object.extend(only);
        }
    }
}

fn reply(op: &Operation) -> Value {
    let mut schema = Value::from(op.reply_schema());
    tidy(&mut schema);
    for (name, default) in [("properties", json!({})), ("required", json!([]))] {
        if schema[name].is_null() {
            schema[name] = default;
        }
    }
    schema
}

/// Takes out what is Rust's and nobody else's: names of structs, widths of integers.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            object.shift_remove("$schema");
            if object.get("title").is_some_and(Value::is_string) {
                object.shift_remove("title");
            }
            if object.get("format").is_some_and(Value::is_string) {
                object.shift_remove("format");
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Describes an object with all of these.
pub fn all(properties: Value) -> Value {
    let names: Vec<_> = properties.as_object().map(Map::keys).into_iter().flatten().collect();
    json!({"type": "object", "required": names, "properties": properties})
}
