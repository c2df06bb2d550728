//! The token that callers show: 256 random bits, in a file that only this user can read. It is made when it isn't
//! there and kept from then on; it never appears in a log, an argument or an address's query.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use peerkit::{Error, ErrorKind};
use subtle::ConstantTimeEq;

/// The file's name in the data directory.
const NAME: &str = "token";
/// How many random bytes a token has.
const BYTES: usize = 32;
/// More than any token takes, with a line end.
const LONGEST: u64 = 256;

/// The token, once its file could be read or made.
pub struct Token {
    file: PathBuf,
    known: OnceLock<String>,
}

impl Token {
    /// The token of a data directory. Nothing is read yet.
    pub fn of(data_dir: &Path) -> Self {
        let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
        Token { file: data_dir.join(NAME), known: OnceLock::new() }
    }

    /// Where it is.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The token. Reads or makes the file the first time that this works: a directory which isn't usable now may
    /// become so.
    pub fn get(&self) -> Result<&str, Error> {
        if let Some(token) = self.known.get() {
            return Ok(token);
        }
        let token = match read(&self.file)? {
            Some(token) => token,
            None => make(&self.file)?,
        };
        Ok(self.known.get_or_init(|| token))
    }

    /// Refuses a file that is there and isn't right: that needs the user, and waiting doesn't help.
    pub fn check(&self) -> Result<(), Error> {
        match self.get() {
            Err(error) if self.file.exists() => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether this is the token. Takes as long for a nearly right one as for any other.
    pub fn is(&self, shown: &[u8]) -> Result<bool, Error> {
        Ok(self.get()?.as_bytes().ct_eq(shown).into())
    }
}

/// The token in the file; None where there is no file.
fn read(path: &Path) -> Result<Option<String>, Error> {
    // Looked at before it is opened: opening a pipe would wait. The directory is the user's own, so nobody else
    // can put another file in its place meanwhile.
    match fs::metadata(path) {
        Ok(about) => check(&about).map_err(|why| unusable(path, &why))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &format!("can't be read: {error}"))),
    }
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(LONGEST).read_to_string(&mut text))
        .map_err(|error| unusable(path, &format!("can't be read: {error}")))?;
    let token = text.trim_end();
    if URL_SAFE_NO_PAD.decode(token).map(|bytes| bytes.len()) != Ok(BYTES) {
        return Err(
            unusable(path, "holds no token").with_hint("remove the file, and a new one is made")
        );
    }
    Ok(Some(token.to_owned()))
}

/// Whether nobody else may have read or written it.
fn check(about: &Metadata) -> Result<(), String> {
    if !about.is_file() {
        return Err("is no ordinary file".to_owned());
    }
    match about.mode() & 0o077 {
        0 => Ok(()),
        _ => Err(format!("may be read by others (mode {:o})", about.mode() & 0o7777)),
    }
}

/// Makes the file. Where another process does so at the same time, one of the two tokens wins for both.
fn make(path: &Path) -> Result<String, Error> {
    let token = random::<BYTES>()?;
    // Under a name of its own until it is whole.
    let unfinished = path.with_extension(format!("{}.new", random::<6>()?));
    let linked = write(&unfinished, &token).and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    match linked {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| unusable(path, "went away while it was read"))
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

    #[test]
    fn a_token_is_made_once_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let first = Token::of(dir.path());
        let token = first.get().unwrap().to_owned();
        assert_eq!(URL_SAFE_NO_PAD.decode(&token).unwrap().len(), 32);
        assert_eq!(fs::metadata(first.file()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Token::of(dir.path()).get().unwrap(), token);
        assert!(first.is(token.as_bytes()).unwrap());
        assert!(!first.is(&token.as_bytes()[1..]).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_token_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = Token::of(dir.path()).get().map(|_| dir.path().join(NAME)).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let error = Token::of(dir.path()).get().map(str::to_owned).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert!(error.to_string().contains("640"), "{error}");
    }

    #[test]
    fn many_who_make_it_at_once_get_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let tokens: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| Token::of(dir.path()).get().map(str::to_owned)))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        assert!(tokens.iter().all(|token| *token == tokens[0]));
    }
}
