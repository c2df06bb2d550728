//! The JSON Schemas of tools, made from those of the operations. They are plainer than the library's: clients and
//! models of many makers read them, some of which know neither `format` nor types in a list.
//!
//! A reply schema is one that the replies of success and of failure, whole and short, all satisfy: official clients
//! check each reply against it and refuse one that doesn't fit.

use peerkit::event::{Event, EventKind};
use peerkit::ops::{Effect, Operation};
use rmcp::model::JsonObject;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::events::{MAX_EVENTS, MAX_WAIT_MS, PAGE};
use super::tools::{Is, Tool};

/// The longest that a call may be told to wait. The library takes more; a client of MCP has long given up.
pub const MAX_TIMEOUT_MS: u64 = 600_000;
/// The peers of a list where the caller doesn't say: fewer than in the library, for an agent reads them all.
pub const DEFAULT_LIMIT: u64 = 50;

/// Makes the schema of a tool's parameters.
pub fn input(tool: &Tool, operations: &[&Operation]) -> JsonObject {
    let mut properties = match tool.is {
        Is::Operation(_) | Is::Actions(_) => params(operations),
        Is::Events => event_params(),
        Is::Call => call_params(operations),
    };
    if let Is::Actions(actions) = tool.is {
        let offered = |name: &str| operations.iter().any(|op| op.name == name);
        let names = actions.iter().filter(|(_, name)| offered(name)).map(|(action, _)| *action);
        let names: Vec<_> = names.collect();
        properties.shift_insert(
            0,
            "action".into(),
            json!({"type": "string", "enum": names, "description": "What to do."}),
        );
    }
    if properties.contains_key("multiaddr") && tool.name == "connect_peer" {
        properties.insert(
            "peer_address".into(),
            json!({"type": "string", "description": "Another name for `multiaddr`."}),
        );
    }
    if default_limit(tool.name) {
        let about = format!("At most so many peers, {DEFAULT_LIMIT} where not given.");
        if let Some(limit) = properties.get_mut("limit").and_then(Value::as_object_mut) {
            limit.insert("description".into(), about.into());
        }
    }
    properties.insert(
        "detail".into(),
        json!({"type": "boolean", "description": "True for everything that is known; else the reply is short."}),
    );
    if operations.iter().any(|op| op.effect == Effect::Acts) {
        properties.insert(
            "timeout_ms".into(),
            json!({"type": "integer", "minimum": 1, "maximum": MAX_TIMEOUT_MS,
                "description": "How long it may take, in milliseconds; the node's default, usually 30000, where not given."}),
        );
    }
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    if !tool.required.is_empty() {
        schema.insert("required".into(), json!(tool.required));
    }
    schema.insert("additionalProperties".into(), false.into());
    schema
}

/// Tells whether the tool's `limit` is [`DEFAULT_LIMIT`] where not given.
pub fn default_limit(tool: &str) -> bool {
    matches!(tool, "get_peers" | "search_peers")
}

/// Collects the parameters of operations, but for the one that the server itself gives.
fn params(operations: &[&Operation]) -> JsonObject {
    let mut all = Map::new();
    for op in operations {
        let properties = properties(op.params_schema().to_value());
        for (name, mut schema) in properties {
            if name != "cancel_token" {
                simplify(&mut schema, Side::Input);
                all.entry(name).or_insert(schema);
            }
        }
    }
    all
}

fn event_params() -> JsonObject {
    object(json!({
        "cursor": {"type": "integer", "minimum": 0,
            "description": "`cursor` of the reply before; 0 for all events that are kept."},
        "kinds": {"type": "array", "items": {"type": "string", "enum": EventKind::NAMES},
            "description": "Only events of these kinds, and `stopped`."},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_EVENTS,
            "description": format!("At most so many events, {PAGE} where not given.")},
        "wait_ms": {"type": "integer", "minimum": 0, "maximum": MAX_WAIT_MS,
            "description": "How long to wait for the first event where there is none, in milliseconds; 0 where not given."},
    }))
}

fn call_params(operations: &[&Operation]) -> JsonObject {
    let names: Vec<_> = operations.iter().map(|op| op.name).collect();
    object(json!({
        "method": {"type": "string", "enum": names, "description": "The operation."},
        "params": {"type": "object", "description": "Its parameters."},
    }))
}

/// Makes the schema of a tool's replies.
pub fn output(tool: &Tool, operations: &[&Operation]) -> JsonObject {
    let replies: Vec<JsonObject> = match tool.is {
        Is::Operation(_) | Is::Actions(_) => {
            operations.iter().map(|op| properties(op.reply_schema().to_value())).collect()
        }
        Is::Events => vec![event_reply()],
        Is::Call => Vec::new(),
    };
    // Every reply has these: the envelope, and lists, which a failure has too, empty.
    let mut required = vec!["success".to_owned(), "method".to_owned(), "category".to_owned()];
    if let Some(first) = replies.first() {
        let lists = first.iter().filter(|(_, schema)| schema["type"] == "array");
        let everywhere =
            lists.filter(|(name, _)| replies.iter().all(|reply| reply.contains_key(*name)));
        required.extend(everywhere.map(|(name, _)| name.clone()));
    }
    required.push("source".to_owned());
    let mut all = envelope();
    for (name, mut schema) in replies.into_iter().flatten() {
        if name == "recent_events" {
            schema["items"] = json!({"type": "object", "description": "As in get_events."});
        }
        simplify(&mut schema, Side::Output);
        all.entry(name).or_insert(schema);
    }
    object(json!({"type": "object", "properties": all, "required": required}))
}

