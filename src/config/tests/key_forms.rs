//! The forms in which keys are met, and the words for those that can't be used. The PEM files are OpenSSL's, the
//! OpenSSH key is ssh-keygen's.

use libp2p::identity::Keypair;
use serde_json::{Value, json};

use super::{KEY, KEY_ID, SWARM_KEY, base64_text};
use crate::config::private_key::{decode_base64, from_file, from_text};
use crate::config::*;
use crate::error::{Error, ErrorKind};

const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIH4IMGF8Sn3oOSXfsmlFVrEpNsR3oOH+suFI7J2mD+59\n\
    -----END PRIVATE KEY-----\n";

fn id(key: &Keypair) -> String {
    key.public().to_peer_id().to_base58()
}

/// The bytes of the protobuf of the test's key: 4 before the pair, then 64.
fn protobuf() -> Vec<u8> {
    decode_base64(KEY).unwrap()
}

fn redundant() -> Vec<u8> {
    let key = protobuf();
    [b"\x08\x01\x12\x60", &key[4..], &key[36..]].concat()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads a file with these bytes, as a start does; the error without the file's name.
fn started_with(bytes: &[u8]) -> Result<String, Error> {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("key");
    std::fs::write(&file, bytes).unwrap();
    let config = Config::new().profile(Profile::Offline).identity(KeySource::file(&file));
    open(&config).map(|opened| id(&opened.keypair))
}

#[test]
fn a_key_with_its_public_key_twice_is_read() {
    let key = redundant();
    assert_eq!(key.len(), 100);
    assert_eq!(started_with(&key).unwrap(), KEY_ID);
    assert_eq!(started_with(base64_text(&key).as_bytes()).unwrap(), KEY_ID);
    let given = Config::new().profile(Profile::Offline).identity(base64_text(&key));
    assert_eq!(id(&open(&given).unwrap().keypair), KEY_ID);
    let mut other = key;
    *other.last_mut().unwrap() ^= 1;
    let error = started_with(&other).unwrap_err();
    assert!(
        error.message().ends_with("is damaged: it holds two public keys that differ"),
        "{error}"
    );
}

#[test]
fn each_way_of_writing_the_same_key_is_read() {
    let bytes = protobuf();
    let wrapped = format!("{}\r\n{}\r\n{}\r\n", &KEY[..30], &KEY[30..60], &KEY[60..]);
    let url_safe = KEY.replace('+', "-").replace('/', "_").trim_end_matches('=').to_owned();
    let kubo = json!({"Addresses": {}, "Identity": {"PeerID": KEY_ID, "PrivKey": KEY}}).to_string();
    let seed = base64_text(&bytes[4..36]).replace('+', "-").replace('/', "_");
    for text in [
        format!("\u{feff}{KEY}\r\n"),
        wrapped,
        url_safe,
        hex(&bytes),
        hex(&bytes).to_uppercase(),
        format!("f{}", hex(&bytes)),
        hex(&bytes[4..]),
        format!("\"{KEY}\"\n"),
        kubo.clone(),
        format!("\u{feff}{}", kubo.replace(',', ",\r\n")),
        json!({"id": KEY_ID, "privKey": KEY, "pubKey": "x"}).to_string(),
        json!({"id": KEY_ID, "private_key": base64_text(&redundant())}).to_string(),
        json!({"kty": "OKP", "crv": "Ed25519", "d": seed.trim_end_matches('=')}).to_string(),
        ED25519_PEM.to_owned(),
        ED25519_PEM.replace('\n', "\r\n"),
        format!("302e020100300506032b657004220420{}", hex(&bytes[4..36])),
    ] {
        assert_eq!(from_text(&text).map(|key| id(&key)).as_deref(), Ok(KEY_ID), "{text}");
        assert_eq!(started_with(text.as_bytes()).unwrap(), KEY_ID, "{text}");
    }
    let der = decode_base64("MC4CAQAwBQYDK2VwBCIEIH4IMGF8Sn3oOSXfsmlFVrEpNsR3oOH+suFI7J2mD+59");
    assert_eq!(from_file(der.unwrap()).map(|key| id(&key)).as_deref(), Ok(KEY_ID));
}

#[test]
fn keys_of_each_type_are_read_from_the_files_of_other_programs() {
    for (name, pem, peer) in [
        ("ssh", include_str!("keys/openssh_ed25519"), "12D3Koo"),
        ("rsa", include_str!("keys/rsa_pkcs8.pem"), "Qm"),
        ("rsa", include_str!("keys/rsa_pkcs1.pem"), "Qm"),
        ("p256", include_str!("keys/p256_sec1.pem"), "Qm"),
        ("p256", include_str!("keys/p256_pkcs8.pem"), "Qm"),
        ("k256", include_str!("keys/k256_sec1.pem"), "16Uiu2"),
        ("k256", include_str!("keys/k256_pkcs8.pem"), "16Uiu2"),
    ] {
        let key = from_text(pem).unwrap_or_else(|why| panic!("{name}: {why:?}"));
        assert!(id(&key).starts_with(peer), "{name}: {}", id(&key));
    }
    let of = |one, other| (id(&from_text(one).unwrap()), id(&from_text(other).unwrap()));
    let (one, other) = of(include_str!("keys/rsa_pkcs8.pem"), include_str!("keys/rsa_pkcs1.pem"));
    assert_eq!(one, other);
    let (one, other) = of(include_str!("keys/k256_pkcs8.pem"), include_str!("keys/k256_sec1.pem"));
    assert_eq!(one, other);
}

#[test]
fn a_sound_form_that_is_not_read_is_named_with_the_way_to_one_that_is() {
    let key = Keypair::from_protobuf_encoding(&protobuf()).unwrap();
    let public = key.public().encode_protobuf();
    for (text, what, hint) in [
        (
            include_str!("keys/encrypted.pem").to_owned(),
            "is in PEM under a passphrase",
            "openssl pkey",
        ),
        (
            include_str!("keys/openssh_encrypted").to_owned(),
            "is in OpenSSH's form",
            "ssh-keygen -p",
        ),
        (include_str!("keys/openssh_rsa").to_owned(), "is in OpenSSH's form", "ssh-keygen -p"),
        (include_str!("keys/public.pem").to_owned(), "is a public key", "private key"),
        (
            include_str!("keys/x25519.pem").to_owned(),
            "of a type that libp2p doesn't have",
            "Ed25519",
        ),
        (base64_text(&public), "is a public key", "private key"),
        (KEY_ID.to_owned(), "is a peer id", "private key"),
        (SWARM_KEY.to_owned(), "is the key of a private network", "`swarm_key`"),
        (hex(&protobuf()[4..36]), "is 32 bytes without the type", "302e0201"),
        (json!({"Identity": {"PeerID": KEY_ID}}).to_string(), "`ipfs config show`", "`config`"),
    ] {
        for error in [
            started_with(text.as_bytes()).unwrap_err(),
            open(&Config::new().profile(Profile::Offline).identity(&*text)).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Identity);
            assert!(error.message().contains(what), "{error}");
            assert!(!error.message().contains("damaged"), "{error}");
            assert!(error.hint().unwrap().contains(hint), "{error}: {:?}", error.hint());
        }
    }
}

