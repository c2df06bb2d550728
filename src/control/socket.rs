//! The socket as a file: where it is, who may connect to it, and how a process does.
//!
//! Only the owner of the data directory opens one, while it holds the directory's lock; so a file that
//! is in the way is a dead owner's. `server` and `client` are told what they need here.

/// The file's name in a data directory.
pub(super) const NAME: &str = "control.sock";

#[cfg(unix)]
pub(super) use self::unix::{Bound, Stream, connect, send};

#[cfg(not(unix))]
pub(super) use self::unsupported::{Stream, connect, send};

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, Permissions};
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
        // A directory that is there and isn't private is somebody else's, and is refused below.
        let _ = private_directory().create(&own);
        let places = runtime.into_iter().chain([own]).filter(|place| is_private_directory(place));
        places.map(|place| place.join(&name)).find(|path| fits(path)).ok_or_else(|| {
            let message =
                format!("`control_socket`: {} is too long for the path of a socket", path.display());
            Error::new(ErrorKind::ConfigInvalid, message).with("key", "control_socket").with_hint(
                "use a data_dir with a shorter path, or set XDG_RUNTIME_DIR to a directory of your own",
            )
        })
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

    /// Removes a dead owner's socket; anything else of that name isn't ours to remove.
    fn make_room(path: &Path) -> Result<()> {
        let is_socket = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map(|file| file.file_type().is_socket()),
        };
        let removed = is_socket.and_then(|is_socket| match is_socket {
            true => fs::remove_file(path),
            false => Err(io::Error::other("a file that is no socket is in its place")),
        });
        removed.map_err(|error| storage_error(path, "the control socket can't be made", &error))
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
