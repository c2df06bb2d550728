//! The control socket: a running manager serves other processes of the same user, and [`Client`] is
//! their side of it.
//!
//! A manager started with `control_socket: true` and a `data_dir` listens at a Unix socket that only
//! its own user can connect to: `control.sock` in the data directory, or where that path is too long
//! for a socket, a file in `$XDG_RUNTIME_DIR`, or else in `peerkit-UID` among the temporary files. The
//! second line of the file `lock` in the directory says where.
//!
//! ```no_run
//! # fn main() -> peerkit::Result<()> {
//! use std::time::Duration;
//! use peerkit::control::Client;
//! use peerkit::event::Kind;
//! use peerkit::params::EventsOptions;
//!
//! let owner = Client::attach("/home/me/.peerkit", Duration::from_secs(5))?;
//! println!("process {} runs {}", owner.pid(), owner.peer_id());
//! println!("{}", owner.call("list_peers", serde_json::Map::new(), None)?);
//! let events = owner.events(&EventsOptions::new().kinds([Kind::PeerConnected]))?;
//! for event in events.next(Duration::from_secs(60))?.events {
//!     println!("{:?} is connected", event.peer_id);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Protocol, version 1
//! Lines of JSON in UTF-8, each ended by a line feed. The client speaks first:
//!
//! ```text
//! client  {"peerkit":1,"version":"0.1.0"}
//! server  {"peerkit":1,"version":"0.1.0","peer_id":"12D3…","pid":123,"default_timeout_ms":30000}
//! ```
//!
//! A server that won't serve it answers `{"peerkit":1,"version":…,"error":…,"code":…}` and closes:
//! `unsupported` where it doesn't speak that number, `busy` where 64 connections are open. Then the
//! client asks, one question at a time, and opens further connections to ask several at once:
//!
//! ```text
//! client  {"call":"list_peers","params":{"limit":2},"timeout_ms":0}
//! server  {"success":true,"method":"list_peers",…}
//! client  {"cancel":7}
//! server  {"success":true,"method":"cancel",…,"cancelled":1}
//! client  {"events":{"since":0,"kinds":["peer_connected"]}}
//! server  {"success":true,"last_seq":17}
//! server  {"events":[…],"lagged":0}
//! ```
//!
//! A call's reply is that of `peerkit_call`; a `timeout_ms` of 0, or none, is the owner's default. A
//! request may take 1 MiB and 4 KiB for what is around the parameters, a reply 16 MiB and 64 KiB. After
//! `events` come only batches, one at least every second, with no events in it where none happened,
//! until either side closes. A subscription that can't be had is answered by a failure, and the
//! connection goes on. A client that closes while its call waits has the call cancelled, unless it gave
//! a `cancel_token` of its own: a connection may not end calls of others that share the token.
//! `"cancel_on_hangup":true` beside `call` says that no other call has it, and that this one ends too. Replies
//! that wait to be read have 8 MiB together, requests 16 MiB: beyond that a call fails with `limit_reached`, and a
//! client that doesn't read is closed when another one waits for its room. Fields
//! are only ever added; a reader ignores those it doesn't know.

// To read the source: `server` opens the socket and accepts, `sessions` knows who is connected,
// `session` serves one of them, within the `room` there is for replies and requests; `client` has the connections of an attached process, `connection` opens
// one, `attach` finds the owner, `remote_events` its subscriptions; `message` has the messages, `wire`
// their lines, and `socket` the file and who may connect to it.

mod attach;
mod client;
mod connection;
// A server alone says or hears half of it.
#[cfg_attr(not(unix), allow(dead_code))]
mod message;
mod remote_events;
#[cfg(unix)]
mod room;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod session;
#[cfg(unix)]
mod sessions;
mod socket;
#[cfg(not(unix))]
mod unsupported;
#[cfg_attr(not(unix), allow(dead_code))]
mod wire;

pub use self::client::Client;
pub use self::remote_events::RemoteEvents;
#[cfg(unix)]
pub(crate) use self::server::Server;
#[cfg(unix)]
pub(crate) use self::sessions::Sessions;
#[cfg(not(unix))]
pub(crate) use self::unsupported::{Server, Sessions};
