//! The driver: `bench all`, or the names of some parts. Tables go to standard output, progress to
//! standard error. `raw`, `raw-hold`, `crowd`, `full-hold`, `full-crowd`, `member` and those of `attack`
//! are roles it plays for itself.

use peerkit_bench::member::{self, Full};
use peerkit_bench::raw::{self, Plain};
use peerkit_bench::table::Section;
use peerkit_bench::{
    Result, attack, connect, discovery, events, http, idle, lookups, memory, pages, reads,
};

type Part = fn() -> Result<Vec<Section>>;

const PARTS: &[(&str, Part)] = &[
    ("connect", connect::run),
    ("pages", pages::run),
    ("reads", reads::run),
    ("events", events::run),
    ("discovery", discovery::run),
    ("lookups", lookups::run),
    ("idle", idle::run),
    ("memory", memory::run),
    ("http", http::run),
    ("attack", attack::run),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["raw"] => raw::serve_dialer(),
        ["raw-hold", ref ip @ ..] => raw::serve_holder::<Plain>(ip),
        ["crowd"] => raw::serve_crowd::<Plain>(),
        ["full-hold"] => raw::serve_holder::<Full>(&[]),
        ["full-crowd"] => raw::serve_crowd::<Full>(),
        ["attack", role, options] => attack::serve(role, options),
        ["member", ref arguments @ ..] => member::serve(arguments),
        [] | ["all"] => PARTS.iter().try_for_each(|(_, part)| print(*part)),
        ref names => names.iter().try_for_each(|name| {
            let part = PARTS.iter().find(|(known, _)| known == name);
            part.map_or_else(|| Err(usage()), |(_, part)| print(*part))
        }),
    }
}

fn print(part: Part) -> Result<()> {
    for section in part()? {
        println!("{}", section.markdown());
    }
    Ok(())
}

fn usage() -> Box<dyn std::error::Error + Send + Sync> {
    let names: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
    format!("usage: bench [all | {}]...", names.join(" | ")).into()
}
