//! The peers that an ipfs-cluster knows, from its REST API
//! (<https://ipfscluster.io/documentation/reference/api/>): its members, and the IPFS daemon beside
//! each.

use std::time::Instant;

use serde::Deserialize;

use super::api::Api;
use super::gather::{Addresses, Capped, Found, Gather, MAX_ENTRIES};
use super::http::{Daemon, Service, Verb};
use super::questions::Questions;
use crate::addr::parse_peer_id;
use crate::error::Result;

static CLUSTER: Service = Service {
    name: "ipfs-cluster API",
    verb: Verb::Get,
    unreachable_hint: "does ipfs-cluster-service run, and is its REST API (http_listen_multiaddress) there?",
    forbidden_hint: "this cluster asks for basic authentication: put user:password@ into the URL",
    elsewhere_hint: "this is not the REST API of an ipfs-cluster; its proxy and its pinning API are other ports",
};

/// The reply of `/id`, and an entry in that of `/peers`.
#[derive(Deserialize)]
struct Member {
    /// Empty for a member that could not be asked who it is.
    id: String,
    #[serde(default)]
    addresses: Addresses,
    /// The failure when the cluster asked this member; empty if there was none.
    #[serde(default)]
    error: String,
    #[serde(default)]
    ipfs: Option<Ipfs>,
}

/// The IPFS daemon beside a member; its id is empty while it can't be reached.
#[derive(Deserialize)]
struct Ipfs {
    #[serde(default)]
    id: String,
    #[serde(default)]
    addresses: Addresses,
}

type Members = Capped<Member, MAX_ENTRIES>;

/// Returns the member that was asked and the IPFS daemon beside it, then the other members and theirs.
pub(crate) fn cluster_peers(api: &Api, deadline: Instant, questions: &Questions) -> Result<Found> {
    let cluster = Daemon { service: &CLUSTER, api, deadline, questions };
    let asked: Member = cluster.read(&cluster.ask("/id")?)?;
    let members = members(&cluster.ask("/peers")?).map_err(|error| cluster.unreadable(&error))?;

    parse_peer_id(&asked.id).map_err(|_| cluster.wrong_shape())?;
    let mut gather = Gather::default();
    for member in std::iter::once(&asked).chain(&members.items) {
        gather.member(member);
    }
    gather.drop(members.rest);
    Ok(gather.found)
}

impl Gather {
    fn member(&mut self, member: &Member) {
        let without_answer = member.id.is_empty() && !member.error.is_empty();
        if !without_answer {
            self.entry(&member.id, &member.addresses, true);
        }
        if let Some(ipfs) = member.ipfs.as_ref().filter(|ipfs| !ipfs.id.is_empty()) {
            self.entry(&ipfs.id, &ipfs.addresses, false);
        }
    }
}

/// Reads `/peers`: one JSON value after the other, or an array of them before ipfs-cluster 1.0.
fn members(body: &[u8]) -> serde_json::Result<Members> {
    if body.trim_ascii_start().starts_with(b"[") {
        return serde_json::from_slice(body);
    }
    let mut members = Members::default();
    for member in serde_json::Deserializer::from_slice(body).into_iter() {
        members.push(member?);
    }
    Ok(members)
}
