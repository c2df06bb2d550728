//! The address of a daemon's API, read from a URL or a multiaddr, and shown to people: the credentials
//! that a URL may carry are in no message, not even in one about a text that can't be read.
//!
//! `http` turns an [`Api`] into requests; the configuration and the operations give the text.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, ToSocketAddrs};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use multiaddr::Protocol;
use ureq::config::IpFamily;
use ureq::http::{HeaderValue, Uri};

use crate::Multiaddr;
use crate::addr::{parse_address, scope};
use crate::error::{Result, invalid_argument};

/// The longest text read, in bytes.
const MAX_TEXT_BYTES: usize = 2048;
const MAX_NAME_BYTES: usize = 253;
const EXAMPLES: &str = "for example http://127.0.0.1:5001, https://user:password@ipfs.example or /ip4/127.0.0.1/tcp/5001";

/// The reason a text can't be read, as the end of a sentence. Fixed texts only: none can hold a password.
type Refusal = &'static str;

/// The address of a daemon's API. Neither `Debug` nor `Display` shows the credentials.
#[derive(Clone, PartialEq)]
pub(crate) struct Api {
    /// `http://host:port`, without credentials.
    origin: String,
    family: IpFamily,
    /// The value of an `Authorization` header.
    authorization: Option<HeaderValue>,
}

impl Api {
    /// Reads `http://` or `https://` with an optional `user:password@`, an optional port and no path
    /// but Kubo's `/api/v0`, or a multiaddr: an IP address or DNS name, `/tcp/` and its port, and
    /// perhaps `/http`, `/https` or `/tls/http`.
    pub(crate) fn parse(text: &str) -> Result<Api> {
        let read = if text.len() > MAX_TEXT_BYTES {
            Err("it is too long")
        } else if text.starts_with('/') {
            from_multiaddr(text)
        } else {
            from_url(text)
        };
        read.map_err(|why| {
            let message = format!("the address of the API can't be used: {why}");
            invalid_argument(message).with_hint(EXAMPLES)
        })
    }

    /// Returns the address of Kubo's API where its configuration says nothing else.
    pub(crate) fn kubo_default() -> Api {
        Api::plain("http://127.0.0.1:5001")
    }

    /// Returns the address of ipfs-cluster's API where its configuration says nothing else.
    pub(crate) fn cluster_default() -> Api {
        Api::plain("http://127.0.0.1:9094")
    }

    fn plain(origin: &str) -> Api {
        Api { origin: origin.to_owned(), family: IpFamily::Any, authorization: None }
    }

    /// Returns `http://host:port`, as a person and `detail` may see it.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Returns an address of the daemon, by which to judge what it can know; of a name with several
    /// addresses, the one that reaches farthest. Looks the name up, and so may block.
    pub(crate) fn seen_at(&self) -> Multiaddr {
        let bare = self.host();
        let family = |ip: &IpAddr| match self.family {
            IpFamily::Ipv4Only => ip.is_ipv4(),
            IpFamily::Ipv6Only => ip.is_ipv6(),
            IpFamily::Any => true,
        };
        let found = (bare.as_str(), 0).to_socket_addrs().into_iter().flatten();
        let found = found.map(|address| address.ip()).filter(family).map(Multiaddr::from);
        let name = || Multiaddr::from(Protocol::Dns(bare.as_str().into()));
        found.max_by_key(scope).unwrap_or_else(name)
    }

    /// Tells whether it is on this machine by the text alone: a loopback address, written as addresses
    /// are, or `localhost`. A text that a resolver would first have to interpret isn't, `127.1` and
    /// `localhost.` included.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host();
        let ip: Option<IpAddr> = host.parse().ok();
        host == "localhost" || ip.is_some_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Returns the host that requests go to, an IPv6 address without its brackets.
    fn host(&self) -> String {
        let uri: Option<Uri> = self.origin.parse().ok();
        let host = uri.as_ref().and_then(Uri::host).unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']').to_owned()
    }

    pub(super) fn is_tls(&self) -> bool {
        self.origin.starts_with("https:")
    }

    /// Tells which of a name's addresses to use.
    pub(super) fn family(&self) -> IpFamily {
        self.family
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.origin)
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.authorization.is_some() { "redacted" } else { "none" };
        write!(f, "Api({}, credentials {credentials})", self.origin)
    }
}

