//! Values as callers give them in JSON. A number in the form of a float is the integer it equals, for JSON Schema
//! calls both an integer and many languages write `10.0`; a text is never a number. Used wherever JSON comes in:
//! parameters, options of subscriptions, configuration, control socket, and by the program for what it takes itself.

use serde_json::{Map, Value};

use crate::error::{Error, invalid_argument};

/// Below this a float equals the integer that was written, though the last of its 53 bits be read wrong, as
/// serde_json may for texts of many digits.
const EXACT_BELOW: f64 = 1e15;
/// The most that an error shows of a value.
const MAX_SHOWN_CHARS: usize = 64;

/// Turns floats that equal an integer, such as `10.0` or `1e3`, into that integer, wherever they stand. For a program
/// that takes parameters of its own beside those of operations; operations do so themselves.
///
/// ```
/// let mut params = serde_json::json!({ "limit": 10.0, "timeout": 0.5 });
/// peerkit::ops::whole_numbers(params.as_object_mut().unwrap());
/// assert_eq!(params, serde_json::json!({ "limit": 10, "timeout": 0.5 }));
/// ```
pub fn whole_numbers(params: &mut Map<String, Value>) {
    params.values_mut().for_each(make_whole);
}

pub(crate) fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().filter(|float| float.fract() == 0.0);
            if let Some(float) = float.filter(|float| float.abs() < EXACT_BELOW) {
                *value = if float < 0.0 { (float as i64).into() } else { (float as u64).into() };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => whole_numbers(fields),
        _ => {}
    }
}

/// Makes the error for a parameter that hasn't the form which its JSON Schema asks for; it names the parameter.
///
/// ```
/// use peerkit::ops;
/// use serde_json::json;
///
/// let error = ops::wrong_value("limit", &json!({ "type": "integer", "minimum": 1, "maximum": 9 }), &json!("5"));
/// assert_eq!(error.message(), r#"`limit` must be a whole number from 1 to 9, not "5""#);
/// assert_eq!(error.hint(), Some("write it without quotes: 5"));
/// ```
#[must_use]
pub fn wrong_value(name: &str, schema: &Value, given: &Value) -> Error {
    let Misfit { what, hint } = Misfit::of(schema, given);
    let error = invalid_argument(format!("`{name}` {what}")).with("key", name);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

/// The words for a value that hasn't the form which its JSON Schema asks for.
pub(crate) struct Misfit {
    /// Says what it must be and isn't, behind its name.
    pub what: String,
    /// Says how to write what was meant, where that can be told.
    pub hint: Option<String>,
}

impl Misfit {
    pub(crate) fn of(schema: &Value, given: &Value) -> Misfit {
        let wanted = Wanted::of(schema);
        let shown = match (wanted, given) {
            (_, Value::Object(_) | Value::Array(_)) => None,
            // A text in place of a text may be long, or not for every eye; of a name or a number it isn't that.
            (Some(Wanted::Text | Wanted::List) | None, _) => None,
            _ => Some(shortened(&given.to_string())),
        };
        let found = shown.unwrap_or_else(|| kind_of(given).to_owned());
        let must =
            wanted.map_or_else(|| "of another kind".to_owned(), |wanted| wanted.words(schema));
        let hint = wanted.and_then(|wanted| wanted.hint(given));
        Misfit { what: format!("must be {must}, not {found}"), hint }
    }
}

/// A type that values may be wanted to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Whole,
    Number,
    Truth,
    /// One of some names.
    Name,
    Text,
    List,
}

impl Wanted {
    fn of(schema: &Value) -> Option<Self> {
        if !names(schema).is_empty() {
            return Some(Wanted::Name);
        }
        let kinds = match &schema["type"] {
            Value::Array(kinds) => kinds.as_slice(),
            kind => std::slice::from_ref(kind),
        };
        kinds.iter().find_map(|kind| {
            Some(match kind.as_str()? {
                "integer" => Wanted::Whole,
                "number" => Wanted::Number,
                "boolean" => Wanted::Truth,
                "string" => Wanted::Text,
                "array" => Wanted::List,
                _ => return None,
            })
        })
    }

    fn words(self, schema: &Value) -> String {
        let words = match self {
            Wanted::Whole => {
                let by_format = (schema["format"] == "uint32").then_some(u64::from(u32::MAX));
                let least = schema["minimum"].as_u64().unwrap_or(0);
                return match schema["maximum"].as_u64().or(by_format) {
                    Some(most) => format!("a whole number from {least} to {most}"),
                    None => format!("a whole number, {least} or more"),
                };
            }
            Wanted::Number => "a number",
            Wanted::Truth => "true or false",
            Wanted::Name => return format!("one of {}", names(schema).join(", ")),
            Wanted::Text => "a text",
            Wanted::List => "a list of texts",
        };
        words.to_owned()
    }

