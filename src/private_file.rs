//! Replacing a small file of our own: its old bytes or its new ones are there, never a mixture and
//! never nothing, whenever the process or the machine dies; and nobody else may read them.
//!
//! Used for the identity (`config::identity`) and the bootstrap list. What the bytes mean, and what
//! error a failure is, is for them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What the name of the file ends in until it is whole.
const UNFINISHED: &str = ".new";

/// Gives the file at `path` these bytes and mode 0600, on disk when it returns. On failure the old
/// file stands and no other is left behind. One caller at a time: the name of the unfinished file
/// is always the same, so that one left by a crash is found.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = unfinished(path);
    let written = write(&new, bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.and_then(|()| sync_directory_of(path))
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(UNFINISHED);
    name.into()
}

/// Writes a new file, through to the disk.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // One left by a crash: it never got its name, so nobody relies on what is in it.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a rename last. Elsewhere than on Unix a directory can't be opened for it.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    if cfg!(unix) { File::open(directory.unwrap_or(Path::new(".")))?.sync_all() } else { Ok(()) }
}
