//! One question to a daemon over HTTP, and the meaning of each failure to a person.
//!
//! A daemon is trusted with little: no redirect is followed, nothing is taken from the environment,
//! what it sends is bounded while it is read, and no part of it gets into an error. `kubo` and
//! `cluster` ask.

use std::io;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONNECTION};
use ureq::http::{Response, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, RequestBuilder};

use super::api::Api;
use super::questions::Questions;
use super::resolver::NameResolver;
use crate::error::{Error, ErrorKind, Result};

/// The longest reply read, in bytes. Room for about 20,000 connections of a Kubo, and for roughly a
/// hundred members of a cluster: each lists the addresses of all others.
const MAX_BODY_BYTES: u64 = 4 * 1024 * 1024;
/// The longest head of a reply read, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;
/// The most of a TLS failure's reason that an error tells, in characters. The reason can quote a certificate.
const MAX_REASON_CHARS: usize = 200;

/// One of the two kinds of API: how it is asked, and the hints for somebody who can't ask it.
pub(super) struct Service {
    pub name: &'static str,
    pub verb: Verb,
    /// The hint where nobody answers.
    pub unreachable_hint: &'static str,
    /// The hint for 401 and 403.
    pub forbidden_hint: &'static str,
    /// The hint for 404, 405, and whatever isn't the JSON that was asked for.
    pub elsewhere_hint: &'static str,
}

pub(super) enum Verb {
    Get,
    Post,
}

/// An API to ask until a deadline.
pub(super) struct Daemon<'a> {
    pub service: &'static Service,
    pub api: &'a Api,
    pub deadline: Instant,
    pub questions: &'a Questions,
}

impl Daemon<'_> {
    /// Asks, and returns the body of the reply, whole.
    pub(super) fn ask(&self, path: &str) -> Result<Vec<u8>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.timeout());
        }
        let agent = agent(self.api, left, NameResolver::new(self.questions));
        let Some(_under_way) = self.questions.begin(&agent) else { return Err(self.timeout()) };
        let url = format!("{}{path}", self.api.origin());
        let reply = match self.service.verb {
            Verb::Get => self.headers(agent.get(url)).call(),
            Verb::Post => self.headers(agent.post(url)).send_empty(),
        };
        self.body(reply.map_err(|error| self.failed(error))?)
    }

    /// Reads the value in a body of JSON.
    pub(super) fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body).map_err(|error| self.unreadable(&error))
    }

    /// Returns the error about a body that isn't what was asked for; serde's own message would quote it.
    pub(super) fn unreadable(&self, error: &serde_json::Error) -> Error {
        if error.is_data() {
            return self.wrong_shape();
        }
        self.protocol("sent no JSON").with_hint(self.service.elsewhere_hint)
    }

    /// Returns the error about JSON that means something else.
    pub(super) fn wrong_shape(&self) -> Error {
        self.protocol("sent JSON of another shape than such an API's")
            .with_hint(self.service.elsewhere_hint)
    }

    fn headers<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = request.header(ACCEPT, "application/json").header(CONNECTION, "close");
        match self.api.authorization() {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    fn body(&self, mut reply: Response<Body>) -> Result<Vec<u8>> {
        if reply.status() != StatusCode::OK {
            return Err(self.status(reply.status()));
        }
        let body = reply.body_mut();
        if body.content_length().is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
            return Err(self.too_long());
        }
        let read = body.with_config().limit(MAX_BODY_BYTES).read_to_vec();
        read.map_err(|error| self.failed(error))
    }

    fn status(&self, status: StatusCode) -> Error {
        let error = self
            .protocol(&format!("answered with status {status}"))
            .with("status", status.as_u16());
        match status.as_u16() {
            401 | 403 => error.with_hint(self.service.forbidden_hint),
            404 | 405 => error.with_hint(self.service.elsewhere_hint),
            300..=399 => error.with_hint("redirects are not followed; give the final address"),
            500..=599 => error.with_hint("the daemon could not answer; its own log says why"),
            _ => error,
        }
    }

    fn failed(&self, error: ureq::Error) -> Error {
        use ureq::Error as E;

        match error {
            E::Timeout(_) => self.timeout(),
            E::Io(error) => self.io_failed(&error),
            E::HostNotFound => self.unreachable("its name has no such address"),
            E::ConnectionFailed => self.unreachable("no connection"),
            E::Tls(_) | E::Rustls(_) | E::TlsRequired => self.tls_failed(&error.to_string()),
            E::BodyExceedsLimit(_) | E::LargeResponseHeader(..) => self.too_long(),
            E::Other(error) => match error.downcast::<Error>() {
                // Our resolver's.
                Ok(error) => *error,
                Err(_) => self.unreachable("no connection"),
            },
            _ => self
                .protocol("sent no HTTP that can be read")
                .with_hint(self.service.elsewhere_hint),
        }
    }

    fn io_failed(&self, error: &io::Error) -> Error {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof,
        };

        match error.kind() {
            // rustls reports as this what it finds wrong.
            InvalidData if self.api.is_tls() => self.tls_failed(&error.to_string()),
            UnexpectedEof if self.api.is_tls() => self.tls_failed("the connection was closed"),
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
                self.protocol("closed the connection before its reply was whole")
            }
            kind if error.raw_os_error().is_some() => self.unreachable(&kind.to_string()),
            // Of what is left, the resolver's errors alone have no number of the system.
            _ => self.unreachable("its name can't be resolved"),
        }
    }

    fn tls_failed(&self, why: &str) -> Error {
        let why: String = why.chars().take(MAX_REASON_CHARS).flat_map(char::escape_debug).collect();
        self.unreachable(&format!("no TLS with it: {why}"))
            .with_hint("is it https, with a certificate that this system trusts?")
    }

    fn unreachable(&self, why: &str) -> Error {
        self.error(ErrorKind::DialFailed, &format!("can't be reached: {why}"))
            .with_hint(self.service.unreachable_hint)
    }

    fn timeout(&self) -> Error {
        self.error(ErrorKind::Timeout, "did not answer in time")
    }

    fn too_long(&self) -> Error {
        self.error(ErrorKind::LimitReached, "sent more than is read of a reply")
    }

    fn protocol(&self, what: &str) -> Error {
        self.error(ErrorKind::Protocol, what)
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        let Daemon { service, api, .. } = self;
        Error::new(kind, format!("the {} at {api} {what}", service.name)).with("api", api.origin())
    }
}

/// Makes a client for one request: the whole of it, from the look-up of the name to the last byte of
/// the reply, may take the time `left`.
fn agent(api: &Api, left: Duration, names: NameResolver) -> Agent {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .user_agent(concat!("peerkit/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls)
        .ip_family(api.family())
        // ureq's own default is whatever HTTP_PROXY says.
        .proxy(None)
        // With none allowed, a redirect is a reply like others, with a status that isn't 200.
        .max_redirects(0)
        .http_status_as_error(false)
        .max_response_header_size(MAX_HEAD_BYTES)
        .max_idle_connections(0)
        .timeout_global(Some(left))
        .build();
    Agent::with_parts(config, DefaultConnector::default(), names)
}
