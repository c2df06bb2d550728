//! The one catalogue of error codes and the one error type.
//!
//! Everything that can go wrong in peerkit is an [`Error`] with an [`ErrorKind`]; the kind's
//! [`as_str`](ErrorKind::as_str) is the `code` in every JSON reply, so C, Rust, the command line
//! and MCP speak of the same thing by the same name. No other module defines a code.
//!
//! A hint is neutral: it names no function, command or route, for the same error is read in C, in a
//! terminal, by an agent and over HTTP. Each of these doors says the general hint of a kind in its own
//! words (`ffi/hints.rs` those of C).

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use std::{error, fmt, io};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::text::visible;

macro_rules! error_kinds {
    ($( $(#[doc = $doc:expr])+ $variant:ident = $code:literal, retryable: $retry:literal, hint: $hint:expr; )+) => {
        /// The kind of a failure. New kinds may be added in any release.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ErrorKind {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl ErrorKind {
            /// Every kind there is, in catalogue order.
            ///
            /// ```
            /// use peerkit::ErrorKind;
            ///
            /// for kind in ErrorKind::ALL.iter().filter(|kind| kind.retryable()) {
            ///     println!("{kind}: {}", kind.hint().unwrap_or("try again"));
            /// }
            /// assert_eq!(ErrorKind::DialFailed.as_str(), "dial_failed");
            /// ```
            pub const ALL: &'static [ErrorKind] = &[ $( ErrorKind::$variant, )+ ];

            /// Returns the stable code, as it stands in the `code` field of a JSON reply.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( ErrorKind::$variant => $code, )+ }
            }

            /// Tells whether the same call may succeed later with nothing changed by the caller.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $( ErrorKind::$variant => $retry, )+ }
            }

            /// Says what can be done about it, where there is one answer for the whole kind.
            #[must_use]
            pub const fn hint(self) -> Option<&'static str> {
                match self { $( ErrorKind::$variant => $hint, )+ }
            }
        }
    };
}

