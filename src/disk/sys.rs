//! The system's calls on a name in an open directory. Elsewhere than on Unix there are none such: a path is made of
//! the two, and nobody owns anything.

#[cfg(unix)]
pub(super) use self::unix::*;

#[cfg(not(unix))]
pub(super) use self::plain::*;

/// The facts about a file, or about a link itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub kind: Kind,
    /// The user it belongs to.
    pub owner: u32,
    pub mode: u32,
    /// Device and number, by which two names are known to lead to one file.
    pub id: (u64, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Directory,
    Link,
    Other,
}

impl From<std::fs::FileType> for Kind {
    fn from(kind: std::fs::FileType) -> Self {
        match () {
            () if kind.is_file() => Kind::Regular,
            () if kind.is_dir() => Kind::Directory,
            () if kind.is_symlink() => Kind::Link,
            () => Kind::Other,
        }
    }
}

/// The ways in which a file is opened: none follows a link or waits for the other end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    /// To read and write what is there.
    Write,
    /// To read and write, made where it isn't there.
    Make,
    /// To read and write what isn't there yet.
    MakeNew,
    /// To write at its end, made where it isn't there.
    Append,
}

#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::fs::{File, Metadata};
    use std::io;
    use std::os::unix::ffi::OsStringExt;
    use std::os::unix::fs::MetadataExt;
    use std::path::{Path, PathBuf};

    use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};

    use super::{Access, Found, Kind};

    /// An open directory.
    pub(in super::super) type Handle = File;

    const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

    pub(in super::super) fn open_directory(path: &Path) -> io::Result<Handle> {
        Ok(rustix::fs::open(path, DIRECTORY, Mode::empty())?.into())
    }

    /// Opens a directory by a path that may be relative to another one.
    pub(in super::super) fn open_directory_at(
        from: &Handle,
        _: &Path,
        path: &Path,
    ) -> io::Result<Handle> {
        Ok(rustix::fs::openat(from, path, DIRECTORY, Mode::empty())?.into())
    }

    pub(in super::super) fn about(file: &File) -> io::Result<Found> {
        file.metadata().map(|metadata| of_metadata(&metadata))
    }

    fn of_metadata(metadata: &Metadata) -> Found {
        let kind = metadata.file_type().into();
        let id = (metadata.dev(), metadata.ino());
        Found { kind, owner: metadata.uid(), mode: metadata.mode() & 0o7777, id }
    }

    /// Looks at a name, and not at what a link of that name leads to.
    pub(in super::super) fn look(dir: &Handle, _: &Path, name: &OsStr) -> io::Result<Found> {
        stat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Looks at what a name leads to.
    pub(in super::super) fn look_behind(dir: &Handle, _: &Path, name: &OsStr) -> io::Result<Found> {
        stat(dir, name, AtFlags::empty())
    }

    // The types of its fields differ between systems.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    fn stat(dir: &Handle, name: &OsStr, flags: AtFlags) -> io::Result<Found> {
        let stat: Stat = rustix::fs::statat(dir, name, flags)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::Regular,
            FileType::Directory => Kind::Directory,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let id = (stat.st_dev as u64, stat.st_ino as u64);
        Ok(Found { kind, owner: stat.st_uid, mode: u32::from(stat.st_mode) & 0o7777, id })
    }

    pub(in super::super) fn read_link(dir: &Handle, _: &Path, name: &OsStr) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(dir, name, Vec::new())?;
        Ok(std::ffi::OsString::from_vec(target.into_bytes()).into())
    }

    pub(in super::super) fn open(
        dir: &Handle,
        _: &Path,
        name: &OsStr,
        access: Access,
    ) -> io::Result<File> {
        let how = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Make => OFlags::RDWR | OFlags::CREATE,
            Access::MakeNew => OFlags::RDWR | OFlags::CREATE | OFlags::EXCL,
            Access::Append => OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE,
        };
        let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(dir, name, how, Mode::RUSR | Mode::WUSR)?.into())
    }

    pub(in super::super) fn remove(dir: &Handle, _: &Path, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?)
    }

    pub(in super::super) fn rename(
        dir: &Handle,
        _: &Path,
        from: &OsStr,
        to: &OsStr,
    ) -> io::Result<()> {
        Ok(rustix::fs::renameat(dir, from, dir, to)?)
    }

    /// Renames unless a file of the new name is there. Where the system can't, the caller's own look has to do.
    pub(in super::super) fn rename_new(
        dir: &Handle,
        path: &Path,
        from: &OsStr,
        to: &OsStr,
    ) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{RenameFlags, renameat_with};
            use rustix::io::Errno;

            match renameat_with(dir, from, dir, to, RenameFlags::NOREPLACE) {
                Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
                renamed => return Ok(renamed?),
            }
        }
        rename(dir, path, from, to)
    }

    #[cfg_attr(not(feature = "log"), allow(dead_code))]
    pub(in super::super) fn owner(metadata: &Metadata) -> u32 {
        metadata.uid()
    }

    /// Makes a rename last.
    pub(in super::super) fn sync(dir: &Handle) -> io::Result<()> {
        dir.sync_all()
    }

    /// Tells whether files of this user are trusted: this process's own, and root, who could do anything anyway.
    pub(in super::super) fn is_trusted(owner: u32) -> bool {
        owner == 0 || owner == crate::os::effective_uid()
    }
}

