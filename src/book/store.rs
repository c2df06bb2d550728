//! The thread that keeps the book on disk. It makes the user's changes durable and applies them
//! before it answers, and writes what the worker observed behind, every few seconds.
//!
//! The facade calls [`StoreHandle`]; each call has a deadline. The database itself is in `disk.rs`.
//! With no data directory the same handle applies changes at once and nothing is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, SendTimeoutError, Sender, TrySendError, bounded,
};
use parking_lot::Mutex;

use super::change::UserChange;
use super::disk::Disk;
use super::memory::{Book, DirtyItem};
use super::record::Record;
use crate::PeerId;
use crate::disk::{Held, Place};
use crate::error::{Error, ErrorKind, Result};

/// The longest time for which an observation stays in memory only.
const FLUSH_INTERVAL: Duration = Duration::from_secs(4);
/// Records in one transaction, so that a commit never waits long behind a flush.
const FLUSH_BATCH: usize = 1000;
/// User changes in one transaction.
const COMMIT_BATCH: usize = 64;
/// Calls waiting for the thread.
const QUEUE: usize = 256;

/// The outcome of a user's change: the record as it is now, or as it was before it was removed.
pub(crate) type Changed = Option<Arc<Record>>;

enum Command {
    Commit(UserChange, Sender<Result<Changed>>),
    #[cfg(test)]
    Flush(Sender<Result<()>>),
    Close(Sender<Result<()>>),
}

/// An opened book on disk, before its thread runs.
pub(crate) struct Store {
    disk: Disk,
}

impl Store {
    /// Opens the file at `place`, or makes it where there is none, and reads its records. `lock` is the directory's.
    pub(crate) fn open(place: Place, lock: Option<Held>) -> Result<(Self, Vec<Record>)> {
        let (disk, records) = Disk::open(place, lock)?;
        Ok((Store { disk }, records))
    }

    /// Starts the thread `peerkit-store` through `spawn`, which gets its name and what it runs.
    pub(crate) fn spawn(
        self,
        book: Arc<Book>,
        spawn: impl FnOnce(&str, Box<dyn FnOnce() + Send>) -> std::io::Result<JoinHandle<()>>,
    ) -> Result<StoreHandle> {
        let (commands, queue) = bounded(QUEUE);
        let told = Arc::new(Told::default());
        let thread = StoreThread {
            disk: Some(self.disk),
            book: Arc::clone(&book),
            queue,
            deferred: VecDeque::new(),
            next_flush: Instant::now() + FLUSH_INTERVAL,
            behind: false,
            told: Arc::clone(&told),
        };
        let running = spawn("peerkit-store", Box::new(move || thread.run()))
            .map_err(|error| Error::no_thread(&error))?;
        let kind = Kind::Disk { commands, thread: Arc::new(Mutex::new(Some(running))) };
        Ok(StoreHandle { book, kind, told })
    }
}

/// A handle to the store. Cheap to clone; the store stops once the last clone is dropped.
#[derive(Clone)]
pub(crate) struct StoreHandle {
    book: Arc<Book>,
    kind: Kind,
    told: Arc<Told>,
}

/// The store's words to whoever asks for the status.
#[derive(Default)]
struct Told {
    /// The reason why the last write failed, if it did.
    last_error: Mutex<Option<Error>>,
    /// True once the book was written anew under the running node.
    restored: AtomicBool,
}

#[derive(Clone)]
enum Kind {
    Disk {
        commands: Sender<Command>,
        thread: Arc<Mutex<Option<JoinHandle<()>>>>,
    },
    /// True once closed.
    Memory(Arc<Mutex<bool>>),
}

impl StoreHandle {
    /// Makes a store that writes nothing.
    pub(crate) fn in_memory(book: Arc<Book>) -> Self {
        let kind = Kind::Memory(Arc::new(Mutex::new(false)));
        StoreHandle { book, kind, told: Arc::default() }
    }

    /// Makes a user's change durable, applies it to the book and returns what it did. After a
    /// timeout the change may still come about.
    pub(crate) fn commit(&self, change: UserChange, deadline: Instant) -> Result<Changed> {
        self.begin(change)?.wait(deadline)
    }

    /// Begins what [`commit`](Self::commit) does, for a caller that has something else to do until it
    /// is done. Changes are made in the order in which they begin.
    pub(crate) fn begin(&self, change: UserChange) -> Result<Committing> {
        match &self.kind {
            Kind::Disk { commands, .. } => {
                send(commands, |reply| Command::Commit(change, reply)).map(Committing::Begun)
            }
            Kind::Memory(closed) => {
                // Held throughout, so that no two changes are planned against the same book.
                let closed = closed.lock();
                if *closed {
                    return Err(store_closed());
                }
                self.book.plan(&change, 0)?;
                Ok(Committing::Done(self.book.apply(&change)))
            }
        }
    }

