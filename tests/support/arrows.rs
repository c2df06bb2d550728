//! Arrows between the files of a crate: the file that names something and the other one that defines
//! it, read from the paths in the source, and the circles that arrows make. For tests that forbid
//! circles, here and in `cli`.
//!
//! Reads as much Rust as that takes: `mod` and `use` declarations, and paths in code that begin with `crate`,
//! `self`, `super`, a child module or an imported name. A name that a module only re-exports leads to the file
//! that defines it. Code compiled for tests alone draws no arrow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::{fmt, fs};

/// One file names another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    /// The file that names, relative to the source directory.
    pub from: String,
    /// The file that is named.
    pub to: String,
    /// The first line that does so.
    pub line: usize,
}

impl fmt::Display for Arrow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} -> {}", self.from, self.line, self.to)
    }
}

/// Reads the arrows of the crate whose root, `lib.rs` or `main.rs`, lies in `source`. A module's declaration of
/// a child is an arrow too: a child that uses what its parent defines makes a circle.
pub fn arrows(source: &Path) -> Vec<Arrow> {
    let root = ["lib.rs", "main.rs"].into_iter().find(|name| source.join(name).exists());
    let root = root.unwrap_or_else(|| panic!("{} holds no crate", source.display()));
    let mut tree = Tree { source, modules: BTreeMap::new(), mentions: Vec::new() };
    tree.load(root, "crate", "");
    let mut found: BTreeMap<(String, String), usize> = BTreeMap::new();
    for Mention { module, path, line } in &tree.mentions {
        let from = &tree.modules[module].file;
        for to in tree.files(module, path, 0).into_iter().filter(|to| to != from) {
            let first = found.entry((from.clone(), to)).or_insert(*line);
            *first = *line.min(first);
        }
    }
    found.into_iter().map(|((from, to), line)| Arrow { from, to, line }).collect()
}

/// An arrow that a circle is allowed to have, and why: `(from, to, reason)`.
pub type Defended = (&'static str, &'static str, &'static str);

/// Fails where arrows make a circle without a defended one, and where a defended arrow is on no circle any more.
#[track_caller]
pub fn assert_no_circles(arrows: &[Arrow], defended: &[Defended]) {
    let is = |arrow: &Arrow, (from, to, _): &Defended| arrow.from == *from && arrow.to == *to;
    let (kept, others): (Vec<_>, Vec<_>) =
        arrows.iter().cloned().partition(|arrow| defended.iter().any(|known| is(arrow, known)));
    let told = circles(&others).into_iter().map(|circle| {
        let steps: Vec<_> = circle.iter().map(Arrow::to_string).collect();
        format!("  {}", steps.join(", "))
    });
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "files use each other in circles:\n{}", told.join("\n"));
    for known in defended {
        let needed = kept.iter().filter(|arrow| is(arrow, known)).any(|arrow| {
            let with: Vec<_> = others.iter().chain([arrow]).cloned().collect();
            !circles(&with).is_empty()
        });
        assert!(needed, "{known:?} is on no circle: take it off the list");
    }
}

/// Finds the shortest circle through each file that is on one. Returns each circle once, from its first
/// file on.
pub fn circles(arrows: &[Arrow]) -> Vec<Vec<Arrow>> {
    let files: BTreeSet<&str> = arrows.iter().map(|arrow| arrow.from.as_str()).collect();
    let through = files.into_iter().filter_map(|file| shortest_circle(arrows, file));
    let told = through.map(|mut circle| {
        let least = circle.iter().enumerate().min_by_key(|(_, arrow)| &arrow.from);
        let least = least.map_or(0, |(place, _)| place);
        circle.rotate_left(least);
        circle
    });
    told.collect::<BTreeSet<_>>().into_iter().collect()
}

fn shortest_circle(arrows: &[Arrow], file: &str) -> Option<Vec<Arrow>> {
    let mut came_by: BTreeMap<&str, &Arrow> = BTreeMap::new();
    let mut next = VecDeque::from([file]);
    while let Some(at) = next.pop_front() {
        for arrow in arrows.iter().filter(|arrow| arrow.from == at) {
            if !came_by.contains_key(arrow.to.as_str()) {
                came_by.insert(&arrow.to, arrow);
                next.push_back(&arrow.to);
            }
        }
    }
    let mut circle = vec![(*came_by.get(file)?).clone()];
    while circle[0].from != file {
        circle.insert(0, came_by[circle[0].from.as_str()].clone());
    }
    Some(circle)
}

/// A path as it is written.
type Segments = Vec<String>;

/// A module: the file it is in, and the names it has beside those of its children.
#[derive(Default)]
struct Module {
    file: String,
    /// Names that a `use` brings in; one may have several paths where platforms differ.
    imports: BTreeMap<String, Vec<Segments>>,
    globs: Vec<Segments>,
    defines: BTreeSet<String>,
}