#[test]
fn only_what_has_no_form_is_damaged() {
    for text in [
        "rubbish",
        &KEY[..40],
        "-----BEGIN PRIVATE KEY-----",
        "{\"privKey\": \"CAES",
        "{}",
        &json!({"id": "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA", "privKey": KEY})
            .to_string(),
    ] {
        let error = started_with(text.as_bytes()).unwrap_err();
        let secret = error.message().contains("CAES");
        assert!(!secret && error.hint().unwrap().starts_with("put the right key back"), "{error}");
    }
    let utf16: Vec<u8> =
        format!("\u{feff}{KEY}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let error = started_with(&utf16).unwrap_err();
    assert!(error.message().ends_with("is text in UTF-16: save it as UTF-8"), "{error}");
}

#[test]
fn a_private_networks_key_is_read_as_editors_save_it_and_else_told_by_name() {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("swarm.key");
    let resolve = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        Settings::resolve(&Config::new().swarm_key(KeySource::file(&file)), None)
    };
    let plain = resolve(SWARM_KEY.as_bytes()).unwrap().swarm_key;
    let windows = format!("\u{feff}{}", SWARM_KEY.replace('\n', "\r\n"));
    assert!(resolve(windows.as_bytes()).unwrap().swarm_key == plain && plain.is_some());
    let utf16: Vec<u8> = SWARM_KEY.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let bare = SWARM_KEY.lines().nth(2).unwrap().as_bytes();
    for (bytes, why) in [
        (&utf16[..], "is text in UTF-16: save it as UTF-8"),
        (b"/key/swarm\xff", "is no text in UTF-8: see its line 1"),
        (
            bare,
            "the two lines /key/swarm/psk/1.0.0/ and /base16/ must stand before its 64 characters",
        ),
    ] {
        let error = resolve(bytes).unwrap_err();
        assert!(error.message().ends_with(why), "{error}");
        assert!(error.message().contains(&*file.display().to_string()), "{error}");
        assert_eq!(error.detail()["path"], Value::from(file.display().to_string()));
    }
}
