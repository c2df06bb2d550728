//! JSON in which no object has a name twice. serde keeps the last of two and RFC 8259 lets every reader choose: what one
//! that looks on takes for the value isn't what is done. Used wherever JSON of a caller's or a user's comes in, beside
//! [`given`](super::given); by the program too.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, MAX_NAME, invalid_argument};

/// The most bytes of memory that JSON takes once it is read, for each of its text: `0,` becomes a value of 32 bytes.
///
/// ```
/// let body = br#"{ "peer_id": "12D3" }"#;
/// assert!(body.len() * peerkit::ops::JSON_MEMORY < 1 << 20);
/// ```
pub const JSON_MEMORY: usize = 16;

/// The reason why a text wasn't read.
#[derive(Debug)]
#[non_exhaustive]
pub enum Misread {
    /// It is JSON, and gives this name more than once; `limits.max_peers` is one in an inner object.
    Doubled(String),
    /// It is no JSON.
    NotJson(serde_json::Error),
}

impl Misread {
    /// Makes the error of it: `invalid_argument`, which names a doubled name under `detail.key`, and says of what is no
    /// JSON what the door has to say.
    pub fn into_error(self, no_json: impl FnOnce(serde_json::Error) -> String) -> Error {
        match self {
            Misread::Doubled(name) => {
                invalid_argument(format!("`{name}` is given more than once")).with("key", name)
            }
            Misread::NotJson(error) => invalid_argument(no_json(error)),
        }
    }
}

/// Reads JSON that gives no name twice, at any depth.
///
/// # Errors
/// [`Misread`] says what it is instead.
///
/// ```
/// use peerkit::ops::read_json;
///
/// assert_eq!(read_json(br#"{ "limit": 1 }"#).unwrap(), serde_json::json!({ "limit": 1 }));
/// let error = read_json(br#"{ "limit": 1, "limit": 2 }"#).unwrap_err().into_error(|error| error.to_string());
/// assert_eq!(error.message(), "`limit` is given more than once");
/// assert_eq!(error.detail()["key"], "limit");
/// ```
pub fn read_json(text: &[u8]) -> Result<Value, Misread> {
    let mut doubled = None;
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Once(&mut doubled).deserialize(&mut reader);
    let read = read.and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| match doubled {
        // Only of JSON it can be said that it has a name twice.
        Some(name) => match serde_json::from_slice::<IgnoredAny>(text) {
            Ok(_) => Misread::Doubled(name),
            Err(error) => Misread::NotJson(error),
        },
        None => Misread::NotJson(error),
    })
}

/// Reads one value; notes the first name that is doubled, for an error of serde is text alone.
struct Once<'a>(&'a mut Option<String>);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Once(&mut *self.0))? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            if object.contains_key(&name) {
                *self.0 = Some(short(&name));
                return Err(A::Error::custom("a name is given twice"));
            }
            let value = entries.next_value_seed(Once(&mut *self.0));
            let value = value.inspect_err(|_| {
                if let Some(inner) = self.0.take() {
                    *self.0 = Some(short(&format!("{name}.{inner}")));
                }
            })?;
            object.insert(name, value);
        }
        Ok(object.into())
    }
}

fn short(name: &str) -> String {
    name.chars().take(MAX_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_once_at_every_depth_however_it_is_written() {
        for (text, name) in [
            (r#"{"a":1,"a":1}"#, "a"),
            (r#"{"a":1,"b":2,"\u0061":3}"#, "a"),
            (r#"{"a":null,"a":2}"#, "a"),
            (r#"{"a":{"b":[1,{"c":1,"c":2}]}}"#, "a.b.c"),
            (r#"[[{"":1,"":2}]]"#, ""),
        ] {
            match read_json(text.as_bytes()) {
                Err(Misread::Doubled(found)) => assert_eq!(found, name, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        let long = "x".repeat(10_000);
        let error = read_json(format!(r#"{{"{long}":1,"{long}":2}}"#).as_bytes()).unwrap_err();
        assert!(error.into_error(|_| String::new()).message().len() < 200);
    }

    #[test]
    fn all_else_is_read_as_serde_reads_it() {
        for text in [
            r#"{"a":{"a":1},"b":[{"a":1},{"a":1}],"c":1.5e3,"d":-1,"e":18446744073709551615,"f":true,"g":"\ud83d\ude00"}"#,
            "null",
            " [ ] ",
            "12e400",
            "{\"a\":1} x",
            "{\"a\"",
            "\"\u{7f}\"",
            "",
        ] {
            let ours = read_json(text.as_bytes()).map_err(|error| match error {
                Misread::NotJson(error) => error.to_string(),
                doubled => panic!("{doubled:?}"),
            });
            assert_eq!(
                ours,
                serde_json::from_str(text).map_err(|error| error.to_string()),
                "{text}"
            );
        }
        let deep = "[".repeat(100_000);
        for no_json in [&deep, r#"{"a":1,"a":2,"#] {
            assert!(
                matches!(read_json(no_json.as_bytes()), Err(Misread::NotJson(_))),
                "{no_json:.9}"
            );
        }
    }
}
