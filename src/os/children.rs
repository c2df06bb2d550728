//! Keeps forked children from holding what is the node's alone: its sockets, and the locks on its files.
//!
//! Descriptors of ours are closed by an exec, but a child that lives on without one has copies. With those, ports would
//! stay taken and the directory locked after the node's end, and nobody would hear of its death. So a handler that a
//! fork runs in the child closes them there. It knows those that were [`hidden`](hide), and asks the kernel for the
//! sockets that the worker's event loop watches: libp2p opens them, and keeps their numbers to itself. Each is
//! compared with what it was here before it is closed, for the number may be the host program's by now.
//!
//! In the child of a process with threads hardly anything may be called: the handler makes system calls alone, takes
//! no lock, and has all its memory on its stack. A child made without fork (a bare `clone`, `_Fork`) isn't reached.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

/// The descriptors that can be hidden at once: lock, book, control socket and its 64 connections, and some more.
const SLOTS: usize = 96;
/// Stands for no descriptor.
const NONE: RawFd = -1;

/// A descriptor that no child is to have.
struct Slot {
    fd: AtomicI32,
    device: AtomicU64,
    inode: AtomicU64,
}

static HIDDEN: [Slot; SLOTS] = [const {
    Slot { fd: AtomicI32::new(NONE), device: AtomicU64::new(0), inode: AtomicU64::new(0) }
}; SLOTS];

/// Marks a slot that is being filled.
const FILLING: RawFd = -2;

/// The descriptor of the event loop's epoll.
static EVENT_LOOP: AtomicI32 = AtomicI32::new(NONE);

static HANDLER: Once = Once::new();

/// Hides a descriptor from children until it is dropped, which comes before the descriptor is closed. There
/// are enough places for all of ours; one beyond them isn't hidden.
#[derive(Debug)]
pub(crate) struct Hidden(Option<usize>);

/// Hides a descriptor from children.
pub(crate) fn hide(descriptor: &impl AsRawFd) -> Hidden {
    HANDLER.call_once(install);
    let fd = descriptor.as_raw_fd();
    let Some((device, inode, _)) = identity(fd) else { return Hidden(None) };
    let free = |slot: &&Slot| {
        let order = Ordering::AcqRel;
        slot.fd.compare_exchange(NONE, FILLING, order, Ordering::Relaxed).is_ok()
    };
    let Some(at) = HIDDEN.iter().position(|slot| free(&slot)) else { return Hidden(None) };
    HIDDEN[at].device.store(device, Ordering::Relaxed);
    HIDDEN[at].inode.store(inode, Ordering::Relaxed);
    // Last: a child made in between finds no number here.
    HIDDEN[at].fd.store(fd, Ordering::Release);
    Hidden(Some(at))
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(at) = self.0 {
            HIDDEN[at].fd.store(NONE, Ordering::Release);
        }
    }
}

/// Hides the sockets of an event loop from children until it is dropped, which comes before the loop's end.
pub(crate) struct HiddenLoop(());

impl Drop for HiddenLoop {
    fn drop(&mut self) {
        EVENT_LOOP.store(NONE, Ordering::Release);
    }
}

/// Hides the sockets of the event loop that watches this one, which is how it is found.
pub(crate) fn hide_loop(watched: &impl AsRawFd) -> HiddenLoop {
    HANDLER.call_once(install);
    let found = watcher(watched.as_raw_fd()).unwrap_or(NONE);
    EVENT_LOOP.store(found, Ordering::Release);
    HiddenLoop(())
}

/// Shuts down the event loop's stream sockets, its listeners among them, whoever else has a copy: what only a child
/// holds after that keeps no port and lets nobody wait. For the loop's own thread.
pub(crate) fn shut_down_streams() {
    let mut streams = Vec::new();
    each_watched(EVENT_LOOP.load(Ordering::Acquire), &mut |fd, _| streams.push(fd));
    for fd in streams.into_iter().filter(|fd| is_of(*fd, libc::SOCK_STREAM)) {
        // SAFETY: takes no pointers. The descriptor is the calling thread's loop's, which has it open.
        unsafe { libc::shutdown(fd, libc::SHUT_RDWR) };
    }
}

/// Tells whether it is a socket of this type.
fn is_of(fd: RawFd, wanted: libc::c_int) -> bool {
    let (mut kind, mut size) = (0, size_of::<libc::c_int>() as libc::socklen_t);
    let value = std::ptr::from_mut::<libc::c_int>(&mut kind).cast();
    // SAFETY: both are live locals, and `size` is the length of the first; what is no socket is an error.
    let got = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, value, &mut size) };
    got == 0 && kind == wanted
}

fn install() {
    // SAFETY: the handler is a function for good (the shared library is never unloaded) and does only what may be
    // done after a fork. Without room for it nothing is hidden.
    unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
}

