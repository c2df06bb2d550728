//! Tests of the store's promises: nothing acknowledged is lost, nothing damaged is taken for a book.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::store::StoreHandle;
use super::tests::{add, addr, at, conn, peer, told};
use super::*;
use crate::disk::{Directory, Place};
use crate::error::ErrorKind;
use crate::model::{Direction, LastError, Source};

/// Names a book by its path.
fn place(path: &Path) -> Place {
    Directory::unjudged(path.parent().unwrap()).place(path.file_name().unwrap())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn start(path: &Path) -> (Arc<Book>, StoreHandle) {
    let (store, records) = Store::open(place(path), None).unwrap();
    let book = Arc::new(Book::new(10_000));
    book.load(records, at(1_000_000));
    let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
        thread::Builder::new().name(name.to_owned()).spawn(run)
    };
    let handle = store.spawn(Arc::clone(&book), spawn).unwrap();
    (book, handle)
}

fn user_add(n: u64) -> UserChange {
    UserChange::Add { id: peer(n), addrs: vec![addr(n)], now: at(n as i64) }
}

fn busy_record(book: &Book, n: u64) {
    let id = peer(n);
    book.discovered(&id, Source::Mdns, &[addr(n), addr(n + 1)], at(1));
    book.dial_started(&id, at(2));
    let info = conn(Direction::Outbound, &addr(n).to_string(), at(3));
    book.connected(&id, 1, info, Source::Mdns, at(3));
    book.identified(&id, told("Agent/1", &["/ipfs/kad/1.0.0", "/x"]), at(4));
    book.latency(&id, Duration::from_micros(1234));
    let error = LastError { code: ErrorKind::DialTimeout, message: "slow".into(), at: at(5) };
    book.dial_failed(&id, &[addr(n + 1).to_string().into()], error);
}

/// Makes a closed file with `n` records; returns its bytes.
fn sample(dir: &Path, n: u64) -> Vec<u8> {
    let path = dir.join("sample.redb");
    let (book, store) = start(&path);
    (0..n).for_each(|n| busy_record(&book, n));
    store.flush(soon()).unwrap();
    store.commit(user_add(0), soon()).unwrap();
    assert!(store.close(soon()).unwrap());
    fs::read(path).unwrap()
}

/// Opens these bytes as a book.
fn open_bytes(dir: &Path, bytes: &[u8]) -> crate::error::Result<Vec<Record>> {
    let path = dir.join("book.redb");
    fs::write(&path, bytes).unwrap();
    Store::open(place(&path), None).map(|(_, records)| records)
}

#[test]
fn records_come_back_as_they_were_but_not_connected() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (book, store) = start(&path);
    (0..50).for_each(|n| busy_record(&book, n));
    let mut before = Record::clone(&book.get(&peer(7)).unwrap());
    assert!(store.close(soon()).unwrap());
    assert!(!store.close(soon()).unwrap(), "a second close has nothing to do");
    assert_eq!(store.commit(user_add(1), soon()).unwrap_err().kind(), ErrorKind::Closed);
    let (book, store) = start(&path);
    assert_eq!((book.counts().total, book.counts().connected, book.counts().dht), (50, 0, 50));
    before.connections.clear();
    before.sources.insert(Source::Book);
    assert_eq!(*book.get(&peer(7)).unwrap(), before);
    assert!(!book.has_dirty());
    store.close(soon()).unwrap();
}

#[test]
fn an_acknowledged_change_is_there_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (book, store) = start(&path);
    (100..200).for_each(|n| busy_record(&book, n));
    for n in 0..5 {
        let record = store.commit(user_add(n), soon()).unwrap().unwrap();
        assert!(record.is_protected());
        // The file that a kill -9 would leave behind at this moment.
        let copy = tempfile::tempdir().unwrap();
        let records = open_bytes(copy.path(), &fs::read(&path).unwrap()).unwrap();
        assert!((0..=n).all(|n| records.iter().any(|r| r.id == peer(n))), "after {n}");
    }
    store.commit(UserChange::Remove { id: peer(3) }, soon()).unwrap();
    let copy = tempfile::tempdir().unwrap();
    let records = open_bytes(copy.path(), &fs::read(&path).unwrap()).unwrap();
    assert!(records.iter().all(|r| r.id != peer(3)));
    let again = store.commit(UserChange::Remove { id: peer(3) }, soon()).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::PeerNotFound);
    store.close(soon()).unwrap();
}

