//! Defines what subscriptions deliver: each event has a number, a time, and what happened. In JSON it is
//! one flat object. Messages of pubsub come this way too:
//!
//! ```
//! use std::time::Duration;
//! use peerkit::event::{EventKind, Kind};
//! use peerkit::params::{EventsOptions, Publish, Topic};
//! use peerkit::{Config, ErrorKind, PeerManager, Profile};
//!
//! let manager = PeerManager::start(&Config::new().profile(Profile::Offline), None)?;
//! let messages = manager.events_with(EventsOptions::new().kinds([Kind::Message]))?;
//! assert_eq!(manager.subscribe(Topic::new("news"), None)?.topics, ["news"]);
//!
//! match manager.publish(Publish::new("news", "it rains"), None) {
//!     Ok(published) => println!("as {}", published.message_id),
//!     Err(error) if error.kind() == ErrorKind::NotConnected => println!("nobody is there to hear it"),
//!     Err(error) => return Err(error),
//! }
//! for event in messages.iter(Duration::from_millis(10))? {
//!     if let EventKind::Message { topic, data, .. } = &event.kind {
//!         println!("{topic}, {:?}: {}", event.peer_id, String::from_utf8_lossy(data));
//!     }
//! }
//! manager.unsubscribe(Topic::new("news"), None)?;
//! manager.stop(None)?;
//! # Ok::<(), peerkit::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Direction, Source, Text, TransportKind};
use crate::clock::Timestamp;
use crate::error::{Error, ErrorKind, MAX_NAME, Result, invalid_argument, may_be_meant, nearest};

/// Why the last connection to a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The user asked for it.
    LocalRequest,
    /// The remote closed it, or its process went away.
    RemoteClosed,
    /// The remote stopped answering pings, or QUIC heard nothing of it.
    PingDead,
    /// Nothing used it for `idle_timeout_s`.
    Idle,
    /// Given up in favour of more useful peers.
    Trimmed,
    /// The peer was blocked.
    Blocked,
    /// The manager stopped.
    Shutdown,
    /// Anything else; the event's `error` says what.
    Error,
}

/// One event. In JSON, `event` names the kind and the kind's fields stand beside `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Event {
    /// Rises by one with each event of a run. A gap is told by `lagged`, or is of kinds that the
    /// subscription isn't for.
    pub seq: u64,
    /// When it happened.
    pub timestamp: Timestamp,
    /// The peer it is about; null where it is about this node.
    pub peer_id: Option<Text>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A peer the book didn't know.
    #[non_exhaustive]
    PeerDiscovered {
        /// How it became known.
        source: Source,
        /// Its addresses.
        multiaddrs: Vec<Text>,
    },
    /// The first connection to a peer.
    #[non_exhaustive]
    PeerConnected {
        /// The remote's address.
        address: Text,
        /// Who opened it.
        direction: Direction,
        /// What it runs over.
        transport: TransportKind,
    },
    /// The peer told who it is.
    #[non_exhaustive]
    PeerIdentified {
        /// Its implementation. Untrusted text from the remote.
        agent_version: Option<Text>,
        /// The protocols it speaks. Untrusted text from the remote.
        protocols: std::sync::Arc<[Text]>,
    },
    /// The last connection to a peer ended.
    #[non_exhaustive]
    PeerDisconnected {
        /// Why.
        reason: DisconnectReason,
        /// True where the reason is concluded from how the connection broke, not told.
        inferred: bool,
        /// What the transport said.
        error: Option<String>,
    },
    /// A dial failed at every address.
    #[non_exhaustive]
    DialFailed {
        /// The code the caller got.
        code: ErrorKind,
        /// What happened, for a person.
        error: String,
        /// Why peerkit dialled.
        source: Source,
    },
    /// We listen on an address, or don't any longer.
    #[non_exhaustive]
    ListenAddr {
        /// The address.
        address: Text,
        /// False where the address went away.
        active: bool,
    },
    /// Others can reach this node at an address, or no longer: AutoNAT found out, or it is configured.
    #[non_exhaustive]
    ExternalAddr {
        /// The address.
        address: Text,
        /// False where the address is no longer good.
        active: bool,
    },
    /// A pass of discovery ended.
    #[non_exhaustive]
    Discovery {
        /// Peers the book didn't know, by source.
        found: BTreeMap<Source, u64>,
        /// How long the pass took.
        duration_ms: f64,
    },
    /// A message on a topic this node subscribes to; `peer_id` is who signed it.
    #[non_exhaustive]
    Message {
        /// The topic.
        topic: Text,
        /// What tells the message from others, in hexadecimal.
        message_id: String,
        /// The content, base64 in JSON. Untrusted bytes from the remote.
        #[serde(rename = "data_base64", with = "super::bytes")]
        #[schemars(with = "String")]
        data: Vec<u8>,
    },
    /// The manager stopped; the last event of a run.
    #[non_exhaustive]
    Stopped {
        /// What ended the run: `closed` for a stop, `dead` after a panic.
        code: ErrorKind,
    },
}

/// A batch pulled from a subscription.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventBatch {
    /// Up to 64 events, oldest first.
    pub events: Vec<std::sync::Arc<Event>>,
    /// How many older events were lost before these because the reader was slow; in the first batch
    /// also those after `since` that aren't kept any more.
    pub lagged: u64,
}

