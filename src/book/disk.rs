//! The database file: creating, opening, checking and writing `book.redb`, and the error for each way
//! of failing.
//!
//! Memory is what reads see, this is what survives. Two tables: `meta` holds the format version,
//! `peers` a row for each record. Only `store.rs` calls this, from one thread.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};

use super::codec;
use super::memory::DirtyItem;
use super::record::Record;
use crate::disk::{self, Held, Over, Place, Standing, Unread, storage_error};
use crate::error::{Error, ErrorKind, Result};
use crate::os::{self, Hidden};

/// The version that this code writes, and the newest that it reads.
const FORMAT_VERSION: u64 = 1;
/// redb's page cache. Rows are read once, at start, so it need not be large.
const CACHE_BYTES: usize = 16 << 20;
/// Records in one transaction of a book that is written as a whole.
const BATCH: usize = 1000;

/// The one action that is tried again by itself.
const WRITTEN: &str = "written";

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");

/// An open database.
pub(super) struct Disk {
    place: Place,
    /// The directory's lock: who holds another one may have made a book of its own here.
    lock: Option<Held>,
    /// The file, and the name that must go on leading to it. None: what had the name is gone and closed.
    held: Option<Held>,
    /// Closed after a failed write: redb refuses everything until the file is opened anew.
    database: Option<Open>,
}

/// An open file, whose lock no forked child is to hold.
struct Open {
    _hidden: Hidden,
    database: Database,
}

impl Disk {
    /// Opens the file, or makes it where there is none, and reads every record.
    pub(super) fn open(place: Place, lock: Option<Held>) -> Result<(Self, Vec<Record>)> {
        let path = &*place.path();
        // A panic of redb comes from what stands in the file.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            if place.is_absent().map_err(|error| io_error(path, "found", &error))? {
                create(&place, &[])?;
            }
            let (held, database) = open_existing(&place, true)?;
            let records = load(&database.database, path)?;
            Ok((held, database, records))
        }));
        let (held, database, records) =
            opened.unwrap_or_else(|_| Err(corrupt(path, "reading it panicked")))?;
        Ok((Disk { place, lock, held: Some(held), database: Some(database) }, records))
    }

    /// Writes the items in one transaction. When this returns, they survive a crash: they are in the file that has the
    /// book's name.
    pub(super) fn write(&mut self, items: &[DirtyItem]) -> Result<()> {
        self.in_place()?;
        let database = match self.database.take() {
            Some(database) => database,
            None => {
                let (held, database) = open_existing(&self.place, false)?;
                self.held = Some(held);
                database
            }
        };
        let path = &*self.place.path();
        let written = catch_unwind(AssertUnwindSafe(|| write(&database.database, items)));
        match written {
            Ok(Ok(())) => {
                self.database = Some(database);
                // The name may have gone while this was being written.
                self.in_place()
            }
            Ok(Err(error)) => Err(redb_error(path, WRITTEN, error)),
            Err(_) => Err(Error::new(
                ErrorKind::Storage,
                format!("writing the peer book {} panicked", path.display()),
            )
            .with("path", path.display().to_string())),
        }
    }

    /// Refuses where the book's name leads to no file or to another one than that which is open.
    fn in_place(&self) -> Result<()> {
        let standing =
            self.standing().map_err(|error| io_error(&self.place.path(), "found", &error));
        match standing? {
            Standing::InPlace => Ok(()),
            Standing::Gone => Err(self.lost("was removed while the node runs").with_hint(
                "what the node knows is written to a new one where it can be: try again",
            )),
            Standing::Replaced => {
                let why = "was removed while the node runs, and another file is in its place";
                Err(self.lost(why).with_hint(
                    "that file is left as it is: move it away, and what the node knows is written to a new one; or \
                     restart the node to go by it",
                ))
            }
        }
    }

    fn standing(&self) -> io::Result<Standing> {
        match &self.held {
            Some(held) => held.standing(),
            None if self.place.is_absent()? => Ok(Standing::Gone),
            None => Ok(Standing::Replaced),
        }
    }

    fn lost(&self, why: &str) -> Error {
        let path = self.place.path().display().to_string();
        Error::new(ErrorKind::Storage, format!("the peer book {path} {why}")).with("path", path)
    }

    /// Writes these records to a new file where the old one's name is gone, unless the directory may be another
    /// node's by now. Returns whether that was so; the file is whole or not there.
    pub(super) fn restore(&mut self, records: impl FnOnce() -> Vec<Arc<Record>>) -> Result<bool> {
        let unseen = |error: io::Error| io_error(&self.place.path(), "found", &error);
        match self.standing().map_err(unseen)? {
            Standing::InPlace => return Ok(false),
            Standing::Replaced => return self.in_place().map(|()| false),
            Standing::Gone => {}
        }
        let lock = self.lock.as_ref().map(Held::standing).transpose().map_err(unseen)?;
        if lock == Some(Standing::Replaced) {
            let why = "was removed while the node runs, and the directory is locked anew";
            return Err(self.lost(why).with_hint("stop one of the two nodes"));
        }
        // Whoever moved the old file away has it whole.
        self.held = None;
        drop(self.database.take());
        let restored = catch_unwind(AssertUnwindSafe(|| {
            create(&self.place, &records())?;
            open_existing(&self.place, false)
        }));
        let (held, database) =
            restored.unwrap_or_else(|_| Err(self.lost("can't be written anew")))?;
        (self.held, self.database) = (Some(held), Some(database));
        Ok(true)
    }

    /// Closes the file and gives up its lock.
    pub(super) fn close(self) -> Result<()> {
        match self.database.map(|open| open.database.close()) {
            Some(Err(error)) => Err(database_error(&self.place.path(), "closed", error)),
            _ => Ok(()),
        }
    }
}