/// Closes in the child what was hidden from it.
unsafe extern "C" fn in_child() {
    for slot in &HIDDEN {
        let fd = slot.fd.load(Ordering::Acquire);
        let (device, inode) =
            (slot.device.load(Ordering::Relaxed), slot.inode.load(Ordering::Relaxed));
        if fd >= 0 && identity(fd).is_some_and(|(on, is, _)| (on, is) == (device, inode)) {
            close(fd);
        }
        slot.fd.store(NONE, Ordering::Relaxed);
    }
    // The parent goes on meanwhile, so the list may name what only the parent has; then the inode is another.
    each_watched(EVENT_LOOP.swap(NONE, Ordering::AcqRel), &mut |fd, inode| {
        if !is_socket(fd, inode) {
            return;
        }
        // libp2p keeps duplicates of the sockets of QUIC, which nothing watches.
        if is_of(fd, libc::SOCK_DGRAM) {
            each_open(&mut |other| {
                if other != fd && is_socket(other, inode) {
                    close(other);
                }
            });
        }
        close(fd);
    });
}

fn is_socket(fd: RawFd, inode: u64) -> bool {
    identity(fd).is_some_and(|(_, is, socket)| socket && is == inode)
}

fn close(fd: RawFd) {
    // SAFETY: takes no pointers. Only a child calls this, for a descriptor that it has from its parent's node and of
    // which nothing in it makes use: every call into peerkit is refused there.
    unsafe { libc::close(fd) };
}

/// Returns the device and the inode of an open descriptor, and whether it is a socket.
fn identity(fd: RawFd) -> Option<(u64, u64, bool)> {
    // SAFETY: stat is plain data for which all zeroes is a valid value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the struct is a live local; a number that is no open descriptor's is an error.
    if unsafe { libc::fstat(fd, &mut stat) } != 0 {
        return None;
    }
    // Of other widths on other systems.
    #[allow(clippy::unnecessary_cast)]
    let identity =
        (stat.st_dev as u64, stat.st_ino as u64, stat.st_mode & libc::S_IFMT == libc::S_IFSOCK);
    Some(identity)
}

/// Finds the epoll that watches a descriptor.
#[cfg(target_os = "linux")]
fn watcher(watched: RawFd) -> Option<RawFd> {
    let (_, inode, _) = identity(watched)?;
    let open = std::fs::read_dir("/proc/self/fd").ok()?;
    open.flatten().find_map(|entry| {
        let fd = entry.file_name().to_str()?.parse().ok()?;
        let what = std::fs::read_link(entry.path()).ok()?;
        let mut is_it = what.to_str()? == "anon_inode:[eventpoll]";
        if is_it {
            is_it = false;
            each_watched(fd, &mut |fd, of| is_it |= (fd, of) == (watched, inode));
        }
        is_it.then_some(fd)
    })
}

#[cfg(not(target_os = "linux"))]
fn watcher(_: RawFd) -> Option<RawFd> {
    None
}

/// Hands over number and inode of each descriptor that an epoll watches, as the kernel tells (Linux 5.5). Fit for a
/// child: it makes system calls only.
#[cfg(target_os = "linux")]
fn each_watched(epoll: RawFd, take: &mut dyn FnMut(RawFd, u64)) {
    if epoll < 0 {
        return;
    }
    let path = info_path(epoll);
    // SAFETY: the path is a live local that ends in a zero.
    let file = unsafe { libc::open(path.as_ptr().cast(), libc::O_RDONLY | libc::O_CLOEXEC) };
    if file < 0 {
        return;
    }
    let (mut line, mut held) = ([0u8; 256], 0);
    let mut bytes = [0u8; 1024];
    loop {
        // SAFETY: the buffer is a live local of that length.
        let read = unsafe { libc::read(file, bytes.as_mut_ptr().cast(), bytes.len()) };
        let Ok(read @ 1..) = usize::try_from(read) else { break };
        for byte in &bytes[..read.min(1024)] {
            if *byte == b'\n' {
                if let Some((fd, inode)) = watched(&line[..held]) {
                    take(fd, inode);
                }
                held = 0;
            } else if held < line.len() {
                line[held] = *byte;
                held += 1;
            }
        }
    }
    // SAFETY: takes no pointers; opened above.
    unsafe { libc::close(file) };
}

#[cfg(not(target_os = "linux"))]
fn each_watched(_: RawFd, _: &mut dyn FnMut(RawFd, u64)) {}

