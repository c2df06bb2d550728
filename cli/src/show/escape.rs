//! Text that came from elsewhere, made safe to look at. What remotes call themselves, their protocols, addresses
//! and messages may hold anything: sequences that a terminal obeys, characters that reorder a line or can't be
//! seen. Everything shown goes through here, and such characters appear as `\u{202e}`. The library knows which they are
//! (`peerkit::text`); a terminal also has marks towering over a letter, which run into other lines.

use std::borrow::Cow;
use std::fmt::Write;

use peerkit::text::is_hidden;
pub use peerkit::text::visible_json as escape_json;
use unicode_width::UnicodeWidthChar;

/// The most marks on one letter: real scripts need three; a tower of them runs into other lines.
const MAX_MARKS: usize = 4;

/// Writes the text as one line that shows what is in it.
pub fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    let mut marks = 0;
    for c in text.chars() {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if is_hidden(c) || marks > MAX_MARKS => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown.into()
}

/// Escapes each of several lines.
pub fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_or_hides_gets_through() {
        let nasty = [
            ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            ("\x1b[2J\x1b[31mred", "\\u{1b}[2J\\u{1b}[31mred"),
            ("a\u{9b}31mb\u{7f}\0", "a\\u{9b}31mb\\u{7f}\\u{0}"),
            ("two\r\nlines\tand", "two\\r\\nlines\\tand"),
            ("user\u{202e}gpj.exe\u{202c}", "user\\u{202e}gpj.exe\\u{202c}"),
            (
                "\u{2066}x\u{2069}\u{200e}\u{200f}\u{61c}",
                "\\u{2066}x\\u{2069}\\u{200e}\\u{200f}\\u{61c}",
            ),
            ("ku\u{200b}bo\u{200d}\u{feff}\u{2060}", "ku\\u{200b}bo\\u{200d}\\u{feff}\\u{2060}"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a\\u{2028}b\\u{2029}c\\u{85}d"),
            ("flag\u{e0067}\u{e007f}", "flag\\u{e0067}\\u{e007f}"),
            ("z\u{300}\u{300}\u{300}\u{300}\u{300}", "z\u{300}\u{300}\u{300}\u{300}\\u{300}"),
        ];
        for (text, shown) in nasty {
            assert_eq!(escape(text), shown);
        }
        for every in (0..=0x10ffff).filter_map(char::from_u32) {
            let shown = escape_json(every.to_string()).into_owned() + &escape(&every.to_string());
            assert!(!shown.contains(['\x1b', '\r', '\u{9b}', '\u{202e}', '\u{200b}', '\u{2028}']));
        }
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["kubo/0.40.1", "Grüße", "日本語", "नमस्ते", "שלום", "🦀 é", "C:\\x"]
        {
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ "a\u{202e}": "x\u{7f}\u{e0067}\u{1b}\n\\", "b": "日本" });
        let safe = escape_json(value.to_string()).into_owned();
        assert!(
            safe.contains("\\u202e") && safe.contains("\\udb40\\udc67") && safe.contains("日本")
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        let pretty = format!("{value:#}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&escape_json(&pretty)).unwrap(),
            value
        );
    }
}
