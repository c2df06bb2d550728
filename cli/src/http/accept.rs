//! Reads the header `Accept`: the forms of an answer that a caller takes (RFC 9110, section 12.5.1).

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

/// The most ranges of media types that are read.
const MAX_RANGES: usize = 64;

/// The media types that a caller takes.
pub struct Accept(Vec<Range>);

/// A range of media types, such as `text/*`, with its weight.
struct Range {
    kind: String,
    subtype: String,
    version: Option<String>,
    /// In thousandths.
    weight: u16,
}

/// The way in which a caller takes a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// The preference for it, in thousandths; 0: it is refused.
    pub weight: u16,
    /// True where the type was named, rather than meant by a wildcard.
    pub named: bool,
}

impl Accept {
    /// Reads all such headers; none of them takes everything.
    pub fn of(headers: &HeaderMap) -> Self {
        let texts: Vec<_> =
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let ranges: Vec<_> =
            texts.iter().flat_map(|text| split(text, ',')).filter_map(Range::read).collect();
        match ranges.is_empty() {
            true => Accept(Range::read("*/*").into_iter().collect()),
            false => Accept(ranges.into_iter().take(MAX_RANGES).collect()),
        }
    }

    /// Says how a type is taken, by the range that fits it most closely. Of parameters only the version counts.
    pub fn takes(&self, kind: &str, subtype: &str, version: Option<&str>) -> Taken {
        let fitting = self.0.iter().filter_map(|range| {
            let closeness = range.closeness(kind, subtype, version)?;
            Some((closeness, range.weight))
        });
        let (closeness, weight) = fitting.max().unwrap_or_default();
        Taken { weight, named: closeness >= NAMED }
    }
}

/// The closeness of a range that names the type; one that names the version too is closer.
const NAMED: u8 = 2;

impl Range {
    fn read(text: &str) -> Option<Self> {
        let mut parts = split(text, ';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut range = Range {
            kind: kind.trim().to_ascii_lowercase(),
            subtype: subtype.trim().to_ascii_lowercase(),
            version: None,
            weight: 1000,
        };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "q" => range.weight = weight(value),
                "version" => range.version = Some(value.to_owned()),
                _ => {}
            }
        }
        Some(range)
    }

    fn closeness(&self, kind: &str, subtype: &str, version: Option<&str>) -> Option<u8> {
        match (&*self.kind, &*self.subtype) {
            ("*", "*") => Some(0),
            (this, "*") if this == kind => Some(1),
            (this, that) if this == kind && that == subtype => match &self.version {
                None => Some(NAMED),
                Some(wanted) if Some(&**wanted) == version => Some(NAMED + 1),
                Some(_) => None,
            },
            _ => None,
        }
    }
}

/// Reads a weight; one that makes no sense counts as none given.
fn weight(text: &str) -> u16 {
    let weight = text.parse::<f32>().ok().filter(|weight| (0.0..=1.0).contains(weight));
    weight.map_or(1000, |weight| (weight * 1000.0).round() as u16)
}

/// Splits where no quotes are around.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |char| {
        let was_escaped = escaped;
        escaped = quoted && char == '\\' && !was_escaped;
        quoted ^= char == '"' && !was_escaped;
        char == at && !quoted
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn takes(accept: &str, media: &str, version: Option<&str>) -> (u16, bool) {
        let mut headers = HeaderMap::new();
        if !accept.is_empty() {
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        }
        let (kind, subtype) = media.split_once('/').unwrap();
        let taken = Accept::of(&headers).takes(kind, subtype, version);
        (taken.weight, taken.named)
    }

    #[test]
    fn the_closest_range_decides() {
        for (accept, weight, named) in [
            ("", 1000, false),
            ("*/*", 1000, false),
            ("text/*;q=0.3, */*;q=0.1", 300, false),
            ("text/plain;q=0, */*", 0, true),
            ("TEXT/Plain ; Q=0.25", 250, true),
            ("text/plain;version=1.0.0", 0, false),
            (
                "text/plain;version=1.0.0;q=0.3,text/plain;version=\"0.0.4\";q=0.2,*/*;q=0.1",
                200,
                true,
            ),
            ("a/b;x=\"text/plain,\\\"\", text/plain;q=0.5", 500, true),
            ("application/json", 0, false),
            ("text/plain;q=nonsense", 1000, true),
            ("nonsense", 1000, false),
        ] {
            assert_eq!(takes(accept, "text/plain", Some("0.0.4")), (weight, named), "{accept}");
        }
    }
}
