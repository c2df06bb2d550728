//! The control socket where there are no Unix sockets, or in a build without the feature `control`: none. A
//! configuration that asks for one is refused as `unsupported` before it comes here, so these types are never made.

use std::convert::Infallible;
use std::sync::Arc;

use crate::config::DataDir;
use crate::error::{Error, ErrorKind, Result};
use crate::run::Run;

/// Stands in for the server, which can't be had.
pub(crate) struct Server(Infallible);

/// Stands in for the connections that a server would have.
pub(crate) struct Sessions(Infallible);

impl Server {
    /// Refuses.
    pub(crate) fn open(_: &DataDir) -> Result<Server> {
        Err(Error::new(ErrorKind::Unsupported, "there is no control socket in this build"))
    }

    pub(crate) fn begin(&self, _: &Arc<Run>) {
        match self.0 {}
    }

    pub(crate) fn sessions(&self) -> Arc<Sessions> {
        match self.0 {}
    }
}

/// Closes it, as dropping a server does.
impl Drop for Server {
    fn drop(&mut self) {
        match self.0 {}
    }
}

impl Sessions {
    pub(crate) fn finish(&self) {
        match self.0 {}
    }
}
