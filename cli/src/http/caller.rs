//! Authentication: the sender of a request, as far as the token tells, and the rule about who must show it.

use axum::http::header::AUTHORIZATION;
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use peerkit::{Error, ErrorKind};

use super::status::Refusal;
use super::token::Token;
use crate::args::Serve;

/// The sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Has shown the token, or needs none.
    Authenticated,
    /// Has shown nothing.
    Anonymous,
}

impl Caller {
    /// Reads who sent a request from what the middleware left in it.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get().copied().unwrap_or(Caller::Anonymous)
    }

    /// Refuses a caller without the token.
    pub fn require_token(self) -> Result<(), Refusal> {
        match self {
            Caller::Authenticated => Ok(()),
            Caller::Anonymous => Err(unauthorized("this needs the token")),
        }
    }
}

/// The rule about who must show the token.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Nobody: callers on this machine may do everything.
    pub needs_no_token: bool,
    /// Every caller; else only one who acts.
    pub token_for_reads: bool,
}

impl Policy {
    /// Makes the rule of the arguments: they say where the server is bound.
    pub fn of(args: &Serve) -> Result<Self, Error> {
        let loopback = args.http.ip().is_loopback();
        if args.insecure_loopback && !loopback {
            let message =
                format!("--insecure-loopback isn't for {}, which others can reach", args.http);
            return Err(Error::new(ErrorKind::InvalidArgument, message)
                .with_hint("bind 127.0.0.1 or [::1], or let callers show the token"));
        }
        Ok(Policy { needs_no_token: args.insecure_loopback, token_for_reads: !loopback })
    }

    /// Tells who sends a request with these headers. A wrong token is refused everywhere, so that a client learns
    /// that it is wrong.
    pub fn authenticate(self, token: &Token, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.needs_no_token {
            return Ok(Caller::Authenticated);
        }
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        match (shown.next(), shown.next()) {
            (None, _) if self.token_for_reads => Err(unauthorized("this server needs the token")),
            (None, _) => Ok(Caller::Anonymous),
            (Some(header), None) => match bearer(header) {
                Some(shown) if token.is(shown).map_err(unusable)? => Ok(Caller::Authenticated),
                _ => Err(unauthorized("this isn't the token")),
            },
            _ => Err(unauthorized("one Authorization header is enough")),
        }
    }
}

/// Reads the token of `Bearer <token>`; the scheme's name in any case.
fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn unauthorized(why: &str) -> Refusal {
    let error = Error::new(ErrorKind::Blocked, why).with_hint(
        "send `Authorization: Bearer` with what is in the file `token` of the data directory",
    );
    Refusal::new(StatusCode::UNAUTHORIZED, error)
}

/// Refuses because the token's file isn't as it should be. Its name is only for those who see the server's own output.
fn unusable(error: Error) -> Refusal {
    Error::new(error.kind(), "the server's token can't be used")
        .with_hint("what `peerkit serve` printed says why")
        .into()
}
