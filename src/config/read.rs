//! Reads JSON into a [`Config`], for a call and for `config.json`.
//!
//! Errors name the whole key (`limits.max_peers`). An unknown key is an error in a call, with the nearest known one. In
//! the file it is one too where it is near a known one, for it would be a slip of the pen that starts a node with a
//! default; else a warning: another version or another program may know it. serde reads; what it can't do is here:
//! other names of keys, and objects given as lists, which serde would take.

use std::path::{Path, PathBuf};

use schemars::generate::SchemaSettings;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_path_to_error::{Segment, Track};

use super::error::invalid;
use super::keys::{Config, every_key};
use super::secret::KeySource;
use super::table::Keys;
use crate::error::{Error, ErrorKind, Result};
use crate::model::given::{Misfit, whole_numbers};
use crate::model::nesting::{MAX_DEPTH, is_too_deep};
use crate::model::once::{Misread, read_json};

/// The longest known key is shorter; of an unknown one, no more than this is shown.
const MAX_KEY_CHARS: usize = 64;
/// The most that an error shows of an unusable value.
const MAX_SHOWN_CHARS: usize = 200;

impl Config {
    /// Reads the JSON object that `peerkit_start` takes. A null is as good as a key not given.
    ///
    /// # Errors
    /// [`ErrorKind::ConfigInvalid`](crate::ErrorKind::ConfigInvalid) for what is no JSON object, for an unknown key (`detail.key`, and
    /// the nearest known one in `detail.nearest`) and for a value of the wrong type (`detail.key`).
    pub fn from_json(text: &str) -> Result<Config> {
        // A program that hands on the text of a file has its byte order mark at the front.
        let Read { config, unknown } = read_object(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        match unknown.into_iter().next() {
            None => config,
            Some(unknown) => Err(unknown.into_error()),
        }
    }

    /// Takes relative paths as seen from `dir`: the file means the same from any working directory.
    fn rebase(&mut self, dir: &Path) {
        let log_file = self.log.as_mut().and_then(|log| log.file.as_mut());
        let keys = [&mut self.identity, &mut self.swarm_key];
        let key_files = keys.into_iter().flatten().filter_map(KeySource::path_mut);
        for path in key_files.chain(log_file) {
            *path = dir.join(&*path);
        }
    }
}

/// The content of `config.json` in a data directory.
#[derive(Debug)]
pub(crate) struct FileConfig {
    /// Its path.
    pub path: PathBuf,
    /// The keys it sets.
    pub config: Config,
    /// Warnings about what has no effect in it.
    pub warnings: Vec<String>,
}

impl FileConfig {
    /// Reads the text of the file.
    pub(super) fn parse(path: PathBuf, text: &str) -> Result<FileConfig> {
        let at_path = |error: Error| error.in_file(&path);
        let Read { config, unknown } = read_object(text).map_err(at_path)?;
        let (near, far): (Vec<_>, Vec<_>) =
            unknown.into_iter().partition(|key| key.nearest.is_some());
        if let Some(slip) = near.into_iter().next() {
            return Err(at_path(slip.into_error()).with_hint("correct the key, or take it out"));
        }
        let mut config = config.map_err(at_path)?;
        let mut warnings: Vec<String> =
            far.into_iter().map(|key| format!("config.json: {}", key.message)).collect();
        // What says where the file is, and whether it is believed, can't be said in it.
        let outside = [
            ("data_dir", config.data_dir.take().is_some()),
            ("allow_foreign_data_dir", config.allow_foreign_data_dir.take().is_some()),
        ];
        let given = outside.into_iter().filter(|(_, given)| *given);
        warnings.extend(given.map(|(key, _)| format!("`{key}` has no effect in config.json")));
        if let Some(dir) = path.parent() {
            config.rebase(dir);
        }
        Ok(FileConfig { path, config, warnings })
    }
}

/// An object as serde read it.
struct Read {
    config: Result<Config>,
    /// The keys nobody knows, up to where reading failed if it did.
    unknown: Vec<UnknownKey>,
}

fn read_object(text: &str) -> Result<Read> {
    let refused = |why: String| Error::new(ErrorKind::ConfigInvalid, why);
    if is_too_deep(text.as_bytes()) {
        return Err(refused(format!("the configuration is nested deeper than {MAX_DEPTH} levels")));
    }
    let mut object = match read_json(text.as_bytes()) {
        Ok(Value::Object(object)) => object,
        Ok(_) => return Err(refused("the configuration must be a JSON object".to_owned())),
        Err(Misread::Doubled(key)) => return Err(invalid(&key, "it is given more than once")),
        Err(Misread::NotJson(error)) => {
            return Err(refused(format!("the configuration is no JSON: {error}")));
        }
    };
    whole_numbers(&mut object);
    rename_aliases(&mut object)?;
    refuse_lists_as_objects(&object)?;
    let object = Value::Object(object);

    let mut unknown = Vec::new();
    let mut note = |path: serde_ignored::Path<'_>| unknown.push(UnknownKey::new(&name_of(&path)));
    let mut track = Track::new();
    let noting = serde_ignored::Deserializer::new(&object, &mut note);
    let tracking = serde_path_to_error::Deserializer::new(noting, &mut track);
    let read = <Config as Keys>::Read::deserialize(tracking);
    let config = read.map(Config::from).map_err(|error| wrong_type(&object, track, &error));
    Ok(Read { config, unknown })
}

/// Moves values from other names to their keys.
fn rename_aliases(object: &mut Map<String, Value>) -> Result<()> {
    for (alias, key) in every_key().filter_map(|key| Some((key.alias?, key.name))) {
        let Some(value) = object.remove(alias).filter(|value| !value.is_null()) else {
            continue;
        };
        let (object, name) = match key.split_once('.') {
            None => (&mut *object, key),
            Some((outer, inner)) => {
                let outer_value = object.entry(outer).or_insert(Value::Null);
                if outer_value.is_null() {
                    *outer_value = Value::Object(Map::new());
                }
                let Value::Object(nested) = outer_value else {
                    return Err(not_an_object(outer));
                };
                (nested, inner)
            }
        };
        if object.get(name).is_some_and(|value| !value.is_null()) {
            let why = format!("it is another name for `{key}`, which is given too");
            return Err(invalid(alias, why));
        }
        object.insert(name.to_owned(), value);
    }
    Ok(())
}

/// Refuses lists in place of objects: serde would take their items in the order of the keys.
fn refuse_lists_as_objects(object: &Map<String, Value>) -> Result<()> {
    let objects = Config::KEYS.iter().filter(|key| !key.inside.is_empty());
    let is_object = |value: &Value| value.is_object() || value.is_null();
    match objects.map(|key| key.name).find(|name| !object.get(*name).is_none_or(is_object)) {
        Some(name) => Err(not_an_object(name)),
        None => Ok(()),
    }
}

fn not_an_object(key: &str) -> Error {
    invalid(key, "it must be an object")
}

/// Makes the error for a value that serde couldn't read, at its place.
fn wrong_type(object: &Value, track: Track, error: &serde_json::Error) -> Error {
    let path = track.path();
    let (mut key, mut at, mut value) = (String::new(), String::new(), Some(object));
    for segment in path.iter() {
        match segment {
            Segment::Map { key: inner } => {
                let dot = if key.is_empty() { "" } else { "." };
                key.extend([dot, inner]);
                value = value.and_then(|value| value.get(inner));
            }
            Segment::Seq { index } => {
                at = format!("at [{index}], ");
                value = value.and_then(|value| value.get(index));
            }
            _ => {}
        }
    }
    let said = error.to_string();
    // What the values of a key say themselves quotes no secret.
    let of_its_own = said.starts_with("it must be");
    let (why, hint) = match (value, schema_of(&key)) {
        (Some(value), Some(mut schema)) if !of_its_own => {
            if !at.is_empty() {
                schema = schema["items"].take();
            }
            let Misfit { what, hint } = Misfit::of(&schema, value);
            (format!("{at}it {what}"), hint)
        }
        _ => (at + &shorten(&said, MAX_SHOWN_CHARS), None),
    };
    let invalid = invalid(&key, why);
    match hint {
        Some(hint) => invalid.with_hint(hint),
        None => invalid,
    }
}

/// Gives the JSON Schema of a key.
pub(super) fn schema_of(key: &str) -> Option<Value> {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    let mut schema = Value::from(settings.into_generator().into_root_schema_for::<Config>());
    for name in key.split('.') {
        // One that may be left out is a choice between null and what it is.
        let inside = match schema.get_mut("properties") {
            Some(properties) => properties,
            None => schema["anyOf"]
                .as_array_mut()?
                .iter_mut()
                .find_map(|of| of.get_mut("properties"))?,
        };
        schema = inside.get_mut(name)?.take();
    }
    Some(schema)
}

fn shorten(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A key nobody knows.
struct UnknownKey {
    /// The key, in a form that can be shown.
    shown: String,
    nearest: Option<String>,
    message: String,
}

impl UnknownKey {
    fn new(key: &str) -> Self {
        let nearest = nearest_key(key);
        let guess = nearest.as_ref().map(|known| format!(", did you mean `{known}`?"));
        let shown: String = key.chars().take(MAX_KEY_CHARS).flat_map(char::escape_debug).collect();
        let message = format!("unknown key `{shown}`{}", guess.unwrap_or_default());
        UnknownKey { shown, nearest, message }
    }

    fn into_error(self) -> Error {
        Error::new(ErrorKind::ConfigInvalid, self.message)
            .with("key", self.shown)
            .with("nearest", self.nearest)
    }
}

/// Makes a key's name of a path, without the marks that serde_ignored has for optional values.
fn name_of(path: &serde_ignored::Path<'_>) -> String {
    use serde_ignored::Path;

    match path {
        Path::Root => String::new(),
        Path::Map { parent, key } => match name_of(parent) {
            outer if outer.is_empty() => key.clone(),
            outer => format!("{outer}.{key}"),
        },
        Path::Seq { parent, .. }
        | Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => name_of(parent),
    }
}

/// Finds the known key most like `typed`, if any is like it at all. The part behind the last dot also counts
/// by itself, which finds a key in the wrong object.
fn nearest_key(typed: &str) -> Option<String> {
    fn last_part(key: &str) -> &str {
        key.rsplit('.').next().unwrap_or(key)
    }

    if typed.len() > MAX_KEY_CHARS {
        return None;
    }
    let typed = typed.to_lowercase();
    let leaf = last_part(&typed);
    let likeness = |known: &String| {
        let whole = strsim::damerau_levenshtein(&typed, known);
        whole.min(strsim::damerau_levenshtein(leaf, last_part(known)))
    };
    let (distance, known) =
        known_keys().map(|known| (likeness(&known), known)).min_by_key(|it| it.0)?;
    let alike = (leaf.len() / 3).clamp(1, 3);
    (distance <= alike).then_some(known)
}

/// Lists the names of every key, other names included.
pub(super) fn known_keys() -> impl Iterator<Item = String> {
    let (outermost, inside): (Vec<_>, Vec<_>) =
        every_key().partition(|key| !key.name.contains('.'));
    let names = outermost.into_iter().map(|key| key.name);
    let aliases = every_key().filter_map(|key| key.alias);
    names.chain(aliases).chain(inside.into_iter().map(|key| key.name)).map(str::to_owned)
}
