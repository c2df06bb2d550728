//! Reads parameters from JSON, and writes the envelope of a reply around what a method returned.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use crate::error::{Error, ErrorKind, MAX_NAME, Result, invalid_argument, may_be_meant, nearest};
use crate::model::given::{whole_numbers, wrong_value};
use crate::text::visible_json;

/// The most a reply may take, in bytes: 16 MiB. One that would be longer is `limit_reached`.
pub const MAX_REPLY: usize = 16 << 20;

/// The length from which on a reply gives back the memory that it doesn't take.
const KEPT_AS_IT_IS: usize = 64 << 10;

pub(super) fn schema(of: fn(&mut SchemaGenerator) -> Schema) -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    of(&mut settings.into_generator())
}

/// Reads a parameter struct; names an unknown key together with the nearest known one.
pub(crate) fn parse<P: DeserializeOwned + JsonSchema>(mut params: Map<String, Value>) -> Result<P> {
    whole_numbers(&mut params);
    let params = Value::Object(params);
    serde_path_to_error::deserialize(&params).map_err(|error| {
        let schema = schema(P::json_schema);
        let known = property_names(&schema);
        let message = error.inner().to_string();
        let keys = params.as_object().into_iter().flat_map(Map::keys);
        let unknown =
            keys.into_iter().find(|key| message.starts_with(&format!("unknown field `{key}`")));
        let Some(unknown) = unknown else {
            // A name is there once, or the text would have been refused: this is another one of the same parameter.
            if let Some(name) = between_ticks(&message, "duplicate field `") {
                let message = format!("`{name}` is given more than once, by another name too");
                return invalid_argument(message).with("key", name);
            }
            let name = match error.path().iter().next() {
                Some(Segment::Map { key }) => key.as_str(),
                _ => "",
            };
            return wrong_value(name, &schema.as_value()["properties"][name], &params[name]);
        };
        let unknown_key =
            format!("unknown parameter `{}`", unknown.chars().take(MAX_NAME).collect::<String>());
        let near = nearest(unknown, known.iter().map(String::as_str));
        let message = match near.filter(|near| may_be_meant(unknown, near)) {
            Some(near) => format!("{unknown_key}; did you mean `{near}`?"),
            None => unknown_key,
        };
        let error = invalid_argument(message).with("key", unknown.as_str());
        match near {
            Some(near) => error.with("nearest", near),
            None => error,
        }
    })
}

/// Returns the name that stands behind these words of serde's.
fn between_ticks<'a>(message: &'a str, words: &str) -> Option<&'a str> {
    message.strip_prefix(words)?.split('`').next()
}

pub(super) fn property_names(schema: &Schema) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

const CATEGORY: &str = "peer";
const SOURCE: &str = "peerkit";

#[derive(Serialize)]
struct Success<'a, R> {
    success: bool,
    method: &'a str,
    category: &'a str,
    /// Present, as null, only where existing dashboards print it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<()>,
    #[serde(flatten)]
    reply: &'a R,
    source: &'a str,
}

/// Returns the JSON of a success.
pub(crate) fn success<R: Serialize>(method: &str, reply: &R) -> Result<String> {
    let envelope = Success {
        success: true,
        method,
        category: CATEGORY,
        error: matches!(method, "connect_peer" | "disconnect_peer").then_some(()),
        reply,
        source: SOURCE,
    };
    let json = serde_json::to_string(&envelope).map_err(|error| {
        Error::new(ErrorKind::Panic, format!("the reply can't be written as JSON: {error}"))
    })?;
    let mut json = visible_json(json).into_owned();
    if json.len() > MAX_REPLY {
        return Err(Error::new(
            ErrorKind::LimitReached,
            format!("the reply would take {} bytes; at most {MAX_REPLY} are given", json.len()),
        )
        .with_hint("ask for fewer peers at a time"));
    }
    // It may be kept until a slow reader has it, and was given up to twice its length to grow.
    if json.len() >= KEPT_AS_IT_IS {
        json.shrink_to_fit();
    }
    Ok(json)
}

/// Returns the JSON of a failure of a call that would have answered with `reply`: its top-level arrays
/// are there, empty, so that a caller which only iterates needs no special case.
pub(crate) fn failure(method: &str, error: &Error, reply: &Schema) -> String {
    let mut json = Map::new();
    json.insert("success".into(), false.into());
    json.insert("method".into(), method.into());
    json.insert("category".into(), CATEGORY.into());
    json.insert("error".into(), error.message().into());
    json.insert("code".into(), error.kind().as_str().into());
    json.insert("retryable".into(), error.retryable().into());
    json.insert("hint".into(), error.hint().into());
    json.insert("detail".into(), error.detail().clone().into());
    for name in array_names(reply) {
        json.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    }
    json.insert("source".into(), SOURCE.into());
    visible_json(Value::Object(json).to_string()).into_owned()
}

/// Returns a [`failure`] for a function outside the catalogue.
pub(crate) fn failure_of<R: JsonSchema>(method: &str, error: &Error) -> String {
    failure(method, error, &schema(R::json_schema))
}

fn array_names(reply: &Schema) -> Vec<String> {
    let properties = reply.get("properties").and_then(Value::as_object);
    let arrays = properties.into_iter().flatten();
    let arrays =
        arrays.filter(|(_, schema)| schema.get("type").and_then(Value::as_str) == Some("array"));
    arrays.map(|(name, _)| name.clone()).collect()
}
