//! By which names this server may be called: a web page must not reach it by a name of the page's owner that
//! resolves to this machine (DNS rebinding), nor send it requests from elsewhere (CSRF). Pure; `middleware` asks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use peerkit::{Error, ErrorKind};

use super::status::Refusal;

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// A host with its port, as a `Host` header or an origin names it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    host: Host,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    Name(String),
}

impl Authority {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`; None of anything else.
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let host = Host::Address(IpAddr::V6(address.parse().ok()?));
            return Some(Authority { host, port: port(rest)? });
        }
        let end = text.find(':').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        // A trailing dot makes a name absolute and is no part of it.
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            return None;
        }
        let host = name.parse().map(Host::Address).unwrap_or(Host::Name(name));
        Some(Authority { host, port: port(rest)? })
    }

    /// Reads the authority of `http://name:port` or `https://name:port`, with the scheme's port where none is given.
    fn of_origin(origin: &str) -> Option<Self> {
        let (scheme, authority) = origin.split_once("://")?;
        let default = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let authority = Self::parse(authority)?;
        Some(Authority { port: authority.port.or(Some(default)), ..authority })
    }
}

/// Reads the port in what follows a host.
fn port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.strip_prefix(':')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok().map(Some)).flatten()
}

/// Gives the address at which a server that is bound there is reached from this machine: one that stands for all
/// addresses can't be asked.
pub fn reached_at(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

/// The names this server answers to.
pub struct Hosts {
    bound: SocketAddr,
    /// Names the operator gave; without a port they stand for any.
    allowed: Vec<Authority>,
}

impl Hosts {
    /// Collects the names of a server bound there, and those that the operator allows beside.
    pub fn new(bound: SocketAddr, allowed: &[String]) -> Result<Self, Error> {
        let parse = |name: &String| {
            Authority::parse(name).ok_or_else(|| {
                let message = format!("--allow-host {name} is no host name");
                Error::new(ErrorKind::InvalidArgument, message)
                    .with_hint("give a name or an address, with or without a port")
            })
        };
        let allowed = allowed.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Hosts { bound, allowed })
    }

    /// Gives one of the names, as a `Host` header: the name of this server for what lies behind the middleware.
    pub fn name(&self) -> String {
        format!("localhost:{}", self.bound.port())
    }

    /// Refuses a request by its target, `Host`, `Origin` or the browser's word on who sent it.
    /// `page` is a file of the dashboard, to which other sites may link.
    pub fn check(&self, request: &Parts, page: bool) -> Result<(), Refusal> {
        let host = self.host(request)?;
        check_origin(&request.headers, |origin| {
            let own = Authority { port: Some(host.port.unwrap_or(80)), ..host.clone() };
            *origin == own || self.allows(origin)
        })?;
        let navigates = request.headers.get(MODE).is_some_and(|mode| mode == "navigate");
        check_site(&request.headers, page && request.method == Method::GET && navigates)
    }

    /// Reads the host that is meant, which must be this one by each of the ways to say it.
    fn host(&self, request: &Parts) -> Result<Authority, Refusal> {
        let wrong = || {
            let error =
                Error::new(ErrorKind::Blocked, "this server isn't reached by that host name")
                    .with_hint("use its address, or start it with --allow-host NAME");
            Refusal::new(StatusCode::MISDIRECTED_REQUEST, error)
        };
        let mut hosts = request.headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(wrong()) };
        let host = authority(host).filter(|host| self.knows(host)).ok_or_else(wrong)?;
        if let Some(target) = request.uri.authority() {
            // Of a request line in absolute form; user and password in it are nothing that a client of ours sends.
            let target = Authority::parse(target.as_str()).filter(|target| self.knows(target));
            target.filter(|_| request.uri.scheme_str() == Some("http")).ok_or_else(wrong)?;
        }
        Ok(host)
    }

    fn knows(&self, authority: &Authority) -> bool {
        let own_port = authority.port.unwrap_or(80) == self.bound.port();
        let own = match &authority.host {
            Host::Name(name) => name == "localhost",
            // A server that binds all addresses is reached by any of them. An address can't be rebound as a name
            // can; the one that stands for all is none that anybody means.
            Host::Address(address) if self.bound.ip().is_unspecified() => !address.is_unspecified(),
            Host::Address(address) => {
                *address == self.bound.ip() || ["127.0.0.1", "::1"].contains(&&*address.to_string())
            }
        };
        (own_port && own) || self.allows(authority)
    }

    fn allows(&self, authority: &Authority) -> bool {
        self.allowed.iter().any(|allowed| {
            allowed.host == authority.host
                && (allowed.port.is_none() || allowed.port == authority.port)
        })
    }
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    Authority::parse(value.to_str().ok()?)
}