error_kinds! {
    /// A parameter is missing, of the wrong type, out of range, unknown, or contradicts another.
    InvalidArgument = "invalid_argument", retryable: false, hint: None;
    /// The handle is zero, of a run that was stopped, or of another kind.
    InvalidHandle = "invalid_handle", retryable: false, hint: Some("use the manager that runs now, or start one");
    /// The text is no libp2p peer id in any form.
    InvalidPeerId = "invalid_peer_id", retryable: false, hint: Some("a peer id looks like 12D3KooW…, 16Uiu2…, Qm…, bafz… or k51…");
    /// The text is no multiaddr that a peer could be reached at.
    InvalidMultiaddr = "invalid_multiaddr", retryable: false, hint: Some("an address looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3KooW…");
    /// There is no operation of that name; `detail.nearest` is the one most like it.
    UnknownMethod = "unknown_method", retryable: false, hint: None;
    /// Known, but not in this build or version; `detail.feature` names the crate's feature to build with, where
    /// there is one.
    Unsupported = "unsupported", retryable: false, hint: None;
    /// No manager runs in this process.
    NotRunning = "not_running", retryable: false, hint: Some("start a node first");
    /// A key of the configuration is unknown, has a value that it can't have, or contradicts another; `detail.key`
    /// names it.
    ConfigInvalid = "config_invalid", retryable: false, hint: None;
    /// The manager already runs with other values for keys that this start names: `detail.keys`.
    ConfigConflict = "config_conflict", retryable: false, hint: Some("start without these keys, or stop the running manager first");
    /// The private key can't be read or is damaged.
    Identity = "identity", retryable: false, hint: None;
    /// Another live peerkit owns the data directory: `detail.pid`.
    DataDirLocked = "data_dir_locked", retryable: true, hint: Some("stop the process named in detail.pid, or use another data_dir");
    /// The data directory, or a file in it, can't be read or written, its disk is full, or others may write it.
    Storage = "storage", retryable: true, hint: None;
    /// The peer book on disk is damaged.
    StorageCorrupt = "storage_corrupt", retryable: false, hint: None;
    /// The peer book on disk was written by a newer peerkit.
    StorageVersion = "storage_version", retryable: false, hint: Some("use the peerkit that wrote it, or another data_dir");
    /// An address to listen on can't be had.
    ListenFailed = "listen_failed", retryable: true, hint: Some("choose a free port, or port 0 to let the system choose");
    /// The book has no such peer.
    PeerNotFound = "peer_not_found", retryable: false, hint: Some("add the peer, or connect to it at an address: then it is known");
    /// No address of the peer is known.
    NoAddresses = "no_addresses", retryable: false, hint: Some("give a multiaddr beside the peer id");
    /// The peer or address is this node itself.
    SelfDial = "self_dial", retryable: false, hint: None;
    /// The operation needs a connection and there is none.
    NotConnected = "not_connected", retryable: false, hint: Some("connect to the peer first");
    /// No address led to the peer; `detail.attempts` has the reason for each.
    DialFailed = "dial_failed", retryable: true, hint: Some("detail.attempts lists each address with the stage it failed at");
    /// No address answered in time.
    DialTimeout = "dial_timeout", retryable: true, hint: Some("the addresses may be stale, or a firewall drops the packets");
    /// Another peer answered than the one that was asked for.
    WrongPeerId = "wrong_peer_id", retryable: false, hint: Some("the address belongs to another peer now; detail.attempts says which");
    /// Not allowed: the address by the profile, or the call by the server that was asked.
    Blocked = "blocked", retryable: false, hint: None;
    /// A limit is reached: one of the configuration, one of the library's own, or the system's on descriptors and
    /// threads.
    LimitReached = "limit_reached", retryable: true, hint: None;
    /// The remote, or the daemon beside this node, broke a protocol or doesn't speak it.
    Protocol = "protocol", retryable: false, hint: None;
    /// Too much is under way: calls to the worker or the disk, pings, questions to a daemon, connections to a control
    /// socket.
    Busy = "busy", retryable: true, hint: Some("wait for calls in flight to end, then try again");
    /// The deadline passed.
    Timeout = "timeout", retryable: true, hint: None;
    /// The caller cancelled the call by its token.
    Cancelled = "cancelled", retryable: true, hint: None;
    /// The manager stopped, or the subscription ended, before or while the call waited.
    Closed = "closed", retryable: false, hint: None;
    /// This process is a forked child of one that called `start`.
    Forked = "forked", retryable: false, hint: Some("a forked child can't use its parent's manager: exec first, or start peerkit only in the child");
    /// The call came from one of peerkit's own threads, which would wait for itself.
    Reentrant = "reentrant", retryable: false, hint: None;
    /// peerkit has a bug: the call panicked.
    Panic = "panic", retryable: false, hint: Some("this is a bug in peerkit; stop and start again");
    /// The manager has panicked earlier, and answers nothing more.
    Dead = "dead", retryable: false, hint: Some("stop the node, then start it again");
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes text for a person of a message, in which a remote may have a say.
fn shown(text: impl Into<String>) -> String {
    let text = text.into();
    match visible(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(shown) => shown,
    }
}

/// The reason an operation failed. Cheap to move; its JSON form is the failure reply of the C ABI.
///
/// The message is whole: it says all that a [`source`](error::Error::source) would add. An error has a
/// source where the system refused something, an [`io::Error`].
///
/// ```
/// use peerkit::{ErrorKind, PeerManager};
///
/// match PeerManager::current() {
///     Ok(manager) => println!("{} runs", manager.peer_id()),
///     Err(error) if error.kind() == ErrorKind::NotRunning => println!("none runs"),
///     Err(error) if error.retryable() => println!("later, perhaps: {error}"),
///     Err(error) => println!("{error}; {} {:?}", error.hint().unwrap_or(""), error.detail()),
/// }
/// ```
///
/// In a function that answers [`io::Result`], `?` turns it into the [`io::ErrorKind`] that comes closest:
///
/// ```
/// fn our_id() -> std::io::Result<peerkit::PeerId> {
///     Ok(peerkit::PeerManager::current()?.peer_id())
/// }
/// assert_eq!(our_id().unwrap_err().kind(), std::io::ErrorKind::NotConnected);
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    detail: Map<String, Value>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

/// `Result` with peerkit's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Makes an error of `kind` whose `message` tells a person what happened. Public for programs that
    /// serve the operations to others and answer in the library's manner. What can't be seen in it is written out
    /// ([`text::visible`](crate::text::visible)): a part of it may be a remote's.
    ///
    /// ```
    /// use peerkit::{Error, ErrorKind, ops};
    ///
    /// let error = Error::new(ErrorKind::Blocked, "this server only reads")
    ///     .with("operation", "connect_peer")
    ///     .with_hint("ask who runs it");
    /// let reply = ops::refusal("connect_peer", &error);
    /// assert!(reply.starts_with(r#"{"success":false,"method":"connect_peer""#));
    /// ```
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let (message, detail) = (shown(message), Map::new());
        Error(Box::new(Inner { kind, message, hint: None, detail, source: None }))
    }

    /// Makes the error for a thread that the system doesn't give, for a program that makes threads of its own
    /// beside the node's: `limit_reached`, with a hint that speaks of threads.
    ///
    /// ```
    /// use peerkit::{Error, ErrorKind};
    ///
    /// let refused = std::io::Error::from(std::io::ErrorKind::WouldBlock);
    /// assert_eq!(Error::no_thread(&refused).kind(), ErrorKind::LimitReached);
    /// ```
    #[must_use]
    pub fn no_thread(error: &io::Error) -> Self {
        Error::new(ErrorKind::LimitReached, format!("no thread to be had: {error}"))
            .caused_by(error)
            .with_hint(
                "the limit on threads is reached, this user's or the container's, or memory is short: \
                 raise it, or try again once other programs have ended",
            )
    }

    /// Adds a machine-readable fact under `detail`.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.detail.insert(key.to_owned(), value.into());
        self
    }

    /// Replaces the kind's general hint by one for this case; it should name no function, command or route.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(shown(hint));
        self
    }

    /// Says which file of the user's it is about.
    pub(crate) fn in_file(mut self, path: &Path) -> Self {
        let path = path.display().to_string();
        self.0.message = format!("{}: {}", visible(&path), self.0.message);
        self.with("path", path)
    }

    /// Keeps the error that caused this one as its [`source`](error::Error::source). The message should say
    /// it too: in JSON there is no source.
    ///
    /// ```
    /// use peerkit::{Error, ErrorKind};
    ///
    /// let cause = std::io::Error::from(std::io::ErrorKind::StorageFull);
    /// let error = Error::new(ErrorKind::Storage, format!("no backup was made: {cause}")).with_source(cause);
    /// assert!(error.message().starts_with("no backup"));
    /// assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::StorageFull);
    /// ```
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn error::Error + Send + Sync + 'static>>,
    ) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Keeps a copy of an error of the system as the source, for a caller that needs the original.
    pub(crate) fn caused_by(self, error: &io::Error) -> Self {
        self.with_source(match error.raw_os_error() {
            Some(number) => io::Error::from_raw_os_error(number),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// Returns the kind of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns what happened, in words for a person; may quote addresses and file names, never a secret.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Tells whether the same call may succeed later with nothing changed by the caller.
    #[must_use]
    pub fn retryable(&self) -> bool {
        self.0.kind.retryable()
    }

    /// Says what to do about it, if there is something to be done.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref().or(self.0.kind.hint())
    }

    /// Returns machine-readable facts, such as `attempts` of a failed dial or the `pid` of a lock's holder.
    #[must_use]
    pub fn detail(&self) -> &Map<String, Value> {
        &self.0.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Error");
        shown.field("kind", &self.0.kind).field("message", &self.0.message);
        shown.field("detail", &self.0.detail);
        if let Some(source) = &self.0.source {
            shown.field("source", source);
        }
        shown.finish()
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn error::Error + 'static))
    }
}

/// The kind is that of the system's own error where one was the cause, else the one that comes closest;
/// the error itself is inside ([`io::Error::get_ref`]).
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let system =
            error.0.source.as_deref().and_then(|source| source.downcast_ref::<io::Error>());
        let kind = system.map_or_else(|| error.kind().as_io(), io::Error::kind);
        io::Error::new(kind, error)
    }
}

