//! The other end of `child`: a process that reads a line of JSON, answers with one, and so on until
//! its standard input ends or says "quit".

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::Result;

/// Writes the process's first line, then serves commands.
pub fn serve(ready: &Value, mut command: impl FnMut(&Value) -> Result<Value>) -> Result<()> {
    say(ready)?;
    for line in std::io::stdin().lock().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        if asked["cmd"] == "quit" {
            break;
        }
        let answer = command(&asked).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        say(&answer)?;
    }
    Ok(())
}

fn say(value: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}

/// Returns a text of a command.
pub fn text<'a>(command: &'a Value, key: &str) -> Result<&'a str> {
    let value = command[key].as_str();
    value.ok_or_else(|| format!("{command}: `{key}` is missing").into())
}

/// Returns a number of a command.
pub fn number(command: &Value, key: &str) -> Result<u64> {
    let value = command[key].as_u64();
    value.ok_or_else(|| format!("{command}: `{key}` is missing").into())
}

/// Returns the texts of a list in a command.
pub fn texts<'a>(command: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    command[key].as_array().into_iter().flatten().filter_map(Value::as_str)
}
