//! The operations, one function for each that has C arguments of its own, and `peerkit_call` for
//! all of them.

use std::ffi::c_char;

use serde_json::{Map, Value};

use super::{guard, operation, peerkit_t, text};
use crate::error::{Result, invalid_argument};
use crate::manager::PeerManager;
use crate::model::params::NoParams;
use crate::model::reply::Cancelled;
use crate::{ops, process};

/// Lists peers by status and text, most recently heard of first.
///
/// @param h             the run
/// @param options_json  NULL or {"status": "connected"|"disconnected", "search": text,
///                      "limit": 1..10000 (1000)}
///
/// Reply: `peers[]`, `total` after the filter, `truncated`.
/// Errors: invalid_argument, limit_reached (a reply over 16 MiB), invalid_handle, dead, forked,
/// reentrant.
/// Doesn't block on the network. Safe from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_get_peers(
    h: peerkit_t,
    options_json: *const c_char,
) -> *mut c_char {
    // SAFETY: the caller promises that `options_json` is NULL or a string.
    operation(h, "get_peers", 0, || unsafe { text::object(options_json, "options_json") })
}

/// Gives a page of peers.
///
/// @param h             the run
/// @param options_json  NULL or {"limit": 1..500 (50), "offset": n (0), "cursor": text,
///                      "filter_protocol": name, "filter_connected": bool, "search": text,
///                      "tag": text, "policy": "keep"|"normal"|"off"|"blocked",
///                      "sort": "last_seen"|"first_seen"|"latency"|"peer_id"}
///
/// Sorted by `last_seen` where `sort` isn't given. `cursor` is `next_cursor` of the page before.
/// Reply: `peers[]`, `pagination` {`total`, `limit`, `offset`, `has_more`, `next_cursor`}.
/// Errors: invalid_argument, unsupported (a tag, or a policy other than "normal", until there are
/// any), limit_reached (a reply over 16 MiB), invalid_handle, dead, forked, reentrant.
/// Doesn't block on the network. Safe from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn peerkit_list_peers(
    h: peerkit_t,
    options_json: *const c_char,
) -> *mut c_char {
    // SAFETY: the caller promises that `options_json` is NULL or a string.
    operation(h, "list_peers", 0, || unsafe { text::object(options_json, "options_json") })
}

/// Gives everything known of a peer.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id
/// @param options_json  NULL or {}
///
/// Reply: `peer_info`.
/// Errors: invalid_peer_id, peer_not_found, invalid_argument, invalid_handle, dead, forked,
/// reentrant.
/// Doesn't block on the network. Safe from any thread.
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
/// @param multiaddr     where to reach it, tried first; NULL where the id is enough
/// @param options_json  NULL or {"cancel_token": n}
/// @param timeout_ms    deadline; 0 = the configured default
///
/// By id alone: at the addresses in the book; where none is known or works, the DHT is asked where
/// the peer is, and then the connected peers.
/// Reply: `peer_id`, `message`, `address`, `transport`, `already_connected`, `duration_ms`,
/// `attempts[]` {`address`, `source`, `stage`, `code`, `error`, `hint`, `duration_ms`, and `resolved_from`
/// where a name led there}, `lookups[]` {`source`, `found`, `duration_ms`, `error`}: who was asked where it is.
/// Errors: dial_failed, dial_timeout, wrong_peer_id (all with `detail.attempts`), no_addresses (with
/// `detail.lookups`), self_dial, blocked, limit_reached, unsupported, cancelled, busy, storage,
/// timeout (of the disk), closed, invalid_argument, invalid_peer_id, invalid_multiaddr,
/// invalid_handle, dead, forked, reentrant.
/// Blocks until connected, failed, or out of time. Safe from any thread.
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

/// Closes all connections to a peer, and keeps it that way.
///
/// @param h             the run
/// @param peer_id       the peer, in any form of a peer id
/// @param options_json  NULL or {"cancel_token": n}
/// @param timeout_ms    deadline; 0 = the configured default
///
/// Nothing here dials the peer by itself any more, also after a restart, until peerkit_connect_peer
/// does or the peer connects to us.
/// Reply: `peer_id`, `message`, `was_connected`.
/// Errors: peer_not_found, invalid_peer_id, storage, timeout, cancelled, busy, closed,
/// invalid_argument, invalid_handle, dead, forked, reentrant.
/// Blocks until they are closed. Safe from any thread.
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
/// Errors: peer_not_found, not_connected, protocol (it speaks no ping), timeout (with
/// `detail.rtts_ms` of the pings that were answered), cancelled, busy, closed, invalid_argument,
/// invalid_peer_id, invalid_handle, dead, forked, reentrant.
/// Blocks until the last answer. Safe from any thread.
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

