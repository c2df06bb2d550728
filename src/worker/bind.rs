//! The start of a node: makes the runtime and the swarm, and takes the listen addresses, or says which
//! one can't be had and why. The result is a node that listens and doesn't serve yet.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use futures_timer::Delay;
use libp2p::core::transport::ListenerId;
use libp2p::identity::Keypair;
use libp2p::swarm::{Swarm, SwarmEvent};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc};

use super::behaviour::{self, Behaviour, BehaviourEvent};
use super::command::Command;
use super::core::{Core, advertise};
use super::dispatch::{SHUTDOWN_PATIENCE, Worker};
use super::metrics::Recorder;
use super::shared::Shared;
use super::transport::terms::DialTerms;
use super::transport::words::innermost;
use super::util::clock::Clock;
use super::util::interfaces;
use super::util::sockets::try_listen;
use crate::error::{Error, ErrorKind, Result, lacks_descriptors, shortage};
use crate::os::{self, HiddenLoop};
use crate::{Multiaddr, addr};

/// A node that listens.
pub(crate) struct Bound {
    hidden: Option<HiddenLoop>,
    runtime: Runtime,
    worker: Worker,
    /// The swarm's events while the addresses were taken: peers may connect at once.
    early: Vec<SwarmEvent<BehaviourEvent>>,
    crashed: Arc<Notify>,
    warnings: Vec<String>,
}

/// Makes a node that listens at the addresses of the settings. Blocks until it does.
///
/// # Errors
/// `listen_failed`, `identity`, `limit_reached`.
pub(crate) fn bind(shared: &Arc<Shared>, keypair: &Keypair) -> Result<Bound> {
    have_timers()?;
    // One thread: the swarm's task is the bottleneck, and with a second one a command and its answer
    // took 20.7 µs instead of 7.7 (median on two cores).
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| shortage("no event loop to be had", &error))?;
    let hidden = hide_sockets(&runtime);
    let clock = Clock::default();
    let terms = DialTerms::new(clock.clone());
    let crashed = Arc::new(Notify::new());
    let mut early = Vec::new();
    let listened = runtime.block_on(async {
        let told = Arc::clone(&crashed);
        let mut swarm = behaviour::swarm(shared, keypair, &terms, &clock, told)?;
        let warnings = listen(&mut swarm, shared, &mut early).await?;
        Ok((swarm, warnings))
    });
    let (swarm, warnings) = match listened {
        Ok(listened) => listened,
        Err(error) => {
            drop(hidden);
            runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
            return Err(error);
        }
    };
    let core = Core::new(swarm, Arc::clone(shared), terms, clock);
    let worker = Worker::new(core, keypair);
    Ok(Bound { hidden, runtime, worker, early, crashed, warnings })
}

impl Bound {
    /// Returns the listen addresses that couldn't be had, and needn't be.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Does what a run does at its start: the bootstrap list is in the book and discovery on when this
    /// returns.
    pub(crate) fn begin(&mut self) {
        let _runtime = self.runtime.enter();
        for event in self.early.drain(..) {
            self.worker.turn(|worker| worker.on_swarm_event(event));
        }
        self.worker.begin();
    }

    /// Serves on the calling thread until the node is stopped.
    pub(crate) fn run(self, commands: mpsc::Receiver<Command>) {
        let Bound { runtime, worker, crashed, hidden, .. } = self;
        runtime.block_on(worker.serve(commands, &crashed));
        drop(hidden);
        runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    }
}

/// Hides the sockets of the runtime from forked children. It is found by a socket that it watches.
#[cfg(unix)]
fn hide_sockets(runtime: &Runtime) -> Option<HiddenLoop> {
    let _inside = runtime.enter();
    let (socket, _) = UnixStream::pair().ok()?;
    Some(os::hide_loop(&socket))
}

#[cfg(not(unix))]
fn hide_sockets(_: &Runtime) -> Option<HiddenLoop> {
    None
}

/// Has the thread made now that libp2p's timers take (crate futures-timer), one for the whole process. It would be
/// made with the first timer, and for want of it that one and all after it would panic.
fn have_timers() -> Result<()> {
    // The crate doesn't tell of a failure but by a panic. So one that can be foreseen is asked for first.
    let one =
        os::spawn("peerkit-timers", Box::new(|| {})).map_err(|error| Error::no_thread(&error))?;
    let _ = one.join();
    let timer = catch_unwind(|| Delay::new(Duration::ZERO).now_or_never());
    timer.map(|_| ()).map_err(|_| Error::no_thread(&io::ErrorKind::WouldBlock.into()))
}

