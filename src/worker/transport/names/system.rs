//! The files that say how this machine looks up names: `/etc/resolv.conf` and `/etc/hosts`. Whatever can be
//! read of them is used, and what can't is told: one odd line costs itself, not all names.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::Hosts;
use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;

/// The most that is read of each file: some hosts files list every advertiser there is.
const MAX_BYTES: u64 = 16 << 20;
/// Odd lines of a file that are told one by one.
const MAX_TOLD: usize = 4;
/// The part of an odd line that is quoted, in characters.
const QUOTED_CHARS: usize = 60;
/// Servers asked at once. By hickory's default it would be two, and a third that works wait for their timeouts.
const ASKED_AT_ONCE: usize = 3;

/// The machine's way of looking up names, as the files have it.
#[derive(Default)]
pub(super) struct System {
    pub config: ResolverConfig,
    pub options: ResolverOpts,
    pub hosts: Arc<Hosts>,
    /// The lines that can't be used.
    pub warnings: Vec<String>,
    /// Says why no name server is known; then this machine itself is asked.
    pub lack: Option<String>,
}

impl System {
    pub(super) fn servers(&self) -> Vec<IpAddr> {
        self.config.name_servers().iter().map(|server| server.ip).collect()
    }
}

/// The marks by which a change of the files shows.
#[derive(PartialEq)]
pub(super) struct Stamp([Option<Mark>; 2]);

#[cfg(unix)]
type Mark = (u64, u64, u64, [i64; 4]);
#[cfg(not(unix))]
type Mark = (u64, Option<std::time::SystemTime>);

const RESOLV_CONF: &str = "/etc/resolv.conf";
const HOSTS: &str = "/etc/hosts";

/// Looks at the files without reading them.
pub(super) fn stamp() -> Stamp {
    Stamp([RESOLV_CONF, HOSTS].map(mark))
}

#[cfg(unix)]
fn mark(path: &str) -> Option<Mark> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(path).ok()?;
    let times = [file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()];
    Some((file.dev(), file.ino(), file.len(), times))
}

#[cfg(not(unix))]
fn mark(path: &str) -> Option<Mark> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.len(), file.modified().ok()))
}

/// Reads the files.
#[cfg(all(unix, not(any(target_vendor = "apple", target_os = "android"))))]
pub(super) fn read() -> System {
    let mut odd = Odd::default();
    let (servers, lack) = match bytes_of(RESOLV_CONF) {
        Ok(bytes) => (resolv_conf(&bytes, &mut odd), "names no name server".to_owned()),
        Err(error) => (Servers::default(), format!("can't be read: {error}")),
    };
    let Servers { mut ips, search, options } = servers;
    let lack = ips.is_empty().then(|| {
        // As libc does.
        ips = vec![IpAddr::from([127, 0, 0, 1])];
        format!("{RESOLV_CONF} {lack}")
    });
    let mut warnings = odd.told(RESOLV_CONF);
    let mut odd = Odd::default();
    let hosts = bytes_of(HOSTS).map(|bytes| hosts(&bytes, &mut odd)).unwrap_or_default();
    warnings.extend(odd.told(HOSTS));
    let servers = ips.into_iter().map(NameServerConfig::udp_and_tcp).collect();
    let config = ResolverConfig::from_parts(None, search, servers);
    System { config, options, hosts: Arc::new(hosts), warnings, lack }
}

/// Asks the system's own settings; they aren't in a file here.
#[cfg(not(all(unix, not(any(target_vendor = "apple", target_os = "android")))))]
pub(super) fn read() -> System {
    let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
    match hickory_resolver::system_conf::read_system_conf() {
        Ok((config, options)) => System { config, options, hosts, ..System::default() },
        Err(error) => {
            let lack = Some(format!("this machine's name servers can't be found out: {error}"));
            System { hosts, lack, ..System::default() }
        }
    }
}

