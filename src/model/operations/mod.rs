//! Parameters and replies of the operations, a file for each topic: an operation's parameters
//! stand beside its reply, so that adding one is adding both there and a line in `ops`. [`params`] and
//! [`reply`] show them to the outside, sorted by who sends.
//!
//! A field's documentation is its description in the JSON Schema.

/// Declares a parameter struct, in the form of its constructor: what an operation can't do without stands
/// in parentheses, what may be left out in braces, with a builder method for each. Without parentheses
/// the constructors are written by hand.
///
/// Behind `=` stands what Rust may give instead of the type that is kept, behind that in brackets what
/// serde and schemars have to know. All are kept as options: JSON may lack any of them, and it is the
/// call that says which is missing.
macro_rules! params {
    ( $(#[$meta:meta])* $name:ident { $($optional:tt)* } ) => {
        params! { @struct $(#[$meta])* $name () { $($optional)* } }
    };
    ( $(#[$meta:meta])* $name:ident () { $($optional:tt)* } ) => {
        impl $name {
            /// Creates parameters with nothing set.
            pub fn new() -> Self {
                Self::default()
            }
        }

        params! { @struct $(#[$meta])* #[derive(Default)] $name () { $($optional)* } }
    };
    (
        $(#[$meta:meta])* $name:ident
        ( $( $(#[$rdoc:meta])* $needed:ident : $rty:ty $(= $rarg:ident)? $([ $($rattr:meta),+ ])?, )+ )
        { $( $(#[$doc:meta])* $vis:vis $field:ident : $ty:ty $(= $arg:ident)? $([ $($attr:meta),+ ])?, )* }
    ) => {
        impl $name {
            /// Creates parameters with what the operation needs.
            ///
            $( #[doc = concat!("- `", stringify!($needed), "`:")] $(#[$rdoc])* )+
            pub fn new($( $needed: params!(@arg $rty $(, $rarg)?) ),+) -> Self {
                $name {
                    $( $needed: Some(params!(@value $needed $(, $rarg)?)), )+
                    $( $field: None, )*
                }
            }
        }

        params! { @struct
            $(#[$meta])* $name
            ( $( $(#[$rdoc])* $needed : $rty $([ $($rattr),+ ])?, )+ )
            { $( $(#[$doc])* $vis $field : $ty $(= $arg)? $([ $($attr),+ ])?, )* }
        }
    };
    (
        @struct $(#[$meta:meta])* $name:ident
        ( $( $(#[$rdoc:meta])* $needed:ident : $rty:ty $([ $($rattr:meta),+ ])?, )* )
        { $( $(#[$doc:meta])* $vis:vis $field:ident : $ty:ty $(= $arg:ident)? $([ $($attr:meta),+ ])?, )* }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[must_use = "parameters do nothing until an operation gets them"]
        #[non_exhaustive]
        pub struct $name {
            $(
                $(#[$rdoc])* $( $(#[$rattr])+ )? #[serde(skip_serializing_if = "Option::is_none")]
                pub(crate) $needed: Option<$rty>,
            )*
            $(
                $(#[$doc])* $( $(#[$attr])+ )? #[serde(skip_serializing_if = "Option::is_none")]
                $vis $field: Option<$ty>,
            )*
        }

        impl $name {
            $(
                $(#[$doc])*
                pub fn $field(mut self, $field: params!(@arg $ty $(, $arg)?)) -> Self {
                    self.$field = Some(params!(@value $field $(, $arg)?));
                    self
                }
            )*
        }
    };
    // A number's own type: `impl Into<u32>` would refuse a plain `50`, which is an i32 until told.
    (@arg $ty:ty) => { $ty };
    (@arg $ty:ty, text) => { impl Into<String> };
    (@arg $ty:ty, bytes) => { impl Into<Vec<u8>> };
    (@arg $ty:ty, kinds) => { impl IntoIterator<Item = Kind> };
    (@arg $ty:ty, seconds) => { Duration };
    (@arg $ty:ty, peer) => { impl PeerIdArg };
    (@arg $ty:ty, address) => { impl MultiaddrArg };
    (@arg $ty:ty, addresses) => { impl IntoIterator<Item = impl MultiaddrArg> };
    (@value $value:ident) => { $value };
    (@value $value:ident, text) => { $value.into() };
    (@value $value:ident, bytes) => { Data::Bytes($value.into()) };
    (@value $value:ident, kinds) => { $value.into_iter().map(|kind| kind.to_string()).collect() };
    (@value $value:ident, seconds) => { $value.as_secs_f64() };
    (@value $value:ident, peer) => { PeerIdArg::into_text($value) };
    (@value $value:ident, address) => { MultiaddrArg::into_text($value) };
    (@value $value:ident, addresses) => { $value.into_iter().map(MultiaddrArg::into_text).collect() };
}

mod args;
mod book;
mod connections;
mod discovery;
mod events;
mod lookup;
mod node;
mod pubsub;

/// Parameters: a struct for each operation that has any. The constructor takes what the operation needs, a
/// builder method each thing that may be left out. In JSON they are objects with the same names.
///
/// ```
/// use peerkit::params::PingPeer;
///
/// let ping = PingPeer::new("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA").count(5);
/// assert_eq!(ping.count, Some(5));
/// assert_eq!(serde_json::to_value(&ping).unwrap()["count"], 5);
/// ```
pub mod params {
    pub use super::args::{MultiaddrArg, PeerIdArg};
    pub use super::book::params::*;
    pub use super::connections::params::*;
    pub use super::discovery::params::*;
    pub use super::events::params::*;
    pub use super::lookup::params::*;
    pub use super::node::params::*;
    pub use super::pubsub::params::*;
}

/// Replies: a struct for each operation. In JSON, as [`ops::call`](crate::ops::call) gives it, `success`,
/// `method` and the rest of an envelope stand beside these fields. In JSON a `None` is null.
///
/// A program that gets JSON, from a node in another process, reads it into the same structs:
///
/// ```
/// use peerkit::ops;
/// use peerkit::reply::StatsReply;
/// # use peerkit::{Config, PeerManager, Profile};
/// # let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
///
/// let json = ops::call(&manager, "get_peer_stats", Default::default(), None);
/// let stats = serde_json::from_str::<StatsReply>(&json).unwrap().stats;
/// println!("{} peers connected, at most {} connections", stats.connected_peers, stats.limits.max_connections);
/// # manager.stop(None)?;
/// # Ok::<(), peerkit::Error>(())
/// ```
///
/// A peer:
///
/// ```
/// use peerkit::event::DisconnectReason;
/// use peerkit::{Direction, PeerInfo, Policy, Source, TransportKind};
///
/// fn show(known: &PeerInfo) {
///     println!("{} {:?}", known.row.peer_id, known.row.agent_version);
///     for open in &known.connections {
///         let by_us = open.direction == Direction::Outbound;
///         println!("{} over QUIC: {}, by us: {by_us}", open.address, open.transport == TransportKind::Quic);
///     }
///     if let (false, Some(end)) = (known.row.connected, &known.last_disconnect) {
///         let silent = end.reason == DisconnectReason::PingDead;
///         println!("gone since {}, silently: {silent}", end.at.as_secs_f64());
///     }
///     if known.policy == Policy::Normal && known.sources.contains(&Source::Mdns) {
///         println!("it is on this network");
///     }
/// }
/// ```
///
/// The reasons of a failed connect:
///
/// ```
/// use peerkit::{Attempt, DialStage, Error};
///
/// /// Tells why a connect failed, by the `detail.attempts` of its error.
/// fn explain(error: &Error) -> serde_json::Result<()> {
///     let attempts = error.detail().get("attempts").cloned().unwrap_or_else(|| serde_json::json!([]));
///     for Attempt { address, stage, error, hint, .. } in serde_json::from_value::<Vec<Attempt>>(attempts)? {
///         match stage {
///             Some(DialStage::Skipped) => println!("{address}: not tried"),
///             _ => println!("{address}: {stage:?}: {error:?} ({hint:?})"),
///         }
///     }
///     Ok(())
/// }
/// ```
pub mod reply {
    pub use super::book::reply::*;
    pub use super::connections::reply::*;
    pub use super::discovery::reply::*;
    pub use super::events::reply::*;
    pub use super::lookup::reply::*;
    pub use super::node::reply::*;
    pub use super::pubsub::reply::*;
}
