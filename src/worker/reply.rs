//! The way back of a command's answer to the caller that waits for it.
//!
//! A [`Reply`] that is dropped unanswered answers for itself, so a caller never waits for a worker that
//! stopped or died.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, ErrorKind, Result};

/// The terms under which a caller waits: until when, cancelled by which token, answered where.
pub(crate) struct Terms<T> {
    pub deadline: Instant,
    pub cancel_token: Option<u64>,
    pub reply: Reply<T>,
}

/// The worker's end of one answer.
pub(crate) struct Reply<T>(Option<Sender<Result<T>>>);

impl<T> Reply<T> {
    /// Makes a reply, and the receiver by which to wait for it.
    pub(crate) fn channel() -> (Self, Receiver<Result<T>>) {
        let (sender, receiver) = bounded(1);
        (Reply(Some(sender)), receiver)
    }

    /// Answers. The caller may have given up; that is no error.
    pub(crate) fn send(mut self, answer: Result<T>) {
        if let Some(sender) = self.0.take() {
            let _ = sender.try_send(answer);
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if let Some(sender) = self.0.take() {
            let error = if std::thread::panicking() { dead() } else { closed() };
            let _ = sender.try_send(Err(error));
        }
    }
}

/// Returns the error of a call during which the manager stopped.
pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the manager stopped during the call")
}

/// Returns the error of a call whose worker panicked.
pub(crate) fn dead() -> Error {
    Error::new(ErrorKind::Dead, "peerkit's worker has died of a bug")
}