/// Time after which a listener that has told no address has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Listens on every configured address. An address the user named must be had; of the defaults,
/// those that can't be had are warnings as long as one can.
/// Puts the swarm's other events meanwhile, of peers that connect at once, into `early`.
async fn listen(
    swarm: &mut Swarm<Behaviour>,
    shared: &Shared,
    early: &mut Vec<SwarmEvent<BehaviourEvent>>,
) -> Result<Vec<String>> {
    let Shared { settings, metrics, .. } = shared;
    for address in &settings.advertise {
        swarm.add_external_address(address.clone());
    }
    let mut pending = HashMap::new();
    let mut failures = Vec::new();
    // libp2p's TCP sets SO_REUSEPORT, so two nodes of one user would share a port in silence. All are tried
    // before the first is taken: two of them may share a port.
    let mut to_take = Vec::new();
    for address in &settings.listen {
        match has_port(address).then(|| try_listen(address)) {
            Some(Err(error)) => failures.push(refused(address, &error)),
            _ => to_take.push(address),
        }
    }
    for address in to_take {
        match swarm.listen_on(address.clone()) {
            Ok(id) => {
                pending.insert(id, address.clone());
            }
            // A plain socket is told more than the transport's error says.
            Err(error) => failures.push(match try_listen(address) {
                Err(refusal) => refused(address, &refusal),
                Ok(_) => failed(address, &innermost(&error)),
            }),
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
        advertise(swarm, settings, address);
    }
    let must_have_all = settings.listen_explicit || addresses.is_empty();
    if must_have_all && !failures.is_empty() {
        return Err(failures.swap_remove(0));
    }
    addresses.into_iter().for_each(|address| shared.listen_addr(address, true));
    Ok(failures.iter().map(Error::to_string).collect())
}

/// Returns the test of whether a listener will tell an address now. A machine with IPv6 off has none for
/// `::`, which can be listened at all the same; the listener tells of one when it comes.
fn expected() -> impl Fn(&Multiaddr) -> bool {
    let interfaces = interfaces::addresses();
    move |address| match (addr::ip_of(address), &interfaces) {
        (Some(any), Ok(interfaces)) if any.is_unspecified() => {
            interfaces.iter().any(|interface| interface.ip.is_ipv4() == any.is_ipv4())
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
    metrics.record_swarm(&event);
    None
}

/// Tells whether an address names its port: the system finds a free one for 0.
fn has_port(address: &Multiaddr) -> bool {
    addr::port_of(address).is_some_and(|port| port > 0)
}

/// Says why the system refuses an address, and what can be done about it.
fn refused(address: &Multiaddr, error: &io::Error) -> Error {
    /// The ports that systems keep for privileged programs.
    const PRIVILEGED: std::ops::Range<u16> = 1..1024;

    let ip = addr::ip_of(address);
    let version = if ip.is_some_and(|ip| ip.is_ipv6()) { "IPv6" } else { "IPv4" };
    let privileged = addr::port_of(address).is_some_and(|port| PRIVILEGED.contains(&port));
    let link_local = matches!(ip, Some(IpAddr::V6(ip)) if ip.is_unicast_link_local());
    let (why, hint) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            return failed(address, &"another process has that port").caused_by(error);
        }
        io::ErrorKind::AddrNotAvailable => {
            ("this machine has no such address".to_owned(), own_addresses(ip))
        }
        io::ErrorKind::PermissionDenied if privileged => (
            "the system keeps ports below 1024 for privileged programs".to_owned(),
            "choose a port from 1024 on, or give the program the right (CAP_NET_BIND_SERVICE)"
                .to_owned(),
        ),
        io::ErrorKind::PermissionDenied => (
            format!("the system doesn't permit it: {error}"),
            "a sandbox or a security module of this machine forbids it; its rules have to allow it"
                .to_owned(),
        ),
        io::ErrorKind::InvalidInput if link_local => (
            "a link-local address means nothing without its interface".to_owned(),
            "listen at ::, which has all of this machine's IPv6 addresses".to_owned(),
        ),
        _ if is_no_family(error) => (
            format!("there is no {version} here: {error}"),
            format!(
                "switch {version} on, or have the sandbox allow it \
                 (`RestrictAddressFamilies=` of a systemd unit); or leave the address out"
            ),
        ),
        _ if lacks_descriptors(error) => (
            format!("no file descriptor is left: {error}"),
            "raise the limit on open files, or close what isn't needed".to_owned(),
        ),
        _ => (innermost(error), "the reason is the system's own; try another address".to_owned()),
    };
    failed(address, &why).with_hint(hint).caused_by(error)
}

/// Suggests addresses that this machine does have.
fn own_addresses(like: Option<IpAddr>) -> String {
    const MOST: usize = 4;

    let ipv4 = like.is_some_and(|ip| ip.is_ipv4());
    let own = interfaces::addresses().unwrap_or_default();
    let own = own.iter().map(|own| own.ip).filter(|ip| ip.is_ipv4() == ipv4);
    let own: Vec<_> = own.map(|ip| ip.to_string()).take(MOST).collect();
    let all = if ipv4 { "0.0.0.0" } else { "::" };
    match own.is_empty() {
        true => format!("listen at {all} for all addresses this machine has"),
        false => format!("it has {}; {all} stands for all it has", own.join(", ")),
    }
}

#[cfg(unix)]
fn is_no_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT))
}

#[cfg(not(unix))]
fn is_no_family(_: &io::Error) -> bool {
    false
}

fn failed(address: &Multiaddr, why: &dyn std::fmt::Display) -> Error {
    Error::new(ErrorKind::ListenFailed, format!("can't listen on {address}: {why}"))
        .with("address", address.to_string())
}
