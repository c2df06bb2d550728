//! From JSON text to [`Config`], for a call and for `config.json`.
//!
//! It's done by hand instead of by a serde derive, because errors name the whole key
//! (`limits.max_peers`) and the nearest known one, and because an unknown key is an error in a call but
//! a warning in the file. Called by `Config::from_json` and `DataDir::read_config`.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::keys::{Config, Discovery, KeyValue, Limits, Log};
use super::secret::KeySource;
use crate::error::{Error, ErrorKind, Result};

/// Other names of keys, as they may stand in the outermost object.
const ALIASES: [(&str, &str); 2] =
    [("config_dir", "data_dir"), ("discovery_interval", "discovery.interval_s")];

/// No key is longer; of an unknown one that is, so much is shown.
const MAX_KEY_CHARS: usize = 64;

/// What to do with a key nobody knows.
pub(super) enum Unknown<'a> {
    /// It's an error: a call names it.
    Refuse,
    /// It's worth a warning: the file names it.
    Warn(&'a mut Vec<String>),
}

/// What `config.json` in a data directory says.
#[derive(Debug)]
pub(crate) struct FileConfig {
    /// Where it stands.
    pub path: PathBuf,
    /// The keys it sets.
    pub config: Config,
    /// What in it has no effect.
    pub warnings: Vec<String>,
}

impl FileConfig {
    /// Reads the text of the file. Unknown keys are warnings: another version may know them.
    pub(super) fn parse(path: PathBuf, text: &[u8]) -> Result<FileConfig> {
        let mut warnings = Vec::new();
        let at_path = |error: Error| error.with("path", path.display().to_string());
        let read = read_object(text, &mut Unknown::Warn(&mut warnings));
        let mut config = read.map_err(at_path)?;
        if config.data_dir.take().is_some() {
            warnings.push("`data_dir` has no effect in config.json".to_owned());
        }
        if let Some(dir) = path.parent() {
            config.rebase(dir);
        }
        Ok(FileConfig { path, config, warnings })
    }
}

impl Config {
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

pub(super) fn read_object(text: &[u8], unknown: &mut Unknown<'_>) -> Result<Config> {
    let refused = |why: String| Error::new(ErrorKind::ConfigInvalid, why);
    match serde_json::from_slice(text) {
        Ok(Value::Object(mut object)) => {
            rename_aliases(&mut object)?;
            Config::read(Value::Object(object), "", unknown)
        }
        Ok(_) => Err(refused("the configuration must be a JSON object".to_owned())),
        Err(error) => Err(refused(format!("the configuration is no JSON: {error}"))),
    }
}

fn rename_aliases(object: &mut Map<String, Value>) -> Result<()> {
    for (alias, key) in ALIASES {
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
                    return Err(invalid(outer, "it must be an object"));
                };
                (nested, inner)
            }
        };
        if object.get(name).is_some_and(|value| !value.is_null()) {
            return Err(invalid(
                alias,
                format!("it is another name for `{key}`, which is given too"),
            ));
        }
        object.insert(name.to_owned(), value);
    }
    Ok(())
}

impl Unknown<'_> {
    /// A key nobody knows: refused, or noted as a warning.
    pub(super) fn meet(&mut self, key: &str) -> Result<()> {
        let nearest = nearest_key(key);
        let guess = nearest.as_ref().map(|known| format!(", did you mean `{known}`?"));
        let key: String = key.chars().take(MAX_KEY_CHARS).flat_map(char::escape_debug).collect();
        let message = format!("unknown key `{key}`{}", guess.unwrap_or_default());
        match self {
            Unknown::Warn(warnings) => {
                warnings.push(format!("config.json: {message}"));
                Ok(())
            }
            Unknown::Refuse => Err(Error::new(ErrorKind::ConfigInvalid, message)
                .with("key", key)
                .with("nearest", nearest)),
        }
    }
}

/// The known key most like `typed`, if any is like it at all. The part behind the last dot counts by
/// itself too, so that a key in the wrong object is found.
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

/// Every key there is, aliases included.
pub(super) fn known_keys() -> impl Iterator<Item = String> {
    fn inside(outer: &str, keys: &'static [&'static str]) -> impl Iterator<Item = String> {
        keys.iter().map(move |key| format!("{outer}.{key}"))
    }
    let outermost = Config::KEYS.iter().chain(ALIASES.iter().map(|(alias, _)| alias));
    outermost
        .map(|key| (*key).to_owned())
        .chain(inside("discovery", Discovery::KEYS))
        .chain(inside("limits", Limits::KEYS))
        .chain(inside("log", Log::KEYS))
}

/// The error for a value that a key can't have. `why` must not quote a secret.
pub(super) fn invalid(key: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::ConfigInvalid, format!("`{key}`: {why}")).with("key", key)
}
