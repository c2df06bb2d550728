//! Parameters of a request, as the operations want them: text in a query becomes the type that the operation's own
//! JSON Schema gives to the parameter, so that a new parameter needs no code here.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use peerkit::ops::{self, Operation};
use peerkit::{Error, ErrorKind, MAX_TIMEOUT};
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The time that a call may take: a parameter of every route that calls an operation, and of no operation.
pub const TIMEOUT: &str = "timeout_ms";
/// The most parameters in a query.
const MAX_PAIRS: usize = 64;

/// The schemas of the operations' parameters, by name.
static SCHEMAS: LazyLock<HashMap<&str, Value>> = LazyLock::new(|| {
    let schema = |op: &'static Operation| (op.name, Value::from(op.params_schema()));
    ops::catalogue().iter().map(schema).collect()
});

/// Gives the schema of an operation's parameters.
pub fn schema(op: &Operation) -> &'static Value {
    SCHEMAS.get(op.name).unwrap_or(&Value::Null)
}

/// The pairs of a query, decoded.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads what stands behind the `?`.
    pub fn parse(query: Option<&str>) -> Result<Self, Error> {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let pairs: Vec<_> = pairs.into_owned().take(MAX_PAIRS + 1).collect();
        match pairs.len() {
            0..=MAX_PAIRS => Ok(Query(pairs)),
            _ => Err(invalid(format!("at most {MAX_PAIRS} parameters are read"))),
        }
    }

    /// Takes the timeout out; zero, the node's default, where there is none.
    pub fn take_timeout(&mut self) -> Result<Duration, Error> {
        let wrong = || {
            let most = MAX_TIMEOUT.as_millis();
            invalid(format!("`{TIMEOUT}` is a whole number of milliseconds from 0 to {most}"))
        };
        let mut timeout = None;
        for (_, text) in self.0.extract_if(.., |(name, _)| name == TIMEOUT) {
            let read = whole(&text).and_then(|whole| whole.as_u64()).map(Duration::from_millis);
            let read = read.filter(|read| *read <= MAX_TIMEOUT).ok_or_else(wrong)?;
            if timeout.replace(read).is_some() {
                return Err(wrong());
            }
        }
        Ok(timeout.unwrap_or_default())
    }

    /// Reads the rest, by the types of a schema. One that the schema doesn't know stays text: the operation refuses it
    /// and says which name comes near.
    pub fn typed(self, schema: &Value) -> Result<Map<String, Value>, Error> {
        let mut params = Map::new();
        for (name, text) in self.0 {
            let property = &schema["properties"][&name];
            if allows(property, "array") {
                let texts = text.split(',').filter(|text| !text.is_empty());
                let more = texts.map(|text| typed(&name, property.get("items"), text));
                let more = more.collect::<Result<Vec<_>, _>>()?;
                match params.entry(&name).or_insert_with(|| Value::Array(Vec::new())) {
                    Value::Array(items) => items.extend(more),
                    _ => return Err(twice(&name)),
                }
            } else if params.insert(name.clone(), typed(&name, Some(property), &text)?).is_some() {
                return Err(twice(&name));
            }
        }
        Ok(params)
    }
}

/// Puts what came another way to the parameters there are; the same name twice is an error, whatever it holds.
pub fn join(params: &mut Map<String, Value>, more: Map<String, Value>) -> Result<(), Error> {
    for (name, value) in more {
        if params.contains_key(&name) {
            return Err(twice(&name));
        }
        params.insert(name, value);
    }
    Ok(())
}

fn typed(name: &str, schema: Option<&Value>, text: &str) -> Result<Value, Error> {
    let schema = schema.unwrap_or(&Value::Null);
    let wrong = |what: &str| Err(invalid(format!("`{name}` takes {what}")));
    if allows(schema, "integer") {
        whole(text).map_or_else(|| wrong("a whole number"), Ok)
    } else if allows(schema, "number") {
        let number = text.parse().ok().and_then(serde_json::Number::from_f64);
        number.map_or_else(|| wrong("a number"), |number| Ok(number.into()))
    } else if allows(schema, "boolean") {
        // Python's spelling and the digits too: that's how clients of the Python project ask.
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true.into()),
            "false" | "0" => Ok(false.into()),
            _ => wrong("true or false"),
        }
    } else {
        Ok(text.into())
    }
}

