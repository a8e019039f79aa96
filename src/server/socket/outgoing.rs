//! What waits to be sent on one socket.

use std::{collections::VecDeque, pin::Pin, task::Poll, time::Duration};

use axum::{Error, extract::ws::Message};
use futures_util::{Sink, ready};
use tokio::time::Instant;

/// Messages that may wait before nothing more is read from the client.
const FULL: usize = 16;

/// How long a client may leave unread what waits for it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A queue that is short by the rules of who fills it: subscriptions wait until it is empty, and reading stops when it is
/// full, so that it holds little more than one answer for each operation that runs.
#[derive(Default)]
pub struct Outgoing {
    waiting: VecDeque<Message>,
    /// Since when something is on its way.
    since: Option<Instant>,
}

impl Outgoing {
    /// Queues `message`.
    pub fn push(&mut self, message: Message) {
        self.waiting.push_back(message);
        self.since.get_or_insert_with(Instant::now);
    }

    /// Whether everything has been handed to the operating system.
    pub fn is_idle(&self) -> bool {
        self.since.is_none()
    }

    /// Whether no more should be asked for.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= FULL
    }

    /// When the client has been slow for too long, if it does not read on.
    pub fn runs_out(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    /// Sends what waits. Safe to drop while waiting: a message leaves the queue only when it is in the socket's buffer.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn drain<S>(&mut self, sink: &mut S) -> Result<(), Error>
    where
        S: Sink<Message, Error = Error> + Unpin,
    {
        std::future::poll_fn(|cx| {
            while !self.waiting.is_empty() {
                ready!(Pin::new(&mut *sink).poll_ready(cx))?;
                if let Some(message) = self.waiting.pop_front() {
                    Pin::new(&mut *sink).start_send(message)?;
                }
            }
            ready!(Pin::new(&mut *sink).poll_flush(cx))?;
            self.since = None;
            Poll::Ready(Ok(()))
        })
        .await
    }
}
