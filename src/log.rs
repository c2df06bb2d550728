//! Logs: nothing unless the configuration asks, and then only from our own thread, so that the
//! host program's own subscriber and its global state are left alone.

use std::io;
use std::sync::Mutex;

use tracing::Level;
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::config::{DataDir, LogLevel, Settings};
use crate::disk;
use crate::error::{Error, ErrorKind, Result};

/// Sends the calling thread's log to where the settings say, until the guard is dropped.
pub(crate) fn start(settings: &Settings, data_dir: Option<&DataDir>) -> Result<DefaultGuard> {
    let Some(log) = &settings.log else {
        // Otherwise a Rust host's own global subscriber would get it.
        return Ok(tracing::subscriber::set_default(NoSubscriber::default()));
    };
    let writer = match &log.file {
        None => BoxMakeWriter::new(io::stderr),
        Some(path) => {
            let file = match data_dir.and_then(|data_dir| data_dir.place_of(path)) {
                Some(place) => place.append(),
                None => disk::append(path),
            };
            BoxMakeWriter::new(Mutex::new(file.map_err(|why| {
                let error = io::Error::from(why);
                let path = path.display().to_string();
                let message = format!("`log.file`: {path} can't be written: {error}");
                Error::new(ErrorKind::ConfigInvalid, message)
                    .caused_by(&error)
                    .with("key", "log.file")
                    .with("path", path)
                    .with_hint("name a file in a directory that is there and can be written")
            })?))
        }
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level(log.level))
        .with_ansi(false)
        .with_writer(writer)
        .finish();
    Ok(tracing::subscriber::set_default(subscriber))
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
