/* peerkit: an embeddable, sync-first libp2p peer manager.
 *
 * This file is generated from src/ffi; see `make header`.
 *
 * Conventions
 *   - One manager in a process. Handles are numbers; a stale or wrong one gives `invalid_handle`.
 *   - A function that returns `char *` returns one JSON object, never NULL. It is the caller's, to
 *     be freed once with peerkit_string_free. A `const char *` is static and never freed.
 *   - A reply begins with the bytes {"success":true or {"success":false, so strncmp can tell.
 *     A failure has `error` (text for a person), `code`, `retryable`, `hint` and `detail`.
 *   - Input is NUL-terminated UTF-8 of at most 1 MiB that nobody changes during the call; a reply is
 *     at most 16 MiB. Only what is said to be may be NULL: NULL elsewhere is `invalid_argument`.
 *   - `timeout_ms`: 0 is the configured default (30 s), at most 3 600 000; in peerkit_events_next
 *     0 means "don't wait".
 *   - Every function may be called from any thread at any time. In a forked child of a process that
 *     ever called peerkit_start each answers `forked`, but for the three that say otherwise.
 *   - An operation that waits takes "cancel_token": N, a number of the caller's own, in its options.
 *     peerkit_cancel from another thread makes the call answer `cancelled`.
 *   - A bug of peerkit's own answers `panic`. Operations then answer `dead`, until peerkit_stop and
 *     a new start.
 *   - A call takes at most 48 KiB of its caller's stack. JSON nested deeper than 16
 *     levels is an error, as is a name given twice in one object.
 *   - Running out of memory aborts the process, as it does in any program of Rust: there is no error
 *     to hand back. What peerkit keeps is bounded, but not against a machine that has nothing left.
 */


#ifndef PEERKIT_H
#define PEERKIT_H

#include <stdint.h>

// One run of this process's manager: a number below 2^53, never reused; 0 is invalid.
typedef uint64_t peerkit_t;

// An event subscription: a number below 2^53, never reused; 0 is invalid.
typedef uint64_t peerkit_events_t;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Starts this process's manager, or gives the one that runs.
//
// @param config_json  JSON object of configuration keys, or NULL for the defaults
// @param timeout_ms   deadline; 0 = 30 s or `default_timeout_ms` of the configuration
// @param out          set to the run's handle; 0 on failure
//
// Keys, each optional (README.md says more): data_dir, identity, profile "offline"|"lan" (default)
// |"internet", listen[], advertise[], no_announce[], bootstrap[], discovery {mdns, dht "off"
// |"client"|"server"|"auto", gossip, gossip_topic, interval_s}, bootstrap_from_ipfs,
// bootstrap_from_cluster, limits {max_connections, max_per_peer, max_pending, max_inbound_per_s,
// low_water, high_water, max_peers}, swarm_key, protocol_prefix, agent_version, idle_timeout_s,
// default_timeout_ms, control_socket (other processes of the user are served, by a Unix socket that
// they find by data_dir), serve_perf (peers may measure the bandwidth to this node),
// allow_foreign_data_dir (data_dir may belong to another user), log {level, file}.
// Reply: `handle`, `already_running`, and the fields of peerkit_status. Any number of threads
// may start at once: one does the work, all get the same handle.
// Errors: config_invalid, unsupported, config_conflict (`detail.keys`), identity, storage,
// storage_corrupt, storage_version, data_dir_locked (`detail.pid`), listen_failed, limit_reached
// (no thread or descriptor is left), timeout, dead, forked, reentrant, invalid_argument.
// Blocks until the node listens. Safe from any thread.
char *peerkit_start(const char *config_json, uint32_t timeout_ms, peerkit_t *out);

// Gives the manager that runs in this process.
//
// @param out  set to the run's handle; 0 on failure
//
// Reply: as of peerkit_start, with `already_running` true.
// Errors: not_running, dead, forked, reentrant, invalid_argument.
// Doesn't block. Safe from any thread.
char *peerkit_current(peerkit_t *out);

// Stops a run: ends calls in flight with `closed`, closes connections, writes what was observed,
// gives the data directory back.
//
// @param h           the run
// @param timeout_ms  deadline; 0 = the configured default
//
// Reply: `state` "stopped", `already_stopped` true where it had stopped before, `warnings[]`.
// Errors: timeout (it goes on stopping; `detail.state`), invalid_handle, forked, reentrant.
// Blocks until everything is closed. Safe from any thread.
char *peerkit_stop(peerkit_t h, uint32_t timeout_ms);

// Gives the state of this node.
//
// @param h  the run
//
// Reply: `state`, `peer_id`, `listen_addrs[]` (each ending in /p2p/ID), `version`, `abi_version`,
// `uptime_seconds`, `data_dir`, `profile`, `warnings[]`.
// Errors: invalid_handle, dead, forked, reentrant.
// Doesn't block. Safe from any thread.
char *peerkit_status(peerkit_t h);

