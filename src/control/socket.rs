//! The socket as a file: where it is, who may connect to it, and how a process does.
//!
//! Only the owner of the data directory opens one, while it holds the directory's lock; so a socket of this user's that
//! is in the way is a dead owner's. Anything else there is named in the error, and neither followed nor removed.
//! `server` and `client` are told what they need here.

/// The file's name in a data directory.
pub(super) const NAME: &str = "control.sock";

#[cfg(unix)]
pub(super) use self::unix::{Bound, Stream, connect, send};

#[cfg(not(unix))]
pub(super) use self::unsupported::{Stream, connect, send};

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, Metadata, Permissions};
    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
    use std::os::unix::net::UnixListener;
    pub(in super::super) use std::os::unix::net::UnixStream as Stream;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use socket2::{Domain, SockAddr, SockRef, Socket, Type};

    use super::NAME;
    use crate::disk::{is_private_directory, private_directory, storage_error};
    use crate::error::{Error, ErrorKind, Result};
    use crate::os;

    /// The bytes that fit into a `sockaddr_un` beside the one that ends it.
    const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
    /// Connections that wait to be accepted.
    const BACKLOG: i32 = 64;
    /// Makes a write to a connection that is gone an error, and no signal to the host program.
    #[cfg(not(target_vendor = "apple"))]
    const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
    /// Sockets of `socket2` raise no signal here.
    #[cfg(target_vendor = "apple")]
    const NO_SIGNAL: i32 = 0;

    /// A listening socket and its file, which is removed when this is dropped.
    #[derive(Debug)]
    pub(in super::super) struct Bound {
        path: PathBuf,
        /// Device and number, by which to tell whether the file of this name is still ours.
        file: (u64, u64),
    }

    impl Bound {
        /// Opens the socket of a data directory that is locked.
        ///
        /// # Errors
        /// `config_invalid` where no path will do; `storage`.
        pub(in super::super) fn open(data_dir: &Path) -> Result<(Bound, UnixListener)> {
            let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
            let path = choose(data_dir, runtime.as_deref(), &std::env::temp_dir())?;
            make_room(&path)?;
            let failed =
                |error: &io::Error| storage_error(&path, "the control socket can't be made", error);
            let (listener, file) = bind(&path).map_err(|error| failed(&error))?;
            Ok((Bound { path, file }, listener))
        }

        pub(in super::super) fn path(&self) -> &Path {
            &self.path
        }
    }

    impl Drop for Bound {
        fn drop(&mut self) {
            let ours = fs::symlink_metadata(&self.path)
                .is_ok_and(|file| (file.dev(), file.ino()) == self.file);
            if ours {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// Chooses the path for the socket of a data directory: in it, or else in a directory of this
    /// user's alone, that for the session (XDG Base Directory Specification) or one among the temporary
    /// files. The file `lock` says which.
    fn choose(data_dir: &Path, runtime: Option<&Path>, temporary: &Path) -> Result<PathBuf> {
        let path = data_dir.join(NAME);
        if fits(&path) {
            return Ok(path);
        }
        // One directory has one socket, reached through links or not.
        let data_dir = fs::canonicalize(data_dir)
            .map_err(|error| storage_error(data_dir, "the data directory can't be read", &error))?;
        let name = format!("peerkit-{:016x}.sock", hash(data_dir.as_os_str().as_bytes()));
        let runtime = runtime.filter(|runtime| runtime.is_absolute()).map(Path::to_owned);
        let own = temporary.join(format!("peerkit-{}", os::effective_uid()));
        let made = private_directory().create(&own);
        let mut unfit = Vec::new();
        for place in runtime.iter().chain([&own]) {
            let short = place.join(&name);
            let why_not = match not_ours_alone(place) {
                None if fits(&short) => return Ok(short),
                None => "is too long as well".to_owned(),
                Some(why_not) => why_not,
            };
            unfit.push(format!("{} {why_not}", place.display()));
        }
        let message = format!(
            "`control_socket`: {} is too long for the path of a socket, and for a short one there is no place: {}",
            path.display(),
            unfit.join("; ")
        );
        let error = Error::new(ErrorKind::ConfigInvalid, message).with("key", "control_socket").with_hint(
            "remove what is in the way, use a data_dir with a shorter path, or set XDG_RUNTIME_DIR to a directory of \
             your own",
        );
        let error = match fs::symlink_metadata(&own) {
            Ok(there) => error.with("owner_uid", there.uid()),
            Err(_) => error,
        };
        let error = error.with("path", own.display().to_string());
        Err(match made {
            Err(failed) if failed.kind() != io::ErrorKind::AlreadyExists => {
                error.caused_by(&failed)
            }
            _ => error,
        })
    }

    /// Says why a place isn't a directory of this user's alone; None of one that is.
    fn not_ours_alone(place: &Path) -> Option<String> {
        if is_private_directory(place) {
            return None;
        }
        Some(match fs::symlink_metadata(place) {
            Err(error) => format!("can't be had: {error}"),
            Ok(there) if there.is_dir() && there.uid() == os::effective_uid() => {
                format!("may be looked into by other users (mode {:o})", there.mode() & 0o7777)
            }
            Ok(there) => format!("is {}", described(&there)),
        })
    }

    /// Says what something is, and whose.
    fn described(there: &Metadata) -> String {
        let kind = there.file_type();
        let what = match () {
            () if kind.is_symlink() => "a link",
            () if kind.is_dir() => "a directory",
            () if kind.is_socket() => "a socket",
            () if kind.is_file() => "a file",
            () => "a special file",
        };
        format!("{what} of user {}", there.uid())
    }

    /// Tells whether a path is short enough, and fits on the one line of the lock file.
    fn fits(path: &Path) -> bool {
        let path = path.as_os_str().as_bytes();
        path.len() <= MAX_PATH && !path.contains(&b'\n')
    }

    /// Hashes by FNV-1a: the same in every build, so that the next owner finds what a dead one left.
    fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// Removes a dead owner's socket; anything else of that name isn't ours to remove. Of another user's directory,
    /// which its own checks have let pass, it is that user's too.
    fn make_room(path: &Path) -> Result<()> {
        let failed =
            |error: io::Error| storage_error(path, "the control socket can't be made", &error);
        let there = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            there => there.map_err(failed)?,
        };
        let directory = path.parent().map(fs::metadata).transpose().map_err(failed)?;
        let ours = [Some(os::effective_uid()), directory.map(|directory| directory.uid())];
        if there.file_type().is_socket() && ours.contains(&Some(there.uid())) {
            return fs::remove_file(path).map_err(failed);
        }
        let in_its_place = format!("{} is in its place", described(&there));
        Err(failed(io::Error::other(in_its_place))
            .with("owner_uid", there.uid())
            .with_hint("remove it, or use another data_dir"))
    }

    /// Binds the socket. Nobody can connect before `listen`, and by then the mode is what it is to be:
    /// there is no moment in which others could, whatever the umask and the directory's mode are.
    fn bind(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        let ready = || {
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            fs::symlink_metadata(path)
        };
        let file = ready().inspect_err(|_| drop(fs::remove_file(path)))?;
        Ok((OwnedFd::from(socket).into(), (file.dev(), file.ino())))
    }

    /// Connects. Waits, for `within` at most, where the owner has too many to accept.
    pub(in super::super) fn connect(path: &Path, within: Duration) -> io::Result<Stream> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_write_timeout(Some(within))?;
        // The path may have been short where the owner bound it.
        let (_directory, path) = shortened(path)?;
        socket.connect(&SockAddr::unix(path)?)?;
        Ok(OwnedFd::from(socket).into())
    }

    /// Returns a path of a file that is short enough for a socket, which holds for as long as the directory is open.
    fn shortened(path: &Path) -> io::Result<(Option<File>, PathBuf)> {
        match (path.parent(), path.file_name()) {
            (Some(directory), Some(name)) if cfg!(target_os = "linux") && !fits(path) => {
                let directory = File::open(directory)?;
                let through = format!("/proc/self/fd/{}", directory.as_raw_fd());
                Ok((Some(directory), Path::new(&through).join(name)))
            }
            _ => Ok((None, path.to_owned())),
        }
    }

    /// Sends what fits.
    pub(in super::super) fn send(stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
        SockRef::from(stream).send_with_flags(bytes, NO_SIGNAL)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_path_that_is_too_long_becomes_a_short_one_in_a_directory_of_the_users_alone() {
            let (scratch, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let long = scratch.path().join("d".repeat(100));
            fs::create_dir(&long).unwrap();
            fs::set_permissions(runtime.path(), Permissions::from_mode(0o700)).unwrap();
            let temporary = tempfile::tempdir().unwrap();
            let choose = |dir: &Path, runtime| choose(dir, runtime, temporary.path());
            assert_eq!(choose(scratch.path(), None).unwrap(), scratch.path().join(NAME));

            let path = choose(&long, Some(runtime.path())).unwrap();
            assert_eq!(path.parent(), Some(runtime.path()));
            let link = scratch.path().join("l".repeat(100));
            std::os::unix::fs::symlink(&long, &link).unwrap();
            assert_eq!(choose(&link, Some(runtime.path())).unwrap(), path, "it is one directory");

            let open = runtime.path().join("open");
            fs::create_dir(&open).unwrap();
            fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
            let own = temporary.path().join(format!("peerkit-{}", os::effective_uid()));
            let none = long.join("none");
            for runtime in [None, Some(Path::new("run")), Some(&*open), Some(&*none)] {
                assert_eq!(choose(&long, runtime).unwrap().parent(), Some(&*own), "{runtime:?}");
            }
            // Another user made the directory first.
            fs::set_permissions(&own, Permissions::from_mode(0o777)).unwrap();
            let error = choose(&long, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
            assert!(error.hint().is_some());
        }

        #[test]
        fn who_is_in_the_way_of_the_short_path_is_named_and_left_alone() {
            let (scratch, temporary) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let long = scratch.path().join("d".repeat(100));
            fs::create_dir(&long).unwrap();
            let own = temporary.path().join(format!("peerkit-{}", os::effective_uid()));
            let told = |what: &str| {
                let error = choose(&long, None, temporary.path()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ConfigInvalid);
                let named = format!("{} {what}", own.display());
                assert!(error.message().contains(&named), "{error}: {named}");
                assert_eq!(error.detail()["path"], own.display().to_string());
                assert_eq!(error.detail()["owner_uid"], fs::symlink_metadata(&own).unwrap().uid());
            };
            let us = os::effective_uid();
            fs::write(&own, "precious").unwrap();
            told(&format!("is a file of user {us}"));
            assert_eq!(fs::read(&own).unwrap(), b"precious");
            fs::remove_file(&own).unwrap();

            let elsewhere = temporary.path().join("elsewhere");
            private_directory().create(&elsewhere).unwrap();
            std::os::unix::fs::symlink(&elsewhere, &own).unwrap();
            told(&format!("is a link of user {us}"));
            assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "it isn't followed");
            fs::remove_file(&own).unwrap();

            fs::create_dir(&own).unwrap();
            fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
            told("may be looked into by other users (mode 755)");
            // Only root can give a directory away.
            if us == 0 {
                std::os::unix::fs::chown(&own, Some(65_534), None).unwrap();
                told("is a directory of user 65534");
            }
        }

        #[test]
        fn a_socket_or_a_link_of_another_is_named_and_left_alone() {
            let scratch = tempfile::tempdir().unwrap();
            let (path, target) = (scratch.path().join(NAME), scratch.path().join("target"));
            fs::write(&target, "precious").unwrap();
            std::os::unix::fs::symlink(&target, &path).unwrap();
            let error = Bound::open(scratch.path()).unwrap_err();
            let us = os::effective_uid();
            assert!(
                error.message().contains(&format!("a link of user {us} is in its place")),
                "{error}"
            );
            assert_eq!(fs::read(&target).unwrap(), b"precious");
            fs::remove_file(&path).unwrap();

            let _theirs = UnixListener::bind(&path).unwrap();
            if us == 0 {
                std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
                let error = Bound::open(scratch.path()).unwrap_err();
                assert_eq!(
                    (error.kind(), &error.detail()["owner_uid"]),
                    (ErrorKind::Storage, &65_534.into())
                );
                assert!(error.message().contains("a socket of user 65534"), "{error}");
                assert!(path.exists());
            }
        }

        #[test]
        fn a_path_too_long_for_a_socket_is_connected_through_its_directory() {
            let scratch = tempfile::tempdir().unwrap();
            let _listener = UnixListener::bind(scratch.path().join("s")).unwrap();
            let mut long = scratch.path().to_owned();
            for _ in 0..3 {
                long.push("d".repeat(60));
                fs::create_dir(&long).unwrap();
            }
            fs::rename(scratch.path().join("s"), long.join("s")).unwrap();
            if cfg!(target_os = "linux") {
                connect(&long.join("s"), Duration::from_secs(1)).unwrap();
                let none = connect(&long.join("none"), Duration::from_secs(1)).unwrap_err();
                assert_eq!(none.kind(), io::ErrorKind::NotFound);
            }
        }

        #[test]
        fn a_line_break_in_the_path_is_no_line_of_the_lock_file() {
            assert!(!fits(Path::new("/tmp/a\nb/control.sock")));
        }

        #[test]
        fn only_a_socket_is_taken_out_of_the_way_and_only_our_own_is_removed() {
            let scratch = tempfile::tempdir().unwrap();
            let path = scratch.path().join(NAME);
            fs::write(&path, "precious").unwrap();
            let error = Bound::open(scratch.path()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert_eq!(fs::read(&path).unwrap(), b"precious");
            fs::remove_file(&path).unwrap();

            let first = Bound::open(scratch.path()).unwrap();
            let second = Bound::open(scratch.path()).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
            drop(first);
            assert!(path.exists(), "it is the second's");
            drop(second);
            assert!(!path.exists());
        }
    }
}

/// Refuses to connect: there are no Unix sockets here.
#[cfg(not(unix))]
mod unsupported {
    use std::io::{self, Write};
    pub(in super::super) use std::net::TcpStream as Stream;
    use std::path::Path;
    use std::time::Duration;

    pub(in super::super) fn connect(_: &Path, _: Duration) -> io::Result<Stream> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(in super::super) fn send(mut stream: &Stream, bytes: &[u8]) -> io::Result<usize> {
        stream.write(bytes)
    }
}
