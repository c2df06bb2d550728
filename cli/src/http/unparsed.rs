//! The answer to a request that can't be read. hyper gives it by itself (400, 414, 431): empty, before anything of ours
//! is asked, and with no hook to change it (docs/adr/0014). So this stands between hyper and the socket, knows that
//! answer, the last thing hyper writes on a connection, and writes ours in its place: the envelope, and the headers
//! that every response has.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use peerkit::{Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::middleware::add_security_headers;
use super::status::{JSON, Refusal};

/// The most that hyper's answer takes; it's about 120 bytes.
const MAX_ANSWER: usize = 256;

/// A stream on which hyper's own answers are replaced.
pub struct Enveloped<S> {
    stream: S,
    /// Ours, while it is being written.
    ours: Option<Writing>,
}

struct Writing {
    text: Vec<u8>,
    written: usize,
}

impl<S> Enveloped<S> {
    /// Wraps a stream that hyper is to have.
    pub fn new(stream: S) -> Self {
        Enveloped { stream, ours: None }
    }
}

impl<S: AsyncWrite + Unpin> Enveloped<S> {
    /// Writes ours; `instead` bytes of hyper's count as written once it is out.
    fn write_ours(&mut self, context: &mut Context<'_>, instead: usize) -> Poll<io::Result<usize>> {
        while let Some(ours) = self.ours.as_mut().filter(|ours| ours.written < ours.text.len()) {
            let rest = &ours.text[ours.written..];
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => ours.written += written,
            }
        }
        self.ours = None;
        Poll::Ready(Ok(instead))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Enveloped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Enveloped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match hypers_answer(bytes) {
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
            Some(answer) if answer.at > 0 => {
                Pin::new(&mut self.stream).poll_write(context, &bytes[..answer.at])
            }
            Some(answer) => {
                self.ours.get_or_insert_with(|| Writing { text: ours(&answer), written: 0 });
                self.write_ours(context, bytes.len())
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match pieces.split_last() {
            Some((last, [])) => self.poll_write(context, last),
            // Whatever was answered before it comes first.
            Some((last, before)) if hypers_answer(last).is_some() => {
                Pin::new(&mut self.stream).poll_write_vectored(context, before)
            }
            _ => Pin::new(&mut self.stream).poll_write_vectored(context, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// An answer of hyper's own.
#[derive(Debug, PartialEq)]
struct Answer<'a> {
    /// The place where it begins.
    at: usize,
    status: StatusCode,
    date: Option<&'a str>,
}

/// Finds hyper's own answer at the end of what it writes. One of ours has more headers, and no body has such lines: each
/// is JSON, which escapes line ends, or a file.
fn hypers_answer(bytes: &[u8]) -> Option<Answer<'_>> {
    const BEGINS: &[u8] = b"HTTP/1.";
    if !bytes.ends_with(b"\r\n\r\n") {
        return None;
    }
    let from = bytes.len().saturating_sub(MAX_ANSWER);
    let at = from + bytes[from..].windows(BEGINS.len()).rposition(|begin| begin == BEGINS)?;
    let mut lines = str::from_utf8(&bytes[at..]).ok()?.trim_end().split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let (mut date, mut is_empty, mut closes) = (None, false, false);
    for line in lines {
        match line.split_once(": ")? {
            ("date", value) => date = Some(value),
            ("content-length", "0") => is_empty = true,
            ("connection", "close") => closes = true,
            _ => return None,
        }
    }
    let answer = Answer { at, status, date };
    (is_empty && closes && answer.status.is_client_error()).then_some(answer)
}

/// Writes the answer in the form of all others.
fn ours(answer: &Answer<'_>) -> Vec<u8> {
    let (message, hint) = match answer.status {
        StatusCode::URI_TOO_LONG => {
            ("the request's target is too long", "send what is long as a body")
        }
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => (
            "the request's line and headers are too long, or too many",
            "send fewer, and shorter ones",
        ),
        _ => (
            "this is no request of HTTP/1.1",
            "see that line and headers have the form of RFC 9112",
        ),
    };
    let error = Error::new(ErrorKind::InvalidArgument, message).with_hint(hint);
    let date = answer.date.and_then(|date| HeaderValue::from_str(date).ok());
    last_answer(answer.status, error, date.map(|date| (DATE, date)))
}

/// Writes an answer that hyper has no part in, after which the connection is closed.
pub fn last_answer(
    status: StatusCode,
    error: Error,
    more: Option<(HeaderName, HeaderValue)>,
) -> Vec<u8> {
    let body = Refusal::new(status, error).to_json("");
    let mut headers = HeaderMap::new();
    add_security_headers(&mut headers);
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.extend(more);
    let mut text = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend([b"\r\n", body.as_bytes()].concat());
    text
}

#[cfg(test)]
mod tests {
    use axum::http::header::RETRY_AFTER;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const HYPERS: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\ndate: D\r\n\r\n";
    const EMPTY_OF_OURS: &str = "HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\nx-frame-options: DENY\r\n\r\n";

    #[test]
    fn only_an_empty_answer_without_what_ours_have_is_hypers() {
        let answer = hypers_answer(HYPERS.as_bytes()).unwrap();
        assert_eq!((answer.at, answer.status.as_u16(), answer.date), (0, 431, Some("D")));
        let behind = format!("{EMPTY_OF_OURS}{{}}{HYPERS}");
        assert_eq!(hypers_answer(behind.as_bytes()).unwrap().at, behind.len() - HYPERS.len());
        for other in [
            "",
            "\r\n\r\n",
            EMPTY_OF_OURS,
            "HTTP/1.1 100 Continue\r\n\r\n",
            &HYPERS[..HYPERS.len() - 1],
        ] {
            assert_eq!(hypers_answer(other.as_bytes()), None, "{other:?}");
        }
    }

    #[test]
    fn an_answer_without_hyper_has_the_headers_that_all_have() {
        let error = Error::new(ErrorKind::Busy, "no place");
        let later = (RETRY_AFTER, HeaderValue::from_static("1"));
        let answer = last_answer(StatusCode::SERVICE_UNAVAILABLE, error, Some(later));
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{head}");
        for header in
            ["retry-after: 1", "x-content-type-options: nosniff", "cache-control: no-store"]
        {
            assert!(head.contains(&format!("\r\n{header}")), "{head}");
        }
        assert!(body.contains("\"code\":\"busy\""), "{body}");
    }

    #[tokio::test]
    async fn the_envelope_takes_its_place_in_whatever_pieces_it_is_taken() {
        for room in [1, 7, 100_000] {
            let (theirs, mut client) = duplex(room);
            let write = async move {
                let mut stream = Enveloped::new(theirs);
                stream.write_all(EMPTY_OF_OURS.as_bytes()).await.unwrap();
                stream.write_all(format!("{{}}{HYPERS}").as_bytes()).await.unwrap();
            };
            let mut got = String::new();
            let (_, read) = tokio::join!(write, client.read_to_string(&mut got));
            read.unwrap();
            let rest = got.strip_prefix(EMPTY_OF_OURS).unwrap().strip_prefix("{}").unwrap();
            let (head, body) = rest.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("HTTP/1.1 431 ") && head.contains("\r\ndate: D"), "{head}");
            assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
            assert!(body.contains("\"code\":\"invalid_argument\""), "{body}");
        }
    }
}
