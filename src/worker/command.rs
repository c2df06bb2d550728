//! The commands that the facade gives the worker: one enum for each room, each defined and dispatched
//! in its room. The queue is bounded: where it is full, a command is answered `busy`.

use tokio::sync::mpsc;

use super::connections::ConnectionsCommand;
#[cfg(feature = "dht")]
use super::content::ContentCommand;
use super::dialing::DialingCommand;
use super::discovery::DiscoveryCommand;
use super::lookup::LookupCommand;
#[cfg(feature = "gossip")]
use super::pubsub::PubsubCommand;
use super::reply::{Reply, closed};
use crate::error::{Error, ErrorKind, Result};

/// Commands waiting for the worker at once.
const QUEUE_CAPACITY: usize = 1024;

/// A command to the worker.
pub(crate) enum Command {
    Connections(ConnectionsCommand),
    #[cfg(feature = "dht")]
    Content(ContentCommand),
    Dialing(DialingCommand),
    Discovery(DiscoveryCommand),
    Lookup(LookupCommand),
    #[cfg(feature = "gossip")]
    Pubsub(PubsubCommand),
    /// Ends all calls that carry the token; answers how many those were.
    Cancel {
        token: u64,
        reply: Reply<u32>,
    },
    /// Ends the run.
    Stop,
    #[cfg(feature = "fault-injection")]
    Panic,
}

/// Lets a room's command be sent as it is.
macro_rules! commands_of_rooms {
    ($($(#[$cfg:meta])? $room:ident($command:ident)),*) => {
        $($(#[$cfg])? impl From<$command> for Command {
            fn from(command: $command) -> Self {
                Command::$room(command)
            }
        })*
    };
}

commands_of_rooms!(
    Connections(ConnectionsCommand),
    #[cfg(feature = "dht")]
    Content(ContentCommand),
    Dialing(DialingCommand),
    Discovery(DiscoveryCommand),
    Lookup(LookupCommand),
    #[cfg(feature = "gossip")]
    Pubsub(PubsubCommand)
);

/// The facade's end of the queue.
#[derive(Clone)]
pub(crate) struct CommandQueue(mpsc::Sender<Command>);

impl CommandQueue {
    /// Makes a queue and the worker's end of it.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (sender, receiver) = mpsc::channel(QUEUE_CAPACITY);
        (CommandQueue(sender), receiver)
    }

    /// Queues a command without waiting.
    pub(crate) fn send(&self, command: Command) -> Result<()> {
        self.0.try_send(command).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::new(
                ErrorKind::Busy,
                format!("{QUEUE_CAPACITY} commands wait for the worker already"),
            ),
            mpsc::error::TrySendError::Closed(_) => closed(),
        })
    }
}
