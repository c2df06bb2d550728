//! The table of operations: each is defined once, here, from a name, a parameter struct, a reply
//! struct and a method of [`PeerManager`]. The C functions, `peerkit_call` and, in the program `peerkit`,
//! the MCP tools, REST routes and commands are thin views of it.
//!
//! ```
//! use peerkit::ops::{self, Effect};
//! use peerkit::{Config, PeerManager, Profile};
//!
//! let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
//! for operation in ops::catalogue().iter().filter(|operation| operation.effect == Effect::Reads) {
//!     println!("{}: {}", operation.name, operation.summary);
//! }
//! let params = serde_json::json!({ "limit": 10 });
//! let reply = ops::call(&manager, "list_peers", params.as_object().cloned().unwrap(), None);
//! assert!(reply.starts_with(r#"{"success":true,"method":"list_peers""#) && reply.len() <= ops::MAX_REPLY);
//! let status = ops::find("status")?.call(&manager, Default::default(), None);
//! assert!(status.contains(r#""state":"running""#));
//! manager.stop(None)?;
//! # Ok::<(), peerkit::Error>(())
//! ```

mod estimate;
mod json;

use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value};

pub use self::estimate::ReplySizes;
pub use self::json::MAX_REPLY;
use self::json::{failure, schema};
pub(crate) use self::json::{failure_of, parse, success};
use crate::error::{Error, ErrorKind, MAX_NAME, Result, may_be_meant, nearest};
use crate::features::{Feature, cargo_feature};
use crate::manager::{PeerManager, check_timeout};
pub use crate::model::given::{whole_numbers, wrong_value};
pub use crate::model::once::{JSON_MEMORY, Misread, read_json};
use crate::model::params::*;
use crate::model::reply::*;

/// The effect of calling an operation on the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Answers from memory, at once.
    Reads,
    /// Touches the network, the disk or the worker, and may take up to its timeout.
    Acts,
}

/// An operation of the catalogue.
///
/// ```
/// use peerkit::{Error, ErrorKind, ops};
///
/// let remove = ops::find("remove_peer")?;
/// assert!(remove.destructive && remove.idempotent && remove.takes_cancel_token());
/// assert_eq!((ops::find("publish")?.feature(), remove.feature()), (Some("gossip"), None));
/// assert!(remove.reply_schema().as_value()["properties"]["removed"].is_object());
/// let refused = Error::new(ErrorKind::Blocked, "this server only reads");
/// assert!(remove.failure(&refused).contains(r#""code":"blocked""#));
/// # Ok::<(), peerkit::Error>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The canonical name, such as `list_peers`.
    pub name: &'static str,
    /// Other names it is known by.
    pub aliases: &'static [&'static str],
    /// A sentence for a person about what it does.
    pub summary: &'static str,
    /// The effect of calling it on the world.
    pub effect: Effect,
    /// True if calling it may undo or delete something: close a connection, forget a peer, end a
    /// subscription, stop what runs. One that only adds is not destructive.
    pub destructive: bool,
    /// True if a second call with the same arguments leaves everything as the first has left it, so
    /// that a caller in doubt may call again. It may well ask the network again.
    pub idempotent: bool,
    /// True if the call itself makes this node ask, tell or dial others. One that changes only this
    /// node is not, even where discovery later acts on what it changed.
    pub open_world: bool,
    /// True if `cancel_token` is among its parameters.
    cancellable: bool,
    needs: Option<Feature>,
    params: fn(&mut SchemaGenerator) -> Schema,
    reply: fn(&mut SchemaGenerator) -> Schema,
    run: Run,
}

/// Reads JSON parameters, calls the method, writes the reply of a success.
type Run = fn(&PeerManager, Map<String, Value>, Option<Duration>) -> Result<String>;

impl Operation {
    /// Returns the JSON Schema of its parameters.
    ///
    /// ```
    /// let schema = peerkit::ops::find("get_peer")?.params_schema();
    /// assert!(schema.as_value()["properties"]["peer_id"].is_object());
    /// # Ok::<(), peerkit::Error>(())
    /// ```
    #[must_use]
    pub fn params_schema(&self) -> Schema {
        schema(self.params)
    }

    /// Returns the JSON Schema of its reply, without the envelope of a reply (`success`, `method` and so on).
    #[must_use]
    pub fn reply_schema(&self) -> Schema {
        schema(self.reply)
    }