#[test]
fn changes_from_many_threads_are_all_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (book, store) = start(&path);
    thread::scope(|scope| {
        for worker in 0..8u64 {
            let (store, book) = (store.clone(), Arc::clone(&book));
            scope.spawn(move || {
                for n in 0..20 {
                    // Two threads each share their peers, so that a group meets one peer twice.
                    let addrs = vec![addr(worker * 1000 + n)];
                    let id = peer(worker / 2 * 100 + n);
                    store.commit(UserChange::Add { id, addrs, now: at(1) }, soon()).unwrap();
                    book.latency(&id, Duration::from_millis(n));
                }
            });
        }
    });
    let copy = tempfile::tempdir().unwrap();
    let records = open_bytes(copy.path(), &fs::read(&path).unwrap()).unwrap();
    assert_eq!(records.len(), 80);
    assert!(records.iter().all(|r| r.addrs.len() == 2), "an addition was overwritten");
    store.close(soon()).unwrap();
}

#[test]
fn evicted_and_dropped_records_leave_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (book, store) = start(&path);
    (0..30).for_each(|n| busy_record(&book, n));
    book.disconnect_all(at(9), crate::model::event::DisconnectReason::Shutdown);
    store.close(soon()).unwrap();
    let (store, records) = Store::open(place(&path), None).unwrap();
    let small = Arc::new(Book::new(10));
    small.load(records, at(1_000_000));
    assert_eq!(small.counts().total, 10);
    let store =
        store.spawn(Arc::clone(&small), |_, run| thread::Builder::new().spawn(run)).unwrap();
    store.close(soon()).unwrap();
    let (_, records) = Store::open(place(&path), None).unwrap();
    assert_eq!(records.len(), 10);
}

#[test]
fn a_book_cut_short_anywhere_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = sample(dir.path(), 100);
    let lengths =
        (0..64).chain((64..bytes.len()).step_by(bytes.len() / 150)).chain([bytes.len() - 1]);
    for length in lengths {
        match open_bytes(dir.path(), &bytes[..length]) {
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::StorageCorrupt, "{length}: {error}");
                assert!(error.detail()["path"].as_str().unwrap().ends_with("book.redb"));
                assert!(error.hint().unwrap().contains("identity.key"));
            }
            Ok(records) => assert_eq!(records.len(), 100, "cut at {length} of {}", bytes.len()),
        }
    }
}

#[test]
fn a_flipped_bit_is_an_error_or_does_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = sample(dir.path(), 100);
    let whole = open_bytes(dir.path(), &bytes).unwrap();
    let places = (0..512).chain((512..bytes.len()).step_by(bytes.len() / 250));
    for place in places {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        match open_bytes(dir.path(), &damaged) {
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::StorageCorrupt | ErrorKind::StorageVersion),
                "byte {place}: {error:?}"
            ),
            Ok(records) => assert!(records == whole, "byte {place}: {} records", records.len()),
        }
    }
}

#[test]
fn damage_after_a_crash_does_not_bring_back_an_older_book() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.redb");
    let (_book, store) = start(&path);
    (0..3).for_each(|n| drop(store.commit(user_add(n), soon()).unwrap()));
    let crashed = fs::read(&path).unwrap();
    for place in (0..320).chain((4096..crashed.len()).step_by(crashed.len() / 100)) {
        let mut damaged = crashed.clone();
        damaged[place] ^= 1 << (place % 8);
        match open_bytes(dir.path(), &damaged) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::StorageCorrupt, "byte {place}"),
            Ok(records) => assert_eq!(records.len(), 3, "byte {place}"),
        }
    }
    store.close(soon()).unwrap();
}

#[test]
fn an_empty_a_zeroed_and_a_foreign_file_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let length = sample(dir.path(), 20).len();
    for bytes in [vec![], vec![0; length], b"not a book".repeat(5000), vec![0xff; 4096]] {
        let error = open_bytes(dir.path(), &bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageCorrupt, "{error}");
    }
}

