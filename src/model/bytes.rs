//! Bytes: as they are in Rust, base64 in JSON.

use std::borrow::Cow;

use base64::prelude::BASE64_STANDARD;
use base64::{DecodeError, Engine};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{Result, invalid_argument};

/// Writes bytes as base64; for `#[serde(with)]`.
pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(bytes))
}

/// Reads bytes from base64; for `#[serde(with)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    BASE64_STANDARD.decode(&*text).map_err(D::Error::custom)
}

/// Bytes that a caller sends. A text that is no base64 is kept until the call refuses it, as it refuses
/// every value that isn't right.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Bytes(Vec<u8>),
    NotBase64(String),
}

impl Data {
    /// The bytes; the parameter has this name in JSON.
    pub(crate) fn into_bytes(self, name: &str) -> Result<Vec<u8>> {
        match self {
            Data::Bytes(bytes) => Ok(bytes),
            Data::NotBase64(text) => BASE64_STANDARD.decode(text).map_err(|error| {
                let why = match error {
                    DecodeError::InvalidByte(at, _) => {
                        format!("at {at} it has a character that base64 doesn't use")
                    }
                    _ => "its end is cut off or padded otherwise than with =".to_owned(),
                };
                invalid_argument(format!("`{name}` is no base64: {why}"))
            }),
        }
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Data::Bytes(bytes) => serialize(bytes, serializer),
            Data::NotBase64(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(BASE64_STANDARD.decode(&text).map_or(Data::NotBase64(text), Data::Bytes))
    }
}

impl JsonSchema for Data {
    fn schema_name() -> Cow<'static, str> {
        String::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        String::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use crate::model::event::{Event, EventKind};
    use crate::model::params::Publish;

    #[test]
    fn bytes_are_base64_in_json_and_nowhere_else() {
        let publish = Publish::new("t", b"\xff\0hi");
        let written = json!({ "topic": "t", "data_base64": "/wBoaQ==" });
        assert_eq!(to_value(&publish).unwrap(), written);
        assert_eq!(from_value::<Publish>(written).unwrap(), publish);

        let event = json!({ "seq": 1, "timestamp": 2.0, "peer_id": null, "event": "message",
            "topic": "t", "message_id": "00", "data_base64": "/wBoaQ==" });
        let read: Event = from_value(event.clone()).unwrap();
        assert!(
            matches!(&read.kind, EventKind::Message { data, .. } if data == b"\xff\0hi"),
            "{read:?}"
        );
        assert_eq!(to_value(&read).unwrap(), event);
    }

    #[test]
    fn a_text_that_is_no_base64_is_read_and_refused_by_the_call() {
        let written = json!({ "topic": "t", "data_base64": "no base64" });
        let read: Publish = from_value(written.clone()).unwrap();
        assert_eq!(to_value(&read).unwrap(), written);
        let error = read.data.unwrap().into_bytes("data_base64").unwrap_err();
        assert!(error.message().starts_with("`data_base64` is no base64: "), "{error}");
    }
}