impl ErrorKind {
    /// Returns the kind that comes closest among those of [`io::Error`]. Never `Interrupted`: readers
    /// take it as an invitation to call again.
    fn as_io(self) -> io::ErrorKind {
        use ErrorKind::*;

        match self {
            InvalidArgument | InvalidHandle | InvalidPeerId | InvalidMultiaddr | UnknownMethod
            | ConfigInvalid | ConfigConflict | SelfDial => io::ErrorKind::InvalidInput,
            Unsupported => io::ErrorKind::Unsupported,
            NotRunning | NotConnected => io::ErrorKind::NotConnected,
            Identity | StorageCorrupt | StorageVersion | WrongPeerId | Protocol => {
                io::ErrorKind::InvalidData
            }
            DataDirLocked | Busy => io::ErrorKind::ResourceBusy,
            ListenFailed => io::ErrorKind::AddrNotAvailable,
            PeerNotFound | NoAddresses => io::ErrorKind::NotFound,
            DialFailed => io::ErrorKind::HostUnreachable,
            DialTimeout | Timeout => io::ErrorKind::TimedOut,
            Blocked => io::ErrorKind::PermissionDenied,
            LimitReached => io::ErrorKind::QuotaExceeded,
            Closed => io::ErrorKind::BrokenPipe,
            Storage | Cancelled | Forked | Reentrant | Panic | Dead => io::ErrorKind::Other,
        }
    }
}

