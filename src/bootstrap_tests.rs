//! Tests of the bootstrap list: a person's file stays as it is but for the one line, nothing is
//! lost on the way, and nothing unusable is used.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::disk::Directory;

const ID: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
const A: &str = "/ip4/192.0.2.1/tcp/4001/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
const B: &str =
    "/ip4/192.0.2.2/udp/4001/quic-v1/p2p/QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN";
const NAME: &str = "/dnsaddr/bootstrap.libp2p.io";

/// Names a file by its path.
fn place(path: &Path) -> Place {
    let directory = Directory::unjudged(path.parent().unwrap());
    directory.place(path.file_name().unwrap())
}

fn entry(text: &str) -> Entry {
    Entry::parse(text).unwrap()
}

fn numbered(n: usize) -> Entry {
    let id = "QmNnooDu7bfjPFoTZYxMNLWUQJyrVwtbZg5gBMjTezGAJN";
    entry(&format!("/ip4/10.0.{}.{}/tcp/4001/p2p/{id}", n / 250, n % 250))
}

/// A list whose file has this text.
struct Scratch {
    dir: tempfile::TempDir,
    list: BootstrapList,
    warnings: Vec<String>,
}

impl Scratch {
    fn new(text: &[u8], configured: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bootstrap_peers.txt");
        fs::write(&path, text).unwrap();
        let configured = configured.iter().map(|text| entry(text)).collect();
        let (list, warnings) = BootstrapList::open(Some(place(&path)), configured).unwrap();
        Scratch { dir, list, warnings }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("bootstrap_peers.txt")
    }

    fn text(&self) -> Vec<u8> {
        fs::read(self.path()).unwrap()
    }

    fn shown(&self) -> Vec<String> {
        self.list.entries().iter().map(Entry::to_string).collect()
    }

    fn files(&self) -> usize {
        fs::read_dir(self.dir.path()).unwrap().count()
    }
}

#[test]
fn an_entry_says_who_answers_and_can_be_dialled() {
    for text in [A, B, NAME, &format!("{NAME}/p2p/{ID}")] {
        assert_eq!(entry(text).to_string(), text);
    }
    let refused = |text: &str| Entry::parse(text).unwrap_err().kind();
    assert_eq!(refused("/ip4/192.0.2.1/tcp/4001"), ErrorKind::InvalidArgument);
    assert_eq!(refused("/dns4/example.com/tcp/4001"), ErrorKind::InvalidArgument);
    assert_eq!(refused(&A.replace("tcp/4001", "tcp/4001/ws")), ErrorKind::Unsupported);
    assert_eq!(refused(&format!("{B}/p2p-circuit/p2p/{ID}")), ErrorKind::Unsupported);
    assert_eq!(refused("192.0.2.1"), ErrorKind::InvalidMultiaddr);
    assert_eq!(refused(&format!(" {A}")), ErrorKind::InvalidMultiaddr);
    assert_eq!(refused(&format!("/p2p/{ID}")), ErrorKind::InvalidMultiaddr);
}

#[test]
fn configured_entries_come_first_and_each_address_once() {
    let old = B.replace("/p2p/", "/ipfs/");
    let text = format!("{A}\n{old}\n{NAME}\n{B}\n{A} # again\n");
    let scratch = Scratch::new(text.as_bytes(), &[B, B]);
    assert_eq!(scratch.shown(), [B, A, NAME]);
    assert_eq!((scratch.list.len(), scratch.warnings.len()), (3, 0));
    assert!(scratch.list.names(&entry(A).peer_id.unwrap()));
    assert!(!scratch.list.names(&PeerId::random()));
}

#[test]
fn comments_blanks_and_other_lines_stay_byte_for_byte() {
    let text = format!("\u{feff}# mine\r\n\r\n  {A}\t# home\r\n\n#{B}\r\n{NAME}#x\nthe end");
    let scratch = Scratch::new(text.as_bytes(), &[]);
    assert_eq!(scratch.shown(), [A.to_owned(), format!("{NAME}#x")]);
    assert_eq!(scratch.warnings.len(), 1);
    assert!(scratch.warnings[0].contains("bootstrap_peers.txt: line 7 isn't used: `the end`"));

    assert!(scratch.list.add(entry(B)).unwrap());
    assert_eq!(scratch.text(), format!("{text}\r\n{B}").as_bytes());
    assert!(scratch.list.remove(&entry(A)).unwrap());
    let home = format!("  {A}\t# home\r\n");
    assert_eq!(scratch.text(), format!("{}\r\n{B}", text.replace(&home, "")).as_bytes());
    assert_eq!(scratch.shown(), [format!("{NAME}#x"), B.to_owned()]);
}