/// Makes the file with these records, under another name first, so that a crash meanwhile leaves no half-made book.
fn create(place: &Place, records: &[Arc<Record>]) -> Result<()> {
    let path = &*place.path();
    let refused = |error: io::Error| io_error(path, "created", &error);
    let unfinished = place.create_unfinished().map_err(refused)?;
    let _hidden = os::hide(&unfinished);
    let backend =
        FileBackend::new(unfinished).map_err(|error| database_error(path, "created", error))?;
    let database = Builder::new()
        .create_with_backend(backend)
        .map_err(|error| database_error(path, "created", error))?;
    set_up(&database).map_err(|error| redb_error(path, "created", error))?;
    for batch in records.chunks(BATCH) {
        let items: Vec<_> = batch.iter().cloned().map(DirtyItem::Put).collect();
        write(&database, &items).map_err(|error| redb_error(path, "created", error))?;
    }
    database.close().map_err(|error| database_error(path, "created", error))?;
    place.finish(Over::Nothing).map_err(refused)
}

fn set_up(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("format_version", FORMAT_VERSION)?;
    transaction.open_table(PEERS)?;
    transaction.commit()?;
    Ok(())
}

/// Opens the file of an earlier run. `check` verifies every page's checksum, so that damage is an error
/// and not missing records.
fn open_existing(place: &Place, check: bool) -> Result<(Held, Open)> {
    let path = &*place.path();
    let refused = |error: io::Error| io_error(path, "opened", &error);
    let file = place.open(true).map_err(|why| match why {
        Unread::NotRegular => corrupt(path, "it is no regular file"),
        why => refused(why.into()),
    })?;
    disk::keep_private(&file).map_err(refused)?;
    let held = Held::of(place, &file).map_err(refused)?;
    // redb would make a database of it.
    if file.metadata().map_err(refused)?.len() == 0 {
        return Err(corrupt(path, "it is empty"));
    }
    let _hidden = os::hide(&file);
    let opened = FileBackend::new(file).and_then(|backend| {
        Builder::new()
            .set_cache_size(CACHE_BYTES)
            .set_check_integrity_on_open(check)
            .create_with_backend(backend)
    });
    let database = opened.map_err(|error| database_error(path, "opened", error))?;
    Ok((held, Open { _hidden, database }))
}

