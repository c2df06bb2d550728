//! Logs: nothing unless the configuration asks, and then only from our own thread, so that the
//! host program's own subscriber and its global state are left alone.

use std::io::{self, Write};
use std::sync::Mutex;

use tracing::Level;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{DataDir, LogLevel, Settings};
use crate::disk;
use crate::error::{Error, ErrorKind, Result};
use crate::text::visible;

/// Sends the calling thread's log to where the settings say, until the guard is dropped.
pub(crate) fn start(settings: &Settings, data_dir: Option<&DataDir>) -> Result<DefaultGuard> {
    let Some(log) = &settings.log else {
        // Otherwise a Rust host's own global subscriber would get it.
        return Ok(tracing::subscriber::set_default(NoSubscriber::default()));
    };
    let writer = match &log.file {
        None => BoxMakeWriter::new(|| Lines(io::stderr())),
        Some(path) => {
            let file = match data_dir.and_then(|data_dir| data_dir.place_of(path)) {
                Some(place) => place.append(),
                None => disk::append(path),
            };
            BoxMakeWriter::new(Mutex::new(Lines(file.map_err(|why| {
                let error = io::Error::from(why);
                let path = path.display().to_string();
                let message = format!("`log.file`: {path} can't be written: {error}");
                Error::new(ErrorKind::ConfigInvalid, message)
                    .caused_by(&error)
                    .with("key", "log.file")
                    .with("path", path)
                    .with_hint("name a file in a directory that is there and can be written")
            })?)))
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level(log.level))
        .with_ansi(false)
        .with_writer(writer)
        .finish();
    Ok(tracing::subscriber::set_default(subscriber))
}

/// Writes each entry as one line in which nothing is hidden: what remotes say is in it.
struct Lines<W>(W);

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, entry: &[u8]) -> io::Result<usize> {
        // The subscriber hands over an entry whole, with the line feed that ends it.
        let text = String::from_utf8_lossy(entry);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        self.0.write_all(format!("{}\n", visible(line)).as_bytes())?;
        Ok(entry.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_remote_says_is_one_line_that_hides_nothing() {
        let mut log = Vec::new();
        let agent = "kubo\u{202e}\u{1b}[2J\nERROR forged\u{e0041}";
        Lines(&mut log).write_all(format!("INFO agent={agent}\n").as_bytes()).unwrap();
        let shown = r"INFO agent=kubo\u{202e}\u{1b}[2J\nERROR forged\u{e0041}";
        assert_eq!(String::from_utf8(log).unwrap(), format!("{shown}\n"));
    }
}