#[test]
fn a_comment_in_another_encoding_does_no_harm() {
    let text = [A.as_bytes(), b" # caf\xe9\ncaf\xe9\n"].concat();
    let scratch = Scratch::new(&text, &[]);
    assert_eq!(scratch.shown(), [A]);
    assert!(scratch.warnings[0].contains("line 2"), "{:?}", scratch.warnings);
    assert!(scratch.list.add(entry(B)).unwrap());
    assert!(scratch.list.remove(&entry(B)).unwrap());
    assert_eq!(scratch.text(), text);
}

#[test]
fn what_is_there_is_not_added_and_what_is_not_there_is_not_removed() {
    let scratch = Scratch::new(format!("{A}\n").as_bytes(), &[NAME]);
    assert!(!scratch.list.add(entry(&A.replace("/p2p/", "/ipfs/"))).unwrap());
    assert!(!scratch.list.add(entry(NAME)).unwrap());
    assert!(!scratch.list.remove(&entry(B)).unwrap());
    assert_eq!(scratch.text(), format!("{A}\n").as_bytes());
}

#[test]
fn remove_takes_every_line_that_means_the_address() {
    let id = entry(A).peer_id.unwrap();
    let cid = {
        let bytes = [&[1, 0x72], id.to_bytes().as_slice()].concat();
        multibase::encode(multibase::Base::Base32Lower, bytes)
    };
    let forms =
        [A.to_owned(), A.replace("/p2p/", "/ipfs/") + " # old", A.replace(&id.to_base58(), &cid)];
    let text = format!("{}\n{B}\n{}\n{}\n", forms[0], forms[1], forms[2]);
    let scratch = Scratch::new(text.as_bytes(), &[]);
    assert_eq!(scratch.shown(), [A, B]);
    assert!(scratch.list.remove(&entry(&forms[2])).unwrap());
    assert_eq!(scratch.text(), format!("{B}\n").as_bytes());
    assert!(!scratch.list.names(&id));
}

#[test]
fn a_configured_entry_is_never_written_and_not_removed() {
    let scratch = Scratch::new(b"", &[A]);
    let error = scratch.list.remove(&entry(A)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.message().contains("configuration"), "{error}");
    scratch.list.add(entry(B)).unwrap();
    assert_eq!(scratch.text(), format!("{B}\n").as_bytes());
    assert_eq!(scratch.shown(), [A, B]);
}

#[test]
fn edits_made_meanwhile_are_kept() {
    let scratch = Scratch::new(format!("{A}\n").as_bytes(), &[]);
    fs::write(scratch.path(), format!("{NAME} # by hand\n")).unwrap();
    assert_eq!(scratch.shown(), [A]);
    assert!(scratch.list.add(entry(B)).unwrap());
    assert_eq!(scratch.text(), format!("{NAME} # by hand\n{B}\n").as_bytes());
    assert_eq!(scratch.shown(), [NAME, B]);

    fs::write(scratch.path(), format!("{A}\n{B}\n")).unwrap();
    assert!(!scratch.list.add(entry(A)).unwrap());
    assert_eq!(scratch.shown(), [A, B]);

    fs::remove_file(scratch.path()).unwrap();
    assert!(!scratch.list.remove(&entry(A)).unwrap());
    assert_eq!(scratch.list.len(), 0);
}

