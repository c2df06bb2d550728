//! libp2p's protobuf of a private key, which all other forms are made to, and the words for a key that can't be used.
//! For `private_key` and `der`.

use libp2p::identity::{Keypair, PublicKey};

/// The reason why a key can't be used. Its words go behind the name of where it stands.
#[derive(Debug, PartialEq)]
pub(super) struct Unusable {
    pub what: String,
    pub hint: Option<String>,
}

impl Unusable {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Unusable { what: what.into(), hint: None }
    }

    /// Names a sound form that isn't read, with what makes one of it that is.
    pub(super) fn form(what: &str, hint: &str) -> Self {
        Unusable { what: what.to_owned(), hint: Some(hint.to_owned()) }
    }

    pub(super) fn public() -> Self {
        Self::form("is a public key", "the private key that belongs to it is needed")
    }

    pub(super) fn kind() -> Self {
        Self::form(
            "is a key of a type that libp2p doesn't have",
            "libp2p has Ed25519, RSA, Secp256k1 and ECDSA with P-256",
        )
    }
}

/// Reads libp2p's protobuf. Of an Ed25519 key older versions of go-libp2p and js-libp2p wrote the public key twice.
pub(super) fn from_protobuf(bytes: &[u8]) -> Result<Keypair, Unusable> {
    if let Ok(key) = Keypair::from_protobuf_encoding(bytes) {
        return Ok(key);
    }
    let Some((kind, data)) = fields(bytes) else {
        return Err(Unusable::damaged("is damaged: its protobuf breaks off"));
    };
    if let (1, Some((pair, again))) = (kind, data.split_at_checked(64))
        && again.len() == 32
    {
        if pair[32..] != *again {
            return Err(Unusable::damaged("is damaged: it holds two public keys that differ"));
        }
        return from_protobuf(&protobuf(1, pair));
    }
    if PublicKey::try_decode_protobuf(bytes).is_ok() {
        return Err(Unusable::public());
    }
    let kind = match kind {
        0 => "RSA",
        1 => "Ed25519",
        2 => "Secp256k1",
        3 => "ECDSA",
        _ => return Err(Unusable::kind()),
    };
    let what = format!(
        "is damaged, or of a size that isn't supported: an {kind} key of {} bytes",
        data.len()
    );
    Err(Unusable::damaged(what))
}

/// Writes libp2p's protobuf of a private key.
pub(super) fn protobuf(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x08, kind, 0x12];
    let mut length = data.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(data);
    bytes
}

/// Takes libp2p's protobuf of a key apart: its type and its data, and nothing else.
pub(super) fn fields(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[0x08, kind, 0x12], mut rest) = bytes.split_first_chunk::<3>()? else { return None };
    let mut length = 0;
    for shift in [0, 7, 14] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (kind < 0x80 && rest.len() == length).then_some((kind, rest));
        }
    }
    None
}