/// Refuses another site's page: a browser names the site that a request comes from, if it isn't a plain visit.
fn check_origin(headers: &HeaderMap, own: impl Fn(&Authority) -> bool) -> Result<(), Refusal> {
    for origin in headers.get_all(ORIGIN) {
        let origin = origin.to_str().ok().and_then(Authority::of_origin);
        if !origin.as_ref().is_some_and(&own) {
            return Err(from_elsewhere());
        }
    }
    Ok(())
}

/// Refuses the same by the header of newer browsers, which comes with requests that have no `Origin` too.
fn check_site(headers: &HeaderMap, linked: bool) -> Result<(), Refusal> {
    match headers.get(SITE) {
        Some(site) if site != "same-origin" && site != "none" && !linked => Err(from_elsewhere()),
        _ => Ok(()),
    }
}

fn from_elsewhere() -> Refusal {
    Error::new(ErrorKind::Blocked, "this request comes from another site's page").into()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::get(target), |request, (name, value)| request.header(*name, *value));
        request.body(()).unwrap().into_parts().0
    }

    fn hosts(bound: &str, allowed: &[&str]) -> Hosts {
        let allowed: Vec<String> = allowed.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(bound.parse().unwrap(), &allowed).unwrap()
    }

    fn status(hosts: &Hosts, target: &str, headers: &[(&str, &str)]) -> u16 {
        match hosts.check(&parts(target, headers), target == "/") {
            Ok(()) => 200,
            Err(refusal) => refusal.into_response("").status().as_u16(),
        }
    }

    #[test]
    fn only_own_names_with_the_own_port_are_served() {
        let own = hosts("127.0.0.1:5080", &[]);
        for host in
            ["127.0.0.1:5080", "localhost:5080", "LOCALHOST:5080", "localhost.:5080", "[::1]:5080"]
        {
            assert_eq!(status(&own, "/api/x", &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example:5080",
            "127.0.0.1",
            "127.0.0.1:80",
            "localhost",
            "localhost.evil.example:5080",
            "127.0.0.1.evil.example:5080",
            "0.0.0.0:5080",
            "127.0.0.2:5080",
            "[::]:5080",
            "[::1:5080",
            "::1:5080",
            "localhost..:5080",
            "127.0.0.1:5080@evil.example",
            "user@127.0.0.1:5080",
            "127.0.0.1:05080:1",
            "",
            "127.0.0.1:+5080",
            "2130706433:5080",
            "0x7f.1:5080",
            "127.1:5080",
            "localhost:5080, evil.example",
        ] {
            assert_eq!(status(&own, "/api/x", &[("host", host)]), 421, "{host}");
        }
        assert_eq!(status(&own, "/api/x", &[]), 421, "HTTP/1.0 needs none, we do");
        let two = [("host", "127.0.0.1:5080"), ("host", "evil.example")];
        assert_eq!(status(&own, "/api/x", &two), 421);
    }

    #[test]
    fn the_absolute_form_must_name_us_too() {
        let own = hosts("127.0.0.1:5080", &[]);
        let host = [("host", "127.0.0.1:5080")];
        assert_eq!(status(&own, "http://localhost:5080/api/x", &host), 200);
        assert_eq!(status(&own, "http://evil.example/api/x", &host), 421);
        assert_eq!(status(&own, "https://localhost:5080/api/x", &host), 421);
        assert_eq!(status(&own, "http://localhost:5080/api/x", &[("host", "evil.example")]), 421);
    }

    #[test]
    fn bound_to_all_addresses_it_is_reached_by_each_but_by_no_strange_name() {
        let all = hosts("0.0.0.0:5080", &["node.example"]);
        assert_eq!(status(&all, "/api/x", &[("host", "192.0.2.7:5080")]), 200);
        assert_eq!(status(&all, "/api/x", &[("host", "0.0.0.0:5080")]), 421);
        assert_eq!(status(&all, "/api/x", &[("host", "evil.example:5080")]), 421);
        assert_eq!(status(&all, "/api/x", &[("host", "node.example")]), 200);
        assert_eq!(status(&all, "/api/x", &[("host", "NODE.example.:443")]), 200);
    }

    #[test]
    fn another_sites_page_is_refused() {
        let own = hosts("127.0.0.1:5080", &["node.example"]);
        let with = |host, origin| status(&own, "/api/x", &[("host", host), ("origin", origin)]);
        assert_eq!(with("127.0.0.1:5080", "http://127.0.0.1:5080"), 200);
        assert_eq!(with("node.example", "https://node.example"), 200);
        assert_eq!(with("127.0.0.1:5080", "https://node.example"), 200, "behind a proxy");
        for origin in [
            "null",
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:80",
            "http://localhost:5080",
            "file://",
            "chrome-extension://abc",
            "http://127.0.0.1:5080.evil.example",
            "",
        ] {
            assert_eq!(with("127.0.0.1:5080", origin), 403, "{origin}");
        }
    }

    #[test]
    fn on_port_80_another_port_is_another_site() {
        let own = hosts("127.0.0.1:80", &["node.example"]);
        let with = |host, origin| status(&own, "/api/x", &[("host", host), ("origin", origin)]);
        assert_eq!(with("127.0.0.1", "http://127.0.0.1"), 200);
        assert_eq!(with("localhost:80", "http://localhost"), 200);
        assert_eq!(with("127.0.0.1", "http://127.0.0.1:8080"), 403);
        assert_eq!(with("127.0.0.1", "https://127.0.0.1"), 403);
        assert_eq!(with("node.example", "https://node.example"), 200, "behind a proxy");
    }

    #[test]
    fn what_is_printed_is_served() {
        for (bound, printed) in [
            ("0.0.0.0:5080", "127.0.0.1:5080"),
            ("[::]:5080", "[::1]:5080"),
            ("127.0.0.1:5080", "127.0.0.1:5080"),
            ("192.0.2.7:5080", "192.0.2.7:5080"),
        ] {
            let shown = reached_at(bound.parse().unwrap()).to_string();
            assert_eq!(shown, printed);
            assert_eq!(status(&hosts(bound, &[]), "/api/x", &[("host", &shown)]), 200, "{bound}");
        }
    }

    #[test]
    fn a_browsers_word_counts_and_only_pages_may_be_linked_to() {
        let own = hosts("127.0.0.1:5080", &[]);
        let host = ("host", "127.0.0.1:5080");
        let site = |target, site, mode| {
            status(&own, target, &[host, ("sec-fetch-site", site), ("sec-fetch-mode", mode)])
        };
        assert_eq!(site("/api/x", "same-origin", "cors"), 200);
        assert_eq!(site("/api/x", "none", "navigate"), 200);
        assert_eq!(site("/api/x", "cross-site", "navigate"), 403);
        assert_eq!(site("/api/x", "same-site", "no-cors"), 403);
        assert_eq!(site("/", "cross-site", "navigate"), 200);
        assert_eq!(site("/", "cross-site", "no-cors"), 403);
    }
}
