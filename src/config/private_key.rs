//! The forms in which a libp2p private key is met: its protobuf, in bytes or written in base64 (wrapped, URL-safe),
//! hex or multibase; inside a configuration of Kubo or ipfs-cluster, or an object of js-libp2p; a JWK; PEM and DER (in
//! `der`). One that can't be used is told as what it is, with what makes a usable one of it: "damaged" is said only of
//! what has no such form. No error quotes what it was given.

use base64::Engine as _;
use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use libp2p::PeerId;
use libp2p::identity::Keypair;
use serde_json::Value;

use super::der;
use super::key_protobuf::{Unusable, fields, from_protobuf, protobuf};
use crate::model::once::{Misread, read_json};
use crate::text;

/// The places of the key in objects of other programs, and of the peer id that it belongs to.
const IN_JSON: &[(&str, &str)] = &[
    ("/Identity/PrivKey", "/Identity/PeerID"),
    ("/PrivKey", "/PeerID"),
    ("/privKey", "/id"),
    ("/private_key", "/id"),
];
/// Makes a form that is read of an Ed25519 seed in hex.
const SEED: &str = "if it is the seed of an Ed25519 key, write 302e020100300506032b657004220420 and then it in hex: that is read as PKCS#8";

/// Reads a key from a file's bytes.
pub(super) fn from_file(bytes: Vec<u8>) -> Result<Keypair, Unusable> {
    match from_bytes(&bytes) {
        Some(read) => read,
        None => match text::decode(bytes) {
            Ok(text) => from_text(&text),
            Err(text::NotText::Utf16) => Err(Unusable::damaged(text::NotText::Utf16.to_string())),
            Err(_) => Err(Unusable::damaged(
                "is damaged: it is neither a protobuf nor any other form of a key",
            )),
        },
    }
}

/// Reads a key from a text.
pub(super) fn from_text(text: &str) -> Result<Keypair, Unusable> {
    let text = text.trim_matches(|char: char| char.is_whitespace() || char == '\u{feff}');
    if text.is_empty() {
        return Err(Unusable::damaged("is empty"));
    }
    if text.contains("-----BEGIN ") {
        return der::from_pem(text);
    }
    if text.starts_with(['{', '"', '[']) {
        return from_json(text);
    }
    if text.starts_with("/key/swarm/psk") {
        return Err(Unusable::form(
            "is the key of a private network",
            "that one is for `swarm_key`",
        ));
    }
    if text.starts_with("ssh-") || text.starts_with("ecdsa-sha2-") {
        return Err(Unusable::public());
    }
    let written: String = text.split_whitespace().collect();
    let mut raw = false;
    for bytes in decoded(&written) {
        if let Some(read) = from_bytes(&bytes) {
            return read;
        }
        raw |= bytes.len() == 32;
    }
    if raw {
        return Err(Unusable::form("is 32 bytes without the type of the key", SEED));
    }
    match written.parse::<PeerId>() {
        Ok(_) => {
            Err(Unusable::form("is a peer id", "the private key that belongs to it is needed"))
        }
        Err(_) => Err(Unusable::damaged(
            "is damaged: it is neither base64 of a protobuf nor any other form of a key",
        )),
    }
}

/// Lists what a text stands for, by each way in which bytes are written.
fn decoded(text: &str) -> impl Iterator<Item = Vec<u8>> {
    let hex = text.strip_prefix("0x").unwrap_or(text).to_ascii_lowercase();
    [
        decode_base64(text),
        decode_with(&URL_SAFE, text),
        multibase::Base::Base16Lower.decode(hex).ok(),
        multibase::decode(text).ok().map(|(_, bytes)| bytes),
    ]
    .into_iter()
    .flatten()
}

/// Decodes base64 with or without padding: both are met in the wild.
pub(super) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    decode_with(&STANDARD, text)
}

fn decode_with(alphabet: &Alphabet, text: &str) -> Option<Vec<u8>> {
    const ANY_PADDING: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

    GeneralPurpose::new(alphabet, ANY_PADDING).decode(text).ok()
}

/// Reads a key out of JSON: a text, or an object that has one.
fn from_json(text: &str) -> Result<Keypair, Unusable> {
    let value = read_json(text.as_bytes()).map_err(|why| match why {
        Misread::Doubled(name) => Unusable::damaged(format!("is damaged: it has `{name}` twice")),
        Misread::NotJson(error) => {
            Unusable::damaged(format!("is damaged: it is no whole JSON: {error}"))
        }
    })?;
    if let Value::String(text) = &value {
        return from_text(text);
    }
    for (place, id) in IN_JSON {
        if let Some(Value::String(key)) = value.pointer(place) {
            let named = place[1..].replace('/', ".");
            let key = from_text(key).map_err(|Unusable { what, hint }| Unusable {
                what: format!("has a {named} that {what}"),
                hint,
            })?;
            return of_peer(key, value.pointer(id), &named);
        }
    }
    if value["kty"] == "OKP" && value["crv"] == "Ed25519" {
        let seed = value["d"].as_str().and_then(|seed| decode_with(&URL_SAFE, seed));
        let pair = seed.and_then(|seed| Keypair::ed25519_from_bytes(seed).ok());
        return pair.ok_or_else(Unusable::public);
    }
    if value["kty"].is_string() {
        return Err(Unusable::kind());
    }
    if value.pointer("/Identity/PeerID").is_some() {
        return Err(Unusable::form(
            "is a Kubo configuration without the private key, as `ipfs config show` prints it",
            "the file `config` in Kubo's own directory has the key",
        ));
    }
    Err(Unusable::damaged(
        "is JSON without a private key: none of Identity.PrivKey, privKey and private_key is there",
    ))
}

/// Gives the key out if it is that of the peer which the object names.
fn of_peer(key: Keypair, id: Option<&Value>, named: &str) -> Result<Keypair, Unusable> {
    let id = id.and_then(Value::as_str).and_then(|id| id.parse::<PeerId>().ok());
    match id {
        Some(id) if id != key.public().to_peer_id() => Err(Unusable::damaged(format!(
            "has a {named} that belongs to another peer id than the one beside it"
        ))),
        _ => Ok(key),
    }
}

/// Reads a key in bytes; None where they have no form of one.
fn from_bytes(bytes: &[u8]) -> Option<Result<Keypair, Unusable>> {
    if fields(bytes).is_some() {
        return Some(from_protobuf(bytes));
    }
    if let Ok(key) = Keypair::from_protobuf_encoding(bytes) {
        return Some(Ok(key));
    }
    if bytes.len() == 64 {
        // The seed and the public key; whether they belong together is checked.
        return from_protobuf(&protobuf(1, bytes)).ok().map(Ok);
    }
    der::from_der(bytes)
}