/// Names the kinds once: as they stand in `event`, and as a subscription asks for them.
macro_rules! kinds {
    ($( $(#[doc = $doc:expr])+ $kind:ident = $name:literal, )+) => {
        /// A kind of event by itself: what a subscription asks for
        /// ([`EventsOptions::kinds`](crate::params::EventsOptions::kinds)). New kinds may be added in any
        /// release.
        ///
        /// ```
        /// use peerkit::event::Kind;
        ///
        /// let kind: Kind = "peer_connected".parse()?;
        /// assert_eq!(kind, Kind::PeerConnected);
        /// assert_eq!(kind.as_str(), "peer_connected");
        /// # Ok::<(), peerkit::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind {
            $( $(#[doc = $doc])+ $kind, )+
        }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &'static [Kind] = &[$( Kind::$kind, )+];

            /// Its name, as it stands in the field `event`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Kind::$kind => $name, )+ }
            }
        }

        impl EventKind {
            /// Every kind's name.
            pub const NAMES: &'static [&'static str] = &[$( $name, )+];

            /// The kind by itself.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $( EventKind::$kind { .. } => Kind::$kind, )+ }
            }

            /// The kind's name, as it stands in the field `event`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.kind().as_str()
            }
        }
    };
}

kinds! {
    /// A peer the book didn't know.
    PeerDiscovered = "peer_discovered",
    /// The first connection to a peer.
    PeerConnected = "peer_connected",
    /// The peer told who it is.
    PeerIdentified = "peer_identified",
    /// The last connection to a peer ended.
    PeerDisconnected = "peer_disconnected",
    /// A dial failed at every address.
    DialFailed = "dial_failed",
    /// We listen on an address, or don't any longer.
    ListenAddr = "listen_addr",
    /// Others can reach this node at an address, or no longer.
    ExternalAddr = "external_addr",
    /// A pass of discovery ended.
    Discovery = "discovery",
    /// A message on a topic this node subscribes to.
    Message = "message",
    /// The manager stopped; every subscription hears of it, whatever kinds it is for.
    Stopped = "stopped",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Reads a kind's name; `invalid_argument` for what is none, with the nearest in `detail.nearest`.
    fn from_str(name: &str) -> Result<Self> {
        Kind::ALL.iter().find(|kind| kind.as_str() == name).copied().ok_or_else(|| unknown(name))
    }
}

fn unknown(name: &str) -> Error {
    let quoted: String = name.chars().take(MAX_NAME).collect();
    let message = format!("there is no kind of event `{quoted}`");
    let near = nearest(name, EventKind::NAMES.iter().copied());
    let error = match near.filter(|near| may_be_meant(name, near)) {
        Some(near) => invalid_argument(format!("{message}; did you mean `{near}`?")),
        None => invalid_argument(message)
            .with_hint(format!("the kinds are {}", EventKind::NAMES.join(", "))),
    };
    let error = error.with("kind", quoted);
    match near {
        Some(near) => error.with("nearest", near),
        None => error,
    }
}

/// What the allocator and the counts of an `Arc` add to a piece of text.
const ALLOCATION: usize = 32;

impl Event {
    /// About how many bytes of memory it takes. Text it may share with others counts in full: the
    /// event keeps it when the others have let go.
    pub(crate) fn cost(&self) -> usize {
        ALLOCATION + size_of::<Self>() + texts(&self.peer_id) + self.kind.cost()
    }
}

impl EventKind {
    /// What it takes beyond its own size.
    fn cost(&self) -> usize {
        match self {
            EventKind::PeerDiscovered { multiaddrs, .. } => texts(multiaddrs),
            EventKind::PeerConnected { address, .. }
            | EventKind::ListenAddr { address, .. }
            | EventKind::ExternalAddr { address, .. } => texts([address]),
            EventKind::Message { topic, message_id, data } => {
                texts([topic]) + message_id.len() + data.len()
            }
            EventKind::Discovery { found, .. } => ALLOCATION * (1 + found.len()),
            EventKind::PeerIdentified { agent_version, protocols } => {
                texts(agent_version) + texts(protocols.iter())
            }
            EventKind::PeerDisconnected { error, .. } => error.as_ref().map_or(0, String::len),
            EventKind::DialFailed { error, .. } => error.len(),
            EventKind::Stopped { .. } => 0,
        }
    }
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a Text>) -> usize {
    texts.into_iter().map(|text| ALLOCATION + size_of::<Text>() + text.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_name_that_its_json_has() {
        let schema = schemars::schema_for!(EventKind);
        let kinds = schema.get("oneOf").and_then(serde_json::Value::as_array).unwrap();
        let names = kinds.iter().map(|kind| &kind["properties"]["event"]["const"]);
        assert_eq!(names.collect::<Vec<_>>(), EventKind::NAMES);
        let event = EventKind::Stopped { code: ErrorKind::Closed };
        assert_eq!(serde_json::to_value(&event).unwrap()["event"], event.name());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(kind.as_str().parse::<Kind>().unwrap(), *kind);
        }
    }

    #[test]
    fn an_event_costs_at_least_the_text_it_keeps() {
        let name: Text = "x".repeat(200).into();
        let kind = EventKind::PeerIdentified {
            agent_version: Some(name.clone()),
            protocols: vec![name; 255].into(),
        };
        let event = Event { seq: 1, timestamp: crate::clock::now(), peer_id: None, kind };
        assert!((256 * 200..256 * 300).contains(&event.cost()), "{}", event.cost());
    }
}