// Frees a reply.
//
// @param reply  what another function returned, not freed yet; NULL is a no-op
//
// Doesn't block. Safe from any thread, and in a forked child.
void peerkit_string_free(char *reply);

// Gives the version of the library, such as "0.1.0". Static; never freed.
//
// Doesn't block. Safe from any thread, and in a forked child.
const char *peerkit_version(void);

// Gives the version of this interface, 1. A program compiled against a header of another version
// must not go on.
//
// Doesn't block. Safe from any thread, and in a forked child.
uint32_t peerkit_abi_version(void);

// Lists peers by status and text, most recently heard of first.
//
// @param h             the run
// @param options_json  NULL or {"status": "connected"|"disconnected", "search": text,
//                      "limit": 1..10000 (1000)}
//
// Reply: `peers[]`, `total` after the filter, `truncated`.
// Errors: invalid_argument, limit_reached (a reply over 16 MiB), invalid_handle, dead, forked,
// reentrant.
// Doesn't block on the network. Safe from any thread.
char *peerkit_get_peers(peerkit_t h, const char *options_json);

// Gives a page of peers.
//
// @param h             the run
// @param options_json  NULL or {"limit": 1..500 (50), "offset": n (0), "cursor": text,
//                      "filter_protocol": name, "filter_connected": bool, "search": text,
//                      "tag": text, "policy": "keep"|"normal"|"off"|"blocked",
//                      "sort": "last_seen"|"first_seen"|"latency"|"peer_id"}
//
// Sorted by `last_seen` where `sort` isn't given. `cursor` is `next_cursor` of the page before.
// Reply: `peers[]`, `pagination` {`total`, `limit`, `offset`, `has_more`, `next_cursor`}.
// Errors: invalid_argument, unsupported (a tag, or a policy other than "normal", until there are
// any), limit_reached (a reply over 16 MiB), invalid_handle, dead, forked, reentrant.
// Doesn't block on the network. Safe from any thread.
char *peerkit_list_peers(peerkit_t h, const char *options_json);

// Gives everything known of a peer.
//
// @param h             the run
// @param peer_id       the peer, in any form of a peer id
// @param options_json  NULL or {}
//
// Reply: `peer_info`.
// Errors: invalid_peer_id, peer_not_found, invalid_argument, invalid_handle, dead, forked,
// reentrant.
// Doesn't block on the network. Safe from any thread.
char *peerkit_get_peer(peerkit_t h, const char *peer_id, const char *options_json);

// Connects to a peer and waits until it has accepted.
//
// @param h             the run
// @param peer_id       the peer, in any form of a peer id; NULL where the address tells
// @param multiaddr     where to reach it, tried first; NULL where the id is enough
// @param options_json  NULL or {"cancel_token": n}
// @param timeout_ms    deadline; 0 = the configured default
//
// By id alone: at the addresses in the book; where none is known or works, the DHT is asked where
// the peer is, and then the connected peers.
// Reply: `peer_id`, `message`, `address`, `transport`, `already_connected`, `duration_ms`,
// `attempts[]` {`address`, `source`, `stage`, `code`, `error`, `hint`, `duration_ms`, and `resolved_from`
// where a name led there}, `lookups[]` {`source`, `found`, `duration_ms`, `error`}: who was asked where it is.
// Errors: dial_failed, dial_timeout, wrong_peer_id (all with `detail.attempts`), no_addresses (with
// `detail.lookups`), self_dial, blocked, limit_reached, unsupported, cancelled, busy, storage,
// timeout (of the disk), closed, invalid_argument, invalid_peer_id, invalid_multiaddr,
// invalid_handle, dead, forked, reentrant.
// Blocks until connected, failed, or out of time. Safe from any thread.
char *peerkit_connect_peer(peerkit_t h,
                           const char *peer_id,
                           const char *multiaddr,
                           const char *options_json,
                           uint32_t timeout_ms);

// Closes all connections to a peer, and keeps it that way.
//
// @param h             the run
// @param peer_id       the peer, in any form of a peer id
// @param options_json  NULL or {"cancel_token": n}
// @param timeout_ms    deadline; 0 = the configured default
//
// Nothing here dials the peer by itself any more, also after a restart, until peerkit_connect_peer
// does or the peer connects to us.
// Reply: `peer_id`, `message`, `was_connected`.
// Errors: peer_not_found, invalid_peer_id, storage, timeout, cancelled, busy, closed,
// invalid_argument, invalid_handle, dead, forked, reentrant.
// Blocks until they are closed. Safe from any thread.
char *peerkit_disconnect_peer(peerkit_t h,
                              const char *peer_id,
                              const char *options_json,
                              uint32_t timeout_ms);

