//! Event subscriptions.

use std::ffi::{c_char, c_int};
use std::time::Duration;

use super::lifecycle::peerkit_t;
use super::{guard, set, subscriptions, text};
use crate::manager::PeerManager;
use crate::model::event::EventBatch;
use crate::model::reply::{EventsClosed, EventsOpened};
use crate::ops;

/// An event subscription: a number below 2^53, never reused; 0 is invalid.
pub type peerkit_events_t = u64;

/// Subscribes to everything that happens from now on, or to part of it, or to the past as well.
///
/// @param h             the run
/// @param options_json  NULL or such as {"since":0,"kinds":["peer_connected","peer_disconnected"]}
/// @param out           set to the subscription's handle; 0 on failure
///
/// `since`: begins with the events after this number that are still kept (4096, or less where they
/// take more than 4 MiB; each kind has a share of that which no other kind can take, so that no remote
/// decides how much of the past there is), and goes on with what happens from now on: no event is
/// missed between the two, none comes twice. 0 asks for all that are kept. The `lagged` of the first
/// batch counts those after `since` that aren't kept any more; with `kinds` it is 0 only where none
/// of these is lost, and may count some of them that came before `since`.
/// `kinds`: only events of these kinds; `stopped` always comes. The numbers then have gaps, and what
/// a slow reader loses is counted only where it is of these kinds.
/// Reply: `events_handle`; `last_seq`, the number of the last event before this call: what is
/// replayed goes up to it, what happens from now on comes after it. A subscription outlives its run
/// until it is closed.
/// Errors: invalid_argument (also for a kind that isn't known, in `detail.nearest` the one most like
/// it; and for a `since` beyond the last event of this run, which is in `detail.last_seq`: the
/// number is of another run), limit_reached (1024 are open, or no descriptor is left),
/// invalid_handle, dead, forked, reentrant.
/// Doesn't block. Safe from any thread.
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
        let events = manager.events_with(ops::parse(options)?)?;
        let last_seq = events.last_seq();
        let events_handle = subscriptions::insert(events);
        // SAFETY: `out` was found not to be NULL, and is writable as the caller promises.
        unsafe { set(out, events_handle) };
        Ok(EventsOpened { events_handle, last_seq })
    })
}

/// Takes up to 64 events, oldest first.
///
/// @param e           the subscription
/// @param timeout_ms  how long to wait for the first event; 0 = not at all
///
/// Reply: `events[]`, empty where nothing came in time; `lagged`, how many older events were lost
/// before these because the reader was slow: 4096 events wait for it, or less where they take more
/// than 8 MiB. Each event has `seq`, which rises by one, `timestamp`, `event`, its kind, `peer_id`,
/// null where it is about this node, and what its kind says:
///   peer_discovered    source "user"|"bootstrap"|"mdns"|"dht"|"gossip"|"exchange" (a connected
///                      peer that was asked)|"ipfs"|"cluster"|"inbound", multiaddrs[]: a peer the
///                      book didn't know
///   peer_connected     address, direction "inbound"|"outbound", transport: its first connection
///   peer_identified    agent_version, protocols[], coalesced: the number of changes before this one
///                      that have no event, since the peer changes more often than once a second
///   peer_disconnected  reason "local_request"|"remote_closed"|"ping_dead"|"idle"|"trimmed"
///                      |"over_budget"|"shutdown"|"error", inferred, error: its last connection
///                      ended
///   dial_failed        code, error, source "user"|"bootstrap"|"book": dialled for a call, as a
///                      bootstrap peer, or to have more peers connected
///   connections_refused  reasons {reason: count}: inbound ones, since the event before; one
///                      in 10 s at most
///   listen_addr        address, active: true where this node listens there now
///   external_addr      address, active: true where others can reach this node there
///   discovery          found {source: count}, duration_ms: a pass ended
///   message            topic, message_id, data_base64; peer_id is who signed it
///   stopped            code: the end of the run, and the last event
/// Kinds and fields are only ever added. What remotes say is in the events as they said it.
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

/// Gives a descriptor that is readable while an event is queued or the run has stopped.
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
    guard::answer("events_close", || Ok(EventsClosed { already_closed: !subscriptions::close(e)? }))
}
