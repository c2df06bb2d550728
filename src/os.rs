//! The parts of the operating system that peerkit needs and the standard library doesn't give: threads
//! that leave the host program's signals alone, a stamp that a fork wipes, descriptors that a forked child doesn't
//! keep (`children`), a descriptor that can be polled, and polling. The only `unsafe` outside `ffi`.
#![allow(unsafe_code)]

use std::io;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

#[cfg(unix)]
mod children;

#[cfg(unix)]
pub(crate) use self::children::{Hidden, HiddenLoop, hide, hide_loop, shut_down_streams};

/// Nothing to hide: there is no fork on this system.
#[cfg(not(unix))]
#[derive(Debug)]
pub(crate) struct Hidden;

/// No event loop to hide.
#[cfg(not(unix))]
pub(crate) struct HiddenLoop;

#[cfg(not(unix))]
pub(crate) fn hide<T>(_: &T) -> Hidden {
    Hidden
}

#[cfg(not(unix))]
pub(crate) fn shut_down_streams() {}

thread_local! {
    static OURS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Starts a thread of ours: named, marked as ours, and with all asynchronous signals blocked, so
/// that the host program's handlers run on the host program's threads.
pub(crate) fn spawn(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<JoinHandle<()>> {
    // A thread inherits its creator's mask. Blocking before the start leaves no moment in which
    // a signal could be delivered to the new thread.
    let _mask = SignalMask::block_asynchronous();
    noted(Builder::new().name(name.to_owned()).spawn(move || {
        OURS.set(true);
        body();
    }))
}

/// Starts a thread as [`spawn`] does, for what callers' threads do: it may call into peerkit and wait,
/// and nothing of peerkit's own ever waits for it without a deadline.
pub(crate) fn spawn_caller(name: &str, body: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    let _mask = SignalMask::block_asynchronous();
    noted(Builder::new().name(name.to_owned()).spawn(body)).map(drop)
}

/// True from a thread that the system refused to the next one that it gave.
static REFUSED: AtomicBool = AtomicBool::new(false);

fn noted(made: io::Result<JoinHandle<()>>) -> io::Result<JoinHandle<()>> {
    REFUSED.store(made.is_err(), Ordering::Relaxed);
    made
}

/// Tells whether the system, which refused a thread, still has none to give.
pub(crate) fn lacks_threads() -> bool {
    REFUSED.load(Ordering::Relaxed) && spawn("peerkit-trial", Box::new(|| {})).is_err()
}

/// Tells whether the calling thread is one of ours; a blocking call from it would wait for itself.
pub(crate) fn on_our_thread() -> bool {
    OURS.get()
}

/// Blocks every signal but the synchronous ones for the calling thread, until dropped.
#[cfg(unix)]
struct SignalMask(libc::sigset_t);

#[cfg(unix)]
impl SignalMask {
    fn block_asynchronous() -> Self {
        // SAFETY: sigset_t is plain data for which all zeroes is a valid value; the calls below
        // only write to it.
        let (mut blocked, mut before): (libc::sigset_t, libc::sigset_t) =
            unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
        // SAFETY: both sets are live locals; the signal numbers are constants of the platform.
        unsafe {
            libc::sigfillset(&mut blocked);
            for signal in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
                libc::sigdelset(&mut blocked, signal);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut before);
        }
        SignalMask(before)
    }
}

#[cfg(unix)]
impl Drop for SignalMask {
    fn drop(&mut self) {
        // SAFETY: the set was filled in by pthread_sigmask; the old set isn't asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
struct SignalMask;

#[cfg(not(unix))]
impl SignalMask {
    fn block_asynchronous() -> Self {
        SignalMask
    }
}

/// Returns the user whose rights this process has.
#[cfg(unix)]
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: takes nothing, and always succeeds.
    unsafe { libc::geteuid() }
}

/// Tells whether there is a process of this number, as far as this one can see.
#[cfg(unix)]
pub(crate) fn process_exists(pid: u32) -> bool {
    // 0 and negative numbers would be groups of processes.
    let Some(pid) = i32::try_from(pid).ok().filter(|pid| *pid > 0) else {
        return false;
    };
    // SAFETY: takes no pointers, and signal 0 is only asked about, not sent.
    let found = unsafe { libc::kill(pid, 0) } == 0;
    found || io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Says that it may be: here the system isn't asked.
#[cfg(not(unix))]
pub(crate) fn process_exists(_: u32) -> bool {
    true
}

/// A descriptor that [`poll`] looks at.
#[cfg(unix)]
#[repr(transparent)]
pub(crate) struct Polled(libc::pollfd);

#[cfg(unix)]
impl Polled {
    /// Waits for something to read, or for the end.
    pub(crate) fn readable(fd: i32) -> Self {
        Polled(libc::pollfd { fd, events: libc::POLLIN, revents: 0 })
    }

    /// Waits for nothing but the end: the other side has closed both directions.
    pub(crate) fn hung_up(fd: i32) -> Self {
        Polled(libc::pollfd { fd, events: 0, revents: 0 })
    }

    /// Tells whether it has happened.
    pub(crate) fn happened(&self) -> bool {
        self.0.revents != 0
    }
}

/// Waits until something has happened at one of the descriptors or the timeout is over; without one, for ever.
#[cfg(unix)]
pub(crate) fn poll(polled: &mut [Polled], timeout: Option<std::time::Duration>) -> io::Result<()> {
    let millis = timeout.map_or(-1, |left| i32::try_from(left.as_millis()).unwrap_or(i32::MAX));
    let count = polled.len() as libc::nfds_t;
    // SAFETY: `Polled` is a pollfd in memory, and the slice holds `count` of them.
    match unsafe { libc::poll(polled.as_mut_ptr().cast(), count, millis) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Tells a forked child from the process that made the stamp.
///
/// A process id isn't enough: a child in another pid namespace can have its parent's. So the
/// stamp lies in a page the kernel wipes in the child (`MADV_WIPEONFORK`, Linux 4.14); where that
/// can't be had, the pid is compared. Atomics only: whatever another thread was doing at the
/// moment of the fork, the child finds nothing locked.
pub(crate) struct ForkStamp;

const STAMPED: u64 = 0x7065_6572_6b69_7421;

/// The process that made the stamp; 0 before.
static STAMP_PID: AtomicU32 = AtomicU32::new(0);
static STAMP_PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(std::ptr::null_mut());

impl ForkStamp {
    /// Marks this process as the one that runs peerkit. Only the first call does anything.
    pub(crate) fn set() {
        if STAMP_PID.load(Ordering::Acquire) != 0 {
            return;
        }
        if let Some(page) = wiped_on_fork() {
            // Of two threads that come here at once one loses, and with it a page of memory.
            let page = std::ptr::from_ref(page).cast_mut();
            let null = std::ptr::null_mut();
            let _ = STAMP_PAGE.compare_exchange(null, page, Ordering::AcqRel, Ordering::Acquire);
        }
        STAMP_PID.store(std::process::id(), Ordering::Release);
    }

    /// Tells whether this process is a forked child of the one that called [`set`](Self::set).
    pub(crate) fn forked() -> bool {
        let pid = STAMP_PID.load(Ordering::Acquire);
        if pid == 0 {
            return false;
        }
        // SAFETY: the pointer is null, or one that `set` got from `wiped_on_fork`, which never
        // unmaps what it gives.
        match unsafe { STAMP_PAGE.load(Ordering::Acquire).as_ref() } {
            Some(stamp) => stamp.load(Ordering::Relaxed) != STAMPED,
            None => pid != std::process::id(),
        }
    }
}

#[cfg(target_os = "linux")]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    const PAGE: usize = 4096;
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no
    // memory in use.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            PAGE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping just made.
    if unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: the range is the mapping just made, and nothing refers to it.
        unsafe { libc::munmap(page, PAGE) };
        return None;
    }
    // SAFETY: the mapping is page-aligned, zeroed, writable and never unmapped from here on.
    let stamp: &'static AtomicU64 = unsafe { &*page.cast::<AtomicU64>() };
    stamp.store(STAMPED, Ordering::Relaxed);
    Some(stamp)
}

#[cfg(not(target_os = "linux"))]
fn wiped_on_fork() -> Option<&'static AtomicU64> {
    None
}

/// A descriptor that is readable from [`raise`](Self::raise) to [`lower`](Self::lower).
#[cfg(target_os = "linux")]
pub(crate) struct Flag(std::os::fd::OwnedFd);

#[cfg(target_os = "linux")]
impl Flag {
    /// Makes a lowered flag: close-on-exec and non-blocking.
    pub(crate) fn new() -> io::Result<Self> {
        use std::os::fd::FromRawFd;
        // SAFETY: takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: eventfd returned a new descriptor that nothing else owns.
        Ok(Flag(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) }))
    }

    /// Makes the descriptor readable.
    pub(crate) fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is a live local of the eight bytes eventfd wants. It fails only
        // where the counter is at its maximum, and then the descriptor is readable already.
        unsafe { libc::write(self.raw(), one.as_ptr().cast(), one.len()) };
    }

    /// Makes the descriptor unreadable.
    pub(crate) fn lower(&self) {
        let mut count = [0u8; 8];
        // SAFETY: the buffer is a live local of the eight bytes eventfd gives. It fails only
        // where the counter is zero, and then the descriptor is unreadable already.
        unsafe { libc::read(self.raw(), count.as_mut_ptr().cast(), count.len()) };
    }

    /// Returns the descriptor's number.
    pub(crate) fn raw(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.0.as_raw_fd()
    }
}

