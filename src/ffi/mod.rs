//! The C functions: thin views of the process slot and the operations. The only home of `unsafe`
//! beside `os`. `guard` catches panics, `text` says who owns which pointer, `subscriptions` knows
//! event subscriptions by number. cbindgen makes `include/peerkit.h` from this file.
#![allow(unsafe_code)]
#![allow(non_camel_case_types)]

mod guard;
mod subscriptions;
mod text;

use std::ffi::{CStr, c_char, c_int};
use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::{Error, ErrorKind, Result, invalid_argument};
use crate::handle::{Handles, Kind};
use crate::manager::PeerManager;
use crate::model::event::EventBatch;
use crate::model::params::EventsOptions;
use crate::model::reply::{Cancelled, EventsClosed, EventsOpened, Started, State, Stopped};
use crate::{ops, process};

/// One run of this process's manager: a number below 2^53, never reused; 0 is invalid.
pub type peerkit_t = u64;
/// An event subscription: a number below 2^53, never reused; 0 is invalid.
pub type peerkit_events_t = u64;

/// Starts this process's manager, or gives the one that runs.
///
/// @param config_json  JSON object of configuration keys, or NULL for the defaults
/// @param timeout_ms   deadline; 0 = 30 s or `default_timeout_ms` of the configuration
/// @param out          set to the run's handle; 0 on failure
///
/// Reply: `handle`, `already_running`, and the fields of peerkit_status. Any number of threads
/// may start at once: one does the work, all get the same handle.
/// Errors: config_invalid, unsupported, config_conflict (`detail.keys`), identity, storage,
/// storage_corrupt, storage_version, data_dir_locked (`detail.pid`), listen_failed, timeout, dead,
/// forked, reentrant, invalid_argument.
/// Blocks until the node listens. Safe from any thread.
///
/// # Safety
/// `config_json` is NULL or a NUL-terminated string; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_start(
    config_json: *const c_char,
    timeout_ms: u32,
    out: *mut peerkit_t,
) -> *mut c_char {
    // SAFETY: the caller promises that `out` is NULL or writable.
    unsafe { set(out, 0) };
    guard::answer("start", || {
        process::check_caller()?;
        if out.is_null() {
            return Err(text::null_out());
        }
        // SAFETY: the caller promises that `config_json` is NULL or a string.
        let json = unsafe { text::optional(config_json, "config_json") }?;
        let config = json.map_or_else(|| Ok(Config::new()), Config::from_json)?;
        let (manager, already_running) = PeerManager::start_or_join(&config, millis(timeout_ms))?;
        let reply = started(&manager, already_running)?;
        // SAFETY: `out` was found not to be NULL, and is writable as the caller promises.
        unsafe { set(out, manager.handle()) };
        Ok(reply)
    })
}

/// Gives the manager that runs in this process.
///
/// @param out  set to the run's handle; 0 on failure
///
/// Reply: as of peerkit_start, with `already_running` true.
/// Errors: not_running, dead, forked, reentrant, invalid_argument.
/// Doesn't block. Safe from any thread.
///
/// # Safety
/// `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_current(out: *mut peerkit_t) -> *mut c_char {
    // SAFETY: the caller promises that `out` is NULL or writable.
    unsafe { set(out, 0) };
    guard::answer("current", || {
        process::check_caller()?;
        if out.is_null() {
            return Err(text::null_out());
        }
        let manager = PeerManager::current()?;
        let reply = started(&manager, true)?;
        // SAFETY: `out` was found not to be NULL, and is writable as the caller promises.
        unsafe { set(out, manager.handle()) };
        Ok(reply)
    })
}

