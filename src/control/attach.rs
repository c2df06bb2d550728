//! Finds the owner of a data directory: by the file `lock`, and by whether the process that wrote it is
//! there still.

use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::connection::{Unopened, open};
use super::message::ServerHello;
use super::socket::NAME as SOCKET;
use super::wire::Wire;
use crate::config::Owner;
use crate::disk::{Directory, storage_error};
use crate::error::{Error, ErrorKind, Result};

/// The time an owner may take from its lock to its socket, which it opens before anything that takes long.
const SILENCE: Duration = Duration::from_secs(2);
/// The time between two looks at the lock file: nothing tells of a change in it.
const LOOK: Duration = Duration::from_millis(20);

/// Returns the owner's socket and a connection to it.
pub(super) fn attach(data_dir: &Path, deadline: Instant) -> Result<(PathBuf, Wire, ServerHello)> {
    let unreadable =
        |error: io::Error| storage_error(data_dir, "the data directory can't be read", &error);
    let mut silent = Silent::default();
    loop {
        let Some(directory) = Directory::of_any_owner(data_dir)? else {
            return Err(nobody(data_dir));
        };
        let Some(owner) = Owner::read(&directory).map_err(unreadable)? else {
            return Err(nobody(data_dir));
        };
        // The file is followed only where nobody but the directory's owner can have written it.
        directory.judge()?;
        for socket in owner.socket.iter().flat_map(|named| places(data_dir, named)) {
            match open(&socket, deadline) {
                Ok((wire, hello)) => return Ok((socket, wire, hello)),
                Err(Unopened::Refused(error)) => return Err(error),
                Err(Unopened::Absent) => {}
            }
        }
        if !owner.is_there(&directory).map_err(unreadable)? {
            return Err(nobody(data_dir));
        }
        let late = Instant::now() >= deadline;
        if silent.since(&owner).is_some_and(|since| late || since.elapsed() >= SILENCE) {
            return Err(serves_nobody(data_dir, owner.pid));
        }
        if late {
            let message = format!("the owner of {} did not answer in time", data_dir.display());
            return Err(Error::new(ErrorKind::Timeout, message).with("pid", owner.pid));
        }
        sleep(LOOK);
    }
}

/// Returns the places where a socket is that the owner names. Where that is in the data directory, it is the directory as we
/// know it first of all: it may have been moved under the owner, or be mounted elsewhere here.
fn places(data_dir: &Path, named: &Path) -> Vec<PathBuf> {
    let near = named.file_name().filter(|name| *name == SOCKET).map(|name| data_dir.join(name));
    let far = (near.as_deref() != Some(named)).then(|| named.to_owned());
    near.into_iter().chain(far).collect()
}

/// The owner that was seen to name no socket, and the time it was first seen so.
#[derive(Default)]
struct Silent(Option<(Option<u32>, Instant)>);

impl Silent {
    /// Returns the time since which this owner has named no socket; None where it names one.
    fn since(&mut self, owner: &Owner) -> Option<Instant> {
        let now = Instant::now();
        self.0 = match self.0 {
            _ if owner.socket.is_some() => None,
            Some((pid, since)) if pid == owner.pid => Some((pid, since)),
            _ => Some((owner.pid, now)),
        };
        self.0.map(|(_, since)| since)
    }
}

fn nobody(data_dir: &Path) -> Error {
    let message = format!("nobody runs a node on the data directory {}", data_dir.display());
    Error::new(ErrorKind::NotRunning, message).with("path", data_dir.display().to_string())
}

fn serves_nobody(data_dir: &Path, pid: Option<u32>) -> Error {
    let who = pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
    let message = format!(
        "the data directory {} is in use by {who}, which serves no control socket",
        data_dir.display()
    );
    Error::new(ErrorKind::DataDirLocked, message)
        .with("path", data_dir.display().to_string())
        .with("pid", pid)
        .with_hint("start that process with `control_socket: true`, or stop it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_silent_since_it_was_first_seen_to_name_no_socket() {
        let owner = |pid, socket: bool| Owner { pid, socket: socket.then(|| "/s".into()) };
        let mut silent = Silent::default();
        let first = silent.since(&owner(Some(1), false)).unwrap();
        assert_eq!(silent.since(&owner(Some(1), false)), Some(first));
        assert_eq!(silent.since(&owner(Some(1), true)), None);
        let again = silent.since(&owner(Some(1), false)).unwrap();
        assert!(again > first);
        assert!(silent.since(&owner(Some(2), false)).unwrap() > again, "it is another");
    }
}
