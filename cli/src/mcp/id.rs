//! Finds the id of a request in text that may be no JSON: broken inside, cut short, or too long to be kept. It is told
//! a text piece by piece and keeps next to nothing of it.

use serde_json::Value;

/// The longest id that is found; what is longer helps nobody.
const MAX_ID: usize = 4096;

/// Looks for the id in the outermost object.
#[derive(Debug, Default)]
pub struct IdFinder {
    depth: usize,
    at: At,
    /// The string or number under way, where it may matter.
    token: Vec<u8>,
    found: Option<Value>,
    /// There are two that differ: nobody knows which of them the sender goes by.
    ambiguous: bool,
}

/// The place in the text.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
enum At {
    #[default]
    Between,
    /// Within a string; `escaped` behind a backslash.
    String { escaped: bool, is_id: bool },
    /// Behind the string `"id"`: a name if a colon follows.
    BehindName,
    /// Behind the colon.
    BeforeId,
    /// Within an id that is no string.
    Id,
}

impl IdFinder {
    /// Reads the next piece.
    pub fn read(&mut self, piece: &[u8]) {
        for byte in piece {
            self.next(*byte);
        }
    }

    /// Gives the id; null where there is none, two that differ, or one that may go on behind the end.
    pub fn id(self) -> Value {
        if self.ambiguous { Value::Null } else { self.found.unwrap_or_default() }
    }

    fn next(&mut self, byte: u8) {
        match self.at {
            At::String { escaped, is_id } => {
                self.keep(byte);
                let ended = byte == b'"' && !escaped;
                self.at = match ended {
                    false => At::String { escaped: byte == b'\\' && !escaped, is_id },
                    true if is_id => self.found(),
                    true if self.depth == 1 && self.token == b"\"id\"" => At::BehindName,
                    true => At::Between,
                };
            }
            At::BehindName if byte == b':' => self.at = At::BeforeId,
            At::BehindName | At::BeforeId if byte.is_ascii_whitespace() => {}
            At::BeforeId if byte == b'"' => self.begin_string(true),
            At::BeforeId if !b"{[".contains(&byte) => {
                self.token.clear();
                self.keep(byte);
                self.at = At::Id;
            }
            At::Id if b",} \t\r\n".contains(&byte) => {
                self.at = self.found();
                self.between(byte);
            }
            At::Id => self.keep(byte),
            At::Between | At::BehindName | At::BeforeId => self.between(byte),
        }
    }

    fn between(&mut self, byte: u8) {
        self.at = At::Between;
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b'"' => self.begin_string(false),
            _ => {}
        }
    }

    fn begin_string(&mut self, is_id: bool) {
        self.token.clear();
        self.keep(b'"');
        self.at = At::String { escaped: false, is_id };
    }

    fn keep(&mut self, byte: u8) {
        // One more than counts, by which it is known to be too long.
        if self.depth == 1 && self.token.len() <= MAX_ID {
            self.token.push(byte);
        }
    }

    /// Takes what stands where the id does.
    fn found(&mut self) -> At {
        let id = serde_json::from_slice::<Value>(&self.token).ok();
        let id = id.filter(|id| id.is_string() || id.is_number());
        if let Some(id) = id.filter(|_| self.token.len() <= MAX_ID) {
            let before = self.found.replace(id);
            self.ambiguous |= before.is_some() && before != self.found;
        }
        At::Between
    }
}

/// Finds the id in a text.
pub fn id_in(text: &[u8]) -> Value {
    let mut finder = IdFinder::default();
    finder.read(text);
    finder.id()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_id_is_found_wherever_the_text_is_cut_into_pieces() {
        let long =
            format!(r#"{{"params":{{"id":1,"x":"{}"}},"id":"seven"}}"#, "\\\"id".repeat(5_000));
        for (text, id) in [
            (
                r#"{"method":"id","params":{"id":1,"x":"\ud83d"},"id" : "se\"ven" }"#,
                json!("se\"ven"),
            ),
            (r#"{"id":-7.5,"x"#, json!(-7.5)),
            (r#"{"id":7"#, Value::Null),
            (r#"{"id":7,"id":7}"#, json!(7)),
            (r#"{"id":7,"id":8}"#, Value::Null),
            (r#"{"id":null}"#, Value::Null),
            (r#"{"id":{"id":3},"a":1}"#, Value::Null),
            (r#"[{"id":4}]"#, Value::Null),
            (&long, json!("seven")),
        ] {
            assert_eq!(id_in(text.as_bytes()), id, "{text}");
            let mut finder = IdFinder::default();
            text.as_bytes().iter().for_each(|byte| finder.read(&[*byte]));
            assert_eq!(finder.id(), id, "{text}");
        }
        let endless = format!(r#"{{"id":"{}"}}"#, "x".repeat(10 * MAX_ID));
        assert_eq!(id_in(endless.as_bytes()), Value::Null);
    }
}