/// Reads a whole number, in whatever form JSON may give it.
fn whole(text: &str) -> Option<Value> {
    let number: Value = text.parse::<u64>().map_or_else(
        |_| serde_json::from_str(text).ok().filter(Value::is_number),
        |number| Some(number.into()),
    )?;
    let mut params = Map::from_iter([(String::new(), number)]);
    ops::whole_numbers(&mut params);
    params.into_iter().map(|(_, number)| number).find(|number| !number.is_f64())
}

/// Tells whether a value of this type may stand there.
fn allows(schema: &Value, kind: &str) -> bool {
    let here = match &schema["type"] {
        Value::String(only) => only == kind,
        Value::Array(kinds) => kinds.iter().any(|one| one == kind),
        _ => false,
    };
    let among =
        |key: &str| schema[key].as_array().is_some_and(|of| of.iter().any(|one| allows(one, kind)));
    here || among("anyOf") || among("oneOf")
}

fn twice(name: &str) -> Error {
    let name: String = name.chars().take(64).collect();
    invalid(format!("`{name}` is given more than once")).with("key", name)
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(op: &str, query: &str) -> Result<Value, String> {
        let op = ops::find(op).unwrap();
        let query = Query::parse(Some(query)).unwrap();
        query.typed(schema(op)).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn text_takes_the_type_that_the_operation_wants() {
        assert_eq!(
            of("list_peers", "limit=5&filter_connected=True&search=5&sort=latency&offset=0")
                .unwrap(),
            json!({"limit": 5, "filter_connected": true, "search": "5", "sort": "latency", "offset": 0})
        );
        assert_eq!(
            of("list_peers", "limit=5.0&offset=1e2").unwrap(),
            json!({"limit": 5, "offset": 100})
        );
        assert_eq!(of("discover_peers", "timeout=0.5").unwrap(), json!({"timeout": 0.5}));
        assert_eq!(
            of(
                "add_peer",
                "multiaddrs=/ip4/1.2.3.4/tcp/1,/ip4/1.2.3.4/tcp/2&multiaddrs=/ip4/1.2.3.4/tcp/3"
            )
            .unwrap(),
            json!({"multiaddrs": ["/ip4/1.2.3.4/tcp/1", "/ip4/1.2.3.4/tcp/2", "/ip4/1.2.3.4/tcp/3"]})
        );
    }

    #[test]
    fn what_has_not_that_type_is_refused_by_name() {
        for (query, name) in [
            ("limit=many", "`limit`"),
            ("limit=1.5", "`limit`"),
            ("limit=", "`limit`"),
            ("limit=1&limit=2", "`limit`"),
            ("filter_connected=perhaps", "`filter_connected`"),
        ] {
            assert!(of("list_peers", query).unwrap_err().contains(name), "{query}");
        }
    }

    #[test]
    fn an_unknown_parameter_goes_to_the_operation_which_knows_the_nearest() {
        assert_eq!(of("list_peers", "limti=3").unwrap(), json!({"limti": "3"}));
    }

    #[test]
    fn a_timeout_is_read_once_and_has_a_most() {
        let timeout = |query| {
            Query::parse(Some(query)).unwrap().take_timeout().map(|read| read.as_millis()).ok()
        };
        assert_eq!(timeout("limit=1"), Some(0));
        assert_eq!(timeout("timeout_ms=1500"), Some(1500));
        assert_eq!(timeout("timeout_ms=1.5e3"), Some(1500));
        for wrong in
            ["timeout_ms=3600001", "timeout_ms=-1", "timeout_ms=", "timeout_ms=1&timeout_ms=1"]
        {
            assert_eq!(timeout(wrong), None, "{wrong}");
        }
    }
}
