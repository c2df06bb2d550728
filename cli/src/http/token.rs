//! The token that callers show: 256 random bits, in a file that only this user can read. It is made when it isn't
//! there and kept from then on; it never appears in a log, an argument or an address's query.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerkit::text::decode;
use peerkit::{Error, ErrorKind};
use rustix::fs::OFlags;
use rustix::process::geteuid;
use subtle::ConstantTimeEq;

/// The file's name in the data directory.
const NAME: &str = "token";
/// The random bytes of a token.
const BYTES: usize = 32;
/// More than any token takes, with a line end.
const LONGEST: u64 = 256;

/// The token, once its file could be read or made.
pub struct Token {
    file: PathBuf,
    /// True where the directory may be another user's, who is trusted with what is in it.
    foreign: bool,
    known: OnceLock<String>,
}

impl Token {
    /// Names the token of a data directory. Nothing is read yet.
    pub fn of(data_dir: &Path, foreign: bool) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Token { file: data_dir.join(NAME), foreign, known: OnceLock::new() }
    }

    /// Gives the file's path.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Gives the token. Reads or makes the file the first time that this works: a directory which isn't usable now may
    /// become so.
    pub fn get(&self) -> Result<&str, Error> {
        if let Some(token) = self.known.get() {
            return Ok(token);
        }
        let owner = self.check_directory()?;
        let token = match read(&self.file, owner)? {
            Some(token) => token,
            None => make(&self.file, owner)?,
        };
        Ok(self.known.get_or_init(|| token))
    }

    /// Refuses a file that is there and isn't right: that needs the user, and waiting doesn't help. A directory that
    /// isn't right keeps the node from starting too, which is told in each reply, and may be mended meanwhile.
    pub fn check(&self) -> Result<(), Error> {
        match self.get() {
            Err(error) if is_there(&self.file) && self.check_directory().is_ok() => Err(error),
            _ => Ok(()),
        }
    }

    /// Refuses a directory in which others could put a token of theirs, as the library does: it is this user's or root's,
    /// unless the configuration lets it be another's. Gives out its owner, who is trusted then.
    fn check_directory(&self) -> Result<u32, Error> {
        let directory = self.file.parent().unwrap_or(Path::new("/"));
        match fs::metadata(directory) {
            Ok(about) if !about.is_dir() || about.mode() & 0o022 != 0 => {
                Err(unusable(&self.file, "would be where others can write")
                    .with_hint("chmod 700 the data directory"))
            }
            Ok(about) if !self.foreign && about.uid() != 0 && !is_mine(about.uid()) => {
                Err(unusable(&self.file, "would be in a directory that belongs to another user")
                    .with_hint("use a data directory of your own"))
            }
            Ok(about) if self.foreign => Ok(about.uid()),
            Ok(_) => Ok(geteuid().as_raw()),
            Err(error) => Err(unusable(&self.file, &format!("can't be read: {error}"))),
        }
    }

    /// Tells whether this is the token. Takes as long for a nearly right one as for any other.
    pub fn is(&self, shown: &[u8]) -> Result<bool, Error> {
        Ok(self.get()?.as_bytes().ct_eq(shown).into())
    }
}

fn is_mine(owner: u32) -> bool {
    owner == geteuid().as_raw()
}

/// Tells whether there is such a name: a link that leads to nothing is one.
fn is_there(path: &Path) -> bool {
    !fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Reads the token in the file, which must be this user's or this owner's; None where there is no file.
fn read(path: &Path, owner: u32) -> Result<Option<String>, Error> {
    let broken = |error: io::Error| unusable(path, &format!("can't be read: {error}"));
    // No link is followed and no pipe waited for, and what is judged is what is read.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags as i32).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(broken)?,
    };
    check(&file.metadata().map_err(broken)?, owner).map_err(|why| unusable(path, &why))?;
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes).map_err(broken)?;
    let text = decode(bytes).map_err(|why| unusable(path, &why.to_string()))?;
    let token = text.trim_end();
    if URL_SAFE_NO_PAD.decode(token).map(|bytes| bytes.len()) != Ok(BYTES) {
        return Err(
            unusable(path, "holds no token").with_hint("remove the file, and a new one is made")
        );
    }
    Ok(Some(token.to_owned()))
}