/// Stops a run: ends calls in flight with `closed`, closes connections, writes what was observed,
/// gives the data directory back.
///
/// @param h           the run
/// @param timeout_ms  deadline; 0 = the configured default
///
/// Reply: `state` "stopped", `already_stopped` true where it had stopped before.
/// Errors: timeout (it goes on stopping; `detail.state`), invalid_handle, forked, reentrant.
/// Blocks until everything is closed. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_stop(h: peerkit_t, timeout_ms: u32) -> *mut c_char {
    guard::answer("stop", || {
        match PeerManager::of_handle(h) {
            Ok(manager) => manager.stop(millis(timeout_ms)),
            // A run that was is stopped already; a number that never was is a mistake.
            Err(error) if error.kind() == ErrorKind::InvalidHandle && Handles::was_issued(h, Kind::Run) => {
                Ok(Stopped {
                    state: State::Stopped,
                    already_stopped: true,
                })
            }
            Err(error) => Err(error),
        }
    })
}

/// The state of this node.
///
/// @param h  the run
///
/// Reply: `state`, `peer_id`, `listen_addrs[]` (each ending in /p2p/ID), `version`, `abi_version`,
/// `uptime_seconds`, `data_dir`, `profile`, `warnings[]`.
/// Errors: invalid_handle, dead, forked, reentrant.
/// Doesn't block. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_status(h: peerkit_t) -> *mut c_char {
    operation(h, "status", 0, || Ok(Map::new()))
}

/// Peers by status and text, most recently heard of first.
///
/// @param h             the run
/// @param options_json  NULL or {"status": "connected"|"disconnected", "search": text,
///                      "limit": 1..10000 (1000)}
///
/// Reply: `peers[]`, `total` after the filter, `truncated`.
/// Errors: invalid_argument, limit_reached (a reply over 16 MiB), invalid_handle, dead, forked,
/// reentrant.
/// Doesn't block on the network. Safe from any thread.
///
/// # Safety
/// `options_json` is NULL or a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_get_peers(h: peerkit_t, options_json: *const c_char) -> *mut c_char {
    // SAFETY: the caller promises that `options_json` is NULL or a string.
    operation(h, "get_peers", 0, || unsafe { text::object(options_json, "options_json") })
}

/// A page of peers.
///
/// @param h             the run
/// @param options_json  NULL or {"limit": 1..500 (50), "offset": n (0), "cursor": text,
///                      "filter_protocol": name, "filter_connected": bool, "search": text,
///                      "tag": text, "policy": text,
///                      "sort": "last_seen"|"first_seen"|"latency"|"peer_id"}
///
/// Reply: `peers[]`, `pagination` {`total`, `limit`, `offset`, `has_more`, `next_cursor`}.
/// Errors: invalid_argument, limit_reached, invalid_handle, dead, forked, reentrant.
/// Doesn't block on the network. Safe from any thread.
///
/// # Safety
/// `options_json` is NULL or a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_list_peers(h: peerkit_t, options_json: *const c_char) -> *mut c_char {
    // SAFETY: the caller promises that `options_json` is NULL or a string.
    operation(h, "list_peers", 0, || unsafe { text::object(options_json, "options_json") })
}

/// Everything known of a peer.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id
/// @param options_json  NULL or {}
///
/// Reply: `peer_info`.
/// Errors: invalid_peer_id, peer_not_found, invalid_argument, invalid_handle, dead, forked,
/// reentrant.
/// Doesn't block on the network. Safe from any thread.
///
/// # Safety
/// `peer_id` and `options_json` are NULL or NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_get_peer(
    h: peerkit_t,
    peer_id: *const c_char,
    options_json: *const c_char,
) -> *mut c_char {
    // SAFETY: the caller promises that both are NULL or strings.
    operation(h, "get_peer", 0, || unsafe { with_peer(peer_id, options_json) })
}

