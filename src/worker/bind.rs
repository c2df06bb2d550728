//! Start-up: taking the listen addresses, or saying which one can't be had and why.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{Swarm, SwarmEvent};

use crate::Multiaddr;
use crate::config::Settings;
use crate::error::{Error, ErrorKind, Result};
use crate::worker::behaviour::{Behaviour, BehaviourEvent};
use crate::worker::{Listening, Node, Recorder, transport::wrappers};

/// A listener that has told no address after this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens on every configured address. An address the user named must be had; of the defaults,
/// those that can't be had are warnings as long as one can.
/// What else the swarm tells meanwhile, of peers that connect at once, goes into `early`.
pub(crate) async fn listen(
    swarm: &mut Swarm<Behaviour>,
    node: &Node,
    early: &mut Vec<SwarmEvent<BehaviourEvent>>,
) -> Result<Listening> {
    let Node { settings, metrics, .. } = node;
    for address in &settings.advertise {
        swarm.add_external_address(address.clone());
    }
    for address in &settings.listen {
        check_free(address)?;
    }
    let mut pending = HashMap::new();
    let mut failures = Vec::new();
    for address in &settings.listen {
        match swarm.listen_on(address.clone()) {
            Ok(id) => {
                pending.insert(id, address.clone());
            }
            Err(error) => failures.push(failed(address, &error)),
        }
    }
    let mut addresses = Vec::new();
    let expected = expected();
    let waiting = async {
        while pending.values().any(&expected) {
            let event = swarm.select_next_some().await;
            let other = take_event(event, metrics, &mut pending, &mut addresses, &mut failures);
            early.extend(other);
        }
    };
    if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
        let silent = pending.values().filter(|address| expected(address));
        failures.extend(silent.map(|address| failed(address, &"no address in time")));
    }
    // A listener tells of the first of its addresses and has the others ready.
    while let Some(event) = swarm.select_next_some().now_or_never() {
        early.extend(take_event(event, metrics, &mut pending, &mut addresses, &mut failures));
    }
    for address in &addresses {
        announce(swarm, settings, address);
    }
    let must_have_all = settings.listen_explicit || addresses.is_empty();
    match failures.pop() {
        Some(failure) if must_have_all => Err(failure),
        last => Ok(Listening {
            addresses,
            warnings: failures.iter().chain(&last).map(Error::to_string).collect(),
        }),
    }
}

/// Tells for which of them an address is to be had now. A machine with IPv6 off has none for `::`, which
/// can be listened at all the same; the listener tells of one when it comes.
fn expected() -> impl Fn(&Multiaddr) -> bool {
    let interfaces = if_addrs::get_if_addrs();
    move |address| match (wrappers::ip_of(address), &interfaces) {
        (Some(any), Ok(interfaces)) if any.is_unspecified() => {
            interfaces.iter().any(|interface| interface.ip().is_ipv4() == any.is_ipv4())
        }
        _ => true,
    }
}

/// Takes what an event says of listeners; gives back any other event.
fn take_event(
    event: SwarmEvent<BehaviourEvent>,
    metrics: &Recorder,
    pending: &mut HashMap<ListenerId, Multiaddr>,
    addresses: &mut Vec<Multiaddr>,
    failures: &mut Vec<Error>,
) -> Option<SwarmEvent<BehaviourEvent>> {
    match &event {
        SwarmEvent::NewListenAddr { listener_id, address } => {
            pending.remove(listener_id);
            addresses.push(address.clone());
        }
        SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. }
        | SwarmEvent::ListenerError { listener_id, error } => {
            if let Some(address) = pending.remove(listener_id) {
                failures.push(failed(&address, error));
            }
        }
        _ => return Some(event),
    }
    metrics.record(&event);
    None
}

/// Tells others of a listen address in the cases where identify doesn't by itself.
pub(crate) fn announce(swarm: &mut Swarm<Behaviour>, settings: &Settings, address: &Multiaddr) {
    if !settings.no_announce.is_empty() && !settings.no_announce.contains(address) {
        swarm.add_external_address(address.clone());
    }
}

/// libp2p's TCP sets SO_REUSEPORT, so two nodes of one user would share a port in silence; a
/// plain socket finds out. A port of 0 is always free.
fn check_free(address: &Multiaddr) -> Result<()> {
    let port = address.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    let (Some(ip), Some(port @ 1..)) = (wrappers::ip_of(address), port) else {
        return Ok(());
    };
    let socket = SocketAddr::new(ip, port);
    let taken = if address.iter().any(|part| matches!(part, Protocol::Tcp(_))) {
        TcpListener::bind(socket).map(drop)
    } else {
        UdpSocket::bind(socket).map(drop)
    };
    taken.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => failed(address, &"another process has that port"),
        _ => failed(address, &error),
    })
}

fn failed(address: &Multiaddr, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::ListenFailed, format!("can't listen on {address}: {why}"))
        .with("address", address.to_string())
}
