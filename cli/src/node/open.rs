//! The node of a command that ends: the one that has the data directory, or one that runs as long as the command.

use std::path::PathBuf;
use std::time::Duration;

use peerkit::config::{Config, Profile};
use peerkit::control::Client;
use peerkit::{Error, ErrorKind, PeerManager};

use super::interface::Node;

/// The time that attaching to an owner, a start and a stop may take.
const ATTACH: Duration = Duration::from_secs(5);
const START: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

/// The node that is meant, and the way to run it where nobody does.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The data directory.
    pub data_dir: PathBuf,
    /// The configuration of a start; names the data directory too.
    pub config: Config,
}

/// The needs of a command of a node that nobody else runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Only what is on disk: such a node listens nowhere and looks for nobody.
    Book,
    /// The network, as configured.
    Network,
    /// A node that runs already: one that ran for this alone would do or know nothing.
    Running,
}

/// A node for the time of a command.
pub struct Opened {
    node: Box<dyn Node>,
    /// The manager, where it runs for this command alone.
    own: Option<PeerManager>,
}

impl Opened {
    /// Tells whether the node runs for this command alone.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }
}

impl std::ops::Deref for Opened {
    type Target = dyn Node;

    fn deref(&self) -> &Self::Target {
        &*self.node
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(manager) = &self.own {
            let _ = manager.stop(STOP);
        }
    }
}

/// Attaches to the node that has the data directory; nobody home: runs one meanwhile.
pub fn open(setup: &Setup, needs: Needs) -> Result<Opened, Error> {
    match attach_or_run(setup, needs) {
        // Another command was quicker in finding nobody home. It will have ended in a moment, as a rule.
        Err(error) if error.kind() == ErrorKind::DataDirLocked => attach_or_run(setup, needs),
        opened => opened,
    }
}

fn attach_or_run(setup: &Setup, needs: Needs) -> Result<Opened, Error> {
    match Client::attach(&setup.data_dir, ATTACH) {
        Ok(client) => Ok(Opened { node: Box::new(client), own: None }),
        Err(error) if error.kind() == ErrorKind::NotRunning && needs != Needs::Running => {
            run(setup, needs)
        }
        Err(error) => Err(error),
    }
}

fn run(setup: &Setup, needs: Needs) -> Result<Opened, Error> {
    let config = setup.config.clone();
    let config = match needs {
        Needs::Network | Needs::Running => config,
        Needs::Book => config.profile(Profile::Offline).listen(Vec::<String>::new()),
    };
    let manager = PeerManager::start(&config, START)?;
    Ok(Opened { node: Box::new(manager.clone()), own: Some(manager) })
}
