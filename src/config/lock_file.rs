//! The data directory's file `lock`: the OS lock that makes its holder the directory's owner, and what
//! the owner says of itself in it.
//!
//! Line 1 is the owner's pid; line 2, where it serves a control socket, is the socket's path. What the
//! file says counts only while the lock is held: a dead owner's words stay behind. `data_dir` writes
//! it, `control` reads it. It is no link, and a file that says anything else is somebody's and stays as it is.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use crate::disk::{Directory, Place, Unread};
use crate::os;

const LOCK_FILE: &str = "lock";
/// More than a pid and a path take.
const MAX_BYTES: u64 = 8192;

/// Times that the lock is tried, and the pause between two: [`Owner::is_there`] may hold it for a moment.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(5);

/// The owner as the file describes it; empty where it has only just come, or gone in good order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its process.
    pub pid: Option<u32>,
    /// The path of its control socket.
    pub socket: Option<PathBuf>,
}

impl Owner {
    /// Reads what the directory's lock file says; none where there is no such file.
    pub(crate) fn read(data_dir: &Arc<Directory>) -> io::Result<Option<Owner>> {
        let Some(file) = open_to_read(data_dir)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(Owner::parse(&bytes)))
    }

    /// Tells whether the owner that the file names still owns the directory.
    ///
    /// A process that wants to become the owner must not find the lock taken by one that only asks, not even
    /// for a moment: that one may be stopped just then. The lock is therefore tried only where all else speaks
    /// for an owner: it wrote its pid, hasn't taken that back, and there is such a process.
    pub(crate) fn is_there(&self, data_dir: &Arc<Directory>) -> io::Result<bool> {
        if !self.pid.is_some_and(os::process_exists) {
            return Ok(false);
        }
        let Some(file) = open_to_read(data_dir)? else {
            return Ok(false);
        };
        match file.try_lock_shared() {
            // Unlocks explicitly: a child forked at this moment has the descriptor too.
            Ok(()) => file.unlock().map(|()| false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Reads the lines; each counts once its end is there.
    fn parse(bytes: &[u8]) -> Owner {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let mut line = || lines.next().and_then(|line| line.strip_suffix(b"\n"));
        let pid = line().and_then(|line| std::str::from_utf8(line).ok()?.trim().parse().ok());
        Owner { pid, socket: line().filter(|line| !line.is_empty()).and_then(path_of) }
    }
}

/// Names the file.
pub(super) fn place(data_dir: &Arc<Directory>) -> Place {
    data_dir.place(LOCK_FILE)
}

fn open_to_read(data_dir: &Arc<Directory>) -> io::Result<Option<File>> {
    match place(data_dir).open_itself() {
        Ok(file) => Ok(Some(file)),
        Err(why) if why.is_missing() => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Finds another process that has the file open, as far as this one may look: of a lock whose owner is gone, its holder.
#[cfg(target_os = "linux")]
pub(super) fn opener(data_dir: &Path) -> Option<u32> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let lock = fs::metadata(data_dir.join(LOCK_FILE)).ok()?;
    let is_it = |link: PathBuf| {
        // The name is looked at first, for the files of others may be anywhere.
        fs::read_link(&link).is_ok_and(|path| path.ends_with(LOCK_FILE))
            && fs::metadata(&link)
                .is_ok_and(|file| (file.dev(), file.ino()) == (lock.dev(), lock.ino()))
    };
    let has_it = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.into_iter().any(|entry| is_it(entry.path()))
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| *pid != std::process::id() && has_it(pid))
}

/// Knows of none: here the system isn't asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn opener(_: &Path) -> Option<u32> {
    None
}

/// Opens the file for a process that wants to become the owner.
pub(super) fn open(place: &Place) -> Result<File, Unread> {
    place.open_or_make()
}

/// Tells whether the file holds what an owner writes and nothing else; half of it, where a crash or a full disk cut
/// it short, and the zeros that some file systems leave after a loss of power.
pub(super) fn is_ours(mut lock: &File) -> io::Result<bool> {
    let mut bytes = Vec::new();
    lock.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    lock.rewind()?;
    let is_pid = |line: &[u8]| line.len() <= 10 && line.iter().all(u8::is_ascii_digit);
    let is_path = |line: &[u8]| {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        line.is_empty() || is_absolute(line) && !line.contains(&b'\n')
    };
    let is_written = match bytes.iter().position(|byte| *byte == b'\n') {
        None => is_pid(&bytes),
        Some(end) => end > 0 && is_pid(&bytes[..end]) && is_path(&bytes[end + 1..]),
    };
    Ok(bytes.len() as u64 <= MAX_BYTES && (is_written || bytes.iter().all(|byte| *byte == 0)))
}

/// Tells whether the path is from the root on: where sockets have paths at all, they begin so.
fn is_absolute(line: &[u8]) -> bool {
    line.starts_with(b"/") || cfg!(not(unix))
}

/// Takes the lock. False where another has it.
pub(super) fn take(lock: &File) -> io::Result<bool> {
    for attempt in 0..TRIES {
        if attempt > 0 {
            sleep(PAUSE);
        }
        match lock.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// Writes line 1.
pub(super) fn write_pid(mut lock: &File, pid: u32) -> io::Result<()> {
    lock.set_len(0)?;
    lock.write_all(format!("{pid}\n").as_bytes())
}

/// Writes line 2. The path has no line break in it.
#[cfg(unix)]
pub(super) fn write_socket(mut lock: &File, socket: &Path) -> io::Result<()> {
    let path = std::os::unix::ffi::OsStrExt::as_bytes(socket.as_os_str());
    lock.write_all(&[path, b"\n"].concat())
}

#[cfg(unix)]
fn path_of(line: &[u8]) -> Option<PathBuf> {
    let path: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(line);
    Some(path.into())
}

#[cfg(not(unix))]
fn path_of(line: &[u8]) -> Option<PathBuf> {
    std::str::from_utf8(line).ok().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_once_it_is_whole() {
        let owner = |pid, socket: Option<&str>| Owner { pid, socket: socket.map(PathBuf::from) };
        for (text, read) in [
            ("", owner(None, None)),
            ("12", owner(None, None)),
            ("12\n", owner(Some(12), None)),
            ("12\n/a/b.so", owner(Some(12), None)),
            ("12\n/a/b.sock\n", owner(Some(12), Some("/a/b.sock"))),
            ("12\n\n", owner(Some(12), None)),
            ("x\n/a\nmore\n", owner(None, Some("/a"))),
        ] {
            assert_eq!(Owner::parse(text.as_bytes()), read, "{text:?}");
        }
    }

    #[test]
    fn an_owner_is_there_while_it_holds_the_lock_and_no_longer_than_its_process() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = Directory::open(scratch.path(), false).unwrap();
        let is_there = || {
            let owner = Owner::read(&directory).unwrap().unwrap();
            owner.is_there(&directory).unwrap()
        };
        assert_eq!(Owner::read(&directory).unwrap(), None);
        let lock = open(&place(&directory)).unwrap();
        write_pid(&lock, std::process::id()).unwrap();
        assert!(!is_there(), "the process is, but has no lock");
        assert!(take(&lock).unwrap(), "asking has left it free");
        assert!(is_there());
        write_pid(&lock, i32::MAX as u32).unwrap();
        assert!(!is_there());
    }
    #[test]
    fn a_file_that_says_anything_else_is_not_ours() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join(LOCK_FILE);
        for (bytes, ours) in [
            (&b""[..], true),
            (b"12", true),
            (b"12\n", true),
            (b"12\n/a/b.so", true),
            (b"12\n/a/b.sock\n", true),
            (b"\0\0\0\0", true),
            (b"\n", false),
            (b"precious", false),
            (b"12\nprecious", false),
            (b"12\n/a\nprecious", false),
            (b"12345678901\n", false),
            (&[b'1'; 9000], false),
        ] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(is_ours(&File::open(&path).unwrap()).unwrap(), ours, "{bytes:?}");
        }
    }
}