fn bytes_of(path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The lines that can't be used, with the reasons.
#[derive(Default)]
struct Odd {
    first: VecDeque<String>,
    further: usize,
}

impl Odd {
    fn line(&mut self, number: usize, line: &[u8], why: &str) {
        if self.first.len() == MAX_TOLD {
            self.further += 1;
            return;
        }
        let text = String::from_utf8_lossy(line);
        let shown = text.trim().chars().take(QUOTED_CHARS).flat_map(char::escape_debug);
        let shown: String = shown.collect();
        self.first.push_back(format!("line {}, `{shown}`: {why}", number + 1));
    }

    fn told(self, path: &str) -> Vec<String> {
        let further = (self.further > 0).then(|| format!("{} further lines", self.further));
        let told = self.first.into_iter().chain(further);
        told.map(|what| format!("{path} isn't used whole: {what}")).collect()
    }
}

/// Returns the words of each line that has any, without its comment; tells of lines that are no text.
fn lines<'a>(bytes: &'a [u8], odd: &mut Odd) -> Vec<(usize, &'a [u8], Vec<&'a str>)> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut lines = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let code = line.split(|byte| matches!(byte, b'#' | b';')).next().unwrap_or_default();
        match std::str::from_utf8(code) {
            Ok(code) => {
                let words: Vec<_> = code.split_whitespace().collect();
                if !words.is_empty() {
                    lines.push((number, line, words));
                }
            }
            Err(_) => odd.line(number, line, "it isn't UTF-8"),
        }
    }
    lines
}

/// The name servers, and how they are to be asked.
#[derive(Default)]
struct Servers {
    ips: Vec<IpAddr>,
    search: Vec<Name>,
    options: ResolverOpts,
}

/// Reads `/etc/resolv.conf`, see resolv.conf(5). As with libc the last `domain` or `search` counts.
fn resolv_conf(bytes: &[u8], odd: &mut Odd) -> Servers {
    let mut servers = Servers::default();
    // Libc asks without EDNS unless told to.
    servers.options.edns0 = false;
    servers.options.num_concurrent_reqs = ASKED_AT_ONCE;
    for (number, line, words) in lines(bytes, odd) {
        let mut tell = |why: &str| odd.line(number, line, why);
        match (words[0], &words[1..]) {
            ("nameserver", [ip, ..]) => match server(ip) {
                Ok(ip) if servers.ips.contains(&ip) => {}
                Ok(ip) => servers.ips.push(ip),
                Err(why) => tell(why),
            },
            ("domain" | "search", names @ [_, ..]) => {
                let names = if words[0] == "domain" { &names[..1] } else { names };
                servers.search.clear();
                for name in names.iter().filter(|name| **name != "--") {
                    match domain(name) {
                        Some(name) => servers.search.push(name),
                        None => tell("it has what is no domain name"),
                    }
                }
            }
            ("options", options) => {
                for option in options {
                    if !set(&mut servers.options, option) {
                        tell("it has a number that can't be read");
                    }
                }
            }
            ("sortlist" | "lookup" | "family", _) => {}
            ("nameserver" | "domain" | "search", []) => tell("it is cut short"),
            _ => tell("it begins with no keyword of this file"),
        }
    }
    servers
}

fn server(text: &str) -> Result<IpAddr, &'static str> {
    match text.split_once('%') {
        Some(_) => Err("an address with a zone can't be asked from here"),
        None => text.parse().map_err(|_| "it has what is no IP address"),
    }
}

fn domain(text: &str) -> Option<Name> {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    Name::from_str_relaxed(text).ok().filter(|_| text.chars().all(plain))
}

/// Sets an option within the bounds that libc has; false where its number can't be read. Those that only
/// libc knows are passed over, as libc does with those it doesn't know.
fn set(options: &mut ResolverOpts, option: &str) -> bool {
    let Some((name, number)) = option.split_once(':') else {
        options.edns0 |= option == "edns0";
        return true;
    };
    if !["ndots", "timeout", "attempts"].contains(&name) {
        return true;
    }
    let Ok(number) = number.parse::<u32>() else { return false };
    match name {
        "ndots" => options.ndots = number.min(15) as usize,
        // With none at all no answer could come.
        "timeout" => options.timeout = Duration::from_secs(number.clamp(1, 30).into()),
        _ => options.attempts = number.clamp(1, 5) as usize,
    }
    true
}