// Measures the round trip time to a connected peer; it never dials.
//
// @param h             the run
// @param peer_id       the peer, in any form of a peer id
// @param options_json  NULL or {"count": 1..100 (3), "cancel_token": n}
// @param timeout_ms    deadline for all pings; 0 = the configured default
//
// Reply: `peer_id`, `rtts_ms[]`, `sent`, `received`.
// Errors: peer_not_found, not_connected, protocol (it speaks no ping), timeout (with
// `detail.rtts_ms` of the pings that were answered), cancelled, busy, closed, invalid_argument,
// invalid_peer_id, invalid_handle, dead, forked, reentrant.
// Blocks until the last answer. Safe from any thread.
char *peerkit_ping_peer(peerkit_t h,
                        const char *peer_id,
                        const char *options_json,
                        uint32_t timeout_ms);

// Gives the statistics of this node.
//
// @param h             the run
// @param options_json  NULL or {}
//
// Reply: `stats` {`total_peers`, `connected_peers`, `bootstrap_peers`, `discovery_active`,
// `total_discovered`, `protocols_supported[]`, `total_files`, `total_pins`, `last_discovery`,
// `host_id`, `uptime_seconds`, `peer_breakdown`, `dropped` (what remotes sent and was refused, by
// where it came from and why), `traffic`, `limits`}; `total_peers`, `connected_peers`,
// `discovery_active` and `protocols_supported[]` also beside it.
// Errors: invalid_argument, invalid_handle, dead, forked, reentrant.
// Doesn't block. Safe from any thread.
char *peerkit_get_peer_stats(peerkit_t h, const char *options_json);

// Runs any operation by name.
//
// @param h            the run
// @param method       the name or an alias, such as "add_peer"
// @param params_json  NULL or a JSON object of its parameters
// @param timeout_ms   deadline where the operation waits; 0 = the configured default
//
// Beside those with a function of their own, which have the same names without `peerkit_`, they are
// the following: parameters, `?` where one may be left out, and reply. All but the ones marked *
// take `cancel_token` too.
//
// The book:
//   search_peers* {query, limit? 1..10000 (1000)}: peers[], total, truncated, query
//   add_peer {peer_id?, multiaddrs[]?}: peer_info; the id may stand in the addresses
//   remove_peer {peer_id}: peer_id, removed
//   get_peers_summary* {}: total_peers, connected_peers, bootstrap_peers, discovery_active,
//     protocols {name: count}, recent_events[], stats
//   get_metrics* {}: metrics (OpenMetrics text), content_type
// Bandwidth to a connected peer and back, where it serves the perf protocol:
//   measure_bandwidth {peer_id, upload_bytes?, download_bytes? each 0..268435456 (10485760)}:
//     peer_id, upload, download {bytes, duration_ms, bytes_per_s, transport}, null where the bytes
//     are 0; protocol where it doesn't serve it
// The bootstrap list; `changed` is true where the call changed it:
//   list_bootstrap_peers* {}, add_bootstrap_peer {multiaddr}, remove_bootstrap_peer {multiaddr}:
//     bootstrap_peers[], changed
//   bootstrap_from_ipfs, bootstrap_from_cluster {api? (the configured one, else the daemon's
//     default on this machine), connect? (true)}: peers[], connected[], failed[] {peer_id, address,
//     code, error}
// Discovery; all four answer discovered_peers[] (of the last pass), total_discovered, total_peers,
// discovery_active, interval_s, last_pass, complete, recent_events[], bootstrap_peers[], and
// sources {name: {enabled, found, total_found, heard, dropped {reason: count}, last_found, note,
// last_error}}, where `note` says why the last pass found nothing by that source:
//   discover_peers {limit? 1..1000 (100), timeout? in seconds}: one pass now, also where discovery
//     doesn't run by itself
//   start_discovery*, stop_discovery*, get_discovery* {}
// This machine is on another network, and its host knows sooner than the interfaces show:
//   network_changed {}: waits_forgotten (peers that may be dialled again at once), listen_addrs[],
//     connected_peers, once the pass that it begins is over
// Peers and content, by asking others:
//   find_peer {peer_id}: peer_id, multiaddrs[], found_by "dht"|"exchange" (the connected
//     peers)|"book", lookups[]; peer_not_found with `detail.lookups` where nobody knows
//   provide {cid}: cid, duration_ms
//   find_providers {cid, limit? 1..100 (20)}: cid, peers[] {peer_id, multiaddrs[]}
// Messages; a topic has 1 to 256 bytes, a message at most 60 KiB:
//   publish {topic, data_base64}: message_id, topic; not_connected where no connected peer
//     subscribes to the topic
//   subscribe, unsubscribe {topic}: topics[], changed; messages come as events
//
// Reply: the operation's own; `method` in it is the canonical name.
// Errors: unknown_method, those of the operation, and of all: invalid_argument, invalid_handle,
// dead, forked, reentrant. Of those that wait: timeout, cancelled, busy, closed. unsupported where
// the DHT is needed and off, not_connected where it is on and knows nobody yet; storage and
// limit_reached of what is written; dial_failed, timeout, protocol and limit_reached of a daemon's
// API.
// Blocks as the operation does. Safe from any thread.
char *peerkit_call(peerkit_t h, const char *method, const char *params_json, uint32_t timeout_ms);

