//! Where there are no Unix sockets, or the feature `control` is left out, there is no control socket: a
//! configuration that asks for one is `unsupported` before it comes here.

use std::sync::Arc;

use crate::config::DataDir;
use crate::error::{Error, ErrorKind, Result};
use crate::run::Run;

/// Never made.
pub(crate) struct Server;

/// Nobody.
pub(crate) struct Sessions;

impl Server {
    pub(crate) fn open(_: &DataDir) -> Result<Server> {
        Err(Error::new(ErrorKind::Unsupported, "there is no control socket in this build"))
    }

    pub(crate) fn begin(&self, _: &Arc<Run>) {}

    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        Arc::new(Sessions)
    }
}

impl Sessions {
    pub(crate) fn finish(&self) {}
}
