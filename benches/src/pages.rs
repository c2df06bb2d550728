//! Part "pages": a page of 50 from books of three sizes, through the C ABI.

use serde_json::json;

use crate::Result;
use crate::child::{Child, progress};
use crate::connect::number;
use crate::stats::Rounds;
use crate::table::{Section, count, duration, times};

const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
/// Real connections to each node: `filter_connected: true` lists these.
const CONNECTED: u64 = 200;
const ROUNDS: usize = 45;
/// Calls in a turn.
const CALLS: u64 = 100;
/// The time of ipfs_kit_py's peer manager for such a page at 100k records, measured once on a machine
/// with two cores; it isn't here to be measured again.
const PYTHON_US: f64 = 42_000.0;

#[derive(Clone, Copy)]
enum Offset {
    First,
    Middle,
    /// Another page at each call, so that nothing of it is in the processor's caches.
    Anywhere,
}

struct Query {
    connected: bool,
    offset: Offset,
    /// The rounds, by size.
    rounds: [Rounds; SIZES.len()],
    bytes: f64,
}

pub fn run() -> Result<Vec<Section>> {
    let mut crowd = Child::role(&["crowd"])?;
    let mut nodes = Vec::new();
    for size in SIZES {
        progress(&format!("pages, a book of {}", count(size)));
        let mut node = Child::node(None, None)?;
        node.ask(&json!({ "cmd": "fill", "from": 0, "to": size - CONNECTED, "threads": 1 }))?;
        let address = node.address("/tcp/")?;
        crowd.ask(&json!({ "cmd": "crowd", "addr": address, "n": CONNECTED }))?;
        nodes.push(node);
    }
    let mut queries = [true, false].map(|connected| {
        [Offset::First, Offset::Middle, Offset::Anywhere].map(|offset| Query {
            connected,
            offset,
            rounds: Default::default(),
            bytes: 0.0,
        })
    });
    let queries = queries.as_flattened_mut();
    for round in 0..=ROUNDS {
        progress(&format!("pages, round {round} of {ROUNDS}"));
        for query in queries.iter_mut() {
            for (at, node) in nodes.iter_mut().enumerate() {
                let command = query.command(SIZES[at], round);
                let summary = node.ask(&command)?;
                if round > 0 {
                    query.rounds[at].note(&summary);
                    query.bytes = number(&summary, "bytes");
                }
            }
        }
    }
    Ok(vec![table(queries)])
}

impl Query {
    fn command(&self, size: u64, round: usize) -> serde_json::Value {
        let all = if self.connected { CONNECTED } else { size - CONNECTED };
        let offsets: Vec<u64> = match self.offset {
            Offset::First => vec![0],
            Offset::Middle => vec![all / 2],
            // The offsets have a prime stride: far apart, and new ones in each round.
            Offset::Anywhere => {
                let first = round as u64 * CALLS;
                (first..first + CALLS).map(|n| n * 611_953 % (all - 50)).collect()
            }
        };
        let options = offsets.iter().map(|offset| {
            let connected = self.connected;
            json!({
                "limit": 50, "offset": offset, "sort": "last_seen", "filter_connected": connected,
            })
            .to_string()
        });
        json!({ "cmd": "pages", "options": options.collect::<Vec<_>>(), "n": CALLS })
    }
}

fn table(queries: &[Query]) -> Section {
    let mut section = Section::new(
        "A page of 50",
        &format!(
            "`peerkit_list_peers` with limit 50, sort last_seen and filter_connected, its JSON \
             written, read and freed; three processes with books of three sizes, {ROUNDS} rounds of \
             {CALLS} calls in turn. Of each book's records {CONNECTED} are peers really connected \
             over TCP (swarms of another process), which is all that filter_connected true can find; \
             the others were added by add_peer with two addresses each, and have no protocols and no \
             last_seen: there the order is by id. The same page again and again is served from the \
             processor's caches; the third row of each isn't. Python: the 42 ms that ipfs_kit_py's manager took for \
             such a page at 100k records were measured once, on a machine with two cores, not in this run. Targets: 1M within \
             2x of 1k; at least 100x faster than Python."
        ),
        &[
            "filter_connected",
            "offset",
            "1M to 1k",
            "Python to 100k",
            "p50 (p99) at 1k",
            "at 100k",
            "at 1M",
            "reply",
        ],
    );
    for query in queries {
        let [small, middle, large] = &query.rounds;
        let cell =
            |rounds: &Rounds| format!("{} ({})", duration(rounds.p50()), duration(rounds.p99()));
        section.row([
            query.connected.to_string(),
            match query.offset {
                Offset::First => "0",
                Offset::Middle => "n/2",
                Offset::Anywhere => "another at each call",
            }
            .to_owned(),
            times(large.ratio(small)),
            times(PYTHON_US / middle.p50()),
            cell(small),
            cell(middle),
            cell(large),
            format!("{:.1} kB", query.bytes / 1000.0),
        ]);
    }
    section
}
