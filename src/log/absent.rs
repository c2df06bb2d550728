//! A build without the feature `log` logs nothing: a configuration that asks for it was refused.

use tracing::subscriber::{DefaultGuard, NoSubscriber};

use crate::config::{DataDir, Settings};
use crate::error::Result;

/// Keeps what the calling thread would log from a Rust host's own global subscriber.
pub(crate) fn start(_: &Settings, _: Option<&DataDir>) -> Result<DefaultGuard> {
    Ok(tracing::subscriber::set_default(NoSubscriber::default()))
}