/// A descriptor that is readable from `raise` to `lower`: a pipe that holds at most one byte.
#[cfg(all(unix, not(target_os = "linux")))]
pub(crate) struct Flag {
    reader: std::io::PipeReader,
    writer: std::io::PipeWriter,
    raised: std::sync::atomic::AtomicBool,
}

#[cfg(all(unix, not(target_os = "linux")))]
impl Flag {
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = std::io::pipe()?;
        Ok(Flag { reader, writer, raised: false.into() })
    }

    pub(crate) fn raise(&self) {
        use std::io::Write;
        if !self.raised.swap(true, Ordering::AcqRel) {
            let _ = (&self.writer).write(&[1]);
        }
    }

    pub(crate) fn lower(&self) {
        use std::io::Read;
        if self.raised.swap(false, Ordering::AcqRel) {
            let _ = (&self.reader).read(&mut [0]);
        }
    }

    pub(crate) fn raw(&self) -> i32 {
        use std::os::fd::AsRawFd;
        self.reader.as_raw_fd()
    }
}

/// No descriptor to poll on this system.
#[cfg(not(unix))]
pub(crate) struct Flag;

#[cfg(not(unix))]
impl Flag {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Flag)
    }

    pub(crate) fn raise(&self) {}

    pub(crate) fn lower(&self) {}

    pub(crate) fn raw(&self) -> i32 {
        -1
    }
}
