//! The peers that a Kubo knows: itself, and those it has a connection to, from its RPC API
//! (<https://docs.ipfs.tech/reference/kubo/rpc/>), which takes nothing but `POST`.

use std::time::Instant;

use serde::Deserialize;

use super::api::Api;
use super::gather::{Addresses, Capped, Found, Gather, MAX_ENTRIES};
use super::http::{Daemon, Service, Verb};
use super::questions::Questions;
use crate::addr::parse_peer_id;
use crate::error::Result;

static KUBO: Service = Service {
    name: "Kubo RPC API",
    verb: Verb::Post,
    unreachable_hint: "does the IPFS daemon run, and is its API (Addresses.API in its configuration) there?",
    forbidden_hint: "API.Authorizations in Kubo's configuration asks for user:password@ in the URL, or \
        its rules on Origin refuse us",
    elsewhere_hint: "this is not a Kubo RPC API; the gateway is another port",
};

/// The reply of `id`.
#[derive(Deserialize)]
struct Id {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Addresses", default)]
    addresses: Addresses,
}

/// The reply of `swarm/peers`.
#[derive(Deserialize)]
struct Swarm {
    #[serde(rename = "Peers")]
    connections: Capped<Connection, MAX_ENTRIES>,
}

#[derive(Deserialize)]
struct Connection {
    #[serde(rename = "Peer")]
    peer: String,
    #[serde(rename = "Addr")]
    address: String,
}

/// Returns the daemon, then the peers it is connected to. Those that dialled it have the address that
/// they dialled from, at which they may or may not listen.
pub(crate) fn kubo_peers(api: &Api, deadline: Instant, questions: &Questions) -> Result<Found> {
    let kubo = Daemon { service: &KUBO, api, deadline, questions };
    let id: Id = kubo.read(&kubo.ask("/api/v0/id")?)?;
    let swarm: Swarm = kubo.read(&kubo.ask("/api/v0/swarm/peers")?)?;

    let mut gather = Gather::default();
    let own_id = parse_peer_id(&id.id).map_err(|_| kubo.wrong_shape())?;
    gather.peer(own_id, &id.addresses, false);
    for Connection { peer, address } in swarm.connections.items {
        gather.entry(&peer, &Addresses { items: vec![address], rest: 0 }, false);
    }
    gather.drop(swarm.connections.rest);
    Ok(gather.found)
}
