//! The bootstrap list: the peers a node begins with, from the configuration and from
//! `bootstrap_peers.txt` in the data directory, which users edit by hand as well.
//!
//! The facade adds, removes and lists; the worker asks whom to connect to, and never waits for the
//! disk to answer. What a line of the file is stands in `text`; dialling is for the worker.

use std::collections::HashSet;
use std::path::Path;

use parking_lot::{Mutex, RwLock};

use crate::disk::{Place, Unread, storage_error};
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::text::NotText;
use crate::{Multiaddr, PeerId};

mod entry;
mod text;

pub(crate) use entry::Entry;

#[cfg(all(feature = "dns", feature = "quic"))]
#[cfg(test)]
#[path = "bootstrap_tests.rs"]
mod tests;

/// The most entries in use, the configuration's included.
pub(crate) const MAX_ENTRIES: usize = 1000;
/// The largest file that is read or written, in bytes.
const MAX_FILE_BYTES: usize = 1024 * 1024;
/// Unusable lines that a start warns of one by one; the rest is a number.
const MAX_WARNINGS: usize = 20;

/// The list, shared by facade and worker.
pub(crate) struct BootstrapList {
    kept: Mutex<Kept>,
    configured: Vec<Entry>,
    /// The file as it was last read or written. Held for as long as the disk takes, so only by calls
    /// that change the list; what the others ask is in `known`.
    text: Mutex<Vec<u8>>,
    known: RwLock<Known>,
}

/// The place of the list.
enum Kept {
    InMemory,
    At(Place),
    /// The directory has been given back, and isn't held any longer.
    Closed,
}

/// The list that follows from the configuration and the file.
struct Known {
    entries: Vec<Entry>,
    peers: HashSet<PeerId>,
}

impl BootstrapList {
    /// Reads the list; a file that isn't there is an empty one. `configured` are entries that the
    /// file never holds because of us and that can't be removed. Beside the list: a warning for each
    /// line that isn't used. Such a line stays in the file.
    ///
    /// # Errors
    /// `storage` where the file can't be read or is longer than 1 MiB.
    pub(crate) fn open(
        place: Option<Place>,
        configured: Vec<Entry>,
    ) -> Result<(Self, Vec<String>)> {
        let text = place.as_ref().map(read_file).transpose()?.unwrap_or_default();
        let (known, refused) = know(&configured, &text);
        let warnings =
            place.as_ref().map(|place| warnings(&place.path(), refused)).unwrap_or_default();
        let kept = Mutex::new(place.map_or(Kept::InMemory, Kept::At));
        let list =
            BootstrapList { kept, configured, text: Mutex::new(text), known: RwLock::new(known) };
        Ok((list, warnings))
    }

