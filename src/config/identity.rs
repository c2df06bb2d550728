//! The identity of this node: the private key from the configuration, from the data directory, or new.
//!
//! A key file that can't be used is an error and never replaced: a node that silently becomes someone
//! else is worse than one that doesn't start. Called by `config::open` under the directory's lock.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libp2p::identity::Keypair;

use super::data_dir::DataDir;
use super::key_protobuf::Unusable;
use super::private_key::{from_file, from_text};
use super::secret::{KeySource, MAX_KEY_FILE_BYTES};
use super::settings::Settings;
use crate::disk::{self, Held, Place, Unread, storage_error};
use crate::error::{Error, ErrorKind, Result};

const KEY_FILE: &str = "identity.key";

const GIVE: &str = r#"give the text of Identity.PrivKey in Kubo's config, or {"file": path}"#;
const PUT_BACK: &str =
    "put the right key back; peerkit makes a new one only where there is no file";

/// The node's key.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The key pair.
    pub keypair: Keypair,
    /// A warning about the key's file.
    pub warning: Option<String>,
    /// The file in the data directory, where the key is in it.
    pub file: Option<Held>,
}

/// Takes the node's key from the configuration, else from the data directory, else a new one, which is on
/// disk when this returns. A key in the configuration leaves the data directory's as it is.
pub(crate) fn load_identity(settings: &Settings, data_dir: Option<&DataDir>) -> Result<Identity> {
    if let Some(source) = &settings.identity {
        let warning = match source {
            KeySource::Text(_) => None,
            KeySource::File { file } => readable_by_others(file),
        };
        return Ok(Identity { keypair: keypair_from(source)?, warning, file: None });
    }
    let Some(data_dir) = data_dir else {
        return Ok(Identity { keypair: Keypair::generate_ed25519(), warning: None, file: None });
    };
    let place = data_dir.place(KEY_FILE);
    let path = place.path();
    let (keypair, warning) = match place.read(MAX_KEY_FILE_BYTES) {
        Err(why) if why.is_missing() => {
            let keypair = Keypair::generate_ed25519();
            write_key(&place, &keypair)?;
            (keypair, None)
        }
        // A link that leads to nothing, too, is not replaced.
        read => (keypair_of(&path, read)?, readable_by_others(&path)),
    };
    let file = Held::at(&place)
        .map_err(|error| storage_error(&path, "the private key can't be read", &error))?;
    Ok(Identity { keypair, warning, file: Some(file) })
}

/// Reads the key that `identity` in the configuration stands for.
pub(super) fn keypair_from(source: &KeySource) -> Result<Keypair> {
    match source {
        KeySource::File { file } => keypair_of(file, disk::read(file, MAX_KEY_FILE_BYTES)),
        KeySource::Text(text) => from_text(text).map_err(|Unusable { what, hint }| {
            Error::new(ErrorKind::Identity, format!("the private key in `identity` {what}"))
                .with("key", "identity")
                .with_hint(hint.unwrap_or_else(|| GIVE.to_owned()))
        }),
    }
}

fn keypair_of(path: &Path, read: Result<Vec<u8>, Unread>) -> Result<Keypair> {
    let refused = |Unusable { what, hint }| {
        Error::new(ErrorKind::Identity, format!("the private key in {} {what}", path.display()))
            .with("path", path.display().to_string())
            .with_hint(hint.unwrap_or_else(|| PUT_BACK.to_owned()))
    };
    from_file(read.map_err(|why| refused(Unusable::damaged(why.to_string())))?).map_err(refused)
}

/// Writes a new key so that after a crash it is there whole or not at all.
fn write_key(place: &Place, keypair: &Keypair) -> Result<()> {
    let bytes = keypair.to_protobuf_encoding().map_err(|error| {
        Error::new(ErrorKind::Identity, format!("the new private key can't be encoded: {error}"))
    })?;
    let text = BASE64_STANDARD.encode(bytes) + "\n";
    place.replace(text.as_bytes()).map_err(|error| {
        storage_error(&place.path(), "the new private key can't be written", &error)
    })
}

/// Warns of a key file that isn't its user's alone.
fn readable_by_others(path: &Path) -> Option<String> {
    let mode = disk::open_to_others(path).ok()?? & 0o777;
    let path = path.display();
    Some(format!("the private key in {path} is open to other users (mode {mode:o}); chmod 600 it"))
}
