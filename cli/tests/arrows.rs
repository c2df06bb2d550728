//! The program's files use each other in one direction: none uses, directly or through others, one that uses it.

use std::fs;
use std::path::Path;

use crate::support::arrows::{Defended, arrows, assert_no_circles, circles};

/// Arrows that may be on a circle, each with the reason.
const DEFENDED: &[Defended] = &[];

#[test]
fn no_file_of_the_program_uses_itself_through_others() {
    let found = arrows(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    assert!(found.len() > 200, "the source was read: {} arrows", found.len());
    assert_no_circles(&found, DEFENDED);
}

/// Writes a crate and reads its arrows, `from -> to`.
fn arrows_of(files: &[(&str, &str)]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let found = arrows(dir.path());
    found.iter().map(|arrow| format!("{} -> {}", arrow.from, arrow.to)).collect()
}

#[test]
fn each_way_to_name_another_file_draws_an_arrow() {
    let declared = "mod a; mod b { pub mod c; }";
    let target = "pub struct Thing; pub mod deep { pub fn call() {} }";
    for text in [
        "use crate::b::c;",
        "use crate::b::c::Thing;",
        "use super::b::{c::{Thing as Other, deep::*}, };",
        "pub(crate) use super::b::c::Thing;",
        "fn f() { super::b::c::deep::call(); }",
        "fn f(_: crate::b::c::Thing) {}",
        "use super::b;\nfn f() { b::c::deep::call() }",
        "mod inner { use super::super::b::c::Thing; }",
        "fn f<'a>(_: &'a str) -> char { let _ = 'b'; let _: crate::b::c::Thing; '\"' }",
        "macro_rules! m { () => { $crate::b::c::deep::call() } }",
    ] {
        let found = arrows_of(&[("main.rs", declared), ("a.rs", text), ("b/c.rs", target)]);
        assert!(found.contains(&"a.rs -> b/c.rs".to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn what_names_no_other_file_draws_none() {
    let declared = "mod a; mod c;";
    for text in [
        "use std::fmt;",
        "use other::c::Thing;",
        "use self::Own::A; enum Own { A }",
        "// use crate::c;\n/* crate::c::x() */\n/// See [`crate::c`].\nfn f() {}",
        "fn f() { g(\"crate::c::x\", r#\"\" crate::c::x\"#, b\"crate::c\"); }",
        "#[cfg(test)]\nmod tests { use crate::c::Thing; }",
        "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;",
        "#[cfg(test)]\npub use crate::c::Thing;\n#[test]\nfn f() { crate::c::x(); }",
    ] {
        let found =
            arrows_of(&[("lib.rs", declared), ("a.rs", text), ("c.rs", "pub struct Thing;")]);
        assert_eq!(found, ["lib.rs -> a.rs", "lib.rs -> c.rs"], "{text}");
    }
}

#[test]
fn a_reexported_name_leads_to_the_file_that_defines_it() {
    let room = "mod one; mod two; pub use self::one::Thing; pub use self::two::*; pub struct Own;";
    let files = |text| {
        let main = ("main.rs", "mod a; mod room;");
        let (one, two) =
            (("room/one.rs", "pub struct Thing;"), ("room/two.rs", "pub fn many() {}"));
        arrows_of(&[main, ("a.rs", text), ("room/mod.rs", room), one, two])
    };
    for (text, to) in [
        ("use crate::room::Thing;", "a.rs -> room/one.rs"),
        ("use crate::room::many;", "a.rs -> room/two.rs"),
        ("use crate::room::Own;", "a.rs -> room/mod.rs"),
        ("use crate::room;", "a.rs -> room/mod.rs"),
    ] {
        let found = files(text);
        let from_a: Vec<_> = found.iter().filter(|arrow| arrow.starts_with("a.rs")).collect();
        assert_eq!(from_a, [to], "{text}");
    }
}

#[test]
fn a_circle_is_found_however_long_and_a_defended_arrow_must_be_on_one() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write("main.rs", "mod a; mod b; mod c; mod d;");
    write("a.rs", "use crate::b;");
    write("b.rs", "use crate::c;");
    write("c.rs", "use crate::a; use crate::d;");
    write("d.rs", "");
    let found = arrows(dir.path());
    let circle: Vec<_> = circles(&found).concat().iter().map(ToString::to_string).collect();
    assert_eq!(circle, ["a.rs:1 -> b.rs", "b.rs:1 -> c.rs", "c.rs:1 -> a.rs"]);
    let fails = |defended: &[Defended]| {
        let check = std::panic::AssertUnwindSafe(|| assert_no_circles(&found, defended));
        std::panic::catch_unwind(check).is_err()
    };
    assert!(fails(&[]) && fails(&[("c.rs", "d.rs", "it is on no circle")]));
    assert!(fails(&[("c.rs", "a.rs", "needed"), ("c.rs", "d.rs", "not needed")]));
    assert!(!fails(&[("c.rs", "a.rs", "needed")]));
}

#[test]
fn a_child_that_uses_what_its_parent_defines_makes_a_circle() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("room")).unwrap();
    fs::write(dir.path().join("main.rs"), "mod room;").unwrap();
    fs::write(dir.path().join("room/mod.rs"), "mod child; struct Shared;").unwrap();
    fs::write(dir.path().join("room/child.rs"), "use super::Shared;").unwrap();
    assert_eq!(circles(&arrows(dir.path())).len(), 1);
}