/// Hands over every open descriptor. Fit for a child, as [`each_watched`] is.
#[cfg(target_os = "linux")]
fn each_open(take: &mut dyn FnMut(RawFd)) {
    // The beginning of a `linux_dirent64`: inode, offset, its own length and a type, then the name.
    const LENGTH: usize = 16;
    const NAME: usize = 19;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a literal that ends in a zero.
    let directory = unsafe { libc::open(c"/proc/self/fd".as_ptr(), flags) };
    if directory < 0 {
        return;
    }
    let mut entries = [0u8; 1024];
    loop {
        // SAFETY: the buffer is a live local of that length.
        let read = unsafe {
            libc::syscall(libc::SYS_getdents64, directory, entries.as_mut_ptr(), entries.len())
        };
        let Ok(read @ 1..) = usize::try_from(read) else { break };
        let mut rest = &entries[..read.min(entries.len())];
        while let (Some(length), Some(name)) = (rest.get(LENGTH..LENGTH + 2), rest.get(NAME..)) {
            let length = usize::from(u16::from_ne_bytes([length[0], length[1]]));
            let digits = name.iter().take_while(|byte| byte.is_ascii_digit());
            let number = digits.fold(None, |number: Option<RawFd>, digit| {
                number.unwrap_or(0).checked_mul(10)?.checked_add((digit - b'0').into())
            });
            if let Some(fd) = number.filter(|fd| *fd != directory) {
                take(fd);
            }
            rest = rest.get(length.max(NAME)..).unwrap_or_default();
        }
    }
    // SAFETY: takes no pointers; opened above.
    unsafe { libc::close(directory) };
}

#[cfg(not(target_os = "linux"))]
fn each_open(_: &mut dyn FnMut(RawFd)) {}

/// Returns `/proc/self/fdinfo/N`, and a zero behind it.
#[cfg(target_os = "linux")]
fn info_path(fd: RawFd) -> [u8; 32] {
    const DIRECTORY: &[u8] = b"/proc/self/fdinfo/";
    let mut path = [0; 32];
    path[..DIRECTORY.len()].copy_from_slice(DIRECTORY);
    let (mut digits, mut rest, mut count) = ([0u8; 10], fd.unsigned_abs(), 0);
    loop {
        digits[count] = b'0' + (rest % 10) as u8;
        count += 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    for at in 0..count {
        path[DIRECTORY.len() + at] = digits[count - 1 - at];
    }
    path
}

/// Reads a line such as `tfd:       12 events:       19 data:  7f  pos:0 ino:35f2 sdev:8`; None for any other.
#[cfg(target_os = "linux")]
fn watched(line: &[u8]) -> Option<(RawFd, u64)> {
    let number = |name: &[u8], radix: u64| {
        let at = line.windows(name.len()).position(|text| text == name)? + name.len();
        let digits = line[at..].iter().skip_while(|byte| **byte == b' ');
        let digits = digits.map_while(|byte| char::from(*byte).to_digit(radix as u32));
        let mut found = None;
        for digit in digits {
            found = Some(found.unwrap_or(0u64).wrapping_mul(radix).wrapping_add(digit.into()));
        }
        found
    };
    let fd = line.starts_with(b"tfd:").then(|| number(b"tfd:", 10))??;
    Some((RawFd::try_from(fd).ok()?, number(b" ino:", 16)?))
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read_and_others_are_not() {
        let line = b"tfd:       12 events:       19 data:               7f  pos:0 ino:35f2 sdev:8";
        assert_eq!(watched(line), Some((12, 0x35f2)));
        assert_eq!(watched(b"tfd:       12 events:       19 data:               7f"), None);
        assert_eq!(watched(b"pos:\t0"), None);
        assert_eq!(watched(b"flags:\t02000002 tfd: 3 ino:1"), None);
        assert_eq!(&info_path(2147483647), b"/proc/self/fdinfo/2147483647\0\0\0\0");
        assert_eq!(&info_path(7)[..20], b"/proc/self/fdinfo/7\0");
    }

    #[test]
    fn an_event_loop_is_found_by_what_it_watches_and_tells_its_sockets() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let (one, other) = tokio::net::UnixStream::pair().unwrap();
        let epoll = watcher(one.as_raw_fd()).expect("the runtime's epoll");
        let mut found = Vec::new();
        each_watched(epoll, &mut |fd, inode| found.push((fd, inode)));
        for socket in [one.as_raw_fd(), other.as_raw_fd()] {
            let (_, inode, is_socket) = identity(socket).unwrap();
            assert!(is_socket && found.contains(&(socket, inode)), "{found:?}");
        }
        drop((one, other));
    }

    #[test]
    fn every_open_descriptor_is_found() {
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let mut found = Vec::new();
        each_open(&mut |fd| found.push(fd));
        for file in &files {
            assert_eq!(found.iter().filter(|fd| **fd == file.as_raw_fd()).count(), 1, "{found:?}");
        }
    }
}
