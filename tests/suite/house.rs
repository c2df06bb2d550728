//! The house is as ARCHITECTURE.md draws it: rooms use each other only along the arrows of that page,
//! parts of the worker don't know one another, one file has the loop, and one the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../support/arrows.rs"]
mod arrows;

use arrows::{Arrow, assert_no_circles};

/// The rooms of the worker that have state of their own and work for calls.
const PARTS: [&str; 6] = ["connections", "content", "dialing", "discovery", "lookup", "pubsub"];

type Rooms = BTreeMap<String, BTreeSet<String>>;

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn drawn(heading: &str) -> Rooms {
    let page = fs::read_to_string(source().join("../ARCHITECTURE.md")).unwrap();
    let lines = page.lines().skip_while(|line| *line != heading).skip(1);
    let block = lines.take_while(|line| *line != "```");
    let room = |line: &str| {
        let (from, to) = line.split_once(" ->").expect("room -> room, room");
        let to = to.split(',').map(str::trim).filter(|name| !name.is_empty());
        (from.to_owned(), to.map(str::to_owned).collect())
    };
    let rooms: Rooms = block.map(room).collect();
    assert!(rooms.len() > 10, "{heading} isn't drawn");
    rooms
}

/// Returns the first part of a path below `under`, without the ending of a file.
fn room<'a>(file: &'a str, under: &str) -> Option<&'a str> {
    let below = file.strip_prefix(under)?;
    Some(below.split('/').next()?.trim_end_matches(".rs"))
}

fn rooms(found: &[Arrow], under: &str) -> Rooms {
    let mut rooms = Rooms::new();
    for arrow in found {
        let Some(from) = room(&arrow.from, under) else { continue };
        let to = room(&arrow.to, under).filter(|to| *to != from);
        rooms.entry(from.to_owned()).or_default().extend(to.map(str::to_owned));
    }
    rooms
}

#[track_caller]
fn assert_as_drawn(found: &Rooms, drawn: &Rooms) {
    let none = BTreeSet::new();
    for from in found.keys().chain(drawn.keys()) {
        let (found, drawn) = (found.get(from).unwrap_or(&none), drawn.get(from).unwrap_or(&none));
        let undrawn: Vec<_> = found.difference(drawn).collect();
        let stale: Vec<_> = drawn.difference(found).collect();
        assert!(undrawn.is_empty(), "{from} uses {undrawn:?}, which ARCHITECTURE.md doesn't draw");
        assert!(stale.is_empty(), "ARCHITECTURE.md draws {from} -> {stale:?}, which is no more");
    }
}

/// Returns the files below a directory that aren't for tests alone, with their text up to their own tests.
fn files(under: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(under).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if path.is_dir() && name != "tests" {
            files.extend(self::files(&path));
        }
        let for_tests = name.ends_with("tests.rs") || name == "testing.rs";
        if name.ends_with(".rs") && !for_tests {
            let text = fs::read_to_string(&path).unwrap();
            let own = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            files.push((path, own));
        }
    }
    files
}

fn naming(words: &[&str]) -> Vec<String> {
    let worker = source().join("worker");
    let naming = |text: &str| {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        code.into_iter().any(|line| words.iter().any(|word| line.contains(word)))
    };
    let found = files(&worker).into_iter().filter(|(_, text)| naming(text));
    let mut found: Vec<_> =
        found.map(|(path, _)| path.strip_prefix(&worker).unwrap().display().to_string()).collect();
    found.sort();
    found
}

#[test]
fn rooms_use_each_other_as_the_page_draws_it() {
    let found = arrows::arrows(&source());
    assert_as_drawn(&rooms(&found, ""), &drawn("arrows of src"));
    let worker = rooms(&found, "worker/");
    assert_as_drawn(&worker, &drawn("arrows of src/worker"));
    for part in PARTS {
        let others: Vec<_> =
            worker[part].iter().filter(|to| PARTS.contains(&to.as_str())).collect();
        assert!(others.is_empty(), "the part {part} knows {others:?}");
    }
}

#[test]
fn no_file_uses_itself_through_others_but_where_the_page_says_why() {
    let mut found = arrows::arrows(&source());
    let own_mod = |arrow: &Arrow| {
        arrow.to.strip_suffix("mod.rs").is_some_and(|folder| arrow.from.starts_with(folder))
            || arrow.from.starts_with(&format!("{}/", arrow.to.trim_end_matches(".rs")))
    };
    let in_worker = found.iter().filter(|arrow| arrow.from.starts_with("worker/"));
    let to_their_room: Vec<_> = in_worker
        .filter(|arrow| own_mod(arrow) && room(&arrow.from, "worker/") != Some("protocols"))
        .map(ToString::to_string)
        .collect();
    assert!(to_their_room.is_empty(), "a room's files don't know its mod.rs: {to_their_room:#?}");
    // A folder's mod.rs has the type that its files extend; the crate's root its version numbers.
    found.retain(|arrow| !own_mod(arrow) && arrow.to != "lib.rs");
    // A run opens and ends the socket as it does its data directory.
    found.retain(|arrow| !(arrow.from == "run.rs" && arrow.to.starts_with("control/")));
    assert_no_circles(&found, &[]);
}

#[test]
fn one_file_has_the_loop_and_one_the_clock() {
    assert_eq!(naming(&["impl Worker"]), ["dispatch.rs"]);
    let clocks = naming(&["Instant::now()", "SystemTime::now()", "clock::now()"]);
    assert_eq!(clocks, ["util/clock.rs"]);
}
