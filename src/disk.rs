//! Files that belong to the user: written so that no crash leaves half of one and nobody else reads it, read
//! only where that neither blocks nor fills the memory, and judged by whose they are and who else may write or read
//! them. Words what the disk refuses, in one way.
//!
//! `directory` holds a directory, `place` does what is done with a file in it, `sys` asks the system. Called by
//! `config` (directory, lock, `config.json`, keys), `bootstrap`, `book`, `log` and `control`. What the bytes mean is for
//! them.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::path::Path;

use crate::error::{Error, ErrorKind, MORE_DESCRIPTORS, Result, lacks_descriptors};
use crate::text::{self, NotText};

mod directory;
mod place;
mod sys;

pub(crate) use directory::Directory;
pub(crate) use place::{Held, Over, Place, Standing};

/// Ends the name of a file that isn't whole yet.
const UNFINISHED: &str = ".new";

/// Gives a builder of directories that are their user's alone.
pub(crate) fn private_directory() -> DirBuilder {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// The reason why a file wasn't read. Its `Display` goes behind the file's name.
#[derive(Debug)]
pub(crate) enum Unread {
    /// A directory, or a pipe: opening that would wait for a writer.
    NotRegular,
    /// A file of more bytes than this.
    TooLong(u64),
    /// A file that holds something else than text.
    NotText(NotText),
    /// Nothing: there is no such name.
    Missing,
    /// A link where none is followed.
    Link,
    /// A link that leads to nothing.
    Dangling,
    /// A file of this user, who isn't trusted.
    Foreign(u32),
    /// A link of this user, who isn't trusted.
    ForeignLink(u32),
    /// An error of the system.
    Failed(io::Error),
}

impl Unread {
    /// Tells whether there is no such name. A link to nothing is one.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Unread::Missing)
    }

    /// Tells whether it is the file that is wrong, and no text will do; else another text in its place would.
    pub(crate) fn is_no_matter_of_text(&self) -> bool {
        !matches!(self, Unread::NotRegular | Unread::TooLong(_) | Unread::NotText(_))
    }
}

impl From<Unread> for io::Error {
    fn from(why: Unread) -> Self {
        match why {
            Unread::Failed(error) => error,
            Unread::Missing => io::ErrorKind::NotFound.into(),
            why => io::Error::other(format!("it {why}")),
        }
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::NotRegular => f.write_str("is no regular file"),
            Unread::TooLong(most) => write!(f, "is longer than {} KiB", most / 1024),
            Unread::NotText(why) => why.fmt(f),
            Unread::Missing => f.write_str("isn't there"),
            Unread::Link => f.write_str("is a link, which isn't followed there"),
            Unread::Dangling => f.write_str("is a link that leads to nothing"),
            Unread::Foreign(owner) => write!(f, "belongs to another user (uid {owner})"),
            Unread::ForeignLink(owner) => write!(f, "is a link of another user (uid {owner})"),
            Unread::Failed(error) => write!(f, "can't be read: {error}"),
        }
    }
}

/// Reads a regular file that the user names, wherever it is, of at most `most` bytes.
pub(crate) fn read(path: &Path, most: u64) -> Result<Vec<u8>, Unread> {
    if !fs::metadata(path).map_err(Unread::Failed)?.is_file() {
        return Err(Unread::NotRegular);
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
        .map_err(Unread::Failed)?;
    if bytes.len() as u64 > most {
        return Err(Unread::TooLong(most));
    }
    Ok(bytes)
}

/// Reads a text of at most `most` bytes, without a byte order mark.
pub(crate) fn read_text(path: &Path, most: u64) -> Result<String, Unread> {
    text::decode(read(path, most)?).map_err(Unread::NotText)
}

/// Returns the mode of a file that other users may read or write; None for one that they may not.
pub(crate) fn open_to_others(file: &Path) -> io::Result<Option<u32>> {
    access_of_others(file, 0o077)
}

/// Returns the mode of a path that has any of these bits.
#[cfg(unix)]
fn access_of_others(path: &Path, bits: u32) -> io::Result<Option<u32>> {
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(path)?) & 0o7777;
    Ok((mode & bits != 0).then_some(mode))
}

#[cfg(not(unix))]
fn access_of_others(path: &Path, _: u32) -> io::Result<Option<u32>> {
    fs::metadata(path).map(|_| None)
}

/// Opens a file that the user names, wherever it is, to write at its end. Neither is it made through a link, nor a
/// link followed that somebody else put there.
#[cfg_attr(not(feature = "log"), allow(dead_code))]
pub(crate) fn append(path: &Path) -> Result<File, Unread> {
    let mut options = fs::OpenOptions::new();
    options.append(true);
    let link = match fs::symlink_metadata(path) {
        Ok(found) => found.is_symlink().then_some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(Unread::Failed(error)),
    };
    let Some(link) = link else {
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW);
        return options.create(true).open(path).map_err(Unread::Failed);
    };
    let owner = sys::owner(&link);
    if !sys::is_trusted(owner) {
        return Err(Unread::ForeignLink(owner));
    }
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Dangling,
        _ => Unread::Failed(error),
    })
}

