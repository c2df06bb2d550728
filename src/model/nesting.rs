//! The depth of JSON that callers give: bounded before it is read, for serde reads, compares and drops what is nested by
//! recursion, and a caller's thread may have a small stack. What peerkit takes is shallow.

/// The most levels of objects and lists in each other. The deepest that means something has four.
pub(crate) const MAX_DEPTH: usize = 16;

/// Tells whether a text of JSON is nested deeper than is read. Of what is no JSON it may say either.
pub(crate) fn is_too_deep(json: &[u8]) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_count_outside_of_texts_alone() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(nested(MAX_DEPTH).as_bytes()));
        assert!(is_too_deep(nested(MAX_DEPTH + 1).as_bytes()));
        let wide = format!("[{}1]", "{\"a\":[]},".repeat(100));
        assert!(!is_too_deep(wide.as_bytes()));
        let text = format!(r#"{{"a\\\"{}":"\\","b":"{}"}}"#, "[".repeat(50), "{".repeat(50));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
        assert!(!is_too_deep(text.as_bytes()), "{text}");
        assert!(is_too_deep(format!(r#"{{"a":"\\","b":{}"#, "[".repeat(50)).as_bytes()));
    }
}
