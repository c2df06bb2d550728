//! A file of a directory, by its name: asked whether it is there, read, replaced, and watched, always in the same way.
//!
//! There is no such file only where there is no such name; a link that leads to nothing is an error. What is used belongs
//! to a user who is trusted there, and so does a link that is followed. Nothing is made through a link.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::Directory;
use super::sys::{self, Access, Found, Kind};
use super::{UNFINISHED, Unread};
use crate::text;

/// Links that are followed one after the other, as many as the system itself would on some.
const MAX_LINKS: usize = 32;

/// A name in a directory.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(super) directory: Arc<Directory>,
    pub(super) name: OsString,
}

impl Directory {
    /// Names a file in it.
    pub(crate) fn place(self: &Arc<Self>, name: impl Into<OsString>) -> Place {
        Place { directory: Arc::clone(self), name: name.into() }
    }
}

impl Place {
    /// Returns its path, to be shown.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path.join(&self.name)
    }

    /// Looks at the name itself; None where there is none.
    fn look(&self) -> io::Result<Option<Found>> {
        match sys::look(&self.directory.handle, &self.directory.path, &self.name) {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Tells whether there is no such name.
    pub(crate) fn is_absent(&self) -> io::Result<bool> {
        self.look().map(|found| found.is_none())
    }

    /// Finds the file that the name leads to, by links of trusted users only.
    fn followed(&self) -> Result<(Place, Found), Unread> {
        let mut at = self.clone();
        for links in 0..MAX_LINKS {
            let found = match at.look().map_err(Unread::Failed)? {
                Some(found) => found,
                None if links == 0 => return Err(Unread::Missing),
                None => return Err(Unread::Dangling),
            };
            if found.kind != Kind::Link {
                return Ok((at, found));
            }
            // The user to whom a volume belongs is trusted with files, and not with where they are.
            if !sys::is_trusted(found.owner) {
                return Err(Unread::ForeignLink(found.owner));
            }
            at = at.target()?;
        }
        Err(Unread::Failed(io::Error::other("too many links, or links in a circle")))
    }

    /// Finds where this link leads.
    fn target(&self) -> Result<Place, Unread> {
        let Directory { handle, path, .. } = &*self.directory;
        let target = sys::read_link(handle, path, &self.name).map_err(Unread::Failed)?;
        let Some(name) = target.file_name() else { return Err(Unread::NotRegular) };
        let above = target.parent().filter(|above| !above.as_os_str().is_empty());
        match self.directory.beside(above.unwrap_or(Path::new("."))) {
            Ok(directory) => Ok(Place { directory: directory.into(), name: name.to_owned() }),
            Err(error) => Err(match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Unread::Dangling,
                _ => Unread::Failed(error),
            }),
        }
    }

    /// Opens a file that is there, by trusted links too.
    pub(crate) fn open(&self, write: bool) -> Result<File, Unread> {
        let (place, found) = self.followed()?;
        if found.kind != Kind::Regular {
            return Err(Unread::NotRegular);
        }
        let access = if write { Access::Write } else { Access::Read };
        place.judged(place.opened(access).map_err(Unread::Failed)?)
    }

    /// Opens a file to read and write, and makes it where it isn't there. Never by a link.
    pub(crate) fn open_or_make(&self) -> Result<File, Unread> {
        self.refuse_link()?;
        self.judged(self.opened(Access::Make).map_err(Unread::Failed)?)
    }

    /// Opens a file to read that must not be a link.
    #[cfg_attr(not(feature = "control"), allow(dead_code))]
    pub(crate) fn open_itself(&self) -> Result<File, Unread> {
        self.refuse_link()?;
        self.open(false)
    }

    /// Opens a file to write at its end. It is made where there is no such name; a link must lead to a file.
    #[cfg_attr(not(feature = "log"), allow(dead_code))]
    pub(crate) fn append(&self) -> Result<File, Unread> {
        let place = match self.followed() {
            Err(Unread::Missing) => self.clone(),
            Ok((_, found)) if found.kind != Kind::Regular => return Err(Unread::NotRegular),
            followed => followed?.0,
        };
        place.judged(place.opened(Access::Append).map_err(Unread::Failed)?)
    }

    fn refuse_link(&self) -> Result<(), Unread> {
        match self.look().map_err(Unread::Failed)? {
            Some(Found { kind: Kind::Link, .. }) => Err(Unread::Link),
            _ => Ok(()),
        }
    }

    fn opened(&self, access: Access) -> io::Result<File> {
        sys::open(&self.directory.handle, &self.directory.path, &self.name, access)
    }

    /// Gives out an open file that is regular and a trusted user's.
    fn judged(&self, file: File) -> Result<File, Unread> {
        let found = sys::about(&file).map_err(Unread::Failed)?;
        match found.kind {
            Kind::Regular if self.directory.trusts(found.owner) => Ok(file),
            Kind::Regular => Err(Unread::Foreign(found.owner)),
            _ => Err(Unread::NotRegular),
        }
    }

    /// Reads a file of at most `most` bytes.
    pub(crate) fn read(&self, most: u64) -> Result<Vec<u8>, Unread> {
        let mut bytes = Vec::new();
        let file = self.open(false)?;
        file.take(most + 1).read_to_end(&mut bytes).map_err(Unread::Failed)?;
        if bytes.len() as u64 > most {
            return Err(Unread::TooLong(most));
        }
        Ok(bytes)
    }

    /// Reads a text of at most `most` bytes, without a byte order mark.
    pub(crate) fn read_text(&self, most: u64) -> Result<String, Unread> {
        text::decode(self.read(most)?).map_err(Unread::NotText)
    }

    /// Gives the file these bytes and mode 0600, on disk when it returns. Where the name is a link, the file that it
    /// leads to is replaced. On failure the old file stands and no other is left behind. Only one caller at a time may
    /// replace a file: the name of the unfinished one is always the same, which is how one left by a crash is found.
    pub(crate) fn replace(&self, bytes: &[u8]) -> io::Result<()> {
        let place = match self.followed() {
            Err(Unread::Missing) => self.clone(),
            followed => followed?.0,
        };
        if !Arc::ptr_eq(&place.directory, &self.directory) {
            place.directory.for_writing()?;
        }
        let mut written = place.create_unfinished().and_then(|mut file| file.write_all(bytes));
        written = written.and_then(|()| place.finish(Over::WhatIsThere));
        if written.is_err() {
            let _ = place.remove(&place.unfinished());
        }
        written
    }

    /// Creates the unfinished file that `finish` will give this name, to read and write, in place of one that a crash
    /// left.
    pub(crate) fn create_unfinished(&self) -> io::Result<File> {
        let unfinished = Place { name: self.unfinished(), ..self.clone() };
        // It never got its name, so nobody relies on what is in it.
        match self.remove(&unfinished.name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        unfinished.opened(Access::MakeNew)
    }

    /// Gives the unfinished file its name, once its bytes are on disk.
    pub(crate) fn finish(&self, over: Over) -> io::Result<()> {
        let Directory { handle, path, .. } = &*self.directory;
        let unfinished = Place { name: self.unfinished(), ..self.clone() };
        unfinished.opened(Access::Write)?.sync_all()?;
        let rename = if over == Over::Nothing { sys::rename_new } else { sys::rename };
        rename(handle, path, &unfinished.name, &self.name)?;
        sys::sync(handle)
    }

    fn unfinished(&self) -> OsString {
        let mut name = self.name.clone();
        name.push(UNFINISHED);
        name
    }

    fn remove(&self, name: &OsStr) -> io::Result<()> {
        sys::remove(&self.directory.handle, &self.directory.path, name)
    }
}

/// The files that one which gets its name may take the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    WhatIsThere,
    Nothing,
}