/// Connects to a peer and waits until it has accepted.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id; NULL where the address tells
/// @param multiaddr     where to reach it, tried first; NULL where the book knows
/// @param options_json  NULL or {"cancel_token": n}
/// @param timeout_ms    deadline; 0 = the configured default
///
/// Reply: `peer_id`, `message`, `address`, `transport`, `already_connected`, `duration_ms`,
/// `attempts[]` {`address`, `source`, `stage`, `code`, `error`, `hint`, `duration_ms`}.
/// Errors: dial_failed, dial_timeout, wrong_peer_id (all with `detail.attempts`), no_addresses,
/// self_dial, blocked, limit_reached, unsupported, cancelled, busy, storage, closed,
/// invalid_argument, invalid_peer_id, invalid_multiaddr, invalid_handle, dead, forked, reentrant.
/// Blocks until connected, failed, or out of time. Safe from any thread.
///
/// # Safety
/// `peer_id`, `multiaddr` and `options_json` are NULL or NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_connect_peer(
    h: peerkit_t,
    peer_id: *const c_char,
    multiaddr: *const c_char,
    options_json: *const c_char,
    timeout_ms: u32,
) -> *mut c_char {
    operation(h, "connect_peer", timeout_ms, || {
        // SAFETY: the caller promises that all three are NULL or strings.
        let (options, peer_id, multiaddr) = unsafe {
            (
                text::object(options_json, "options_json")?,
                text::optional(peer_id, "peer_id")?,
                text::optional(multiaddr, "multiaddr")?,
            )
        };
        let params = with_argument(options, "peer_id", peer_id)?;
        with_argument(params, "multiaddr", multiaddr)
    })
}

/// Closes all connections to a peer.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id
/// @param options_json  NULL or {"cancel_token": n}
/// @param timeout_ms    deadline; 0 = the configured default
///
/// Reply: `peer_id`, `message`, `was_connected`.
/// Errors: peer_not_found, invalid_peer_id, timeout, cancelled, busy, closed, invalid_argument,
/// invalid_handle, dead, forked, reentrant.
/// Blocks until they are closed. Safe from any thread.
///
/// # Safety
/// `peer_id` and `options_json` are NULL or NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_disconnect_peer(
    h: peerkit_t,
    peer_id: *const c_char,
    options_json: *const c_char,
    timeout_ms: u32,
) -> *mut c_char {
    // SAFETY: the caller promises that both are NULL or strings.
    operation(h, "disconnect_peer", timeout_ms, || unsafe { with_peer(peer_id, options_json) })
}

/// Measures the round trip time to a connected peer; it never dials.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id
/// @param options_json  NULL or {"count": 1..100 (3), "cancel_token": n}
/// @param timeout_ms    deadline for all pings; 0 = the configured default
///
/// Reply: `peer_id`, `rtts_ms[]`, `sent`, `received`.
/// Errors: peer_not_found, not_connected, protocol (it speaks no ping), timeout, cancelled, busy,
/// closed, invalid_argument, invalid_peer_id, invalid_handle, dead, forked, reentrant.
/// Blocks until the last answer. Safe from any thread.
///
/// # Safety
/// `peer_id` and `options_json` are NULL or NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_ping_peer(
    h: peerkit_t,
    peer_id: *const c_char,
    options_json: *const c_char,
    timeout_ms: u32,
) -> *mut c_char {
    // SAFETY: the caller promises that both are NULL or strings.
    operation(h, "ping_peer", timeout_ms, || unsafe { with_peer(peer_id, options_json) })
}

/// The statistics of this node.
///
/// @param h             the run
/// @param options_json  NULL or {}
///
/// Reply: `stats` {`total_peers`, `connected_peers`, `bootstrap_peers`, `discovery_active`,
/// `protocols_supported[]`, `total_files`, `total_pins`, `last_discovery`, `host_id`,
/// `uptime_seconds`, `peer_breakdown`, `traffic`, `limits`}; `total_peers`, `connected_peers`,
/// `discovery_active` and `protocols_supported[]` also beside it.
/// Errors: invalid_argument, invalid_handle, dead, forked, reentrant.
/// Doesn't block. Safe from any thread.
///
/// # Safety
/// `options_json` is NULL or a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_get_peer_stats(
    h: peerkit_t,
    options_json: *const c_char,
) -> *mut c_char {
    // SAFETY: the caller promises that `options_json` is NULL or a string.
    operation(h, "get_peer_stats", 0, || unsafe { text::object(options_json, "options_json") })
}

