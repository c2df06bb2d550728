//! Lines over a connection: each read within a limit of length and, where it has one, a deadline.
//!
//! Nothing here knows the meaning of a line.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::socket::{Stream, send};

/// Bytes read at once.
const READ: usize = 16 * 1024;
/// The interval at which a write that lasts is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// The reason a line could not be read or written.
#[derive(Debug)]
pub(super) enum Broken {
    /// The deadline passed. The part of the line that has come stays for the next try.
    TimedOut,
    /// The other side is gone.
    Closed,
    /// The line is longer than it may be.
    TooLong,
    /// There is no room for a line of this length.
    NoRoom,
    Failed(io::Error),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::TimedOut => f.write_str("nothing came in time"),
            Broken::Closed => f.write_str("the connection was closed"),
            Broken::TooLong => f.write_str("the line is too long"),
            Broken::NoRoom => f.write_str("there is no room for the line"),
            Broken::Failed(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Broken::TimedOut,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected => Broken::Closed,
            _ => Broken::Failed(error),
        }
    }
}

/// One end of a connection.
pub(super) struct Wire {
    reader: BufReader<Reader>,
    /// The part that has come of the line under way.
    line: Vec<u8>,
    /// Told how long the line is by now; false where there is no room for it.
    meter: Option<Meter>,
}

type Meter = Box<dyn Fn(usize) -> bool + Send>;

struct Reader(Arc<Stream>);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Wire {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        let reader = BufReader::with_capacity(READ, Reader(stream));
        Wire { reader, line: Vec::new(), meter: None }
    }

    /// Has a meter told how long each line that is read gets.
    pub(super) fn metered(mut self, meter: impl Fn(usize) -> bool + Send + 'static) -> Self {
        self.meter = Some(Box::new(meter));
        self
    }

    fn stream(&self) -> &Stream {
        &self.reader.get_ref().0
    }

    /// Reads a line of at most `limit` bytes, without its line feed.
    pub(super) fn read(&mut self, limit: usize, deadline: Instant) -> Result<Vec<u8>, Broken> {
        loop {
            if self.reader.buffer().is_empty() {
                self.stream().set_read_timeout(Some(left_until(deadline)))?;
            }
            let come = match self.reader.fill_buf() {
                Ok([]) => return Err(Broken::Closed),
                Ok(come) => come,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let end = come.iter().position(|byte| *byte == b'\n');
            let taken = &come[..end.unwrap_or(come.len())];
            if self.line.len() + taken.len() > limit {
                return Err(Broken::TooLong);
            }
            let length = self.line.len() + taken.len();
            if self.meter.as_ref().is_some_and(|meter| !meter(length)) {
                return Err(Broken::NoRoom);
            }
            self.line.extend_from_slice(taken);
            let used = taken.len() + usize::from(end.is_some());
            self.reader.consume(used);
            if end.is_some() {
                return Ok(std::mem::take(&mut self.line));
            }
        }
    }

    /// Tells whether nothing has come and the other side is still there, as it should be between a
    /// reply and the next request.
    pub(super) fn is_idle(&mut self) -> bool {
        if !self.line.is_empty() || !self.reader.buffer().is_empty() {
            return false;
        }
        let stream = self.stream();
        let look = stream.set_nonblocking(true).and_then(|()| {
            let read = (&*stream).read(&mut [0]);
            stream.set_nonblocking(false)?;
            read
        });
        look.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Writes a line.
    pub(super) fn write(&self, line: String, deadline: Instant) -> Result<(), Broken> {
        write(self.stream(), line, Some(deadline))
    }

    /// Writes a line as long as this one lasts: it is told of what was written, and says whether to go on.
    pub(super) fn write_while(
        &self,
        line: String,
        deadline: Instant,
        mut lasts: impl FnMut(usize) -> bool,
    ) -> Result<(), Broken> {
        let mut bytes = line.into_bytes();
        bytes.reserve_exact(1);
        bytes.push(b'\n');
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.stream().set_write_timeout(Some(left_until(deadline).min(LOOK)))?;
            let sent = match send(self.stream(), rest) {
                Ok(sent) => sent,
                Err(error) if is_passing(&error) && Instant::now() < deadline => 0,
                Err(error) => return Err(error.into()),
            };
            rest = &rest[sent..];
            if !lasts(sent) {
                return Err(Broken::TimedOut);
            }
        }
        Ok(())
    }

    /// Writes a line, however long the other side takes to read it.
    pub(super) fn write_patiently(&self, line: String) -> Result<(), Broken> {
        write(self.stream(), line, None)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // Others may hold the descriptor, a forked child among them.
        let _ = self.stream().shutdown(Shutdown::Both);
    }
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Returns the time left, at least a millisecond: zero would be refused, and that is the shortest look.
fn left_until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

/// Writes a line to a connection nobody reads from.
pub(super) fn write(
    stream: &Stream,
    line: String,
    deadline: Option<Instant>,
) -> Result<(), Broken> {
    let mut bytes = line.into_bytes();
    bytes.push(b'\n');
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        stream.set_write_timeout(deadline.map(left_until))?;
        match send(stream, rest) {
            Ok(sent) => rest = &rest[sent..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
