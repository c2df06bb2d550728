//! The database file: creating, opening, checking and writing `book.redb`, and the error for each way
//! of failing.
//!
//! Memory is what reads see, this is what survives. Two tables: `meta` holds the format version,
//! `peers` a row for each record. Only `store.rs` calls this, from one thread.

use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, TableDefinition, TableError,
};

use super::codec;
use super::memory::DirtyItem;
use super::record::Record;
use crate::disk::{self, storage_error};
use crate::error::{Error, ErrorKind, Result};
use crate::os::{self, Hidden};

/// The version that this code writes, and the newest that it reads.
const FORMAT_VERSION: u64 = 1;
/// redb's page cache. Rows are read once, at start, so it need not be large.
const CACHE_BYTES: usize = 16 << 20;

/// The one action that is tried again by itself.
const WRITTEN: &str = "written";

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const PEERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("peers");

/// An open database.
pub(super) struct Disk {
    path: PathBuf,
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
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Record>)> {
        // A panic of redb comes from what stands in the file.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let exists = path.try_exists().map_err(|error| io_error(path, "found", &error))?;
            if !exists {
                create(path)?;
            }
            disk::keep_private(path).map_err(|error| io_error(path, "opened", &error))?;
            let database = open_existing(path, true)?;
            let records = load(&database.database, path)?;
            Ok((database, records))
        }));
        let (database, records) =
            opened.unwrap_or_else(|_| Err(corrupt(path, "reading it panicked")))?;
        Ok((Disk { path: path.to_owned(), database: Some(database) }, records))
    }

    /// Writes the items in one transaction. When this returns, they survive a crash.
    pub(super) fn write(&mut self, items: &[DirtyItem]) -> Result<()> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_existing(&self.path, false)?,
        };
        let written = catch_unwind(AssertUnwindSafe(|| write(&database.database, items)));
        match written {
            Ok(Ok(())) => {
                self.database = Some(database);
                Ok(())
            }
            Ok(Err(error)) => Err(redb_error(&self.path, WRITTEN, error)),
            Err(_) => Err(Error::new(
                ErrorKind::Storage,
                format!("writing the peer book {} panicked", self.path.display()),
            )
            .with("path", self.path.display().to_string())),
        }
    }

    /// Closes the file and gives up its lock.
    pub(super) fn close(self) -> Result<()> {
        match self.database.map(|open| open.database.close()) {
            Some(Err(error)) => Err(database_error(&self.path, "closed", error)),
            _ => Ok(()),
        }
    }
}

/// Makes the file under another name first, so that a crash meanwhile leaves no half-made book.
fn create(path: &Path) -> Result<()> {
    let refused = |error: io::Error| io_error(path, "created", &error);
    let unfinished = disk::create_unfinished(path).map_err(refused)?;
    let _hidden = os::hide(&unfinished);
    let backend =
        FileBackend::new(unfinished).map_err(|error| database_error(path, "created", error))?;
    let database = Builder::new()
        .create_with_backend(backend)
        .map_err(|error| database_error(path, "created", error))?;
    set_up(&database).map_err(|error| redb_error(path, "created", error))?;
    database.close().map_err(|error| database_error(path, "created", error))?;
    disk::finish(path).map_err(refused)
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
fn open_existing(path: &Path, check: bool) -> Result<Open> {
    let refused = |error: io::Error| io_error(path, "opened", &error);
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(refused)?;
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
    Ok(Open { _hidden, database })
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