/// Gives the statistics of this node.
///
/// @param h             the run
/// @param options_json  NULL or {}
///
/// Reply: `stats` {`total_peers`, `connected_peers`, `bootstrap_peers`, `discovery_active`,
/// `total_discovered`, `protocols_supported[]`, `total_files`, `total_pins`, `last_discovery`,
/// `host_id`, `uptime_seconds`, `peer_breakdown`, `dropped` (what remotes sent and was refused, by
/// where it came from and why), `traffic`, `limits`}; `total_peers`, `connected_peers`,
/// `discovery_active` and `protocols_supported[]` also beside it.
/// Errors: invalid_argument, invalid_handle, dead, forked, reentrant.
/// Doesn't block. Safe from any thread.
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
/// Beside those with a function of their own, which have the same names without `peerkit_`, they are
/// the following: parameters, `?` where one may be left out, and reply. All but the ones marked *
/// take `cancel_token` too.
///
/// The book:
///   search_peers* {query, limit? 1..10000 (1000)}: peers[], total, truncated, query
///   add_peer {peer_id?, multiaddrs[]?}: peer_info; the id may stand in the addresses
///   remove_peer {peer_id}: peer_id, removed
///   get_peers_summary* {}: total_peers, connected_peers, bootstrap_peers, discovery_active,
///     protocols {name: count}, recent_events[], stats
///   get_metrics* {}: metrics (OpenMetrics text), content_type
/// Bandwidth to a connected peer and back, where it serves the perf protocol:
///   measure_bandwidth {peer_id, upload_bytes?, download_bytes? each 0..268435456 (10485760)}:
///     peer_id, upload, download {bytes, duration_ms, bytes_per_s, transport}, null where the bytes
///     are 0; protocol where it doesn't serve it
/// The bootstrap list; `changed` is true where the call changed it:
///   list_bootstrap_peers* {}, add_bootstrap_peer {multiaddr}, remove_bootstrap_peer {multiaddr}:
///     bootstrap_peers[], changed
///   bootstrap_from_ipfs, bootstrap_from_cluster {api? (the configured one, else the daemon's
///     default on this machine), connect? (true)}: peers[], connected[], failed[] {peer_id, address,
///     code, error}
/// Discovery; all four answer discovered_peers[] (of the last pass), total_discovered, total_peers,
/// discovery_active, interval_s, last_pass, complete, recent_events[], bootstrap_peers[], and
/// sources {name: {enabled, found, total_found, heard, dropped {reason: count}, last_found, note,
/// last_error}}, where `note` says why the last pass found nothing by that source:
///   discover_peers {limit? 1..1000 (100), timeout? in seconds}: one pass now, also where discovery
///     doesn't run by itself
///   start_discovery*, stop_discovery*, get_discovery* {}
/// This machine is on another network, and its host knows sooner than the interfaces show:
///   network_changed {}: waits_forgotten (peers that may be dialled again at once), listen_addrs[],
///     connected_peers, once the pass that it begins is over
/// Peers and content, by asking others:
///   find_peer {peer_id}: peer_id, multiaddrs[], found_by "dht"|"exchange" (the connected
///     peers)|"book", lookups[]; peer_not_found with `detail.lookups` where nobody knows
///   provide {cid}: cid, duration_ms
///   find_providers {cid, limit? 1..100 (20)}: cid, peers[] {peer_id, multiaddrs[]}
/// Messages; a topic has 1 to 256 bytes, a message at most 60 KiB:
///   publish {topic, data_base64}: message_id, topic; not_connected where no connected peer
///     subscribes to the topic
///   subscribe, unsubscribe {topic}: topics[], changed; messages come as events
///
/// Reply: the operation's own; `method` in it is the canonical name.
/// Errors: unknown_method, those of the operation, and of all: invalid_argument, invalid_handle,
/// dead, forked, reentrant. Of those that wait: timeout, cancelled, busy, closed. unsupported where
/// the DHT is needed and off, not_connected where it is on and knows nobody yet; storage and
/// limit_reached of what is written; dial_failed, timeout, protocol and limit_reached of a daemon's
/// API.
/// Blocks as the operation does. Safe from any thread.
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
    match guard::number(Err(guard::panicked()), call) {
        // SAFETY: the caller promises that `params_json` is NULL or a string.
        Ok(op) => operation(h, op.name, timeout_ms, || unsafe {
            text::object(params_json, "params_json")
        }),
        Err(error) => guard::answer::<NoParams>("call", || Err(error)),
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

/// # Safety
/// Both are NULL or NUL-terminated strings.
unsafe fn with_peer(
    peer_id: *const c_char,
    options_json: *const c_char,
) -> Result<Map<String, Value>> {
    // SAFETY: the caller promises that both are NULL or strings.
    let (options, peer_id) = unsafe {
        (text::object(options_json, "options_json")?, text::required(peer_id, "peer_id")?)
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
