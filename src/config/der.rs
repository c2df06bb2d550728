//! Private keys as other programs than libp2p's write them: PKCS#8, PKCS#1 and SEC1 in DER or PEM, and OpenSSH's form.
//! As far as they hold no passphrase they become libp2p's protobuf, or the pair itself. For `private_key`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libp2p::identity::Keypair;

use super::key_protobuf::{Unusable, from_protobuf, protobuf};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const OBJECT_ID: u8 = 0x06;
/// The curve among the fields of a key of SEC1.
const PARAMETERS: u8 = 0xa0;

const RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const ED25519: &[u8] = b"\x2b\x65\x70";
const ELLIPTIC: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x2a\x86\x48\xce\x3d\x03\x01\x07";
const SECP256K1: &[u8] = b"\x2b\x81\x04\x00\x0a";

/// Takes off a passphrase, of each form but OpenSSH's.
const DECRYPT: &str =
    "`openssl pkey -in OLD -out NEW` asks for the passphrase and writes a key without one";

/// Reads the first private key in a text of PEM.
pub(super) fn from_pem(text: &str) -> Result<Keypair, Unusable> {
    let broken = || Unusable::damaged("is damaged: it is PEM that breaks off or is no base64");
    let blocks = text.split("-----BEGIN ").skip(1);
    let mut labels = Vec::new();
    for block in blocks {
        let (label, rest) = block.split_once("-----").ok_or_else(broken)?;
        let end = format!("-----END {label}-----");
        if !label.ends_with("PRIVATE KEY") {
            labels.push(label);
            continue;
        }
        let (body, _) = rest.split_once(&end).ok_or_else(broken)?;
        if label.starts_with("ENCRYPTED") || body.contains("ENCRYPTED") {
            return Err(Unusable::form("is in PEM under a passphrase", DECRYPT));
        }
        let body: String = body.split_whitespace().collect();
        let bytes = BASE64_STANDARD.decode(body).map_err(|_| broken())?;
        return match label {
            "OPENSSH PRIVATE KEY" => from_openssh(&bytes),
            _ => from_der(&bytes).ok_or_else(broken)?,
        };
    }
    match labels.first() {
        Some(label) if label.ends_with("PUBLIC KEY") => Err(Unusable::public()),
        Some(_) => Err(Unusable::damaged("is PEM without a private key")),
        None => Err(broken()),
    }
}

/// Reads a key in DER; None where the bytes are no such key at all.
pub(super) fn from_der(der: &[u8]) -> Option<Result<Keypair, Unusable>> {
    let (fields, rest) = take(der, SEQUENCE)?;
    if !rest.is_empty() {
        return None;
    }
    let (version, after) = take(fields, INTEGER)?;
    if let Some((algorithm, rest)) = take(after, SEQUENCE) {
        let (key, _) = take(rest, OCTETS)?;
        return pkcs8(algorithm, key);
    }
    match version {
        // The next field of PKCS#1 is the modulus, that of SEC1 the secret.
        [0] if after.first() == Some(&INTEGER) => Some(from_protobuf(&protobuf(0, der))),
        [1] if after.first() == Some(&OCTETS) => sec1(der, after),
        _ => None,
    }
}

fn pkcs8(algorithm: &[u8], key: &[u8]) -> Option<Result<Keypair, Unusable>> {
    let (id, rest) = take(algorithm, OBJECT_ID)?;
    match id {
        ED25519 => {
            let (seed, _) = take(key, OCTETS)?;
            Keypair::ed25519_from_bytes(seed.to_vec()).ok().map(Ok)
        }
        RSA => Some(from_protobuf(&protobuf(0, key))),
        ELLIPTIC => {
            let (curve, _) = take(rest, OBJECT_ID)?;
            of_curve(curve, key)
        }
        _ => Some(Err(Unusable::kind())),
    }
}

/// Reads a key of SEC1; `after` is what follows its version.
fn sec1(der: &[u8], after: &[u8]) -> Option<Result<Keypair, Unusable>> {
    let (_, rest) = take(after, OCTETS)?;
    let (parameters, _) = take(rest, PARAMETERS)?;
    let (curve, _) = take(parameters, OBJECT_ID)?;
    of_curve(curve, der)
}

/// Reads a key of SEC1 on this curve.
fn of_curve(curve: &[u8], sec1: &[u8]) -> Option<Result<Keypair, Unusable>> {
    let key = match curve {
        P256 => protobuf(3, sec1),
        SECP256K1 => {
            let (fields, _) = take(sec1, SEQUENCE)?;
            let (_, after) = take(fields, INTEGER)?;
            let (secret, _) = take(after, OCTETS)?;
            protobuf(2, secret)
        }
        _ => return Some(Err(Unusable::kind())),
    };
    Some(from_protobuf(&key))
}

/// Takes an element with this tag off the front: its content, and what follows.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// Reads OpenSSH's form, in which no tool writes Ed25519 otherwise.
fn from_openssh(bytes: &[u8]) -> Result<Keypair, Unusable> {
    const PUBLIC: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x20";
    const PAIR: &[u8] = b"\0\0\0\x40";

    let mut places =
        bytes.windows(PUBLIC.len()).enumerate().filter(|(_, window)| *window == PUBLIC);
    // The public key stands in front, and once more before the secret one, unless that is under a passphrase.
    let secret = places.nth(1).and_then(|(at, _)| bytes.get(at + PUBLIC.len() + 32..));
    let pair = secret.and_then(|rest| rest.strip_prefix(PAIR)).and_then(|rest| rest.get(..64));
    if let Some(pair) = pair {
        return from_protobuf(&protobuf(1, pair));
    }
    Err(Unusable::form(
        "is in OpenSSH's form, under a passphrase or of another type than Ed25519",
        "`ssh-keygen -p -m PKCS8 -N '' -f COPY` asks for the passphrase and writes a copy in a form that is read",
    ))
}