#[test]
fn a_newer_format_is_refused_with_both_numbers() {
    use redb::{Database, TableDefinition};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    drop(Store::open(place(&path), None).unwrap());
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
    transaction.open_table(meta).unwrap().insert("format_version", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(place(&path), None).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageVersion);
    assert_eq!((&error.detail()["found"], &error.detail()["supported"]), (&2.into(), &1.into()));
}

#[test]
fn an_undecodable_row_is_an_error() {
    use redb::{Database, TableDefinition};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    drop(Store::open(place(&path), None).unwrap());
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let peers: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");
    let key = peer(1).to_bytes();
    transaction.open_table(peers).unwrap().insert(key.as_slice(), &b"{"[..]).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = Store::open(place(&path), None).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageCorrupt);
}

#[test]
fn a_crash_while_the_book_is_made_leaves_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    fs::write(dir.path().join("book.redb.new"), b"half a book").unwrap();
    let (_, records) = Store::open(place(&path), None).unwrap();
    assert!(records.is_empty());
    assert!(!dir.path().join("book.redb.new").exists());
}

#[test]
fn a_second_opener_is_told_and_close_frees_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (_book, store) = start(&path);
    let error = Store::open(place(&path), None).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DataDirLocked);
    store.close(soon()).unwrap();
    drop(Store::open(place(&path), None).unwrap());
}

#[test]
fn a_directory_that_is_not_there_is_a_storage_error() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("no")).unwrap();
    let place = place(&dir.path().join("no/book.redb"));
    fs::remove_dir(dir.path().join("no")).unwrap();
    let error = Store::open(place, None).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.detail().contains_key("path"));
}

#[test]
fn without_a_data_directory_changes_are_applied_at_once() {
    let book = Arc::new(Book::new(2));
    let store = StoreHandle::in_memory(Arc::clone(&book));
    store.commit(user_add(1), soon()).unwrap();
    add(&book, 2, at(1)).unwrap();
    assert_eq!(store.commit(user_add(3), soon()).unwrap_err().kind(), ErrorKind::LimitReached);
    assert!(store.close(soon()).unwrap());
    assert!(!store.close(soon()).unwrap());
    assert_eq!(store.flush(soon()).unwrap_err().kind(), ErrorKind::Closed);
}

#[cfg(unix)]
#[test]
fn a_book_that_is_written_anew_has_every_row_and_none_that_was_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (book, store) = start(&path);
    (0..2500).for_each(|n| busy_record(&book, n));
    store.commit(user_add(1), soon()).unwrap();
    store.flush(soon()).unwrap();
    store.commit(UserChange::Remove { id: peer(3) }, soon()).unwrap();
    fs::remove_file(&path).unwrap();
    store.flush(soon()).unwrap();
    assert!(store.was_restored() && store.last_error().is_none());
    let copy = tempfile::tempdir().unwrap();
    let records = open_bytes(copy.path(), &fs::read(&path).unwrap()).unwrap();
    assert_eq!(records.len(), 2499);
    assert!(records.iter().all(|record| record.id != peer(3)));
    store.close(soon()).unwrap();
}

#[cfg(unix)]
#[test]
fn a_book_that_can_not_be_written_anew_is_an_error_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("book.redb");
    let (_book, store) = start(&path);
    store.commit(user_add(1), soon()).unwrap();
    // Stands in the way of the unfinished file even for root, whom no permission stops.
    fs::create_dir(dir.path().join("book.redb.new")).unwrap();
    fs::remove_file(&path).unwrap();
    for n in 2..4 {
        assert_eq!(store.commit(user_add(n), soon()).unwrap_err().kind(), ErrorKind::Storage);
    }
    assert!(store.last_error().is_some() && !path.exists());
    // The old file is closed by now, so that this one may well have its number.
    fs::write(&path, "another file").unwrap();
    assert_eq!(store.commit(user_add(4), soon()).unwrap_err().kind(), ErrorKind::Storage);
    assert_eq!(fs::read(&path).unwrap(), b"another file");
    fs::remove_file(&path).unwrap();
    fs::remove_dir(dir.path().join("book.redb.new")).unwrap();
    store.flush(soon()).unwrap();
    store.commit(user_add(5), soon()).unwrap();
    assert!(store.was_restored() && store.last_error().is_none());
    assert!(store.close(soon()).unwrap());
    let (_, records) = Store::open(place(&path), None).unwrap();
    assert_eq!(records.len(), 2);
}
