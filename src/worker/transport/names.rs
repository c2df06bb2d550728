//! Names in addresses, looked up at this machine's name servers and in its hosts file.
//!
//! Both files are looked at whenever a name is to be looked up, or somebody asks for warnings, and read
//! again when they have changed: a node may start before its network, and move from one to another. `race`
//! asks here; what the files say is in `system`.

mod system;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use libp2p::multiaddr::Protocol;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use self::system::{Stamp, System};
use super::progress::Cause;
use crate::{Multiaddr, addr};

/// The name under which the records of a `/dnsaddr/` are kept.
const DNSADDR_PREFIX: &str = "_dnsaddr.";
/// Time after which a question under way looks whether other servers are to be asked by now.
const LOOK: Duration = Duration::from_secs(1);

/// This machine's way of looking up names.
#[derive(Default)]
pub(crate) struct Names(Mutex<State>);

#[derive(Default)]
struct State {
    /// The files as they were when they were read; None before that.
    stamp: Option<Stamp>,
    system: System,
    /// Counts the readings.
    reading: u64,
    /// The resolver of this reading; None until a name is looked up.
    resolver: Option<TokioResolver>,
    /// True once a name was looked up.
    needed: bool,
}

/// A resolver, and the reading of the files it was made of.
struct Current {
    resolver: TokioResolver,
    reading: u64,
    servers: Vec<IpAddr>,
    /// Says why no name server is known.
    lack: Option<String>,
}