/// A file that was opened or read, and the name by which it was found.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    place: Place,
    id: (u64, u64),
}

/// The place of a file, as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The name leads to it.
    InPlace,
    /// There is no such name any more.
    Gone,
    /// The name leads to another file, or is a link to nothing.
    Replaced,
}

impl Held {
    /// Holds on to an open file.
    pub(crate) fn of(place: &Place, file: &File) -> io::Result<Held> {
        Ok(Held { place: place.clone(), id: sys::about(file)?.id })
    }

    /// Holds on to what the name leads to now.
    pub(crate) fn at(place: &Place) -> io::Result<Held> {
        let Directory { handle, path, .. } = &*place.directory;
        let found = sys::look_behind(handle, path, &place.name)?;
        Ok(Held { place: place.clone(), id: found.id })
    }

    /// Returns its path, to be shown.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Looks where the name leads now: one call of the system where that is the same file.
    pub(crate) fn standing(&self) -> io::Result<Standing> {
        let Directory { handle, path, .. } = &*self.place.directory;
        match sys::look_behind(handle, path, &self.place.name) {
            Ok(found) if found.id == self.id => Ok(Standing::InPlace),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ if self.place.is_absent()? => Ok(Standing::Gone),
            _ => Ok(Standing::Replaced),
        }
    }
}
