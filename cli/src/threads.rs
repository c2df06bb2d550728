//! Threads for what blocks: calls of operations, and the waits of event streams; and the runtime of a server.
//!
//! A lack of threads is told to whoever needs one, and nothing else happens. tokio's own threads for
//! what blocks panic then, or let a call wait for one that never comes. A few are made at the start and kept, so that
//! somebody can still look when no more are to be had; the others end when they have been idle for a while.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use peerkit::Error;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// The threads that are made at the start and kept.
const KEPT: usize = 2;
/// The time after which another one that is idle ends.
const IDLE: Duration = Duration::from_secs(10);
/// The threads that standard input and output take where they are no pipes.
const STDIO: usize = 2;
/// The time that they may take to begin, and that the making of a runtime may.
const BEGIN: Duration = Duration::from_secs(1);
const BUILD: Duration = Duration::from_secs(5);

/// A bounded number of threads; clones share them. They last as long as the process.
#[derive(Clone)]
pub struct Threads(Arc<Pool>);

struct Pool {
    most: usize,
    state: Mutex<State>,
    /// Told of work.
    work: Condvar,
    /// Told when a thread has none left.
    rest: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Work>,
    threads: usize,
    /// Those of them that wait for work.
    idle: usize,
}

type Work = Box<dyn FnOnce() + Send>;

impl Threads {
    /// Makes the first of at most so many threads.
    pub fn start(most: usize) -> Result<Self, Error> {
        let (state, work, rest) = (Mutex::default(), Condvar::new(), Condvar::new());
        let pool = Arc::new(Pool { most, state, work, rest });
        for _ in 0..KEPT.min(most) {
            let mut state = pool.state.lock();
            pool.add(&mut state)?;
        }
        Ok(Threads(pool))
    }

    /// Runs what blocks. What comes of it is received; nothing is, where it panics.
    ///
    /// # Errors
    /// `limit_reached` where all threads are taken and no further one is to be had.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Error> {
        let (done, outcome) = oneshot::channel();
        let work = Box::new(move || drop(done.send(work())));
        let mut state = self.0.state.lock();
        // All idle ones may have work waiting for them already. With as many as there may be, it waits its turn.
        if state.idle <= state.queue.len() && state.threads < self.0.most {
            self.0.add(&mut state)?;
        }
        state.queue.push_back(work);
        self.0.work.notify_one();
        Ok(outcome)
    }

    /// Waits until all that was begun is done, for so long at most.
    pub fn finish(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut state = self.0.state.lock();
        while state.idle < state.threads || !state.queue.is_empty() {
            if self.0.rest.wait_until(&mut state, deadline).timed_out() {
                return;
            }
        }
    }
}

impl Pool {
    fn add(self: &Arc<Self>, state: &mut State) -> Result<(), Error> {
        let pool = Arc::clone(self);
        spawn("call", move || pool.serve())?;
        state.threads += 1;
        Ok(())
    }

    /// Does what there is to do: the whole life of a thread.
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(work) = state.queue.pop_front() {
                drop(state);
                // Whoever waits for it finds that nothing came.
                let _ = catch_unwind(AssertUnwindSafe(work));
                state = self.state.lock();
                continue;
            }
            state.idle += 1;
            self.rest.notify_all();
            let too_long = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if too_long && state.queue.is_empty() && state.threads > KEPT {
                state.threads -= 1;
                return;
            }
        }
    }
}

/// Makes a thread, or says that there is none.
pub fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    Builder::new().name(name.to_owned()).spawn(body).map_err(|error| Error::no_thread(&error))
}

/// Makes a runtime with all its threads, `workers` of them and those that `stdio` may take, or says that they aren't to
/// be had.
pub fn runtime(workers: usize, stdio: bool) -> Result<Runtime, Error> {
    let workers = workers.max(1);
    // tokio panics for want of a thread. That is caught below, but no person should read of it.
    reserve(workers + if stdio { STDIO } else { 0 })?;
    let (made, runtime) = sync_channel(1);
    // It also waits for good, for the workers that it has, where it doesn't get another: then this thread is left to it.
    spawn("runtime", move || {
        let _ = made.send(catch_unwind(|| make(workers, stdio)));
    })?;
    match runtime.recv_timeout(BUILD) {
        Ok(Ok(made)) => made,
        _ => Err(Error::no_thread(&io::ErrorKind::WouldBlock.into())),
    }
}

fn make(workers: usize, stdio: bool) -> Result<Runtime, Error> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_keep_alive(Duration::from_secs(u64::from(u32::MAX)))
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| Error::no_thread(&error))?;
    match stdio && !runtime.block_on(begin_stdio()) {
        true => Err(Error::no_thread(&io::ErrorKind::WouldBlock.into())),
        false => Ok(runtime),
    }
}

/// Finds out whether the system gives so many threads at once.
fn reserve(count: usize) -> Result<(), Error> {
    let (until, waits) = sync_channel::<()>(0);
    let waits = Arc::new(Mutex::new(waits));
    let mut made = Vec::new();
    for _ in 0..count {
        let waits: Arc<Mutex<Receiver<()>>> = Arc::clone(&waits);
        let wait = move || {
            // Comes to an end when the other side is dropped.
            let _ = waits.lock().recv();
        };
        made.push(spawn("reserve", wait));
    }
    drop(until);
    made.into_iter().try_for_each(|thread| thread.map(|thread| drop(thread.join())))
}

/// Has tokio make the two threads on which it reads and writes standard streams; false where it can't.
async fn begin_stdio() -> bool {
    // The one waits for the other, so that no thread can be both.
    let (met, meet) = sync_channel::<()>(1);
    let one = spawn_blocking(move || meet.recv_timeout(BEGIN).is_ok());
    let other = spawn_blocking(move || met.send(()).is_ok());
    matches!((one.await, other.await), (Ok(true), Ok(true)))
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn what_blocks_runs_at_once_up_to_the_bound_and_the_rest_waits_its_turn() {
        let threads = Threads::start(4).unwrap();
        let together = Arc::new(Barrier::new(4));
        let at_once: Vec<_> = (0..4)
            .map(|number| {
                let together = Arc::clone(&together);
                let work = move || {
                    together.wait();
                    number
                };
                threads.run(work).unwrap()
            })
            .collect();
        let later = threads.run(|| "later").unwrap();
        let done: Vec<i32> =
            at_once.into_iter().map(|done| done.blocking_recv().unwrap()).collect();
        assert_eq!(done, [0, 1, 2, 3]);
        assert_eq!(later.blocking_recv(), Ok("later"));
        assert_eq!(threads.0.state.lock().threads, 4);
        threads.finish(Duration::from_secs(10));
        assert_eq!(threads.0.state.lock().idle, 4);
    }

    #[test]
    fn a_panic_is_one_works_and_its_thread_goes_on() {
        let threads = Threads::start(1).unwrap();
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let panicked = threads.run(|| -> () { panic!("of this work alone") }).unwrap();
        assert!(panicked.blocking_recv().is_err());
        std::panic::set_hook(hook);
        assert_eq!(threads.run(|| 1).unwrap().blocking_recv(), Ok(1));
    }
}