/// Runs any operation by name.
///
/// @param h            the run
/// @param method       the name or an alias, such as "add_peer"
/// @param params_json  NULL or a JSON object of its parameters
/// @param timeout_ms   deadline where the operation waits; 0 = the configured default
///
/// Reply: the operation's own; `method` in it is the canonical name.
/// Errors: unknown_method, and those of the operation.
/// Blocks as the operation does. Safe from any thread.
///
/// # Safety
/// `method` and `params_json` are NULL or NUL-terminated strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_call(
    h: peerkit_t,
    method: *const c_char,
    params_json: *const c_char,
    timeout_ms: u32,
) -> *mut c_char {
    let call = || {
        process::check_caller()?;
        // SAFETY: the caller promises that `method` is NULL or a string.
        ops::find(unsafe { text::required(method, "method") }?)
    };
    match guard::number(Err(invalid_argument("`method` can't be read")), call) {
        // SAFETY: the caller promises that `params_json` is NULL or a string.
        Ok(op) => operation(h, op.name, timeout_ms, || unsafe {
            text::object(params_json, "params_json")
        }),
        Err(error) => guard::answer::<crate::params::NoParams>("call", || Err(error)),
    }
}

/// Ends, with `cancelled`, all waiting calls whose options carry a token.
///
/// @param h      the run
/// @param token  the number the calls carry as `cancel_token`
///
/// Reply: `cancelled`, how many calls those were.
/// Errors: busy, closed, invalid_handle, dead, forked, reentrant.
/// Doesn't block on the network. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_cancel(h: peerkit_t, token: u64) -> *mut c_char {
    guard::answer::<Cancelled>("cancel", || PeerManager::of_handle(h)?.cancel(token))
}

/// Subscribes to everything that happens from now on.
///
/// @param h             the run
/// @param options_json  NULL or {}
/// @param out           set to the subscription's handle; 0 on failure
///
/// Reply: `events_handle`. A subscription outlives its run until it is closed.
/// Errors: invalid_argument, limit_reached, invalid_handle, dead, forked, reentrant.
/// Doesn't block. Safe from any thread.
///
/// # Safety
/// `options_json` is NULL or a NUL-terminated string; `out` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_events_open(
    h: peerkit_t,
    options_json: *const c_char,
    out: *mut peerkit_events_t,
) -> *mut c_char {
    // SAFETY: the caller promises that `out` is NULL or writable.
    unsafe { set(out, 0) };
    guard::answer("events_open", || {
        let manager = PeerManager::of_handle(h)?;
        if out.is_null() {
            return Err(text::null_out());
        }
        // SAFETY: the caller promises that `options_json` is NULL or a string.
        let options = unsafe { text::object(options_json, "options_json") }?;
        let EventsOptions {} = ops::parse(options)?;
        let events_handle = subscriptions::insert(manager.events()?);
        // SAFETY: `out` was found not to be NULL, and is writable as the caller promises.
        unsafe { set(out, events_handle) };
        Ok(EventsOpened { events_handle })
    })
}

/// Takes up to 64 events, oldest first.
///
/// @param e           the subscription
/// @param timeout_ms  how long to wait for the first event; 0 = not at all
///
/// Reply: `events[]`, empty where nothing came in time; `lagged`, how many older events were lost
/// before these because the reader was slow.
/// Errors: closed (the run has stopped and all was read, or the subscription was closed
/// meanwhile), invalid_handle, invalid_argument, forked, reentrant.
/// Blocks until an event, the end, or the deadline. Safe from any thread; each event goes to one
/// of the threads that wait.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_events_next(e: peerkit_events_t, timeout_ms: u32) -> *mut c_char {
    guard::answer::<EventBatch>("events_next", || {
        subscriptions::get(e)?.next(Duration::from_millis(timeout_ms.into()))
    })
}

