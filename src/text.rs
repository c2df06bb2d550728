//! Text that comes in and goes out. In: what a user hands over, a file of theirs, standard input, the body of a
//! request. Read in one way wherever it comes in: UTF-8, with or without the byte order mark that some editors and
//! shells put before it. What else it is is told by its name. Lines may end as on Windows; that is for whoever splits
//! them.
//!
//! Out: what remotes call themselves, their protocols, topics and errors may hold anything, also characters that can't
//! be seen, or that change how the text around them is seen. Wherever a person or a model reads, those are written out:
//! in a message, a line of the log or of a terminal as `\u{202e}` ([`visible`]), in JSON as JSON escapes them
//! ([`visible_json`]), which keeps the value for programs.

use std::borrow::Cow;
use std::fmt::{self, Write};

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The reason why bytes are no text. Its `Display` goes behind the name of what they stand in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotText {
    /// Text in UTF-16, as Windows writes it where nobody says otherwise.
    Utf16,
    /// Something else than text, or text in an older encoding.
    NotUtf8 {
        /// The line with the first byte that can't be, from 1.
        line: usize,
    },
}

impl fmt::Display for NotText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotText::Utf16 => f.write_str("is text in UTF-16: save it as UTF-8"),
            NotText::NotUtf8 { line } => {
                write!(f, "is no text in UTF-8: see its line {line}")
            }
        }
    }
}

/// Makes text of bytes.
///
/// # Errors
/// [`NotText`], to be said behind the name of the file.
///
/// ```
/// use peerkit::text::{NotText, decode};
///
/// assert_eq!(decode(b"\xef\xbb\xbf{}\r\n".to_vec()).unwrap(), "{}\r\n");
/// assert_eq!(decode(b"\xff\xfe{\0}\0".to_vec()), Err(NotText::Utf16));
/// assert_eq!(decode(b"{}\n\"caf\xe9\"".to_vec()).unwrap_err().to_string(), "is no text in UTF-8: see its line 2");
/// ```
pub fn decode(bytes: Vec<u8>) -> Result<String, NotText> {
    if is_utf16(&bytes) {
        return Err(NotText::Utf16);
    }
    match String::from_utf8(bytes) {
        Ok(mut text) => {
            if text.starts_with(BYTE_ORDER_MARK) {
                text.drain(..BYTE_ORDER_MARK.len());
            }
            Ok(text)
        }
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(NotText::NotUtf8 { line })
        }
    }
}

/// Tells whether this is UTF-16: by its byte order mark, or by the zeros beside ASCII.
pub(crate) fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..])
        || matches!(bytes, [0, ascii, 0, second, ..] | [ascii, 0, second, 0, ..]
            if ascii.is_ascii() && second.is_ascii() && *ascii > 8 && *second > 8)
}

/// Tells whether a character can't be seen, or changes how others are: controls and format characters (the general
/// categories Cc and Cf), which obey no reader and turn text around; line and paragraph separators; and what Unicode
/// has every font show as nothing, tags and variation selectors among it, by which text is hidden in text.
///
/// ```
/// use peerkit::text::is_hidden;
///
/// assert!(['\u{1b}', '\n', '\u{202e}', '\u{200b}', '\u{e0041}'].into_iter().all(is_hidden));
/// assert!(!['a', 'é', '漢', 'ש', '\u{301}', '🦀'].into_iter().any(is_hidden));
/// ```
#[must_use]
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}'
            | '\u{8e2}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            // Zero width, and the marks and overrides of direction; line and paragraph separators.
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Writes a text as one line that shows all that is in it: hidden characters appear as `\n`, `\r`, `\t` or `\u{202e}`.
///
/// ```
/// use peerkit::text::visible;
///
/// assert_eq!(visible("kubo\u{202e}gpj.exe\n"), r"kubo\u{202e}gpj.exe\n");
/// assert_eq!(visible("Grüße, 漢"), "Grüße, 漢");
/// ```
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !has(text, is_hidden) {
        return text.into();
    }
    let shown = write_out(text, is_hidden, |shown, c| match c {
        '\n' => shown.push_str("\\n"),
        '\r' => shown.push_str("\\r"),
        '\t' => shown.push_str("\\t"),
        c => {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
        }
    });
    shown.into()
}

