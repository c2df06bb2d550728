//! Short ids. The ids of one kind of key begin alike, so what is kept is the end: long enough that no two of
//! those shown together are the same. On a terminal only; scripts get whole ids.

use std::collections::HashMap;

/// The least that is shown of an id. What can be typed for one is a little less: see `commands::target`.
const SHORT: usize = 8;
/// The length where it isn't known which others will be shown: that much is nobody's by chance or by trying.
const ALONE: usize = 12;

/// The short forms of ids that are shown together.
#[derive(Debug)]
pub struct Ids {
    length: usize,
    whole: bool,
}

impl Ids {
    /// Finds the length for these ids; `whole` shows them as they are.
    pub fn of<'a>(ids: impl IntoIterator<Item = &'a str>, whole: bool) -> Self {
        if whole {
            return Ids { length: SHORT, whole };
        }
        let mut ids: Vec<&str> = ids.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        let longest = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
        let distinct = |length: &usize| {
            let mut seen = HashMap::new();
            ids.iter().all(|id| seen.insert(end(id, *length), ()).is_none())
        };
        let length = (SHORT..=longest.max(SHORT)).find(distinct).unwrap_or(longest);
        Ids { length, whole }
    }

    /// Serves ids that come one by one.
    pub fn one_by_one(whole: bool) -> Self {
        Ids { length: ALONE, whole }
    }

    /// Shortens an id.
    pub fn show(&self, id: &str) -> String {
        match end(id, self.length) {
            _ if self.whole => id.to_owned(),
            end if end.len() == id.len() => id.to_owned(),
            end => format!("…{end}"),
        }
    }
}

fn end(id: &str, length: usize) -> &str {
    let cut = id.char_indices().rev().nth(length.saturating_sub(1)).map_or(0, |(at, _)| at);
    &id[cut..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ids_differ_where_the_ids_do() {
        let ids = ["12D3KooWaaaaaaaaXbcdefgh", "12D3KooWaaaaaaaaYbcdefgh", "QmShort"];
        let short = Ids::of(ids, false);
        assert_eq!(short.show(ids[0]), "…Xbcdefgh");
        let same_end = ["12D3KooWaaaaaaaXbbcdefgh", "12D3KooWaaaaaaaYbbcdefgh"];
        let short = Ids::of(same_end, false);
        assert_eq!(same_end.map(|id| short.show(id)), ["…Xbbcdefgh", "…Ybbcdefgh"]);
        assert_eq!(short.show("QmShort"), "QmShort");
        assert_eq!(Ids::of(ids, true).show(ids[0]), ids[0]);
    }
}