#[cfg(not(unix))]
mod plain {
    use std::ffi::OsStr;
    use std::fs::{self, File, Metadata, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};

    use super::{Access, Found, Kind};

    /// Stands for an open directory.
    #[derive(Debug)]
    pub(in super::super) struct Handle;

    pub(in super::super) fn open_directory(path: &Path) -> io::Result<Handle> {
        match fs::metadata(path)?.is_dir() {
            true => Ok(Handle),
            false => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(in super::super) fn open_directory_at(
        _: &Handle,
        from: &Path,
        path: &Path,
    ) -> io::Result<Handle> {
        open_directory(&from.join(path))
    }

    pub(in super::super) fn about(file: &File) -> io::Result<Found> {
        file.metadata().map(|metadata| of_metadata(&metadata))
    }

    fn of_metadata(metadata: &Metadata) -> Found {
        let kind = metadata.file_type().into();
        Found { kind, owner: 0, mode: 0, id: (0, 0) }
    }

    pub(in super::super) fn look(_: &Handle, path: &Path, name: &OsStr) -> io::Result<Found> {
        fs::symlink_metadata(path.join(name)).map(|metadata| of_metadata(&metadata))
    }

    pub(in super::super) fn look_behind(
        _: &Handle,
        path: &Path,
        name: &OsStr,
    ) -> io::Result<Found> {
        fs::metadata(path.join(name)).map(|metadata| of_metadata(&metadata))
    }

    pub(in super::super) fn read_link(
        _: &Handle,
        path: &Path,
        name: &OsStr,
    ) -> io::Result<PathBuf> {
        fs::read_link(path.join(name))
    }

    pub(in super::super) fn open(
        _: &Handle,
        path: &Path,
        name: &OsStr,
        access: Access,
    ) -> io::Result<File> {
        let mut options = OpenOptions::new();
        match access {
            Access::Read => options.read(true),
            Access::Write => options.read(true).write(true),
            Access::Make => options.read(true).write(true).create(true).truncate(false),
            Access::MakeNew => options.read(true).write(true).create_new(true),
            Access::Append => options.append(true).create(true),
        };
        options.open(path.join(name))
    }

    pub(in super::super) fn remove(_: &Handle, path: &Path, name: &OsStr) -> io::Result<()> {
        fs::remove_file(path.join(name))
    }

    pub(in super::super) fn rename(
        _: &Handle,
        path: &Path,
        from: &OsStr,
        to: &OsStr,
    ) -> io::Result<()> {
        fs::rename(path.join(from), path.join(to))
    }

    pub(in super::super) use rename as rename_new;

    pub(in super::super) fn owner(_: &Metadata) -> u32 {
        0
    }

    pub(in super::super) fn sync(_: &Handle) -> io::Result<()> {
        Ok(())
    }

    pub(in super::super) fn is_trusted(_: u32) -> bool {
        true
    }
}