/// Helps where there are no more file descriptors.
pub(crate) const MORE_DESCRIPTORS: &str =
    "raise this process's limit of open files, or lower limits.max_connections";

/// Tells whether this process, or the whole system, has no file descriptor left.
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    // They have these numbers on Linux, macOS and the BSDs: of the system, of the process.
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Makes the error for a thread, a descriptor or the like that the system doesn't give.
pub(crate) fn shortage(what: &str, error: &io::Error) -> Error {
    let short = Error::new(ErrorKind::LimitReached, format!("{what}: {error}")).caused_by(error);
    if lacks_descriptors(error) { short.with_hint(MORE_DESCRIPTORS) } else { short }
}

/// Makes an error of the most frequent kind.
pub(crate) fn invalid_argument(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}

/// The longest name compared, in bytes: the cost is the product of both lengths.
pub(crate) const MAX_NAME: usize = 64;

/// Finds the known name that is most like the one given.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let known = known.filter(|_| given.len() <= MAX_NAME);
    known.min_by_key(|name| strsim::damerau_levenshtein(given, name))
}

/// Tells whether a name is so like the one given that it may have been meant.
pub(crate) fn may_be_meant(given: &str, near: &str) -> bool {
    strsim::damerau_levenshtein(given, near) <= (given.len() / 3).clamp(1, 4)
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn nothing_is_hidden_in_what_an_error_says() {
        let error = Error::new(ErrorKind::Protocol, "it says \u{202e}x\n\u{e0041}".to_owned())
            .with("said", "\u{202e}x")
            .with_hint("ask \u{200b}again");
        assert_eq!(error.to_string(), r"it says \u{202e}x\n\u{e0041}");
        assert_eq!(error.hint(), Some(r"ask \u{200b}again"));
        assert_eq!(error.detail()["said"], "\u{202e}x", "facts are for programs");
    }

    #[test]
    fn an_io_error_keeps_the_error_and_the_systems_own_kind() {
        let error = Error::new(ErrorKind::DialTimeout, "no word").with("pid", 7);
        let io = io::Error::from(error);
        assert_eq!((io.kind(), io.to_string()), (io::ErrorKind::TimedOut, "no word".to_owned()));
        let inside = io.get_ref().and_then(|inside| inside.downcast_ref::<Error>()).unwrap();
        assert_eq!((inside.kind(), &inside.detail()["pid"]), (ErrorKind::DialTimeout, &7.into()));

        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::new(ErrorKind::Storage, "the disk is full").caused_by(&full);
        assert_eq!(error.clone().source().map(ToString::to_string), Some(full.to_string()));
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn no_error_asks_to_be_called_again_at_once() {
        for kind in ErrorKind::ALL {
            assert_ne!(kind.as_io(), io::ErrorKind::Interrupted, "{kind}");
        }
    }
}
