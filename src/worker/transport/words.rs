//! Errors of the stack in words that a person can use: libp2p and the resolver say some of theirs over several lines,
//! or as Rust would show a value. For `progress`, where no layer noted a cause.

use std::error::Error;

use crate::text::visible;

/// Characters kept of an error text, which may come from a remote or a library.
const MAX_CHARS: usize = 300;

/// Says the innermost error: the outer errors of a transport stack say only that something inside failed.
pub(crate) fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    // A remote's reason for closing a connection of QUIC is in it as it was sent.
    visible(&in_one_line(&text)).chars().take(MAX_CHARS).collect()
}

fn in_ours(text: &str) -> Option<String> {
    let known = match text.trim_end_matches('.') {
        "Received an invalid message"
        | "A protocol (name) is invalid"
        | "Too many protocols received" => "the remote answers, and not as libp2p does",
        "Negotiation failed" => "the two sides know no protocol in common",
        "no connections available" => "no name server can be reached",
        "Too many DNS lookups" => "the name leads to more names than are followed",
        _ => return no_records(text),
    };
    Some(known.to_owned())
}

/// Reads the question that the resolver shows as Rust would.
fn no_records(text: &str) -> Option<String> {
    let (_, question) = text.split_once("no records found for Query { name: Name(\"")?;
    let (name, rest) = question.split_once('"')?;
    let (_, kind) = rest.split_once("query_type: ")?;
    let kind: String = kind.chars().take_while(char::is_ascii_alphanumeric).collect();
    Some(format!("the name server knows no {kind} record of {}", name.trim_end_matches('.')))
}

/// Joins the lines of a list, such as that of the errors of a name's addresses; the same one once.
fn in_one_line(text: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let lines = text.lines().map(|line| line.trim().trim_start_matches("- "));
    for line in lines.filter(|line| !line.is_empty() && *line != "Multiple dial errors occurred:") {
        let part = in_ours(line).unwrap_or_else(|| line.to_owned());
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn no_error_is_told_over_several_lines_or_as_rust_shows_it() {
        let query = "no records found for Query { name: Name(\"_dnsaddr.a.example.\"), query_type: TXT, \
                     query_class: IN, mdns_unicast_response: false }";
        for (text, words) in [
            (query.to_owned(), "the name server knows no TXT record of _dnsaddr.a.example"),
            (
                format!(
                    "Multiple dial errors occurred:\n - {query}\n - {query}\n - request timed out"
                ),
                "the name server knows no TXT record of _dnsaddr.a.example; request timed out",
            ),
            (
                "Received an invalid message.".to_owned(),
                "the remote answers, and not as libp2p does",
            ),
            ("decrypt error".to_owned(), "decrypt error"),
            (
                "closed by peer: \u{202e}x\u{1b}[2J".to_owned(),
                r"closed by peer: \u{202e}x\u{1b}[2J",
            ),
        ] {
            assert_eq!(innermost(&io::Error::other(io::Error::other(text))), words);
        }
        assert_eq!(innermost(&io::Error::other("x".repeat(1000))).len(), MAX_CHARS);
    }
}