/// A path in the code of a module.
struct Mention {
    module: String,
    path: Segments,
    line: usize,
}

struct Tree<'a> {
    source: &'a Path,
    /// The modules by their paths, such as `crate::http::status`.
    modules: BTreeMap<String, Module>,
    mentions: Vec<Mention>,
}

/// Words before the name of an item.
const ITEMS: &[&str] = &["fn", "struct", "enum", "union", "trait", "type", "const", "static"];
/// Re-exports of re-exports that are followed.
const MAX_DEPTH: usize = 16;

impl Tree<'_> {
    /// Reads a file, and those of its children, which lie in the directory `under`.
    fn load(&mut self, file: &str, module: &str, under: &str) {
        let path = self.source.join(file);
        let text = fs::read_to_string(&path);
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.read(&tokens(&text), file, module, under);
    }

    /// Reads the tokens of a module.
    fn read(&mut self, all: &[Token], file: &str, module: &str, under: &str) {
        let mut about = Module { file: file.to_owned(), ..Module::default() };
        let (mut place, mut depth, mut of_tests) = (0, 0_usize, false);
        while place < all.len() {
            let text = |ahead: usize| all.get(place + ahead).map_or("", |token| &*token.text);
            let line = all[place].line;
            match text(0) {
                "#" if text(1) == "[" => {
                    let end = closing(all, place + 1);
                    of_tests |= is_for_tests(&all[place + 2..end]);
                    place = end + 1;
                    continue;
                }
                _ if of_tests => place = end_of_item(all, place) + 1,
                "mod" if [";", "{"].contains(&text(2)) => {
                    let (name, inner) = (text(1), place + 3);
                    self.mention(module, vec!["self".to_owned(), name.to_owned()], line);
                    let (child, under) = (format!("{module}::{name}"), format!("{under}{name}/"));
                    if text(2) == ";" {
                        self.load(&self.file_of(&under), &child, &under);
                        place = inner;
                    } else {
                        let end = closing(all, inner - 1);
                        self.read(&all[inner..end], file, &child, &under);
                        place = end + 1;
                    }
                }
                "use" if text(1) != "<" => {
                    let mut leaves = Vec::new();
                    place = use_tree(all, place + 1, Vec::new(), &mut leaves);
                    for (path, name) in leaves {
                        self.mention(module, path.clone(), line);
                        match name {
                            Some(name) => about.imports.entry(name).or_default().push(path),
                            None => about.globs.push(path),
                        }
                    }
                }
                word if is_word(word) && text(1) == "::" => {
                    let mut path = vec![word.to_owned()];
                    place += 1;
                    while let [colons, next, ..] = &all[place..]
                        && colons.text == "::"
                        && is_word(&next.text)
                    {
                        path.push(next.text.clone());
                        place += 2;
                    }
                    self.mention(module, path, line);
                }
                word => {
                    match word {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        item if depth == 0 && ITEMS.contains(&item) => {
                            about.defines.insert(text(1).to_owned());
                        }
                        _ => {}
                    }
                    place += 1;
                }
            }
            of_tests = false;
        }
        self.modules.insert(module.to_owned(), about);
    }

    fn mention(&mut self, module: &str, path: Segments, line: usize) {
        self.mentions.push(Mention { module: module.to_owned(), path, line });
    }

    /// Names the file of the module whose children lie in the directory `under`.
    fn file_of(&self, under: &str) -> String {
        let own = format!("{}.rs", under.trim_end_matches('/'));
        if self.source.join(&own).exists() { own } else { format!("{under}mod.rs") }
    }

    /// Returns the files that define what a path leads to; none where that is another crate or a local name.
    fn files(&self, module: &str, path: &[String], depth: usize) -> BTreeSet<String> {
        match self.begin(module, path).filter(|_| depth < MAX_DEPTH) {
            Some((at, rest)) => self.walk(&at, rest, depth),
            None => BTreeSet::new(),
        }
    }

    /// Finds the module where a path begins, and what is left of the path there.
    fn begin<'a>(&self, module: &str, path: &'a [String]) -> Option<(String, &'a [String])> {
        let (mut at, mut rest) = (module.to_owned(), path);
        while let Some((first, further)) = rest.split_first() {
            at = match first.as_str() {
                "crate" => "crate".to_owned(),
                "self" => at,
                "super" => at.rsplit_once("::")?.0.to_owned(),
                name if rest.len() < path.len() || self.knows(&at, name) => break,
                _ => return None,
            };
            rest = further;
        }
        Some((at, rest))
    }

    /// Goes from a module along the rest of a path.
    fn walk(&self, module: &str, rest: &[String], depth: usize) -> BTreeSet<String> {
        let Some(here) = self.modules.get(module) else { return BTreeSet::new() };
        let own = BTreeSet::from([here.file.clone()]);
        let Some((name, further)) = rest.split_first() else { return own };
        let child = format!("{module}::{name}");
        if self.modules.contains_key(&child) {
            return self.walk(&child, further, depth);
        }
        if here.defines.contains(name) {
            return own;
        }
        if let Some(imported) = here.imports.get(name) {
            // `use regex::regex` names another crate.
            let paths = imported.iter().filter(|path| path.first() != Some(name));
            let paths = paths.map(|path| [path.as_slice(), further].concat());
            return paths.flat_map(|path| self.files(module, &path, depth + 1)).collect();
        }
        let globs = here.globs.iter().filter_map(|glob| self.begin(module, glob));
        let globs = globs.map(|(at, rest)| [&[at], rest].concat().join("::"));
        let mut defining = globs.filter(|from| from != module && self.defines(from, name));
        match defining.next().filter(|_| depth < MAX_DEPTH) {
            Some(from) => self.walk(&from, rest, depth + 1),
            None => own,
        }
    }

    /// Tells whether the module has a child or an import of that name.
    fn knows(&self, module: &str, name: &str) -> bool {
        self.modules.contains_key(&format!("{module}::{name}"))
            || self.modules.get(module).is_some_and(|module| module.imports.contains_key(name))
    }

    fn defines(&self, module: &str, name: &str) -> bool {
        self.modules.get(module).is_some_and(|module| module.defines.contains(name))
            || self.knows(module, name)
    }
}