    /// Writes everything that isn't on disk yet.
    #[cfg(test)]
    pub(crate) fn flush(&self, deadline: Instant) -> Result<()> {
        match &self.kind {
            Kind::Disk { commands, .. } => receive(&send(commands, Command::Flush)?, deadline),
            Kind::Memory(closed) => {
                if *closed.lock() {
                    Err(store_closed())
                } else {
                    Ok(())
                }
            }
        }
    }

    /// Writes everything, ends the thread and gives up the file's lock; false if that was done
    /// before. After an error other than `timeout` the thread has ended all the same.
    pub(crate) fn close(&self, deadline: Instant) -> Result<bool> {
        let (commands, thread) = match &self.kind {
            Kind::Disk { commands, thread } => (commands, thread),
            Kind::Memory(closed) => return Ok(!std::mem::replace(&mut *closed.lock(), true)),
        };
        let (reply, answer) = bounded(1);
        let answer = match commands.send_deadline(Command::Close(reply), deadline) {
            Ok(()) => receive(&answer, deadline),
            Err(SendTimeoutError::Timeout(_)) => Err(too_late()),
            Err(SendTimeoutError::Disconnected(_)) => Err(store_closed()),
        };
        match answer {
            Err(error) if error.kind() == ErrorKind::Closed => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Timeout => return Err(error),
            _ => {}
        }
        // The answer is the last thing the thread does, so this doesn't wait.
        if let Some(running) = thread.lock().take() {
            let _ended_either_way = running.join();
        }
        answer.map(|()| true)
    }

    /// Returns why the last write failed, if it did; for the warnings in status.
    pub(crate) fn last_error(&self) -> Option<Error> {
        self.told.last_error.lock().clone()
    }

    /// Tells whether the book's file went away under the running node and was written anew.
    pub(crate) fn was_restored(&self) -> bool {
        self.told.restored.load(Ordering::Relaxed)
    }
}

/// A change that is being made.
pub(crate) enum Committing {
    Begun(Receiver<Result<Changed>>),
    Done(Changed),
}

impl Committing {
    /// Waits until the change is durable and applied.
    pub(crate) fn wait(self, deadline: Instant) -> Result<Changed> {
        match self {
            Committing::Begun(answer) => receive(&answer, deadline),
            Committing::Done(changed) => Ok(changed),
        }
    }
}

fn send<T>(
    commands: &Sender<Command>,
    command: impl FnOnce(Sender<Result<T>>) -> Command,
) -> Result<Receiver<Result<T>>> {
    let (reply, answer) = bounded(1);
    commands.try_send(command(reply)).map_err(|error| match error {
        TrySendError::Full(_) => Error::new(ErrorKind::Busy, "the store's queue is full"),
        TrySendError::Disconnected(_) => store_closed(),
    })?;
    Ok(answer)
}

fn receive<T>(answer: &Receiver<Result<T>>, deadline: Instant) -> Result<T> {
    answer.recv_deadline(deadline).map_err(|error| match error {
        RecvTimeoutError::Timeout => too_late(),
        RecvTimeoutError::Disconnected => store_closed(),
    })?
}

fn too_late() -> Error {
    Error::new(ErrorKind::Timeout, "the disk didn't take it in time; it may still come about")
}

fn store_closed() -> Error {
    Error::new(ErrorKind::Closed, "the peer book is closed")
}

struct StoreThread {
    disk: Option<Disk>,
    book: Arc<Book>,
    queue: Receiver<Command>,
    /// Commands taken from the queue while something else was under way.
    deferred: VecDeque<Command>,
    next_flush: Instant,
    /// True while observations are kept back that the disk refused; a commit that gets through doesn't
    /// make that warning untrue.
    behind: bool,
    told: Arc<Told>,
}

