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

/// The reason why the last connection to a peer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DisconnectReason {
    /// A call disconnected or removed the peer.
    LocalRequest,
    /// The remote closed it, or its process went away.
    RemoteClosed,
    /// The remote left two pings in a row unanswered, for 10 s each, or QUIC heard nothing of it for 20 s.
    PingDead,
    /// Nothing used the connection for `idle_timeout_s`.
    Idle,
    /// This node had more connections than `limits.high_water`, or only a query of the DHT had needed this one.
    Trimmed,
    /// The remote had this node do more than its budget of work: `error` says of what. It is refused for a minute.
    OverBudget,
    /// The user blocked the peer. Doesn't come yet: no operation of this version blocks one.
    Blocked,
    /// The manager stopped.
    Shutdown,
    /// The bytes that came broke a protocol; the event's `error` has the words.
    Error,
}

/// One event. In JSON, `event` names the kind and the kind's fields stand beside `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Event {
    /// Rises by one with each event of a run. A gap is told by `lagged`, or is of kinds that the
    /// subscription isn't for.
    pub seq: u64,
    /// The time of the event.
    pub timestamp: Timestamp,
    /// The peer it is about; null where it is about this node.
    pub peer_id: Option<Text>,
    /// The kind of event, with its fields.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of event, with their fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A peer became known that the book didn't have.
    #[non_exhaustive]
    PeerDiscovered {
        /// The way by which it became known.
        source: Source,
        /// Its addresses; empty for one that came to this node.
        multiaddrs: Vec<Text>,
    },
    /// The first connection to a peer was established.
    #[non_exhaustive]
    PeerConnected {
        /// The remote's address.
        address: Text,
        /// The side that opened it.
        direction: Direction,
        /// Its transport.
        transport: TransportKind,
    },
    /// The identify protocol told something new of a connected peer.
    #[non_exhaustive]
    PeerIdentified {
        /// Its implementation. Untrusted text from the remote.
        agent_version: Option<Text>,
        /// The protocols it speaks. Untrusted text from the remote.
        protocols: std::sync::Arc<[Text]>,
        /// The number of earlier changes, since the event before of this kind and peer, that have none of their own:
        /// the peer changed faster than once a second. This is its last state.
        #[serde(default)]
        coalesced: u64,
    },
    /// The last connection to a peer ended.
    #[non_exhaustive]
    PeerDisconnected {
        /// The reason.
        reason: DisconnectReason,
        /// True where the reason is inferred from the error with which the connection broke.
        inferred: bool,
        /// The transport's error, in its own words, or the budget that was exceeded; null where there was none.
        error: Option<String>,
    },
    /// A dial failed at every address.
    #[non_exhaustive]
    DialFailed {
        /// The code of the failure.
        code: ErrorKind,
        /// The failure in words, for a person.
        error: String,
        /// The reason for the dial: `user` for a call, `bootstrap` for the bootstrap list, `book` for the auto
        /// dialer. Failed dials of DHT queries are no events.
        source: Source,
    },
    /// Inbound connections were refused, or closed to make room for others. Comes once in 10 s at most.
    #[non_exhaustive]
    ConnectionsRefused {
        /// The number since the last such event, by reason as in `dropped` of the statistics.
        reasons: BTreeMap<Text, u64>,
    },
    /// This node listens at an address, or no longer.
    #[non_exhaustive]
    ListenAddr {
        /// The address, with `/p2p/` and this node's id at its end.
        address: Text,
        /// False where the address went away.
        active: bool,
    },
    /// Others can reach this node at an address, or no longer: AutoNAT has confirmed it, or `advertise` names it.
    #[non_exhaustive]
    ExternalAddr {
        /// The address.
        address: Text,
        /// False where the address doesn't count as one at which this node can be reached any more.
        active: bool,
    },
    /// A pass of discovery ended.
    #[non_exhaustive]
    Discovery {
        /// The number of peers that the book didn't know, by source.
        found: BTreeMap<Source, u64>,
        /// The time the pass took, in milliseconds.
        duration_ms: f64,
    },
    /// A message on a topic this node subscribes to; `peer_id` is who signed it.
    #[non_exhaustive]
    Message {
        /// The topic.
        topic: Text,
        /// The id of the message, in hexadecimal: its author's id and sequence number.
        message_id: String,
        /// The content, base64 in JSON. Untrusted bytes from the remote.
        #[serde(rename = "data_base64", with = "super::bytes")]
        #[schemars(with = "String")]
        data: Vec<u8>,
    },
    /// The manager stopped; the last event of a run.
    #[non_exhaustive]
    Stopped {
        /// The cause: `closed` for a stop, `dead` after a panic.
        code: ErrorKind,
    },
}