    /// Returns the configuration's entries, then the file's in its order, each once. Lines that others wrote
    /// into the file show after the next change.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.known.read().entries.clone()
    }

    /// Counts the entries.
    pub(crate) fn len(&self) -> usize {
        self.known.read().entries.len()
    }

    /// Returns the addresses listed for this peer.
    pub(crate) fn addresses_of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        let known = self.known.read();
        let its = known.entries.iter().filter(|entry| entry.peer_id.as_ref() == Some(peer));
        its.map(|entry| entry.addr.clone()).collect()
    }

    /// Tells whether an entry is an address of this peer.
    pub(crate) fn names(&self, peer: &PeerId) -> bool {
        self.known.read().peers.contains(peer)
    }

    /// Appends an entry, on disk when this returns; false: it was there already. Reads the file
    /// first, so only an edit that is saved during the call itself can be lost.
    ///
    /// # Errors
    /// `storage`; `limit_reached` at [`MAX_ENTRIES`] or where the file would be longer than 1 MiB.
    pub(crate) fn add(&self, entry: Entry) -> Result<bool> {
        let line = entry.to_string();
        // Entries can be put together without `parse`; a line must mean what it was written for.
        if Entry::parse(&line)? != entry {
            return Err(invalid_argument(format!("{line} can't be written as one line")));
        }
        let mut text = self.text.lock();
        self.reread(&mut text)?;
        let (there, count) = {
            let known = self.known.read();
            (known.entries.contains(&entry), known.entries.len())
        };
        if there {
            return Ok(false);
        }
        if count >= MAX_ENTRIES {
            let message = format!("the bootstrap list has {count} entries already");
            return Err(Error::new(ErrorKind::LimitReached, message).with("limit", MAX_ENTRIES));
        }
        let changed = text::with(&text, &line);
        self.write(&mut text, changed)?;
        Ok(true)
    }

    /// Drops every line that means this entry, on disk when this returns; false: there was none.
    /// Reads the file first, as [`add`](Self::add) does.
    ///
    /// # Errors
    /// `storage`; `invalid_argument` for an entry of the configuration.
    pub(crate) fn remove(&self, entry: &Entry) -> Result<bool> {
        if self.configured.contains(entry) {
            let message = format!("{entry} stands in the configuration and can't be removed here");
            return Err(invalid_argument(message)
                .with("multiaddr", entry.to_string())
                .with_hint("take it out of `bootstrap` and start again"));
        }
        let mut text = self.text.lock();
        self.reread(&mut text)?;
        let changed = text::without(&text, entry);
        if changed.len() == text.len() {
            return Ok(false);
        }
        self.write(&mut text, changed)?;
        Ok(true)
    }

    /// Lets the data directory go: what is added or removed from now on is refused.
    pub(crate) fn close(&self) {
        // A change that is under way has the text.
        let _text = self.text.lock();
        *self.kept.lock() = Kept::Closed;
    }

    fn reread(&self, text: &mut Vec<u8>) -> Result<()> {
        let read = match &*self.kept.lock() {
            Kept::InMemory => return Ok(()),
            Kept::At(place) => read_file(place)?,
            Kept::Closed => {
                return Err(Error::new(ErrorKind::Closed, "the bootstrap list is closed"));
            }
        };
        if read != *text {
            self.take(text, read);
        }
        Ok(())
    }

    fn write(&self, text: &mut Vec<u8>, changed: Vec<u8>) -> Result<()> {
        if changed.len() > MAX_FILE_BYTES {
            let message = "the file of the bootstrap list would be longer than 1 MiB";
            return Err(Error::new(ErrorKind::LimitReached, message).with("limit", MAX_FILE_BYTES));
        }
        if let Kept::At(place) = &*self.kept.lock() {
            place.replace(&changed).map_err(|error| {
                storage_error(&place.path(), "the bootstrap list can't be written", &error)
            })?;
        }
        self.take(text, changed);
        Ok(())
    }

    fn take(&self, text: &mut Vec<u8>, new: Vec<u8>) {
        let (known, _) = know(&self.configured, &new);
        *self.known.write() = known;
        *text = new;
    }
}

/// A line that isn't used.
struct Refused {
    number: usize,
    why: String,
}

/// Makes the list of a file with this text, and tells which of its lines can't be used.
fn know(configured: &[Entry], text: &[u8]) -> (Known, Vec<Refused>) {
    let mut seen = HashSet::new();
    let mut refused = Vec::new();
    let mut entries: Vec<Entry> =
        configured.iter().filter(|entry| seen.insert(Entry::clone(entry))).cloned().collect();
    entries.truncate(MAX_ENTRIES);
    for (number, line) in text::lines(text) {
        match line {
            Err(error) => refused.push(Refused { number, why: error.message().to_owned() }),
            Ok(entry) if !seen.insert(entry.clone()) => {}
            Ok(_) if entries.len() == MAX_ENTRIES => {
                let why = format!("there are {MAX_ENTRIES} entries before it, which is the limit");
                refused.push(Refused { number, why });
            }
            Ok(entry) => entries.push(entry),
        }
    }
    let peers = entries.iter().filter_map(|entry| entry.peer_id).collect();
    (Known { entries, peers }, refused)
}

fn warnings(path: &Path, refused: Vec<Refused>) -> Vec<String> {
    let path = path.display();
    let more = refused.len().saturating_sub(MAX_WARNINGS);
    let told = refused.into_iter().take(MAX_WARNINGS);
    let mut warnings: Vec<String> =
        told.map(|line| format!("{path}: line {} isn't used: {}", line.number, line.why)).collect();
    if more > 0 {
        warnings.push(format!("{path}: {more} more lines aren't used"));
    }
    warnings
}

/// Reads the file; one that isn't there is empty.
fn read_file(place: &Place) -> Result<Vec<u8>> {
    let path = &*place.path();
    match place.read(MAX_FILE_BYTES as u64) {
        Ok(text) if crate::text::is_utf16(&text) => {
            Err(no_text(path, &Unread::NotText(NotText::Utf16)))
        }
        // A comment may be in an older encoding; a line says so where it matters.
        Ok(text) => Ok(text),
        Err(why) if why.is_missing() => Ok(Vec::new()),
        Err(why) if why.is_no_matter_of_text() => {
            Err(storage_error(path, "the bootstrap list can't be read", &why.into()))
        }
        Err(why) => Err(no_text(path, &why)),
    }
}

fn no_text(path: &Path, why: &Unread) -> Error {
    let path = path.display();
    Error::new(ErrorKind::Storage, format!("the bootstrap list {path} {why}"))
        .with("path", path.to_string())
        .with_hint("put a text of at most 1 MiB in its place, then start again")
}