    /// Names the feature of the crate that it needs, where that is one. In a build without it every call answers
    /// `unsupported`, and [`PeerManager`] has no method of that name.
    #[must_use]
    pub const fn feature(&self) -> Option<&'static str> {
        match self.needs {
            Some(feature) => Some(feature.name),
            None => None,
        }
    }

    /// Tells whether it takes a `cancel_token` among its parameters, by which [`PeerManager::cancel`] ends a call.
    #[must_use]
    pub const fn takes_cancel_token(&self) -> bool {
        self.cancellable
    }

    /// Runs it with JSON parameters; returns the whole JSON reply, of success or failure. Blocks as the method of
    /// [`PeerManager`] of that name does; one that reads ignores the timeout. For a caller that has found the
    /// operation already; [`call`] does the same by name.
    #[must_use]
    pub fn call(
        &self,
        manager: &PeerManager,
        params: Map<String, Value>,
        timeout: impl Into<Option<Duration>>,
    ) -> String {
        self.try_call(manager, params, timeout.into()).unwrap_or_else(|error| self.failure(&error))
    }

    /// Runs it as [`call`](Self::call) does, for a door that has words of its own for a failure's hint.
    pub(crate) fn try_call(
        &self,
        manager: &PeerManager,
        params: Map<String, Value>,
        timeout: Option<Duration>,
    ) -> Result<String> {
        timeout.map(check_timeout).transpose()?;
        (self.run)(manager, params, timeout)
    }

    /// Returns the JSON reply of a failure, for a program that doesn't let the operation run: with each list of the
    /// success there, and empty. [`refusal`] does the same by name; [`Error::new`] has an example of that.
    #[must_use]
    pub fn failure(&self, error: &Error) -> String {
        failure(self.name, error, &self.reply_schema())
    }

    // The words that may stand behind an effect in the catalogue, each a fact about the operation.

    const fn destructive(mut self) -> Self {
        self.destructive = true;
        self
    }

    const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    const fn open_world(mut self) -> Self {
        self.open_world = true;
        self
    }
}

macro_rules! operations {
    ($( $effect:ident $(($($fact:ident),+))? $name:ident [$($alias:literal),*] ($($params:ty)?) -> $reply:ty,
        $(needs $feature:tt,)? $summary:literal; )+) => {
        const CATALOGUE: &[Operation] = &[ $( Operation {
            name: stringify!($name),
            aliases: &[$($alias),*],
            summary: $summary,
            effect: Effect::$effect,
            destructive: false,
            // An operation that reads changes nothing, however often it is called.
            idempotent: matches!(Effect::$effect, Effect::Reads),
            open_world: false,
            needs: operations!(@needs $($feature)?),
            cancellable: operations!(@cancellable $effect $($params)?),
            params: <operations!(@params $($params)?)>::json_schema,
            reply: <$reply>::json_schema,
            run: operations!(@run [$($feature)?] $effect $name($($params)?)),
        } $($(.$fact())+)?, )+ ];
    };
    (@needs) => { None };
    (@needs $feature:tt) => { Some(cargo_feature!($feature)) };
    (@run [] $effect:ident $name:ident($($params:ty)?)) => {
        |manager, params, timeout| {
            let params = parse::<operations!(@params $($params)?)>(params)?;
            let reply = operations!(@call $effect manager.$name, params, timeout, $($params)?)?;
            success(stringify!($name), &reply)
        }
    };
    // Without its feature the manager has no such method.
    (@run [$feature:tt] $effect:ident $name:ident($($params:ty)?)) => {{
        #[cfg(feature = $feature)]
        let run: Run = operations!(@run [] $effect $name($($params)?));
        #[cfg(not(feature = $feature))]
        let run: Run = |_, _, _| Err(cargo_feature!($feature).absent(stringify!($name)));
        run
    }};
    // An operation that acts takes a token if it takes parameters; one that reads answers at once.
    (@cancellable Acts $params:ty) => { true };
    (@cancellable $effect:ident $($params:ty)?) => { false };
    (@params) => { NoParams };
    (@params $params:ty) => { $params };
    (@call Reads $manager:ident.$name:ident, $params:ident, $timeout:ident, ) => {{
        let _ = ($params, $timeout);
        $manager.$name()
    }};
    (@call Reads $manager:ident.$name:ident, $params:ident, $timeout:ident, $t:ty) => {{
        let _ = $timeout;
        $manager.$name($params)
    }};
    (@call Acts $manager:ident.$name:ident, $params:ident, $timeout:ident, ) => {{
        let _ = $params;
        $manager.$name($timeout)
    }};
    (@call Acts $manager:ident.$name:ident, $params:ident, $timeout:ident, $t:ty) => {
        $manager.$name($params, $timeout)
    };
}

