//! A directory that is opened once, judged once and held: its files are reached through the open directory, wherever it
//! is moved, and no path is walked anew that somebody could have changed meanwhile.
//!
//! Its files are [`Place`]s. The rules, and what they promise, stand in docs/data-directory.md.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::sys;
use super::{private_directory, storage_error};
use crate::error::{Error, ErrorKind, Result};
use crate::os::{self, Hidden};

/// An open directory.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(super) path: PathBuf,
    _hidden: Hidden,
    pub(super) handle: sys::Handle,
    /// The user who is trusted beside this one and root.
    also: Option<u32>,
}

/// The reason why a directory isn't used.
enum Refusal {
    /// It belongs to this user.
    Foreign(u32),
    /// It may be written by others.
    Open(u32),
}

impl Directory {
    /// Opens a data directory, and makes it where it isn't there. It must be this user's or root's, or with
    /// `foreign` anybody's, and nobody else may write it.
    ///
    /// # Errors
    /// `storage` with `detail.path`.
    pub(crate) fn open(path: &Path, foreign: bool) -> Result<Arc<Directory>> {
        let failed = |what: &'static str| {
            move |error: io::Error| match leads_nowhere(path) {
                true => dangling(path),
                false => storage_error(path, what, &error),
            }
        };
        let made = private_directory().recursive(true).create(path);
        made.map_err(failed("the data directory can't be made"))?;
        let unread = failed("the data directory can't be read");
        let opened = Directory::at(path)
            .and_then(|opened| if foreign { opened.trusting_owner() } else { Ok(opened) })
            .map_err(unread)?;
        opened.judge()?;
        Ok(opened.into())
    }

    /// Opens the data directory of a node that may be another user's, who is trusted there; None where there is no such
    /// directory.
    #[cfg_attr(not(feature = "control"), allow(dead_code))]
    pub(crate) fn of_any_owner(path: &Path) -> Result<Option<Arc<Directory>>> {
        match Directory::at(path).and_then(Directory::trusting_owner) {
            Ok(opened) => Ok(Some(opened.into())),
            Err(_) if leads_nowhere(path) => Err(dangling(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(storage_error(path, "the data directory can't be read", &error)),
        }
    }

    /// Opens a directory that a test makes.
    #[cfg(test)]
    pub(crate) fn unjudged(path: &Path) -> Arc<Directory> {
        Directory::at(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into()
    }

    fn at(path: &Path) -> io::Result<Directory> {
        Ok(Directory::of(path.to_owned(), sys::open_directory(path)?, None))
    }

    fn of(path: PathBuf, handle: sys::Handle, also: Option<u32>) -> Directory {
        Directory { path, _hidden: os::hide(&handle), handle, also }
    }

    /// Opens the directory that this path leads to from here. What the same users own is trusted there.
    pub(super) fn beside(&self, path: &Path) -> io::Result<Directory> {
        let handle = sys::open_directory_at(&self.handle, &self.path, path)?;
        Ok(Directory::of(self.path.join(path), handle, self.also))
    }

    fn trusting_owner(mut self) -> io::Result<Directory> {
        if let Some(Refusal::Foreign(owner)) = self.refusal()? {
            self.also = Some(owner);
        }
        Ok(self)
    }

    /// Refuses a data directory that belongs to somebody who isn't trusted, or that others may write.
    pub(crate) fn judge(&self) -> Result<()> {
        let path = self.path.display().to_string();
        let unread = |error| storage_error(&self.path, "the data directory can't be read", &error);
        let (message, hint) = match self.refusal().map_err(unread)? {
            None => return Ok(()),
            Some(Refusal::Foreign(owner)) => (
                format!("the data directory {path} belongs to another user (uid {owner})"),
                "use a directory of your own; for a volume that has to be another user's, start with \
                 `allow_foreign_data_dir`: true",
            ),
            Some(Refusal::Open(mode)) => (
                format!("the data directory {path} may be written by other users (mode {mode:o})"),
                "chmod 700 the directory, or use one of your own",
            ),
        };
        Err(Error::new(ErrorKind::Storage, message).with("path", path).with_hint(hint))
    }

    fn refusal(&self) -> io::Result<Option<Refusal>> {
        let found = sys::look_behind(&self.handle, &self.path, ".".as_ref())?;
        Ok(match found {
            _ if !self.trusts(found.owner) => Some(Refusal::Foreign(found.owner)),
            _ if found.mode & 0o022 != 0 => Some(Refusal::Open(found.mode)),
            _ => None,
        })
    }

    /// Refuses to have files made in a directory that isn't the user's alone.
    pub(super) fn for_writing(&self) -> io::Result<()> {
        match self.refusal()? {
            None => Ok(()),
            Some(_) => Err(io::Error::other(format!(
                "the link leads to {}, a directory that other users may write",
                self.path.display()
            ))),
        }
    }

    /// Tells whether files of this user are trusted here.
    pub(super) fn trusts(&self, owner: u32) -> bool {
        sys::is_trusted(owner) || self.also == Some(owner)
    }

    /// Returns the path by which it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Tells whether the path is a link to what isn't there.
fn leads_nowhere(path: &Path) -> bool {
    let is_missing = || fs::metadata(path).is_err_and(|it| it.kind() == io::ErrorKind::NotFound);
    path.is_symlink() && is_missing()
}

fn dangling(path: &Path) -> Error {
    let path = path.display().to_string();
    let message = format!("the data directory {path} is a link that leads to nothing");
    Error::new(ErrorKind::Storage, message)
        .with("path", path)
        .with_hint("mount or make what it leads to, or use another data_dir")
}