/// Describes what stands around each reply, and what says that it was shortened.
fn envelope() -> JsonObject {
    object(json!({
        "success": {"type": "boolean", "description": "Whether it was done."},
        "method": {"type": "string", "description": "The operation."},
        "category": {"type": "string"},
        "error": {"type": ["string", "null"], "description": "What went wrong, for a person."},
        "code": {"type": "string", "description": "What went wrong, for a program."},
        "retryable": {"type": "boolean", "description": "Whether the same call may succeed later."},
        "hint": {"type": ["string", "null"], "description": "What to do about it."},
        "detail": {"type": "object", "description": "Facts about the failure."},
        "source": {"type": "string"},
        "truncated": {"type": "boolean", "description": "Whether something was left out of this reply."},
        "omitted": {"type": "object", "additionalProperties": {"type": "integer"},
            "description": "How many entries of which list were left out to keep the reply short."},
        "rest": {"type": "string", "description": "How to get what was left out."},
    }))
}

fn event_reply() -> JsonObject {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let event = settings.into_generator().into_root_schema_for::<Event>().to_value();
    object(json!({
        "events": {"type": "array", "items": event, "description": "The events, oldest first."},
        "cursor": {"type": "integer", "description": "What to pass as `cursor` for the events after these."},
        "more": {"type": "boolean", "description": "Whether there are further events already."},
        "lagged": {"type": "integer",
            "description": "How many events after the cursor that was given are lost, being no longer kept."},
    }))
}

/// Writes an operation's parameters in short: `topic: string, data_base64: string`.
pub fn signature(op: &Operation) -> String {
    let params = params(&[op]);
    let short = |(name, schema): (&String, &Value)| {
        let kind = match schema["type"].as_str() {
            Some("array") => format!("[{}]", schema["items"]["type"].as_str().unwrap_or("any")),
            Some(kind) => kind.to_owned(),
            None => "any".to_owned(),
        };
        format!("{name}: {kind}")
    };
    params.iter().map(short).collect::<Vec<_>>().join(", ")
}

fn properties(schema: Value) -> JsonObject {
    match schema {
        Value::Object(mut schema) => schema.remove("properties").map(object).unwrap_or_default(),
        _ => Map::new(),
    }
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The direction of a schema: for what comes in, leaving out stands for null.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Input,
    Output,
}

/// Makes a schema plain. What is given out may lack each property, for a short reply does, but not what tells the
/// alternatives of `oneOf` apart.
fn simplify(schema: &mut Value, side: Side) {
    if *schema == Value::Bool(true) {
        *schema = json!({});
    }
    let Value::Object(object) = schema else { return };
    for key in ["$schema", "title", "format"] {
        object.shift_remove(key);
    }
    for key in ["properties", "items", "additionalProperties", "oneOf", "anyOf", "allOf"] {
        match object.get_mut(key) {
            Some(Value::Array(schemas)) => schemas.iter_mut().for_each(|one| simplify(one, side)),
            Some(Value::Object(schemas)) if key == "properties" => {
                schemas.values_mut().for_each(|one| simplify(one, side));
            }
            Some(Value::Bool(_)) if key == "additionalProperties" => {}
            Some(one) => simplify(one, side),
            None => {}
        }
    }
    names(object);
    nullable(object, side);
    if side == Side::Output {
        only_tags(object);
    }
}

/// Makes an `enum` of a `oneOf` of constants.
fn names(object: &mut JsonObject) {
    let Some(Value::Array(all)) = object.get("oneOf") else { return };
    let names: Option<Vec<String>> =
        all.iter().map(|one| one.get("const")?.as_str().map(str::to_owned)).collect();
    if let Some(names) = names {
        object.shift_remove("oneOf");
        object.insert("type".into(), "string".into());
        object.insert("enum".into(), json!(names));
    }
}

/// Joins what may be null into a list of types; for what comes in, drops the null.
fn nullable(object: &mut JsonObject, side: Side) {
    let null = json!({"type": "null"});
    if let Some(Value::Array(either)) = object.get("anyOf")
        && let [Value::Object(some), none] = either.as_slice()
        && *none == null
        && (side == Side::Input || some.get("type").is_some_and(Value::is_string))
    {
        let mut some = some.clone();
        if side == Side::Output {
            if let Some(kind) = some.get("type").cloned() {
                some.insert("type".into(), json!([kind, "null"]));
            }
            if let Some(Value::Array(names)) = some.get_mut("enum") {
                names.push(Value::Null);
            }
        }
        object.shift_remove("anyOf");
        for (key, value) in some {
            object.entry(key).or_insert(value);
        }
    }
    if side == Side::Input
        && let Some(Value::Array(kinds)) = object.get("type")
    {
        let kind = kinds.iter().find(|kind| *kind != "null").cloned();
        object.insert("type".into(), kind.unwrap_or_default());
    }
}

/// Leaves of what is required only the constants.
fn only_tags(object: &mut JsonObject) {
    let Some(Value::Array(required)) = object.shift_remove("required") else { return };
    let properties = object.get("properties");
    let constant = |name: &Value| {
        let name = name.as_str()?;
        properties?.get(name)?.get("const")
    };
    let tags: Vec<_> = required.into_iter().filter(|name| constant(name).is_some()).collect();
    if !tags.is_empty() {
        object.insert("required".into(), tags.into());
    }
}