// Ends, with `cancelled`, all waiting calls whose options carry a token.
//
// @param h      the run
// @param token  the number the calls carry as `cancel_token`
//
// Reply: `cancelled`, how many calls those were.
// Errors: busy, closed, invalid_handle, dead, forked, reentrant.
// Doesn't block on the network. Safe from any thread.
char *peerkit_cancel(peerkit_t h, uint64_t token);

// Subscribes to everything that happens from now on, or to part of it, or to the past as well.
//
// @param h             the run
// @param options_json  NULL or such as {"since":0,"kinds":["peer_connected","peer_disconnected"]}
// @param out           set to the subscription's handle; 0 on failure
//
// `since`: begins with the events after this number that are still kept (the last 4096, or less
// where they take more than 4 MiB), and goes on with what happens from now on: no event is missed
// between the two, none comes twice. 0 asks for all that are kept. The `lagged` of the first batch
// counts those after `since` that aren't kept any more, whatever their kind.
// `kinds`: only events of these kinds; `stopped` always comes. The numbers then have gaps, and what
// a slow reader loses is counted only where it is of these kinds.
// Reply: `events_handle`; `last_seq`, the number of the last event before this call: what is
// replayed goes up to it, what happens from now on comes after it. A subscription outlives its run
// until it is closed.
// Errors: invalid_argument (also for a kind that isn't known, in `detail.nearest` the one most like
// it; and for a `since` beyond the last event of this run, which is in `detail.last_seq`: the
// number is of another run), limit_reached (1024 are open, or no descriptor is left),
// invalid_handle, dead, forked, reentrant.
// Doesn't block. Safe from any thread.
char *peerkit_events_open(peerkit_t h, const char *options_json, peerkit_events_t *out);

// Takes up to 64 events, oldest first.
//
// @param e           the subscription
// @param timeout_ms  how long to wait for the first event; 0 = not at all
//
// Reply: `events[]`, empty where nothing came in time; `lagged`, how many older events were lost
// before these because the reader was slow: 4096 events wait for it, or less where they take more
// than 8 MiB. Each event has `seq`, which rises by one, `timestamp`, `event`, its kind, `peer_id`,
// null where it is about this node, and what its kind says:
//   peer_discovered    source "user"|"bootstrap"|"mdns"|"dht"|"gossip"|"exchange" (a connected
//                      peer that was asked)|"ipfs"|"cluster"|"inbound", multiaddrs[]: a peer the
//                      book didn't know
//   peer_connected     address, direction "inbound"|"outbound", transport: its first connection
//   peer_identified    agent_version, protocols[]
//   peer_disconnected  reason "local_request"|"remote_closed"|"ping_dead"|"idle"|"trimmed"
//                      |"shutdown"|"error", inferred, error: its last connection ended
//   dial_failed        code, error, source "user"|"bootstrap"|"book": dialled for a call, as a
//                      bootstrap peer, or to have more peers connected
//   listen_addr        address, active: true where this node listens there now
//   external_addr      address, active: true where others can reach this node there
//   discovery          found {source: count}, duration_ms: a pass ended
//   message            topic, message_id, data_base64; peer_id is who signed it
//   stopped            code: the end of the run, and the last event
// Kinds and fields are only ever added. What remotes say is in the events as they said it.
// Errors: closed (the run has stopped and all was read, or the subscription was closed
// meanwhile), invalid_handle, invalid_argument, forked, reentrant.
// Blocks until an event, the end, or the deadline. Safe from any thread; each event goes to one
// of the threads that wait.
char *peerkit_events_next(peerkit_events_t e, uint32_t timeout_ms);

// Gives a descriptor that is readable while an event is queued or the run has stopped.
//
// @param e  the subscription
//
// The same descriptor at each call, close-on-exec and non-blocking. Only poll it: never read or
// close it; it is gone after peerkit_events_close. -1 for a bad handle, in a forked child, and on
// systems without such a thing.
// Doesn't block. Safe from any thread.
int peerkit_events_fd(peerkit_events_t e);

// Ends a subscription, and wakes whoever waits for its events.
//
// @param e  the subscription
//
// Reply: `already_closed`, true where it had been closed before.
// Errors: invalid_handle, forked, reentrant.
// Doesn't block. Safe from any thread.
char *peerkit_events_close(peerkit_events_t e);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* PEERKIT_H */