/// Refuses a file that is neither this user's nor this owner's, or that others may have read or written.
fn check(about: &Metadata, owner: u32) -> Result<(), String> {
    if !about.is_file() {
        return Err("is no ordinary file".to_owned());
    }
    if !is_mine(about.uid()) && about.uid() != owner {
        return Err("belongs to another user".to_owned());
    }
    match about.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(format!("may be read by others (mode {:o})", about.mode() & 0o7777)),
    }
}

/// Makes the file. Where another process does so at the same time, one of the two tokens wins for both.
fn make(path: &Path, owner: u32) -> Result<String, Error> {
    let token = random::<BYTES>()?;
    // Under a name of its own until it is whole.
    let unfinished = path.with_extension(format!("{}.new", random::<6>()?));
    let linked = write(&unfinished, &token).and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    match linked {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path, owner)?.ok_or_else(|| unusable(path, "went away while it was read"))
        }
        Err(error) => Err(unusable(path, &format!("can't be made: {error}"))),
    }
}

fn random<const N: usize>() -> Result<String, Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(ErrorKind::Storage, format!("no random bytes for a token: {error}"))
    })?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn write(path: &Path, token: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{token}")?;
    file.sync_all()
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("the token file {} {why}", path.display()))
        .with("path", path.display().to_string())
        .with_hint(format!("it must be yours alone: chmod 600 {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn of(data_dir: &Path) -> Token {
        Token::of(data_dir, false)
    }

    #[test]
    fn a_token_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let first = of(dir.path());
        let token = first.get().unwrap().to_owned();
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32);
        assert_eq!(fs::metadata(first.file()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(of(dir.path()).get().unwrap(), token);
        assert!(first.is(token.as_bytes()).unwrap());
        assert!(!first.is(&token.as_bytes()[1..]).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = of(dir.path()).get().map(|_| dir.path().join(NAME)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let error = of(dir.path()).get().map(str::to_owned).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().contains("640"), "{error}");
    }

    #[test]
    fn where_others_can_write_no_token_is_made_or_believed() {
        let dir = tempfile::tempdir().unwrap();
        let planted = of(dir.path()).get().map(|_| dir.path().join(NAME)).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        let token = of(dir.path());
        assert_eq!(token.get().unwrap_err().kind(), ErrorKind::Storage);
        token.check().expect("the directory may be mended meanwhile");
        fs::remove_file(&planted).unwrap();
        assert!(token.get().is_err() && !planted.exists());
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        assert!(token.get().is_ok());
    }

    #[test]
    fn a_link_is_no_token() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        of(other.path()).get().unwrap();
        std::os::unix::fs::symlink(other.path().join(NAME), dir.path().join(NAME)).unwrap();
        assert!(of(dir.path()).get().is_err());
    }

    #[test]
    fn many_who_make_it_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let tokens: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| of(dir.path()).get().map(str::to_owned))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }

    #[test]
    fn a_link_to_nothing_is_there_and_needs_the_user() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path().join("unmounted"), dir.path().join(NAME)).unwrap();
        assert!(of(dir.path()).check().is_err());
        assert!(dir.path().join(NAME).is_symlink() && !dir.path().join("unmounted").exists());
    }

    #[test]
    fn in_a_directory_of_another_user_no_token_is_made_or_believed() {
        let dir = tempfile::tempdir().unwrap();
        of(dir.path()).get().unwrap();
        if std::os::unix::fs::chown(dir.path(), Some(65534), None).is_err() {
            eprintln!("skipped: only root may give a directory away");
            return;
        }
        for _ in ["planted", "none"] {
            assert_eq!(of(dir.path()).get().unwrap_err().kind(), ErrorKind::Storage);
            let _ = fs::remove_file(dir.path().join(NAME));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let volume = Token::of(dir.path(), true);
        volume.get().unwrap();
        std::os::unix::fs::chown(volume.file(), Some(1), None).unwrap();
        assert!(Token::of(dir.path(), true).get().is_err(), "it is neither ours nor the owner's");
        std::os::unix::fs::chown(volume.file(), Some(65534), None).unwrap();
        Token::of(dir.path(), true).get().unwrap();
    }
}