operations! {
    Reads status []() -> Status,
        "The state of this node: its id, addresses, version and warnings.";
    Reads get_peers [](GetPeers) -> Peers,
        "Peers by connection status and text, most recently heard of first.";
    Reads list_peers [](ListPeers) -> PeerPage,
        "A page of peers, filtered and sorted.";
    Reads get_peer ["get_peer_info"](GetPeer) -> PeerReply,
        "Everything known of a peer.";
    Reads search_peers [](SearchPeers) -> SearchResult,
        "Peers whose id, addresses, protocols or agent contain a text.";
    Acts(idempotent, open_world) connect_peer [](ConnectPeer) -> Connected,
        "Connects to a peer by id, address or both, and waits until it has accepted.";
    Acts(destructive, idempotent, open_world) disconnect_peer [](DisconnectPeer) -> Disconnected,
        "Closes all connections to a peer.";
    Acts(idempotent, open_world) ping_peer [](PingPeer) -> Pinged,
        "Measures the round trip time to a connected peer.";
    Acts(idempotent, open_world) measure_bandwidth [](MeasureBandwidth) -> Bandwidth,
        "Measures how fast bytes go to a connected peer that serves it, and come from it.";
    Acts(idempotent) add_peer [](AddPeer) -> PeerReply,
        "Makes a peer known, or adds addresses to one.";
    Acts(destructive, idempotent, open_world) remove_peer [](RemovePeer) -> Removed,
        "Disconnects a peer and forgets everything about it.";
    Reads list_bootstrap_peers []() -> BootstrapPeers,
        "The bootstrap list.";
    Acts(idempotent, open_world) add_bootstrap_peer [](BootstrapPeer) -> BootstrapPeers,
        "Adds an address to the bootstrap list.";
    Acts(destructive, idempotent, open_world) remove_bootstrap_peer [](BootstrapPeer) -> BootstrapPeers,
        "Takes an address off the bootstrap list.";
    Acts(open_world) bootstrap_from_ipfs [](BootstrapFrom) -> FromDaemon, needs "daemons",
        "Adds the peers of the Kubo daemon beside this node, and connects to them.";
    Acts(open_world) bootstrap_from_cluster [](BootstrapFrom) -> FromDaemon, needs "daemons",
        "Adds the members of the ipfs-cluster beside this node, and connects to them.";
    Acts(open_world) discover_peers [](DiscoverPeers) -> Discovery,
        "Looks for peers now, by every source that is on.";
    Acts(idempotent, open_world) start_discovery []() -> Discovery,
        "Lets discovery run by itself.";
    Acts(destructive, idempotent, open_world) stop_discovery []() -> Discovery,
        "Stops discovery: nothing is asked, announced or dialled by itself until it is started again.";
    Reads get_discovery []() -> Discovery,
        "What discovery has found, by source.";
    Acts(idempotent, open_world) network_changed [](NetworkChange) -> NetworkChanged,
        "Tells the node that this machine is on another network: what failed before is tried at once.";
    Acts(idempotent, open_world) find_peer [](FindPeer) -> PeerFound,
        "Asks the DHT and the connected peers where a peer is.";
    Acts(idempotent, open_world) provide [](Provide) -> Provided, needs "dht",
        "Tells the DHT that this node has some content.";
    Acts(idempotent, open_world) find_providers [](FindProviders) -> Providers, needs "dht",
        "Asks the DHT who has some content.";
    Acts(open_world) publish [](Publish) -> Published, needs "gossip",
        "Publishes a message on a topic.";
    Acts(idempotent, open_world) subscribe [](Topic) -> Topics, needs "gossip",
        "Subscribes to a topic; its messages come as events.";
    Acts(destructive, idempotent, open_world) unsubscribe [](Topic) -> Topics, needs "gossip",
        "Ends the subscription to a topic.";
    Reads get_peer_stats []() -> StatsReply,
        "The statistics of this node.";
    Reads get_peers_summary []() -> Summary,
        "Totals, protocols, the last events and the statistics.";
    Reads get_metrics []() -> Metrics, needs "metrics",
        "Metrics of this node and of libp2p for a monitoring system, as OpenMetrics text.";
}

/// Returns all operations, those that need a feature this build is without included. The module has an example.
#[must_use]
pub fn catalogue() -> &'static [Operation] {
    CATALOGUE
}

/// Finds the operation of a name or alias.
///
/// # Errors
/// `unknown_method`, with the nearest name in `detail.nearest`.
///
/// ```
/// use peerkit::ops;
///
/// assert_eq!(ops::find("get_peer_info")?.name, "get_peer");
/// assert_eq!(ops::find("list_pers").unwrap_err().detail()["nearest"], "list_peers");
/// # Ok::<(), peerkit::Error>(())
/// ```
pub fn find(name: &str) -> Result<&'static Operation> {
    let known = |op: &&Operation| op.name == name || op.aliases.contains(&name);
    CATALOGUE.iter().find(known).ok_or_else(|| {
        let quoted: String = name.chars().take(MAX_NAME).collect();
        let error =
            Error::new(ErrorKind::UnknownMethod, format!("there is no operation `{quoted}`"));
        match nearest(name, CATALOGUE.iter().map(|op| op.name)) {
            Some(near) if may_be_meant(name, near) => {
                error.with("nearest", near).with_hint(format!("did you mean `{near}`?"))
            }
            Some(near) => error.with("nearest", near),
            None => error,
        }
    })
}

