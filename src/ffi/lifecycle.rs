//! Starting, finding and stopping the manager, and the two functions that need none.

use std::ffi::{CStr, c_char};

use super::{guard, millis, operation, set, text};
use crate::config::Config;
use crate::error::{ErrorKind, Result};
use crate::handle::{Handles, Kind};
use crate::manager::PeerManager;
use crate::model::reply::{Started, State, Stopped};
use crate::process;
use serde_json::Map;

/// One run of this process's manager: a number below 2^53, never reused; 0 is invalid.
pub type peerkit_t = u64;

/// Starts this process's manager, or gives the one that runs.
///
/// @param config_json  JSON object of configuration keys, or NULL for the defaults
/// @param timeout_ms   deadline; 0 = 30 s or `default_timeout_ms` of the configuration
/// @param out          set to the run's handle; 0 on failure
///
/// Keys, each optional (README.md says more): data_dir, identity, profile "offline"|"lan" (default)
/// |"internet", listen[], advertise[], no_announce[], bootstrap[], discovery {mdns, dht "off"
/// |"client"|"server"|"auto", gossip, gossip_topic, interval_s}, bootstrap_from_ipfs,
/// bootstrap_from_cluster, limits {max_connections, max_per_peer, max_pending, max_inbound_per_s,
/// low_water, high_water, max_peers}, swarm_key, protocol_prefix, agent_version, idle_timeout_s,
/// default_timeout_ms, control_socket (other processes of the user are served, by a Unix socket that
/// they find by data_dir), serve_perf (peers may measure the bandwidth to this node),
/// allow_foreign_data_dir (data_dir may belong to another user), log {level, file}.
/// Reply: `handle`, `already_running`, and the fields of peerkit_status. Any number of threads
/// may start at once: one does the work, all get the same handle.
/// Errors: config_invalid, unsupported, config_conflict (`detail.keys`), identity, storage,
/// storage_corrupt, storage_version, data_dir_locked (`detail.pid`), listen_failed, limit_reached
/// (no thread or descriptor is left), timeout, dead, forked, reentrant, invalid_argument.
/// Blocks until the node listens. Safe from any thread.
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
/// Reply: `state` "stopped", `already_stopped` true where it had stopped before, `warnings[]`.
/// Errors: timeout (it goes on stopping; `detail.state`), invalid_handle, forked, reentrant.
/// Blocks until everything is closed. Safe from any thread.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_stop(h: peerkit_t, timeout_ms: u32) -> *mut c_char {
    guard::answer("stop", || {
        match PeerManager::of_handle(h) {
            Ok(manager) => manager.stop(millis(timeout_ms)),
            // A run that was is stopped already; a number that never was is a mistake.
            Err(error)
                if error.kind() == ErrorKind::InvalidHandle
                    && Handles::was_issued(h, Kind::Run) =>
            {
                Ok(Stopped { state: State::Stopped, already_stopped: true, warnings: Vec::new() })
            }
            Err(error) => Err(error),
        }
    })
}

/// Gives the state of this node.
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

/// Frees a reply.
///
/// @param reply  what another function returned, not freed yet; NULL is a no-op
///
/// Doesn't block. Safe from any thread, and in a forked child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_string_free(reply: *mut c_char) {
    // SAFETY: the caller promises what `release` asks for.
    guard::number((), || unsafe { text::release(reply) });
}

/// Gives the version of the library, such as "0.1.0". Static; never freed.
///
/// Doesn't block. Safe from any thread, and in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// Gives the version of this interface, 1. A program compiled against a header of another version
/// must not go on.
///
/// Doesn't block. Safe from any thread, and in a forked child.
#[unsafe(no_mangle)]
pub extern "C" fn peerkit_abi_version() -> u32 {
    crate::ABI_VERSION
}

fn started(manager: &PeerManager, already_running: bool) -> Result<Started> {
    Ok(Started { handle: manager.handle(), already_running, status: manager.status()? })
}
