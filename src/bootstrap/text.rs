//! The text of `bootstrap_peers.txt`: one address a line; blank lines; `#` comments on a line of
//! their own or behind white space. As few bytes change as can be, since the file is a person's too.
//!
//! Works on bytes: a comment in another encoding than UTF-8 stays as it is.

use super::entry::Entry;
use crate::error::{Error, ErrorKind, Result};

/// Some editors put it at the beginning of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the lines that are meant as addresses, with their numbers from 1.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, Result<Entry>)> {
    let numbered = raw_lines(text).enumerate();
    numbered.filter_map(|(index, line)| Some((index + 1, read(line)?)))
}

/// Appends a line. A text without a newline at its end has none afterwards either, so
/// that [`without`] can give back what was there.
pub(super) fn with(text: &[u8], line: &str) -> Vec<u8> {
    // A carriage return at the very end would become half of a newline of one byte.
    let windows = text.ends_with(b"\r") || text.windows(2).any(|pair| pair == b"\r\n");
    let newline: &[u8] = if windows { b"\r\n" } else { b"\n" };
    let parts = if text.is_empty() || text.ends_with(b"\n") {
        [text, line.as_bytes(), newline]
    } else {
        [text, newline, line.as_bytes()]
    };
    parts.concat()
}

/// Drops the lines that mean this entry.
pub(super) fn without(text: &[u8], gone: &Entry) -> Vec<u8> {
    let stays = |line: &&[u8]| !matches!(read(line), Some(Ok(entry)) if entry == *gone);
    let mut kept = raw_lines(text).filter(stays).collect::<Vec<_>>().concat();
    if !text.ends_with(b"\n") && kept.ends_with(b"\n") {
        kept.pop();
        kept.pop_if(|last| *last == b'\r');
    }
    kept
}

/// Splits into lines, each with the newline it ends in.
fn raw_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|byte| *byte == b'\n')
}

/// Reads the address in a line; None where there is no more than a comment.
fn read(line: &[u8]) -> Option<Result<Entry>> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let comment = (0..line.len())
        .find(|&at| line[at] == b'#' && (at == 0 || line[at - 1].is_ascii_whitespace()));
    let address = line[..comment.unwrap_or(line.len())].trim_ascii();
    if address.is_empty() {
        return None;
    }
    let text = str::from_utf8(address)
        .map_err(|_| Error::new(ErrorKind::InvalidMultiaddr, "it is no text in UTF-8"));
    Some(text.and_then(Entry::parse))
}