/// Runs the operation of a name or alias with JSON parameters; returns the whole JSON reply, of success
/// or failure, an unknown name among the failures. Blocks as the method of that name does, until the timeout at
/// the latest; `None` is the configured default. The module has an example.
#[must_use]
pub fn call(
    manager: &PeerManager,
    method: &str,
    params: Map<String, Value>,
    timeout: impl Into<Option<Duration>>,
) -> String {
    match find(method) {
        Ok(op) => op.call(manager, params, timeout),
        Err(error) => failure_of::<NoParams>("call", &error),
    }
}

/// Returns the JSON reply of a failure for an operation that a program doesn't let run, by name or alias; for a
/// name that doesn't exist the reply's `method` is `call`. [`Error::new`] has an example.
#[must_use]
pub fn refusal(method: &str, error: &Error) -> String {
    match find(method) {
        Ok(op) => op.failure(error),
        Err(_) => failure_of::<NoParams>("call", error),
    }
}

#[cfg(test)]
mod tests {
    use super::json::property_names;
    use super::*;
    use crate::error::invalid_argument;

    const ENVELOPE: &[&str] = &[
        "success",
        "method",
        "category",
        "error",
        "code",
        "retryable",
        "hint",
        "detail",
        "source",
    ];

    #[test]
    fn no_reply_field_is_called_like_an_envelope_field() {
        for op in catalogue() {
            for name in property_names(&op.reply_schema()) {
                assert!(!ENVELOPE.contains(&name.as_str()), "{}: {name}", op.name);
            }
        }
    }

    #[test]
    fn an_operation_takes_a_cancel_token_where_its_schema_has_one() {
        for op in catalogue() {
            let names = property_names(&op.params_schema());
            let has = names.iter().any(|name| name == "cancel_token");
            assert_eq!(op.takes_cancel_token(), has, "{}", op.name);
        }
        assert!(find("connect_peer").unwrap().takes_cancel_token());
        // Asserted while compiling: each call that acts asks this, and a schema takes longer than many a call.
        const _: () = assert!(!CATALOGUE[0].takes_cancel_token());
    }

    #[test]
    fn replies_hide_nothing_and_keep_the_values() {
        let agent = "kubo\u{202e}\u{200b}\u{e0041}";
        let told = success("x", &serde_json::json!({ "agent": agent })).unwrap();
        let failed =
            failure("x", &invalid_argument("no").with("key", agent), &schema(|_| true.into()));
        for (reply, place) in [(told, "/agent"), (failed, "/detail/key")] {
            assert!(reply.is_ascii(), "{reply}");
            let reply: Value = serde_json::from_str(&reply).unwrap();
            assert_eq!(reply.pointer(place).unwrap(), agent);
        }
    }

    #[test]
    fn failures_have_the_empty_arrays_of_the_success() {
        let error = invalid_argument("no");
        let reply: Value =
            serde_json::from_str(&find("get_peers").unwrap().failure(&error)).unwrap();
        assert_eq!(reply["peers"], Value::Array(Vec::new()));
        assert_eq!(reply["code"], "invalid_argument");
    }

    #[test]
    fn names_and_aliases_are_found_and_near_misses_suggested() {
        assert_eq!(find("get_peer_info").unwrap().name, "get_peer");
        assert_eq!(find("list_peer").unwrap_err().detail()["nearest"], "list_peers");
    }

    #[test]
    fn an_unknown_parameter_is_named_with_the_nearest() {
        let params = serde_json::json!({ "limti": 3 });
        let error = parse::<ListPeers>(params.as_object().unwrap().clone()).unwrap_err();
        assert_eq!(error.detail()["key"], "limti");
        assert_eq!(error.detail()["nearest"], "limit");
    }

    #[test]
    fn options_of_subscriptions_are_read_like_parameters() {
        let options = |json: &str| parse::<EventsOptions>(serde_json::from_str(json).unwrap());
        assert_eq!(options(r#"{"since": 2e2}"#).unwrap().since, Some(200));
        let error = options(r#"{"since": "200"}"#).unwrap_err();
        assert_eq!(error.message(), "`since` must be a whole number, 0 or more, not \"200\"");
        assert_eq!(error.hint(), Some("write it without quotes: 200"));
    }
}