/// Writes JSON text with the same meaning, in which hidden characters are escaped. JSON itself escapes only the first
/// 32.
///
/// ```
/// use peerkit::text::visible_json;
///
/// assert_eq!(visible_json("{\"agent\":\"a\u{202e}b\"}"), r#"{"agent":"a\u202eb"}"#);
/// ```
#[must_use]
pub fn visible_json<'a>(json: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let json = json.into();
    // They stand in strings only, but for the line breaks of JSON that is set out in lines.
    let hides = |c: char| c != '\n' && is_hidden(c);
    if !has(&json, hides) {
        return json;
    }
    let shown = write_out(&json, hides, |shown, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    });
    shown.into()
}

/// Cuts a text into pieces. Replies are long, and most pieces of most can be passed over at once.
fn pieces(mut rest: &str) -> impl Iterator<Item = &str> {
    const BYTES: usize = 64;
    std::iter::from_fn(move || {
        let mut end = BYTES.min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Tells of most pieces that nothing is hidden in them; without a branch, so that many bytes are looked at in one step.
fn is_plain(piece: &str) -> bool {
    piece.bytes().fold(true, |plain, byte| plain & (b' '..=b'~').contains(&byte))
}

fn has(text: &str, hides: impl Fn(char) -> bool) -> bool {
    pieces(text).any(|piece| !is_plain(piece) && piece.chars().any(&hides))
}

/// Copies a text, and writes each character that hides in another way.
fn write_out(
    text: &str,
    hides: impl Fn(char) -> bool,
    mut write: impl FnMut(&mut String, char),
) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for piece in pieces(text) {
        if is_plain(piece) {
            shown.push_str(piece);
            continue;
        }
        for c in piece.chars() {
            if hides(c) { write(&mut shown, c) } else { shown.push(c) }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_hidden_is_written_out_and_json_keeps_its_meaning() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            let json = serde_json::to_string(&text).unwrap();
            let (line, shown) = (visible(&text), visible_json(&json));
            assert!(!line.chars().chain(shown.chars()).any(is_hidden), "{:x}", u32::from(c));
            assert_eq!(line == text, !is_hidden(c), "{:x}", u32::from(c));
            assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
        }
        for before in 0..200 {
            let text = format!("{}é\u{202e}漢", "x".repeat(before));
            assert_eq!(visible(&text), text.replace('\u{202e}', r"\u{202e}"));
            assert_eq!(visible_json(&text), text.replace('\u{202e}', r"\u202e"));
        }
        assert_eq!(visible_json("{\n  \"a\": \"\u{2028}\"\n}"), "{\n  \"a\": \"\\u2028\"\n}");
    }

    #[test]
    fn utf16_is_known_with_a_mark_and_without() {
        let of = |text: &str, big: bool, mark: bool| -> Vec<u8> {
            let marked = if mark { format!("\u{feff}{text}") } else { text.to_owned() };
            let units = marked.encode_utf16();
            units
                .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect()
        };
        for (big, mark) in [(false, true), (true, true), (false, false), (true, false)] {
            assert_eq!(decode(of("{\"profile\": \"offline\"}", big, mark)), Err(NotText::Utf16));
        }
        for no_utf16 in [&b""[..], b"{", b"\x08\x01\x12\x40", b"\0\0\0\0"] {
            assert!(!is_utf16(no_utf16), "{no_utf16:?}");
        }
    }

    #[test]
    fn only_the_first_mark_goes() {
        assert_eq!(decode("\u{feff}a\u{feff}".into()).unwrap(), "a\u{feff}");
        assert_eq!(decode(b"a\n\n\x80".to_vec()), Err(NotText::NotUtf8 { line: 3 }));
    }
}