fn load(database: &Database, path: &Path) -> Result<Vec<Record>> {
    let failed = |error: redb::Error| redb_error(path, "read", error);
    let transaction = database.begin_read().map_err(|error| failed(error.into()))?;
    let meta = transaction.open_table(META).map_err(|error| table_error(path, error))?;
    let version = meta.get("format_version").map_err(|error| failed(error.into()))?;
    match version.map(|version| version.value()) {
        Some(FORMAT_VERSION) => {}
        Some(newer) if newer > FORMAT_VERSION => return Err(too_new(path, newer)),
        Some(found) => return Err(corrupt(path, &format!("format_version is {found}"))),
        None => return Err(corrupt(path, "it has no format_version")),
    }
    let peers = transaction.open_table(PEERS).map_err(|error| table_error(path, error))?;
    let mut records = Vec::new();
    for row in peers.iter().map_err(|error| failed(error.into()))? {
        let (key, value) = row.map_err(|error| failed(error.into()))?;
        let record = codec::decode(key.value(), value.value());
        records.push(record.map_err(|why| corrupt(path, &why))?);
    }
    Ok(records)
}

fn write(database: &Database, items: &[DirtyItem]) -> Result<(), redb::Error> {
    let mut transaction = database.begin_write()?;
    // With one phase, damage to the newest state would silently bring back the one before it.
    transaction.set_two_phase_commit(true);
    {
        let mut peers = transaction.open_table(PEERS)?;
        for item in items {
            match item {
                DirtyItem::Put(record) => {
                    let value = codec::encode(record).map_err(io::Error::from)?;
                    peers.insert(record.id.to_bytes().as_slice(), value.as_slice())?;
                }
                DirtyItem::Delete(id) => {
                    peers.remove(id.to_bytes().as_slice())?;
                }
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn corrupt(path: &Path, why: &str) -> Error {
    let path = path.display();
    Error::new(ErrorKind::StorageCorrupt, format!("the peer book {path} is damaged: {why}"))
        .with("path", path.to_string())
        .with_hint(format!(
            "move {path} away to start with an empty book, or restore a copy; identity.key is not affected"
        ))
}

fn too_new(path: &Path, found: u64) -> Error {
    let path = path.display();
    Error::new(
        ErrorKind::StorageVersion,
        format!(
            "the peer book {path} has format {found}; this peerkit reads up to {FORMAT_VERSION}"
        ),
    )
    .with("path", path.to_string())
    .with("found", found)
    .with("supported", FORMAT_VERSION)
}

/// Returns the error for what the disk refuses.
fn io_error(path: &Path, done: &str, error: &io::Error) -> Error {
    let refused = storage_error(path, &format!("the peer book can't be {done}"), error);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded if done == WRITTEN => {
            refused.with_hint("free some space; what isn't written yet is kept and tried again")
        }
        _ => refused,
    }
}

fn database_error(path: &Path, done: &str, error: DatabaseError) -> Error {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => Error::new(
            ErrorKind::DataDirLocked,
            format!("the peer book {} is open elsewhere", path.display()),
        )
        .with("path", path.display().to_string()),
        DatabaseError::UpgradeRequired(format) => {
            corrupt(path, &format!("its redb file format {format} is not one peerkit ever wrote"))
        }
        other => redb_error(path, done, other.into()),
    }
}

fn table_error(path: &Path, error: TableError) -> Error {
    match error {
        TableError::Storage(error) => redb_error(path, "read", error.into()),
        other => corrupt(path, &other.to_string()),
    }
}

/// Tells damage of the file from trouble with the device.
fn redb_error(path: &Path, done: &str, error: redb::Error) -> Error {
    match &error {
        redb::Error::Io(io) => match io.kind() {
            // redb's magic number isn't there: the first bytes are those of another kind of file.
            io::ErrorKind::InvalidData if io.to_string().contains("magic number") => {
                corrupt(path, "it begins like no peer book")
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
                corrupt(path, &io.to_string())
            }
            _ => io_error(path, done, io),
        },
        redb::Error::Corrupted(why) => corrupt(path, why),
        redb::Error::RepairAborted => corrupt(path, "it can't be repaired"),
        other => io_error(path, done, &io::Error::other(other.to_string())),
    }
}