    /// Says how to write what was meant, where that can be told.
    fn hint(self, given: &Value) -> Option<String> {
        let hint = match (self, given) {
            (Wanted::Whole | Wanted::Number, Value::String(text)) => {
                let mut number = serde_json::from_str(text.trim()).ok().filter(Value::is_number)?;
                make_whole(&mut number);
                if self == Wanted::Whole && number.is_f64() {
                    return None;
                }
                format!("write it without quotes: {}", shortened(&number.to_string()))
            }
            (Wanted::Truth, Value::String(text)) => {
                let text = text.trim().to_ascii_lowercase();
                let is_one = ["true", "false"].contains(&&*text);
                is_one.then(|| format!("write it without quotes: {text}"))?
            }
            (Wanted::Truth, Value::Number(number)) => {
                let truth = [("1", "true"), ("0", "false")];
                let (_, word) =
                    truth.into_iter().find(|(digit, _)| *digit == number.to_string())?;
                format!("write it as a word: {word}")
            }
            (Wanted::Whole, Value::Number(number)) => {
                number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0)?;
                "write a number of this size without point and exponent".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// Lists the names of which a value must be one; none where any text will do.
fn names(schema: &Value) -> Vec<&str> {
    let list = |key: &str| schema[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let here = list("enum").iter().chain(schema.get("const")).filter_map(Value::as_str);
    let inside = ["oneOf", "anyOf"].into_iter().flat_map(list).flat_map(names);
    here.chain(inside).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_float_that_equals_an_integer_is_one_and_no_other_is() {
        for (given, whole) in [
            ("10.0", "10"),
            ("1e3", "1000"),
            ("-0.0", "0"),
            ("-2.0", "-2"),
            ("999999999999999.0", "999999999999999"),
            ("1e15", "1000000000000000.0"),
            ("10.5", "10.5"),
            ("1e300", "1e+300"),
            (r#"[{"a":[3.0,"4.0"]},5.0]"#, r#"[{"a":[3,"4.0"]},5]"#),
        ] {
            let mut value = serde_json::from_str(given).unwrap();
            make_whole(&mut value);
            assert_eq!(value.to_string(), whole);
        }
    }

    #[test]
    fn what_was_meant_is_said_where_it_can_be_told() {
        let integer = json!({"type": ["integer", "null"], "format": "uint32", "minimum": 0});
        for (schema, given, message, hint) in [
            (
                &integer,
                json!("10"),
                "a whole number from 0 to 4294967295, not \"10\"",
                Some("quotes: 10"),
            ),
            (&integer, json!(" 1e3 "), "not \" 1e3 \"", Some("quotes: 1000")),
            (&integer, json!("ten"), "not \"ten\"", None),
            (&integer, json!(10.5), "not 10.5", None),
            (&integer, json!(1e20), "not 1e+20", Some("without point")),
            (&integer, json!({"a": 1}), "not an object", None),
            (
                &json!({"type": "boolean"}),
                json!("True"),
                "true or false, not \"True\"",
                Some("quotes: true"),
            ),
            (&json!({"type": "boolean"}), json!(1), "true or false, not 1", Some("word: true")),
            (
                &json!({"type": "number"}),
                json!("0.5"),
                "a number, not \"0.5\"",
                Some("quotes: 0.5"),
            ),
            (&json!({"type": "string"}), json!(5), "a text, not a number", None),
            (&json!({"type": "array"}), json!("secret"), "a list of texts, not a text", None),
            (
                &json!({"anyOf": [{"oneOf": [{"const": "a"}, {"const": "b"}]}, {"type": "null"}]}),
                json!("c"),
                "one of a, b, not \"c\"",
                None,
            ),
            (&json!({"enum": ["a", "b"]}), json!(true), "one of a, b, not true", None),
        ] {
            let error = wrong_value("x", schema, &given);
            assert!(error.message().ends_with(message), "{given}: {error}");
            let said = error.hint().unwrap_or_default();
            assert!(
                said.ends_with(hint.unwrap_or_default()) || said.contains(hint.unwrap_or("?")),
                "{given}: {said}"
            );
            assert_eq!(error.hint().is_some(), hint.is_some(), "{given}");
        }
    }
}