impl StoreThread {
    fn run(mut self) {
        let closing = loop {
            // Checked first, so that a stream of commits doesn't put the flush off for ever.
            if Instant::now() >= self.next_flush {
                let _kept_in_last_error = self.flush();
            }
            let command = match self.deferred.pop_front() {
                Some(command) => Ok(command),
                None => self.queue.recv_deadline(self.next_flush),
            };
            match command {
                Ok(Command::Commit(change, reply)) => self.commit_group(change, reply),
                #[cfg(test)]
                Ok(Command::Flush(reply)) => drop(reply.send(self.flush())),
                Ok(Command::Close(reply)) => break Some(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break None,
            }
        };
        let flushed = self.flush();
        let closed = self.disk.take().map_or(Ok(()), Disk::close);
        // Callers that still wait get `closed` when these drop, before the close is answered.
        drop(self);
        if let Some(reply) = closing {
            drop(reply.send(flushed.and(closed)));
        }
    }

    /// Makes this change and those that wait behind it durable in one transaction.
    fn commit_group(&mut self, change: UserChange, reply: Sender<Result<Changed>>) {
        let mut group: Vec<(UserChange, Sender<Result<Changed>>)> = Vec::new();
        let mut items = Vec::new();
        let mut planned = Some((change, reply));
        while let Some((change, reply)) = planned.take() {
            match self.book.plan(&change, self.new_peers(&items)) {
                Ok(item) => {
                    items.push(item);
                    group.push((change, reply));
                }
                Err(error) => drop(reply.send(Err(error))),
            }
            if group.len() < COMMIT_BATCH {
                planned = self.next_commit(&group);
            }
        }
        match self.write(&items) {
            Ok(()) => {
                for (change, reply) in group {
                    drop(reply.send(Ok(self.book.apply(&change))));
                }
            }
            Err(error) => {
                for (_, reply) in group {
                    drop(reply.send(Err(error.clone())));
                }
                let _kept_in_last_error = self.restore();
            }
        }
    }

    fn new_peers(&self, planned: &[DirtyItem]) -> usize {
        let is_new = |item: &&DirtyItem| match item {
            DirtyItem::Put(record) => self.book.get(&record.id).is_none(),
            DirtyItem::Delete(_) => false,
        };
        planned.iter().filter(is_new).count()
    }

    /// Returns the next waiting change, if it may go into this group: a second change of the same peer
    /// has to be planned after the first is applied.
    fn next_commit(
        &mut self,
        group: &[(UserChange, Sender<Result<Changed>>)],
    ) -> Option<(UserChange, Sender<Result<Changed>>)> {
        let next = self.deferred.pop_front().or_else(|| self.queue.try_recv().ok())?;
        let in_group = |id: &PeerId| group.iter().any(|(change, _)| change.id() == id);
        match next {
            Command::Commit(change, reply) if !in_group(change.id()) => Some((change, reply)),
            other => {
                self.deferred.push_front(other);
                None
            }
        }
    }

    /// Writes everything that is dirty now, in batches, and serves commits between them.
    fn flush(&mut self) -> Result<()> {
        self.next_flush = Instant::now() + FLUSH_INTERVAL;
        self.restore()?;
        // The number is fixed beforehand: records that become dirty meanwhile wait for the next flush.
        let batches = self.book.dirty_len().div_ceil(FLUSH_BATCH);
        for batch in 0..batches {
            let items = self.book.take_dirty(FLUSH_BATCH);
            if items.is_empty() {
                break;
            }
            if let Err(error) = self.write(&items) {
                self.book.mark_dirty_again(items);
                self.behind = true;
                return Err(error);
            }
            if batch + 1 < batches {
                self.serve_commits();
            }
        }
        if std::mem::take(&mut self.behind) {
            *self.told.last_error.lock() = None;
        }
        Ok(())
    }

    /// Writes the book anew where its file's name is gone. Where that name leads to another file, or nothing can be
    /// written, the changes to come are refused.
    fn restore(&mut self) -> Result<()> {
        let Some(disk) = self.disk.as_mut() else { return Ok(()) };
        match disk.restore(|| self.book.all_for_disk()) {
            Ok(false) => Ok(()),
            Ok(true) => {
                self.told.restored.store(true, Ordering::Relaxed);
                if !self.behind {
                    *self.told.last_error.lock() = None;
                }
                Ok(())
            }
            Err(error) => {
                self.behind = true;
                *self.told.last_error.lock() = Some(error.clone());
                Err(error)
            }
        }
    }

    fn serve_commits(&mut self) {
        if let Some((change, reply)) = self.next_commit(&[]) {
            self.commit_group(change, reply);
        }
    }

    fn write(&mut self, items: &[DirtyItem]) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let written =
            self.disk.as_mut().map_or_else(|| Err(store_closed()), |disk| disk.write(items));
        match &written {
            Err(error) => *self.told.last_error.lock() = Some(error.clone()),
            Ok(()) if !self.behind => *self.told.last_error.lock() = None,
            Ok(()) => {}
        }
        written
    }
}