/// Takes from others what a file of ours, made by an older version or copied here, let them do with it.
#[cfg(unix)]
pub(crate) fn keep_private(file: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let about = file.metadata()?;
    // Another user's is theirs to say who reads it.
    if about.mode() & 0o077 == 0 || about.uid() != crate::os::effective_uid() {
        return Ok(());
    }
    file.set_permissions(fs::Permissions::from_mode(0o600))
}

#[cfg(not(unix))]
pub(crate) fn keep_private(_: &File) -> io::Result<()> {
    Ok(())
}

/// Tells whether it is a directory, and no link to one, that nobody but this user can look into.
#[cfg(unix)]
pub(crate) fn is_private_directory(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    fs::symlink_metadata(path).is_ok_and(|directory| {
        directory.is_dir()
            && directory.uid() == crate::os::effective_uid()
            && directory.mode() & 0o077 == 0
    })
}

/// Makes the error for what the disk or its permissions refuse; `what` says what couldn't be done.
pub(crate) fn storage_error(path: &Path, what: &str, error: &io::Error) -> Error {
    let (why, hint) = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            ("permission denied", "give your user write access to it, or use another data_dir")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            ("its file system is read-only", "use a data_dir that can be written")
        }
        io::ErrorKind::StorageFull => {
            ("its disk has no space left", "free some space, then start again")
        }
        io::ErrorKind::QuotaExceeded => {
            ("its disk quota is used up", "free some space, then start again")
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            ("it, or something above it, is a file instead of a directory", "use another data_dir")
        }
        io::ErrorKind::IsADirectory => {
            ("a directory is in its place", "move it away, or use another data_dir")
        }
        io::ErrorKind::InvalidFilename => {
            ("its path is too long", "use a data_dir with a shorter path")
        }
        _ if lacks_descriptors(error) => {
            ("this process has no file descriptor left", MORE_DESCRIPTORS)
        }
        _ => ("", "use another data_dir if this one can't be mended"),
    };
    let why = if why.is_empty() { error.to_string() } else { why.to_owned() };
    Error::new(ErrorKind::Storage, format!("{what} ({}): {why}", path.display()))
        .caused_by(error)
        .with("path", path.display().to_string())
        .with_hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path, name: &str) -> Place {
        Directory::open(dir, false).unwrap().place(name)
    }

    #[test]
    fn what_the_disk_refused_is_the_source_of_the_error() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = storage_error(Path::new("/d"), "the list can't be written", &full);
        assert_eq!(error.message(), "the list can't be written (/d): its disk has no space left");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_file_is_replaced_whole_or_stays_as_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let (path, place) = (scratch.path().join("list"), place(scratch.path(), "list"));
        fs::write(scratch.path().join("list.new"), "half, by a crash").unwrap();
        place.replace(b"one").unwrap();
        assert_eq!((place.read(3).unwrap(), open_to_others(&path).unwrap()), (b"one".into(), None));
        place.replace(b"two").unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);

        // Stands in the way even of root, whom no permission stops.
        fs::create_dir(scratch.path().join("list.new")).unwrap();
        assert!(place.replace(b"three").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn only_a_regular_file_of_bounded_size_is_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        let refused = |path: &Path| read(path, 1024).unwrap_err();
        let of_ours = place(scratch.path(), "file");
        assert!(of_ours.read(1024).unwrap_err().is_missing());
        assert!(refused(&path).to_string().starts_with("can't be read: "));
        fs::write(&path, [b'x'; 1025]).unwrap();
        assert_eq!(refused(&path).to_string(), "is longer than 1 KiB");
        assert_eq!(of_ours.read(1024).unwrap_err().to_string(), "is longer than 1 KiB");
        fs::write(&path, [b'x'; 1024]).unwrap();
        assert_eq!(of_ours.read(1024).unwrap().len(), 1024);
        assert_eq!(read(&path, 1024).unwrap().len(), 1024);
        assert_eq!(refused(scratch.path()).to_string(), "is no regular file");
        #[cfg(unix)]
        assert_eq!(refused(Path::new("/dev/zero")).to_string(), "is no regular file");
    }

    #[cfg(unix)]
    #[test]
    fn who_else_may_touch_a_path_is_judged_by_its_mode() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let scratch = tempfile::tempdir().unwrap();
        let (dir, file) = (scratch.path().join("dir"), scratch.path().join("file"));
        private_directory().create(&dir).unwrap();
        place(scratch.path(), "file").open_or_make().unwrap();
        let chmod = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        Directory::open(&dir, false).unwrap();
        assert!(is_private_directory(&dir) && open_to_others(&file).unwrap().is_none());

        let link = scratch.path().join("link");
        symlink(&dir, &link).unwrap();
        assert!(!is_private_directory(&link) && !is_private_directory(&file));
        chmod(&dir, 0o750);
        Directory::open(&dir, false).unwrap();
        assert!(!is_private_directory(&dir));
        chmod(&dir, 0o1777);
        let error = Directory::open(&dir, false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.message().contains("mode 1777"), "{error}");

        chmod(&file, 0o640);
        assert_eq!(open_to_others(&file).unwrap(), Some(0o640));
        keep_private(&File::open(&file).unwrap()).unwrap();
        assert_eq!(open_to_others(&file).unwrap(), None);
    }
}
