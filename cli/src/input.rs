//! Text from a file or from standard input, read for every command in one way.

use std::io::Read;

use peerkit::text::decode;

/// Reads a text of at most `most` bytes. The failure names where it is from.
pub fn text(name: &str, source: impl Read, most: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = source.take(most + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("{name} can't be read: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("{name} is longer than {} KiB", most / 1024));
    }
    decode(bytes).map_err(|why| format!("{name} {why}"))
}
