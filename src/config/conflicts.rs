//! Compares a second start with the running manager: which of the keys it names have another value there.
//!
//! Keys it doesn't name don't matter, nor does how a value is written: a key file counts by the key in it, a
//! path by where it leads. `keys` says which setting a key became. Called by `process`.

use std::fs;
use std::path::{Path, PathBuf};

use super::identity::keypair_from;
use super::keys::Config;
use super::settings::Settings;
use super::table::Keys;
use crate::PeerId;
use crate::error::Result;

impl Settings {
    /// Returns the keys that `given` names with another value than these running settings have, sorted.
    /// `running` is the running node's id. Secrets are compared, never shown.
    ///
    /// # Errors
    /// Those of a start, where `given` wouldn't do for any.
    pub(crate) fn conflicts(&self, given: &Config, running: &PeerId) -> Result<Vec<String>> {
        let (mut ours, mut theirs) = (self.clone(), Settings::resolve(given, None)?);
        for settings in [&mut ours, &mut theirs] {
            let log_file = settings.log.as_mut().and_then(|log| log.file.as_mut());
            for path in log_file.into_iter().chain(&mut settings.data_dir) {
                *path = real_path(path);
            }
        }
        // Leaves nothing to differ but another key than the running one.
        let keypair = given.identity.as_ref().map(keypair_from).transpose()?;
        let is_running = keypair.is_none_or(|it| it.public().to_peer_id() == *running);
        theirs.identity = theirs.identity.filter(|_| !is_running);
        ours.identity = None;

        let mut names = Vec::new();
        given.differing(Some(&ours), Some(&theirs), &mut names);
        names.sort_unstable();
        Ok(names.into_iter().map(str::to_owned).collect())
    }
}

/// Resolves links as far as the path exists: the last part may not yet.
fn real_path(path: &Path) -> PathBuf {
    let in_real_parent = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_real_parent).unwrap_or_else(|| path.to_owned())
}
