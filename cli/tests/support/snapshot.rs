//! Snapshots of what the program printed, held against files under `tests/snapshots`. `PEERKIT_UPDATE=1` writes them anew.

use std::path::Path;

use serde_json::{Value, json};

#[track_caller]
pub fn assert_snapshot(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(name);
    if std::env::var_os("PEERKIT_UPDATE").is_some() {
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = expected.lines().zip(actual.lines()).find(|(old, new)| old != new);
    assert!(
        expected == actual,
        "{} is not what peerkit prints; first difference: {differs:?}. If that is meant, run with \
         PEERKIT_UPDATE=1 and tell of it in the CHANGELOG",
        path.display()
    );
}

/// The text with every number an `N`, times alike, and blanks that align as two: these change from run to run.
pub fn normalised(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let mut plain = String::new();
        let mut chars = line.trim_end().chars().peekable();
        while let Some(c) = chars.next() {
            if c.is_ascii_digit() {
                while chars.next_if(|c| c.is_ascii_digit() || *c == '.').is_some() {}
                plain.push('N');
            } else if c == ' ' && plain.ends_with("  ") {
                continue;
            } else {
                plain.push(c);
            }
        }
        plain.replace(" now", " N s ago").replace("N min ago", "N s ago").replace("N KiB", "N B")
    });
    lines.map(|line| line + "\n").collect()
}

/// The keys and the types of a value. An array has the shapes of its members, each once.
pub fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("boolean"),
        Value::String(_) => json!("string"),
        Value::Number(_) => json!("number"),
        Value::Array(members) => {
            let mut shapes: Vec<Value> = Vec::new();
            for member in members.iter().map(shape) {
                if !shapes.contains(&member) {
                    shapes.push(member);
                }
            }
            shapes.sort_by_key(Value::to_string);
            Value::Array(shapes)
        }
        Value::Object(object) => {
            let object = object.iter().map(|(key, value)| (key.clone(), shape(value)));
            Value::Object(object.collect())
        }
    }
}