fn from_url(text: &str) -> Result<Api, Refusal> {
    let (scheme, rest) =
        text.split_once("://").ok_or("it begins with no http://, https:// or /")?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => "http",
        "https" => "https",
        _ => return Err("it begins with no http://, https:// or /"),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if !matches!(path, "" | "/" | "/api/v0" | "/api/v0/") {
        return Err("it has a path; a password with one of /?# in it needs percent-encoding");
    }
    let (user_info, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = split_port(host)?;
    let default = if scheme == "https" { 443 } else { 80 };
    let mut api = at(scheme, &host_part(host)?, port.unwrap_or(default))?;
    api.authorization = authorization(user_info)?;
    Ok(api)
}

fn from_multiaddr(text: &str) -> Result<Api, Refusal> {
    use Protocol::{Dns, Dns4, Dns6, Http, Https, Ip4, Ip6, Tcp, Tls};

    // The parser's own message quotes the text, which may hold a password in a place of its own.
    let address = parse_address(text).map_err(|_| "it is no multiaddr that can be read")?;
    if address.peer_id.is_some() {
        return Err("it names a peer; an API is no peer");
    }
    let parts: Vec<_> = address.addr.iter().collect();
    let [host, Tcp(port), rest @ ..] = parts.as_slice() else {
        return Err("a multiaddr of an API is an IP address or a DNS name with a TCP port");
    };
    let scheme = match rest {
        [] | [Http] => "http",
        [Https] | [Tls, Http] => "https",
        _ => return Err("behind its port may stand only /http, /https or /tls/http"),
    };
    let (host, family) = match host {
        Ip4(ip) => (ip.to_string(), IpFamily::Any),
        Ip6(ip) => (format!("[{ip}]"), IpFamily::Any),
        Dns(name) => (host_part(name)?, IpFamily::Any),
        Dns4(name) => (host_part(name)?, IpFamily::Ipv4Only),
        Dns6(name) => (host_part(name)?, IpFamily::Ipv6Only),
        _ => return Err("it begins with neither an IP address nor a DNS name"),
    };
    Ok(Api { family, ..at(scheme, &host, *port)? })
}

fn at(scheme: &str, host: &str, port: u16) -> Result<Api, Refusal> {
    if port == 0 {
        return Err("nothing listens at port 0");
    }
    let api = Api::plain(&format!("{scheme}://{host}:{port}"));
    match api.origin.parse::<Uri>() {
        Ok(_) => Ok(api),
        Err(_) => Err("it is no URL"),
    }
}

/// Takes `:port` off the end; the colons of an IPv6 address stand in brackets.
fn split_port(host: &str) -> Result<(&str, Option<u16>), Refusal> {
    let colon = match (host.rfind(']'), host.find(':')) {
        (Some(bracket), _) if bracket + 1 == host.len() => return Ok((host, None)),
        (Some(bracket), _) => bracket + 1,
        (None, Some(colon)) => colon,
        (None, None) => return Ok((host, None)),
    };
    let port = host[colon..].strip_prefix(':').unwrap_or_default();
    // `parse` alone would take a sign in front, too.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse() {
        Ok(port) if digits => Ok((&host[..colon], Some(port))),
        _ => Err("its port is no number from 1 to 65535"),
    }
}

/// Returns a host as it stands in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
fn host_part(host: &str) -> Result<String, Refusal> {
    if let Some(ip) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let ip: Ipv6Addr = ip.parse().map_err(|_| "in its brackets is no IPv6 address")?;
        return Ok(format!("[{ip}]"));
    }
    let odd = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_');
    if host.is_empty() || host.len() > MAX_NAME_BYTES || host.contains(odd) {
        return Err("its host is neither a DNS name nor an IP address");
    }
    Ok(host.to_ascii_lowercase())
}

/// Returns the header that `user:password` in a URL stands for; None if there is nothing.
fn authorization(user_info: &str) -> Result<Option<HeaderValue>, Refusal> {
    if user_info.is_empty() {
        return Ok(None);
    }
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let mut pair = percent_decode(user)?;
    if pair.contains(&b':') {
        return Err("basic authentication can't carry a user with a colon in its name");
    }
    pair.push(b':');
    pair.extend(percent_decode(password)?);
    let text = format!("Basic {}", STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).map_err(|_| "its credentials can't be sent")?;
    // Keeps the password out of the `Debug` of every type that holds the header.
    value.set_sensitive(true);
    Ok(Some(value))
}

fn percent_decode(text: &str) -> Result<Vec<u8>, Refusal> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err("a percent sign in its credentials is written %25");
        };
        decoded.push((16 * high + low) as u8);
    }
    Ok(decoded)
}
