//! Text that a user hands over: a file of theirs, standard input, the body of a request. Read in one way wherever it
//! comes in: UTF-8, with or without the byte order mark that some editors and shells put before it. What else it is
//! is told by its name. Lines may end as on Windows; that is for whoever splits them.

use std::fmt;

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

#[cfg(test)]
mod tests {
    use super::*;

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