/// Reads the tree of a `use` from `place` on, into paths with the names they get, none for a glob;
/// returns the place behind it.
fn use_tree(
    all: &[Token],
    mut place: usize,
    mut path: Segments,
    leaves: &mut Vec<(Segments, Option<String>)>,
) -> usize {
    loop {
        match all.get(place).map_or(";", |token| token.text.as_str()) {
            "::" => place += 1,
            "{" => {
                let end = closing(all, place);
                place += 1;
                while place < end {
                    place = use_tree(all, place, path.clone(), leaves);
                }
                return end + 1;
            }
            "*" => {
                leaves.push((path, None));
                return place + 2;
            }
            "as" => {
                leaves.push((path, all.get(place + 1).map(|token| token.text.clone())));
                return place + 3;
            }
            "," | "}" | ";" => {
                let name = path.last().cloned();
                // Behind a list's last comma there is nothing.
                if name.is_some() {
                    leaves.push((path, name));
                }
                return place + 1;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => place += 1,
            word => {
                path.push(word.to_owned());
                place += 1;
            }
        }
    }
}

/// Tells whether an attribute leaves its item to tests.
fn is_for_tests(attribute: &[Token]) -> bool {
    let words: Vec<_> = attribute.iter().map(|token| token.text.as_str()).collect();
    matches!(words[..], ["test"] | ["cfg", "(", "test", ")"] | ["cfg", "(", "all", "(", "test", ..])
}

/// Finds the last token of the item that begins at `place`: a `;`, or the bracket that closes its body.
fn end_of_item(all: &[Token], mut place: usize) -> usize {
    while let Some(token) = all.get(place) {
        match token.text.as_str() {
            ";" => return place,
            "{" => return closing(all, place),
            "(" | "[" => place = closing(all, place),
            _ => {}
        }
        place += 1;
    }
    all.len()
}

/// Finds the bracket that closes the one at `open`.
fn closing(all: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (place, token) in all.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return place;
        }
    }
    all.len()
}

/// A word, `::`, or any other single character.
struct Token {
    text: String,
    line: usize,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn is_part_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits source text, without its comments and literals of text.
fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let (mut rest, mut line) = (text, 1);
    while let Some(first) = rest.chars().next() {
        let length = literal(rest).unwrap_or_else(|| {
            let word = rest.find(|c| !is_part_of_word(c)).unwrap_or(rest.len());
            let length = if rest.starts_with("::") { 2 } else { word.max(first.len_utf8()) };
            if !first.is_whitespace() {
                tokens.push(Token { text: rest[..length].to_owned(), line });
            }
            length
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// Measures the comment, text, character or lifetime at the beginning, if there is one.
fn literal(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    for prefix in ["r", "br", "cr"] {
        let Some(raw) = rest.strip_prefix(prefix) else { continue };
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if let Some(text) = raw[hashes..].strip_prefix('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            return Some(rest.len() - text.len() + text.find(&end)? + end.len());
        }
    }
    let prefix = usize::from(["b\"", "c\"", "b'"].iter().any(|begin| rest.starts_with(begin)));
    let mut begin = rest[prefix..].chars();
    match (begin.next()?, begin.next(), begin.next()) {
        ('"', ..) => Some(prefix + quoted(&rest[prefix..], '"')),
        ('\'', Some('\\'), _) | ('\'', _, Some('\'')) => {
            Some(prefix + quoted(&rest[prefix..], '\''))
        }
        ('\'', ..) => Some(1 + rest[1..].find(|c| !is_part_of_word(c))?),
        _ => None,
    }
}

/// Measures a quoted text with its quotes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (place, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return place + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}
