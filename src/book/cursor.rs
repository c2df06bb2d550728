//! The opaque text by which a list goes on where its last page ended: the place of the page's last
//! row, so that peers that come and go shift nothing.

use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::index::SortKey;
use crate::PeerId;
use crate::error::{Error, Result, invalid_argument};
use crate::model::params::SortBy;

const VERSION: u8 = 1;
/// Version, order, then eight bytes of the key's number; the id's text follows.
const HEADER: usize = 10;

fn code(sort: SortBy) -> u8 {
    match sort {
        SortBy::LastSeen => 0,
        SortBy::FirstSeen => 1,
        SortBy::Latency => 2,
        SortBy::PeerId => 3,
    }
}

pub(super) fn encode(key: &SortKey, sort: SortBy) -> String {
    let mut bytes = vec![VERSION, code(sort)];
    bytes.extend(key.major.to_be_bytes());
    bytes.extend(key.id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn decode(cursor: &str, sort: SortBy) -> Result<SortKey> {
    let malformed = || bad("it is no next_cursor of an earlier page");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| malformed())?;
    let (header, id) = bytes.split_at_checked(HEADER).ok_or_else(malformed)?;
    let (head, major) = header.split_at(2);
    let major = <[u8; 8]>::try_from(major).map(i64::from_be_bytes).map_err(|_| malformed())?;
    let id = std::str::from_utf8(id).map_err(|_| malformed())?;
    if head[0] != VERSION || PeerId::from_str(id).is_err() {
        return Err(malformed());
    }
    if head[1] != code(sort) {
        return Err(bad("it was made for another sort"));
    }
    Ok(SortKey { major, id: id.into() })
}

fn bad(why: &str) -> Error {
    invalid_argument(format!("`cursor` is not usable: {why}"))
        .with("parameter", "cursor")
        .with_hint("start again without a cursor")
}
