//! The form of a record on disk: one JSON object for each peer.
//!
//! A field that isn't known is passed over and one that is missing has its default, so that a
//! release may add fields without a new format version. Only `store.rs` calls this.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::record::{AddrEntry, Record, UserData};
use crate::PeerId;
use crate::clock::Timestamp;
use crate::model::{LastDisconnect, LastError, Policy, Source, Text};

/// A record as it is stored. Connections don't outlive the process.
#[derive(Serialize, Deserialize)]
struct StoredRecord {
    addrs: Vec<StoredAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    protocols: Vec<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_version: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    protocol_version: Option<Text>,
    #[serde(default)]
    cluster_peer: bool,
    #[serde(rename = "held_off", default, skip_serializing_if = "std::ops::Not::not")]
    dial_disabled: bool,
    #[serde(default)]
    identified: bool,
    #[serde(default)]
    connection_attempts: u32,
    #[serde(default)]
    successful_connections: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_connection_attempt: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_successful_connection: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latency_us: Option<u32>,
    #[serde(default)]
    sources: Vec<Source>,
    #[serde(default)]
    policy: Policy,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, i64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_disconnect: Option<LastDisconnect>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_retry_at: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct StoredAddr {
    addr: Text,
    source: Source,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_success: Option<Timestamp>,
    #[serde(default)]
    failures: u32,
    last_seen: Timestamp,
}

/// Returns the row's value.
pub(super) fn encode(record: &Record) -> serde_json::Result<Vec<u8>> {
    let addrs = record.addrs.iter().cloned().map(|entry| StoredAddr {
        addr: entry.text,
        source: entry.source,
        last_success: entry.last_success,
        failures: entry.failures,
        last_seen: entry.last_seen,
    });
    let UserData { tags, metadata } = record.user_data.as_deref().cloned().unwrap_or_default();
    serde_json::to_vec(&StoredRecord {
        addrs: addrs.collect(),
        first_seen: record.first_seen,
        last_seen: record.last_seen,
        protocols: record.protocols.to_vec(),
        agent_version: record.agent_version.clone(),
        protocol_version: record.protocol_version.clone(),
        cluster_peer: record.cluster_peer,
        dial_disabled: record.dial_disabled,
        identified: record.identified,
        connection_attempts: record.connection_attempts,
        successful_connections: record.successful_connections,
        last_connection_attempt: record.last_connection_attempt,
        last_successful_connection: record.last_successful_connection,
        latency_us: record.latency_us,
        sources: record.sources.iter().collect(),
        policy: record.policy,
        tags,
        metadata,
        last_error: record.last_error.as_deref().cloned(),
        last_disconnect: record.last_disconnect.as_deref().cloned(),
        next_retry_at: record.next_retry_at,
    })
}

/// Reads the record of a row; the text of an error says why it is none.
pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Record, String> {
    let id = PeerId::from_bytes(key).map_err(|error| format!("a key is no peer id: {error}"))?;
    let stored: StoredRecord = serde_json::from_slice(value)
        .map_err(|error| format!("the record of {id} can't be read: {error}"))?;
    let addrs = stored.addrs.into_iter().map(|entry| AddrEntry {
        text: entry.addr,
        source: entry.source,
        last_success: entry.last_success,
        failures: entry.failures,
        last_seen: entry.last_seen,
    });
    let user_data = UserData { tags: stored.tags, metadata: stored.metadata };
    Ok(Record {
        addrs: addrs.collect(),
        first_seen: stored.first_seen,
        last_seen: stored.last_seen,
        protocols: stored.protocols.into(),
        agent_version: stored.agent_version,
        protocol_version: stored.protocol_version,
        cluster_peer: stored.cluster_peer,
        dial_disabled: stored.dial_disabled,
        identified: stored.identified,
        connection_attempts: stored.connection_attempts,
        successful_connections: stored.successful_connections,
        last_connection_attempt: stored.last_connection_attempt,
        last_successful_connection: stored.last_successful_connection,
        latency_us: stored.latency_us,
        sources: stored.sources.into_iter().collect(),
        policy: stored.policy,
        user_data: Some(user_data).filter(|data| *data != UserData::default()).map(Box::new),
        last_error: stored.last_error.map(Box::new),
        last_disconnect: stored.last_disconnect.map(Box::new),
        next_retry_at: stored.next_retry_at,
        ..Record::new(id)
    })
}
