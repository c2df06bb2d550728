//! Hints as a C program reads them: what the library says in neutral words, with the functions to call
//! for it.

use crate::error::{Error, ErrorKind};

/// Puts C's words in place of the general hint of an error's kind. A hint for the very case stays.
pub(super) fn in_c(error: Error) -> Error {
    match words(error.kind()) {
        Some(hint) if error.hint() == error.kind().hint() => error.with_hint(hint),
        _ => error,
    }
}

/// Gives C's words for a kind's general hint, where the library's own won't do.
const fn words(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::InvalidHandle => "get a live handle from peerkit_start or peerkit_current",
        ErrorKind::NotRunning => "call peerkit_start first",
        ErrorKind::PeerNotFound => "add_peer or connect_peer with an address makes a peer known",
        ErrorKind::NotConnected => "call connect_peer first",
        ErrorKind::Dead => "call stop, then start again",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::{CStr, CString, c_char};
    use std::path::Path;
    use std::{fs, ptr};

    use serde_json::Value;

    use super::super::{events::peerkit_events_open, lifecycle::*, peers::*};
    use super::*;
    use crate::ops;

    /// Reads a reply and frees it.
    fn read(reply: *mut c_char) -> Value {
        // SAFETY: a function of ours gave the reply a moment ago, and it is freed once, after it was copied.
        let text = unsafe {
            let text = CStr::from_ptr(reply).to_str().unwrap().to_owned();
            peerkit_string_free(reply);
            text
        };
        serde_json::from_str(&text).unwrap()
    }

    #[track_caller]
    fn assert_fails(reply: *mut c_char, code: &str, hint: &str) {
        let reply = read(reply);
        assert_eq!((&reply["code"], &reply["hint"]), (&code.into(), &hint.into()), "{reply:#}");
    }

    #[test]
    fn c_programs_are_told_which_functions_to_call() {
        const STRANGER: &CStr = c"12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
        let none = ptr::null();
        let mut h = 0;
        // SAFETY: the strings are literals or live as long as the call, `h` is writable.
        unsafe {
            let started = read(peerkit_start(c"{\"profile\": \"offline\"}".as_ptr(), 0, &mut h));
            assert_eq!(started["success"], true, "{started:#}");
            let known = "add_peer or connect_peer with an address makes a peer known";
            assert_fails(peerkit_get_peer(h, STRANGER.as_ptr(), none), "peer_not_found", known);
            let params = CString::new(format!("{{\"peer_id\": {STRANGER:?}}}")).unwrap();
            let added = read(peerkit_call(h, c"add_peer".as_ptr(), params.as_ptr(), 0));
            assert_eq!(added["success"], true, "{added:#}");
            let ping = peerkit_ping_peer(h, STRANGER.as_ptr(), none, 0);
            assert_fails(ping, "not_connected", "call connect_peer first");
            // One for the very case stays as it is.
            let publish = c"{\"topic\": \"t\", \"data_base64\": \"\"}".as_ptr();
            let alone = read(peerkit_call(h, c"publish".as_ptr(), publish, 0));
            assert_eq!(alone["code"], "not_connected", "{alone:#}");
            assert!(alone["hint"].as_str().unwrap().contains("a new subscription"), "{alone:#}");
            assert_eq!(read(peerkit_stop(h, 0))["success"], true);
            let live = "get a live handle from peerkit_start or peerkit_current";
            assert_fails(peerkit_status(h), "invalid_handle", live);
            assert_fails(peerkit_events_open(h, none, &mut 0), "invalid_handle", live);
            assert_fails(peerkit_current(&mut h), "not_running", "call peerkit_start first");
        }
        let dead = in_c(Error::new(ErrorKind::Dead, "it died"));
        assert_eq!(dead.hint(), Some("call stop, then start again"));
    }

    /// Lists the texts of several words that a file has outside comments.
    fn sentences(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let texts = lines.flat_map(|line| line.split('"').skip(1).step_by(2));
        texts.filter(|text| text.contains(' ')).map(str::to_owned).collect()
    }

    fn assert_neutral(dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("ffi") {
                assert_neutral(&path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                for text in sentences(&path) {
                    let mut names = ops::catalogue().iter().map(|op| op.name);
                    let named = names.find(|name| name.contains('_') && text.contains(name));
                    let c = text.contains("peerkit_").then_some("peerkit_");
                    assert_eq!(named.or(c), None, "{}: {text:?}", path.display());
                }
            }
        }
    }

    #[test]
    fn outside_this_door_no_sentence_names_a_function() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        assert_neutral(&source);
        let ours = sentences(&source.join("ffi/hints.rs"));
        assert!(ours.iter().any(|text| text.contains("peerkit_start")), "such a text is found");
    }
}