impl Names {
    /// Says what of the files can't be used now. That there is no name server is told once one was needed.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut state = self.0.lock();
        state.refresh();
        let System { warnings, lack, .. } = &state.system;
        let lack = lack.iter().filter(|_| state.needed);
        let lack = lack.map(|lack| format!("no name in an address can be looked up: {lack}"));
        warnings.iter().cloned().chain(lack).collect()
    }

    /// Answers a question: for `/dns4/` and `/dns6/` with the IP addresses, for `/dnsaddr/` with the
    /// addresses in its records. Where the name servers change meanwhile, the new ones are asked.
    pub(super) async fn look_up(&self, question: &Protocol<'_>) -> Result<Vec<Multiaddr>, Cause> {
        loop {
            let current = self.current()?;
            let answer = tokio::select! {
                biased;
                answer = ask(&current.resolver, question) => answer,
                () = self.changed(current.reading) => continue,
                cause = nobody_to_ask(current.lack.as_deref()) => return Err(cause),
            };
            let error = match answer {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            let cause = cause(&error, question, &current.servers);
            if matches!(cause, Cause::Resolver(_)) && self.reading() != current.reading {
                continue;
            }
            return Err(cause);
        }
    }

    fn current(&self) -> Result<Current, Cause> {
        let mut state = self.0.lock();
        state.refresh();
        state.needed = true;
        let reading = state.reading;
        let (servers, lack) = (state.system.servers(), state.system.lack.clone());
        if let Some(resolver) = &state.resolver {
            return Ok(Current { resolver: resolver.clone(), reading, servers, lack });
        }
        let System { config, options, hosts, .. } = &state.system;
        let provider = TokioRuntimeProvider::default();
        let builder = TokioResolver::builder_with_config(config.clone(), provider);
        let mut resolver = builder
            .with_options(options.clone())
            .build()
            .map_err(|error| Cause::Resolver(format!("no name can be looked up: {error}")))?;
        resolver.set_hosts(Arc::clone(hosts));
        state.resolver = Some(resolver.clone());
        Ok(Current { resolver, reading, servers, lack })
    }

    fn reading(&self) -> u64 {
        let mut state = self.0.lock();
        state.refresh();
        state.reading
    }

    /// Waits until the files are others than at this reading.
    async fn changed(&self, reading: u64) {
        while self.reading() == reading {
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl State {
    /// Reads the files where they have changed.
    fn refresh(&mut self) {
        // Taken before the reading: a change during it makes the next look read again.
        let stamp = system::stamp();
        if self.stamp.as_ref() != Some(&stamp) {
            self.system = system::read();
            self.stamp = Some(stamp);
            self.reading += 1;
            self.resolver = None;
        }
    }
}

/// Gives up where no name server is known and none runs on this machine; waits for ever otherwise. Hickory
/// wouldn't notice, and ask until its timeouts.
async fn nobody_to_ask(lack: Option<&str>) -> Cause {
    const DNS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 53);

    let Some(lack) = lack else { return std::future::pending().await };
    if TcpStream::connect(DNS).await.is_ok() {
        return std::future::pending().await;
    }
    // One that answers over UDP alone has had its chance then.
    tokio::time::sleep(LOOK).await;
    Cause::Resolver(format!("this machine has no name server to ask: {lack}"))
}

async fn ask(
    resolver: &TokioResolver,
    question: &Protocol<'_>,
) -> Result<Vec<Multiaddr>, NetError> {
    // An IP address in a name's place is its own answer.
    let ip_in = |name: &str| name.parse::<IpAddr>().ok();
    Ok(match question {
        Protocol::Dns4(name) => match ip_in(name) {
            Some(ip) => ip.is_ipv4().then(|| ip.into()).into_iter().collect(),
            None => addresses(&resolver.ipv4_lookup(&**name).await?),
        },
        Protocol::Dns6(name) => match ip_in(name) {
            Some(ip) => ip.is_ipv6().then(|| ip.into()).into_iter().collect(),
            None => addresses(&resolver.ipv6_lookup(&**name).await?),
        },
        Protocol::Dnsaddr(name) => {
            let name = format!("{DNSADDR_PREFIX}{name}");
            records(&resolver.txt_lookup(name).await?)
        }
        _ => Vec::new(),
    })
}

fn addresses(lookup: &Lookup) -> Vec<Multiaddr> {
    let ip = |data: &RData| match data {
        RData::A(ip) => Some(IpAddr::from(ip.0)),
        RData::AAAA(ip) => Some(IpAddr::from(ip.0)),
        _ => None,
    };
    lookup.answers().iter().filter_map(|record| ip(&record.data)).map(Multiaddr::from).collect()
}

/// Returns the addresses in records such as `dnsaddr=/ip4/..`. The strings of one record, each 255 bytes
/// at most, are one text.
fn records(lookup: &Lookup) -> Vec<Multiaddr> {
    let text = |data: &RData| match data {
        RData::TXT(text) => String::from_utf8(text.txt_data.concat()).ok(),
        _ => None,
    };
    let texts = lookup.answers().iter().filter_map(|record| text(&record.data));
    texts
        .filter_map(|text| {
            let read = addr::parse_address(text.strip_prefix("dnsaddr=")?).ok()?;
            Some(match read.peer_id {
                Some(peer) => addr::with_peer_id(&read.addr, &peer),
                None => read.addr,
            })
        })
        .collect()
}

/// Tells a name that leads nowhere from servers that can't be asked.
fn cause(error: &NetError, question: &Protocol<'_>, servers: &[IpAddr]) -> Cause {
    let (name, kind) = match question {
        Protocol::Dns4(name) => (name.to_string(), "IPv4 address"),
        Protocol::Dns6(name) => (name.to_string(), "IPv6 address"),
        Protocol::Dnsaddr(name) => (format!("{DNSADDR_PREFIX}{name}"), "text record"),
        other => (other.to_string(), "record"),
    };
    let named: Vec<_> = servers.iter().map(IpAddr::to_string).collect();
    let whose = match named.len() {
        1 => format!("this machine's name server {}", named[0]),
        _ => format!("this machine's name servers ({})", named.join(", ")),
    };
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => Cause::NoSuchName(format!("there is no name {name}")),
            ResponseCode::NoError => Cause::NoSuchName(format!("{name} has no {kind}")),
            code => Cause::Resolver(format!("{whose} gave no answer for {name}: {code}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            Cause::Resolver(format!("{whose} gave no answer for {name}: {code}"))
        }
        NetError::Timeout => Cause::Resolver(format!("{whose} did not answer")),
        NetError::NoConnections => Cause::Resolver(format!("{whose} can't be reached")),
        NetError::Io(error) => Cause::Resolver(format!("{whose} can't be reached: {error}")),
        other => {
            Cause::Resolver(format!("{whose} answered for {name} what can't be read: {other}"))
        }
    }
}