/// A batch pulled from a subscription.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct EventBatch {
    /// Up to 64 events, oldest first.
    pub events: Vec<std::sync::Arc<Event>>,
    /// The number of older events that were lost before these because the reader was slow; in the first batch
    /// also of those after `since` that aren't kept any more. Of a subscription to some kinds that is never too
    /// small, and 0 where nothing of them is lost, but may be too large.
    pub lagged: u64,
}

/// Names the kinds once: as they stand in `event`, and as a subscription asks for them.
macro_rules! kinds {
    ($( $(#[doc = $doc:expr])+ $kind:ident = $name:literal, )+) => {
        /// A kind of event by itself, by which a subscription is limited
        /// ([`EventsOptions::kinds`](crate::params::EventsOptions::kinds)). New kinds may be added in any
        /// release.
        ///
        /// ```
        /// use peerkit::event::{EventKind, Kind};
        ///
        /// let kind: Kind = "peer_connected".parse()?;
        /// assert_eq!(kind, Kind::PeerConnected);
        /// assert_eq!(kind.as_str(), "peer_connected");
        /// assert!(Kind::ALL.contains(&kind) && EventKind::NAMES.contains(&kind.as_str()));
        /// # Ok::<(), peerkit::Error>(())
        /// ```
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Kind {
            $( $(#[doc = $doc])+ $kind, )+
        }

        impl Kind {
            /// Every kind there is, in the order of [`EventKind`].
            pub const ALL: &'static [Kind] = &[$( Kind::$kind, )+];

            /// Returns the name, as it stands in the field `event`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $( Kind::$kind => $name, )+ }
            }
        }

        impl EventKind {
            /// The names of all kinds, in the same order as [`Kind::ALL`].
            pub const NAMES: &'static [&'static str] = &[$( $name, )+];

            /// Returns the kind by itself.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self { $( EventKind::$kind { .. } => Kind::$kind, )+ }
            }

            /// Returns the kind's name, as it stands in the field `event`.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.kind().as_str()
            }
        }
    };
}

kinds! {
    /// A peer became known that the book didn't have.
    PeerDiscovered = "peer_discovered",
    /// The first connection to a peer was established.
    PeerConnected = "peer_connected",
    /// The identify protocol told something new of a connected peer.
    PeerIdentified = "peer_identified",
    /// The last connection to a peer ended.
    PeerDisconnected = "peer_disconnected",
    /// A dial failed at every address.
    DialFailed = "dial_failed",
    /// Inbound connections were refused, or closed to make room for others.
    ConnectionsRefused = "connections_refused",
    /// This node listens at an address, or no longer.
    ListenAddr = "listen_addr",
    /// Others can reach this node at an address, or no longer.
    ExternalAddr = "external_addr",
    /// A pass of discovery ended.
    Discovery = "discovery",
    /// A message on a topic this node subscribes to.
    Message = "message",
    /// The manager stopped; every subscription gets it, whatever its kinds.
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

/// The bytes that the allocator and the counts of an `Arc` add to a piece of text.
const ALLOCATION: usize = 32;

impl Event {
    /// Estimates the bytes of memory it takes. Text it may share with others counts in full: the
    /// event keeps it when the others have let go.
    pub(crate) fn cost(&self) -> usize {
        ALLOCATION + size_of::<Self>() + texts(&self.peer_id) + self.kind.cost()
    }
}

impl EventKind {
    /// Estimates the bytes it takes beyond its own size.
    fn cost(&self) -> usize {
        match self {
            EventKind::PeerDiscovered { multiaddrs, .. } => texts(multiaddrs),
            EventKind::PeerConnected { address, .. }
            | EventKind::ListenAddr { address, .. }
            | EventKind::ExternalAddr { address, .. } => texts([address]),
            EventKind::Message { topic, message_id, data } => {
                texts([topic]) + message_id.len() + data.len()
            }
            EventKind::ConnectionsRefused { reasons } => ALLOCATION + texts(reasons.keys()),
            EventKind::Discovery { found, .. } => ALLOCATION * (1 + found.len()),
            EventKind::PeerIdentified { agent_version, protocols, .. } => {
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
            coalesced: 0,
        };
        let event = Event { seq: 1, timestamp: crate::clock::now(), peer_id: None, kind };
        assert!((256 * 200..256 * 300).contains(&event.cost()), "{}", event.cost());
    }
}