/// Reads `/etc/hosts`, see hosts(5).
fn hosts(bytes: &[u8], odd: &mut Odd) -> Hosts {
    let mut usable = String::new();
    for (number, line, words) in lines(bytes, odd) {
        // Link-local addresses have a zone there on some systems; they can't be dialled anyway.
        if words[0].contains('%') {
            continue;
        }
        match words[0].parse::<IpAddr>() {
            Ok(_) => usable.extend([&words.join(" "), "\n"]),
            Err(_) => odd.line(number, line, "it begins with no IP address"),
        }
    }
    let mut hosts = Hosts::default();
    if let Err(error) = hosts.read_hosts_conf(usable.as_bytes()) {
        tracing::info!(%error, "the hosts file isn't used whole");
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
        let mut odd = Odd::default();
        let servers = resolv_conf(text.as_bytes(), &mut odd);
        let ips = servers.ips.iter().map(IpAddr::to_string).collect();
        (ips, servers.search.iter().map(Name::to_string).collect(), odd.told("FILE"))
    }

    #[test]
    fn an_odd_line_costs_itself_alone() {
        let (ips, search, told) = read("domain (none)\nnameserver 192.0.2.1\n");
        assert_eq!((ips.len(), search.len(), told.len()), (1, 0, 1), "{told:?}");
        assert!(told[0].contains("line 1, `domain (none)`"), "{told:?}");

        let text = "\u{feff}; by hand\nnameserver 192.0.2.1 # first\nnameserver elsewhere\r\n\
                    search a.test, b.test _c.test\nnameserver 2001:db8::1\nnameserver fe80::1%eth0\n\
                    namesrever 192.0.2.9\noptions timeout:soon rotate attempts:3\nsearch";
        let (ips, search, told) = read(text);
        assert_eq!(ips, ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(search, ["b.test", "_c.test"]);
        let lines = ["line 3", "line 4", "line 6", "line 7", "2 further lines"];
        assert_eq!(told.len(), lines.len(), "{told:#?}");
        assert!(told.iter().zip(lines).all(|(told, line)| told.contains(line)), "{told:#?}");
    }

    #[test]
    fn what_libc_takes_is_no_warning() {
        let text = "search . -- lan\nnameserver 127.0.0.53\noptions edns0 trust-ad no-aaaa\n\
                    sortlist 192.0.2.0\n\n# \u{e4}";
        let (ips, search, told) = read(text);
        assert_eq!((ips.len(), search, told), (1, vec![".".into(), "lan".into()], Vec::new()));
    }

    #[test]
    fn no_option_leaves_no_time_or_no_try() {
        let mut odd = Odd::default();
        let text =
            b"nameserver 192.0.2.1\noptions timeout:0 attempts:0 ndots:99 timeout:4000000000";
        let options = resolv_conf(text, &mut odd).options;
        assert_eq!((options.timeout.as_secs(), options.attempts, options.ndots), (30, 1, 15));
        assert!(odd.first.is_empty());
    }

    #[test]
    fn a_line_that_is_no_text_leaves_the_other_hosts() {
        let mut odd = Odd::default();
        let hosts =
            hosts(b"192.0.2.7 caf\xe9\nthere 1\nfe80::1%lo0 x\n192.0.2.8 here.test\n", &mut odd);
        let query = |name: &str| {
            let name = Name::from_ascii(name).unwrap();
            let kind = hickory_resolver::proto::rr::RecordType::A;
            hosts.lookup_static_host(&hickory_resolver::proto::op::Query::query(name, kind))
        };
        assert!(query("here.test.").is_some() && query("there.").is_none());
        assert_eq!(odd.told("FILE").len(), 2);
    }
}
