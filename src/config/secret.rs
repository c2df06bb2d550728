//! Secrets as the configuration gives them: a text or a file that holds it. Their `Debug` shows
//! neither, and no error quotes them.
//!
//! Used for the private key (read in `identity`) and the swarm key (read here, for `settings`).

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::error::invalid;
use super::private_key::decode_base64;
use crate::disk;
use crate::error::{Error, Result};

/// The longest key file read. An RSA key of 16384 bits has about 12 KiB in base64.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 64 * 1024;
const SWARM_KEY_BYTES: usize = 32;

/// A secret: its text, or the file that holds it. Of the text, `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
#[non_exhaustive]
pub enum KeySource {
    /// The text itself.
    Text(String),
    /// A file, read at start.
    File {
        /// Its path. In `config.json`, relative to the data directory.
        file: PathBuf,
    },
}

impl KeySource {
    /// Names the file that holds the secret. The module [`config`](crate::config) has an example.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        KeySource::File { file: path.into() }
    }

    pub(super) fn path_mut(&mut self) -> Option<&mut PathBuf> {
        match self {
            KeySource::Text(_) => None,
            KeySource::File { file } => Some(file),
        }
    }
}

impl From<String> for KeySource {
    fn from(text: String) -> Self {
        KeySource::Text(text)
    }
}

impl From<&str> for KeySource {
    fn from(text: &str) -> Self {
        KeySource::Text(text.to_owned())
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::Text(_) => f.write_str("Text(redacted)"),
            KeySource::File { file } => f.debug_tuple("File").field(file).finish(),
        }
    }
}

impl<'de> Deserialize<'de> for KeySource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Doesn't quote the value: it is meant as a secret.
        let wrong = || D::Error::custom(r#"it must be a text or {"file": path}"#);
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(KeySource::Text(text)),
            Value::Object(object) if object.len() == 1 => {
                let file = object.get("file").and_then(Value::as_str);
                file.map(KeySource::file).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// The pre-shared key of a private network.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SwarmKey([u8; SWARM_KEY_BYTES]);

impl SwarmKey {
    /// Returns its bytes, for the transport alone.
    pub(crate) fn bytes(&self) -> [u8; SWARM_KEY_BYTES] {
        self.0
    }

    /// Reads `swarm_key`.
    pub(super) fn load(source: &KeySource) -> Result<SwarmKey> {
        let refused = |why: String| invalid("swarm_key", why);
        match source {
            KeySource::Text(text) => parse_swarm_key(text).map_err(|why| refused(why.to_owned())),
            KeySource::File { file } => {
                let at_path = |error: Error| error.with("path", file.display().to_string());
                let text = disk::read_text(file, MAX_KEY_FILE_BYTES)
                    .map_err(|why| at_path(refused(format!("{} {why}", file.display()))))?;
                parse_swarm_key(&text)
                    .map_err(|why| at_path(refused(format!("in {}, {why}", file.display()))))
            }
        }
    }
}

impl fmt::Debug for SwarmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SwarmKey(redacted)")
    }
}

fn parse_swarm_key(text: &str) -> Result<SwarmKey, &'static str> {
    let text = text.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
    let is_bare = text.len() == 2 * SWARM_KEY_BYTES && text.bytes().all(|b| b.is_ascii_hexdigit());
    let mut lines = text.lines().map(str::trim_end);
    if lines.next() != Some("/key/swarm/psk/1.0.0/") {
        return Err(if is_bare {
            "the two lines /key/swarm/psk/1.0.0/ and /base16/ must stand before its 64 characters"
        } else {
            "its first line must be /key/swarm/psk/1.0.0/"
        });
    }
    let encoding = lines.next();
    let key = lines.next().ok_or("it must have three lines")?;
    if lines.next().is_some() {
        return Err("it must have three lines");
    }
    let bytes = match encoding {
        Some("/base16/") => multibase::Base::Base16Lower.decode(key.to_ascii_lowercase()).ok(),
        Some("/base64/") => decode_base64(key),
        _ => return Err("its second line must be /base16/ or /base64/"),
    };
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(SwarmKey).ok_or("its third line must be a key of 32 bytes: 64 characters in base16")
}
