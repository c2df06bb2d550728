//! The kernel's clocks, where those of the standard library don't do: one that processes share, and one
//! that counts a thread's own time.
#![allow(unsafe_code)]

/// Returns nanoseconds that rise in all processes of this machine alike.
pub fn shared_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Returns the processor time this thread has used, in nanoseconds.
pub fn thread_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the ticks in a second, by which the kernel tells a process's time.
pub fn ticks_per_second() -> f64 {
    // SAFETY: numbers only.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as f64 }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time may be written; a clock that isn't there leaves it at 0.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