/// A descriptor that is readable while an event is queued or the run has stopped.
///
/// @param e  the subscription
///
/// The same descriptor at each call, close-on-exec and non-blocking. Only poll it: never read or
/// close it; it is gone after peerkit_events_close. -1 for a bad handle, in a forked child, and on
/// systems without such a thing.
/// Doesn't block. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_events_fd(e: peerkit_events_t) -> c_int {
    guard::number(-1, || subscriptions::get(e).map_or(-1, |events| events.fd()))
}

/// Ends a subscription, and wakes whoever waits for its events.
///
/// @param e  the subscription
///
/// Reply: `already_closed`, true where it had been closed before.
/// Errors: invalid_handle, forked, reentrant.
/// Doesn't block. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_events_close(e: peerkit_events_t) -> *mut c_char {
    guard::answer("events_close", || {
        Ok(EventsClosed {
            already_closed: !subscriptions::close(e)?,
        })
    })
}

/// Frees a reply.
///
/// @param reply  what another function returned, not freed yet; NULL is a no-op
///
/// Doesn't block. Safe from any thread, and in a forked child.
///
/// # Safety
/// `reply` is NULL, or a reply of this library that was not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_string_free(reply: *mut c_char) {
    // SAFETY: the caller promises what `release` asks for.
    guard::number((), || unsafe { text::release(reply) });
}

/// The version of the library, such as "0.1.0". Static; never freed.
///
/// Doesn't block. Safe from any thread, and in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_version() -> *const c_char {
    const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(version) => version,
        Err(_) => c"",
    };
    VERSION.as_ptr()
}

/// The version of this interface. A program compiled against a header of another version must not
/// go on.
///
/// Doesn't block. Safe from any thread, and in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_abi_version() -> u32 {
    crate::ABI_VERSION
}

/// Runs an operation of the catalogue; `params` reads its parameters from the C arguments.
fn operation(
    h: peerkit_t,
    name: &'static str,
    timeout_ms: u32,
    params: impl FnOnce() -> Result<Map<String, Value>>,
) -> *mut c_char {
    let failed = |error: &Error| match ops::find(name) {
        Ok(op) => op.failure(error),
        Err(_) => ops::failure_of::<crate::params::NoParams>(name, error),
    };
    let body = || {
        let call = || {
            let manager = PeerManager::of_handle(h)?;
            Ok(ops::find(name)?.call(&manager, params()?, millis(timeout_ms)))
        };
        call().unwrap_or_else(|error| failed(&error))
    };
    guard::operation(body, failed)
}

/// # Safety
/// Both are NULL or NUL-terminated strings.
unsafe fn with_peer(peer_id: *const c_char, options_json: *const c_char) -> Result<Map<String, Value>> {
    // SAFETY: the caller promises that both are NULL or strings.
    let (options, peer_id) = unsafe {
        (
            text::object(options_json, "options_json")?,
            text::required(peer_id, "peer_id")?,
        )
    };
    with_argument(options, "peer_id", Some(peer_id))
}

/// Puts a C argument among the options, where it has no place of its own.
fn with_argument(
    mut options: Map<String, Value>,
    name: &str,
    value: Option<&str>,
) -> Result<Map<String, Value>> {
    if options.contains_key(name) {
        return Err(invalid_argument(format!("`{name}` is an argument of its own, not an option")));
    }
    if let Some(value) = value {
        options.insert(name.to_owned(), value.into());
    }
    Ok(options)
}

fn started(manager: &PeerManager, already_running: bool) -> Result<Started> {
    Ok(Started {
        handle: manager.handle(),
        already_running,
        status: manager.status()?,
    })
}

fn millis(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}

/// # Safety
/// `out` is NULL or writable.
unsafe fn set(out: *mut u64, value: u64) {
    if !out.is_null() {
        // SAFETY: not NULL, and writable as the caller promises.
        unsafe { out.write(value) };
    }
}
