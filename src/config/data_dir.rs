//! The data directory: made, judged and locked, before anything in it is read.
//!
//! One live peerkit owns it at a time, by an OS lock on its file `lock`, which the system drops when
//! the process dies. What the files in it mean is for `read`, `identity` and the book's store.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use super::lock_file::{self, Owner};
use super::read::FileConfig;
use crate::clock::Timestamp;
use crate::disk::{Directory, Held, Place, Standing, Unread, storage_error};
use crate::error::{Error, ErrorKind, Result};
use crate::os::{self, Hidden};

const CONFIG_FILE: &str = "config.json";
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// Times that the holder's pid is looked for while it isn't written yet, and the pause between two.
const PID_READS: u32 = 5;
const PID_READ_PAUSE: Duration = Duration::from_millis(10);

/// A data directory that is ours until it is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    directory: Arc<Directory>,
    _hidden: Hidden,
    lock: File,
    held: Held,
    owner: u32,
}

impl DataDir {
    /// Makes the directory where it's missing, refuses one that others may write or, unless `foreign`, own, and locks
    /// it. A `lock` that no peerkit wrote is refused as it is.
    ///
    /// # Errors
    /// `storage` with `detail.path`; `data_dir_locked` with the holder's `detail.pid`, null if unknown.
    pub(crate) fn open(path: &Path, foreign: bool) -> Result<DataDir> {
        let directory = Directory::open(path, foreign)?;
        let place = lock_file::place(&directory);
        let lock = lock_file::open(&place).map_err(|why| no_lock(&place, why))?;
        match lock_file::take(&lock) {
            Ok(true) => {}
            Ok(false) => return Err(locked(&directory)),
            Err(error) => {
                return Err(storage_error(path, "the data directory can't be locked", &error));
            }
        }
        let failed = |error: io::Error| unwritable(path, &error);
        let held = Held::of(&place, &lock).map_err(failed)?;
        // It may have been removed before it was locked; then another process locks another one.
        if held.standing().map_err(failed)? != Standing::InPlace {
            return Err(locked(&directory));
        }
        if !lock_file::is_ours(&lock).map_err(failed)? {
            return Err(no_lock(&place, Unread::NotRegular));
        }
        let owner = std::process::id();
        let _hidden = os::hide(&lock);
        let data_dir = DataDir { directory, _hidden, lock, held, owner };
        // Only now: until the lock is ours, the number in it is another owner's.
        lock_file::write_pid(&data_dir.lock, owner).map_err(failed)?;
        Ok(data_dir)
    }

    /// Returns its path.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Names a file in it.
    pub(crate) fn place(&self, name: &str) -> Place {
        self.directory.place(name)
    }

    /// Names the file of this path, where that is in this directory itself.
    pub(crate) fn place_of(&self, path: &Path) -> Option<Place> {
        let name = path.file_name().filter(|_| path.parent() == Some(self.path()))?;
        Some(self.directory.place(name))
    }

    /// Returns the lock, by which to tell whether another process may have taken the directory over.
    pub(crate) fn lock(&self) -> &Held {
        &self.held
    }

    /// Returns the file in it that was written last, and when.
    pub(crate) fn newest_file(&self) -> Option<(String, Timestamp)> {
        let written = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry.ok()?;
            let modified = entry.metadata().and_then(|metadata| metadata.modified()).ok()?;
            Some((entry.file_name().to_string_lossy().into_owned(), Timestamp::from(modified)))
        };
        let files = std::fs::read_dir(self.path()).ok()?.filter_map(written);
        files.max_by_key(|(_, written)| *written)
    }

    /// Tells other processes where this one serves a control socket.
    #[cfg(unix)]
    pub(crate) fn tell_socket(&self, socket: &Path) -> Result<()> {
        lock_file::write_socket(&self.lock, socket).map_err(|error| unwritable(self.path(), &error))
    }

    /// Reads `config.json`; None where there is none.
    pub(crate) fn read_config(&self) -> Result<Option<FileConfig>> {
        let place = self.place(CONFIG_FILE);
        let path = place.path();
        match place.read_text(MAX_CONFIG_BYTES) {
            Ok(text) => FileConfig::parse(path, &text).map(Some),
            Err(why) if why.is_missing() => Ok(None),
            Err(why) if why.is_no_matter_of_text() => {
                Err(storage_error(&path, "the configuration can't be read", &why.into()))
            }
            Err(why) => {
                let path = path.display();
                Err(Error::new(ErrorKind::ConfigInvalid, format!("{path} {why}"))
                    .with("path", path.to_string()))
            }
        }
    }

    /// Duplicates the descriptor of the lock, as a forked child would have.
    #[cfg(test)]
    pub(super) fn clone_lock(&self) -> File {
        self.lock.try_clone().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Gives the directory up. Dropping does the same.
    pub(crate) fn close(self) {}
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // A child that was made in a way that hides nothing from it keeps the lock alive unless we undo
        // it, and must not undo it for its parent.
        if std::process::id() == self.owner {
            let _ = self.lock.set_len(0);
            let _ = self.lock.unlock();
        }
    }
}

/// Makes the error for a directory that another process has locked. A pid that it names is one that can be stopped.
fn locked(directory: &Arc<Directory>) -> Error {
    let path = directory.path();
    let (who, pid) = match holder(directory) {
        Some(pid) if pid == std::process::id() => {
            ("another copy of peerkit in this process".to_owned(), Some(pid))
        }
        Some(pid) if os::process_exists(pid) => (format!("process {pid}"), Some(pid)),
        // A child holds it that its owner made before it died, or one in another namespace, whose numbers are others.
        Some(gone) => match lock_file::opener(path) {
            Some(pid) => {
                (format!("process {pid}, a child of process {gone}, which is gone"), Some(pid))
            }
            None => (
                format!(
                    "a process that can't be seen from here; process {gone}, which said it was the owner, is not there"
                ),
                None,
            ),
        },
        None => ("another process".to_owned(), None),
    };
    let message = format!("the data directory {} is in use by {who}", path.display());
    let error = Error::new(ErrorKind::DataDirLocked, message)
        .with("path", path.display().to_string())
        .with("pid", pid);
    match pid {
        Some(_) => error,
        None => error
            .with_hint("stop the process that has its file `lock` open, or use another data_dir"),
    }
}

/// Reads the pid in the lock file. Its holder writes it just after locking, so one look may be too early.
fn holder(directory: &Arc<Directory>) -> Option<u32> {
    for attempt in 0..PID_READS {
        if attempt > 0 {
            sleep(PID_READ_PAUSE);
        }
        if let Some(Owner { pid: Some(pid), .. }) = Owner::read(directory).ok()? {
            return Some(pid);
        }
    }
    None
}

/// Makes the error for a file `lock` that can't be locked, or that isn't one of peerkit's.
fn no_lock(place: &Place, why: Unread) -> Error {
    let path = place.path();
    let what = match why {
        Unread::Failed(error) => {
            return storage_error(&path, "the data directory can't be written", &error);
        }
        Unread::NotRegular => "is no lock that peerkit wrote".to_owned(),
        why => why.to_string(),
    };
    let path = path.display().to_string();
    Error::new(ErrorKind::Storage, format!("the file {path} {what}"))
        .with("path", path)
        .with_hint("it is left as it is: move it away, or use another data_dir")
}

fn unwritable(path: &Path, error: &io::Error) -> Error {
    storage_error(path, "the data directory can't be written", error)
}