#[test]
fn a_thousand_entries_are_all_there_may_be() {
    let text: String = (0..MAX_ENTRIES).map(|n| format!("{}\n", numbered(n))).collect();
    let scratch = Scratch::new(text.as_bytes(), &[A]);
    assert_eq!(scratch.list.len(), MAX_ENTRIES);
    assert!(scratch.warnings[0].contains("line 1000 "), "{:?}", scratch.warnings);
    assert_eq!(scratch.list.add(entry(B)).unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(!scratch.list.add(entry(A)).unwrap());
    assert!(scratch.list.remove(&numbered(0)).unwrap());
    assert!(scratch.list.remove(&numbered(1)).unwrap());
    assert!(scratch.list.add(entry(B)).unwrap());
}

#[test]
fn a_long_file_and_many_bad_lines_are_bounded() {
    let scratch = Scratch::new(&b"x\n".repeat(MAX_FILE_BYTES / 2), &[]);
    assert_eq!(scratch.warnings.len(), MAX_WARNINGS + 1);
    assert_eq!(scratch.list.add(entry(A)).unwrap_err().kind(), ErrorKind::LimitReached);

    fs::write(scratch.path(), vec![b'\n'; MAX_FILE_BYTES + 1]).unwrap();
    let opened = BootstrapList::open(Some(place(&scratch.path())), Vec::new());
    assert_eq!(opened.err().map(|error| error.kind()), Some(ErrorKind::Storage));
    assert_eq!(scratch.list.add(entry(A)).unwrap_err().kind(), ErrorKind::Storage);
}

#[test]
fn without_a_data_dir_the_list_is_memory() {
    let (list, warnings) = BootstrapList::open(None, vec![entry(A)]).unwrap();
    assert!(warnings.is_empty());
    assert!(list.add(entry(B)).unwrap() && list.remove(&entry(B)).unwrap());
    assert_eq!(list.entries(), [entry(A)]);
}

#[cfg(unix)]
#[test]
fn the_file_is_ours_alone_and_no_other_stays_beside_it() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let scratch = Scratch::new(b"", &[]);
    fs::write(scratch.path().with_extension("txt.new"), "half").unwrap();
    scratch.list.add(entry(A)).unwrap();
    let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, scratch.files()), (0o600, 1));

    let elsewhere = scratch.dir.path().join("elsewhere");
    fs::rename(scratch.path(), &elsewhere).unwrap();
    symlink(&elsewhere, scratch.path()).unwrap();
    scratch.list.add(entry(B)).unwrap();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), format!("{A}\n{B}\n"));
    assert_eq!(scratch.files(), 2);
}

#[test]
fn what_cannot_be_written_is_a_storage_error_and_changes_nothing() {
    let scratch = Scratch::new(format!("{A}\n").as_bytes(), &[]);
    // Stands in the way of the unfinished file even for root, whom no permission stops.
    fs::create_dir(scratch.path().with_extension("txt.new")).unwrap();
    for error in [scratch.list.add(entry(B)), scratch.list.remove(&entry(A))] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        assert_eq!(error.detail()["path"], scratch.path().display().to_string());
    }
    assert_eq!((scratch.shown(), scratch.text()), (vec![A.into()], format!("{A}\n").into_bytes()));
    let opened = BootstrapList::open(Some(place(scratch.dir.path())), Vec::new());
    assert_eq!(opened.err().map(|error| error.kind()), Some(ErrorKind::Storage));
}

#[cfg(unix)]
#[test]
fn a_read_only_directory_is_a_storage_error() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new(b"", &[]);
    fs::set_permissions(scratch.dir.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(scratch.dir.path().join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write where nobody may (root)");
        return;
    }
    assert_eq!(scratch.list.add(entry(A)).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(scratch.files(), 1);
}

/// Pieces that files are made of, and others that they aren't.
fn file() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b" # ".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(A.as_bytes().to_vec()),
        Just(B.as_bytes().to_vec()),
        Just(NAME.as_bytes().to_vec()),
        prop::collection::vec(any::<u8>(), 0..8),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn add_then_remove_restores_any_file(text in file()) {
        let scratch = Scratch::new(&text, &[NAME]);
        let before = scratch.list.entries();
        let added = scratch.list.add(entry(A)).unwrap();
        prop_assert_eq!(added, !before.contains(&entry(A)));
        prop_assert!(scratch.list.entries().contains(&entry(A)));
        prop_assert!(scratch.text().starts_with(&text));
        if added {
            prop_assert!(scratch.list.remove(&entry(A)).unwrap());
            prop_assert_eq!(scratch.text(), text);
            prop_assert_eq!(scratch.list.entries(), before);
        }
    }

    #[test]
    fn remove_drops_nothing_but_the_address(text in file()) {
        let scratch = Scratch::new(&text, &[]);
        let mut left = scratch.list.entries();
        left.retain(|other| *other != entry(A));
        scratch.list.remove(&entry(A)).unwrap();
        prop_assert_eq!(scratch.list.entries(), left);
        let (again, _) = BootstrapList::open(Some(place(&scratch.path())), Vec::new()).unwrap();
        prop_assert_eq!(again.entries(), scratch.list.entries());
    }
}

#[test]
fn a_list_in_utf16_is_called_that_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bootstrap_peers.txt");
    let units = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for text in [units(&format!("\u{feff}{A}\r\n")), units(&format!("{A}\n"))] {
        fs::write(&path, &text).unwrap();
        let error = BootstrapList::open(Some(place(&path)), Vec::new()).err().unwrap();
        let message = error.message();
        assert!(
            message.ends_with("bootstrap_peers.txt is text in UTF-16: save it as UTF-8"),
            "{message}"
        );
        assert_eq!(fs::read(&path).unwrap(), text);
    }
}
