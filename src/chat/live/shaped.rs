//! Feeds of a room for those who want the same bytes: each event is executed once, by a task that ends with its last
//! subscriber.

use std::{
    collections::hash_map::Entry,
    sync::{Arc, Weak},
};

use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    reader,
    shared::{Fed, Feed, Shared, Signal},
};
use crate::{
    chat::{Rev, events::Event},
    fanout::{Given, Shape},
};

/// What is fed to subscribers of `shape` from now on, and the number up to which they have to read the store.
pub(super) fn follow(room: &Arc<Shared>, shape: &Shape) -> (Receiver<Fed>, Rev) {
    let mut shapes = room.shapes.lock();
    match shapes.entry(shape.clone()) {
        Entry::Occupied(feed) => feed.get().follow(),
        Entry::Vacant(place) => {
            let (source, rev) = room.feed.follow();
            let feed = Arc::clone(place.insert(Arc::new(Feed::new(rev))));
            let followed = feed.follow();
            let shaping = Shaping {
                room: Arc::downgrade(room),
                shape: shape.clone(),
                feed,
            };
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with the last subscriber, or with the room"
            )]
            tokio::spawn(shaping.run(source));
            followed
        }
    }
}

struct Shaping {
    room: Weak<Shared>,
    shape: Shape,
    feed: Arc<Feed>,
}

impl Shaping {
    async fn run(self, mut source: Receiver<Fed>) {
        loop {
            match source.recv().await {
                Ok(fed) => self.pass(fed.signal).await,
                Err(RecvError::Closed) => return,
                Err(RecvError::Lagged(_)) => {
                    let Some(room) = self.room.upgrade() else {
                        return;
                    };
                    // What it missed is read from the store. What comes twice is left out.
                    source = room.feed.follow().0;
                    self.catch_up(&room).await;
                }
            }
            if self.is_over() {
                return;
            }
        }
    }

    /// Executes an event and feeds the response.
    async fn pass(&self, signal: Arc<Signal>) {
        let rendered = match &*signal {
            Signal::Event(event) => {
                if event.chat().is_some() && event.rev <= self.feed.rev() {
                    return;
                }
                let given = Given(Arc::new(event.clone()));
                Some(self.shape.render(given).await)
            }
            Signal::Check(_) | Signal::Over => None,
        };
        self.feed.feed(Fed { signal, rendered }).await;
    }

    async fn catch_up(&self, room: &Shared) {
        let until = room.feed.rev();
        while self.feed.rev() < until {
            let changes = reader::read(&room.app, room.session, self.feed.rev()).await;
            let Ok(changes) = changes.inspect_err(|error| {
                tracing::warn!(%error, "a chat session cannot be read");
            }) else {
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                continue;
            };
            if changes.is_empty() {
                return;
            }
            for (rev, chat) in changes {
                let is_new = chat.born == rev;
                let event = Event::of_change(rev, chat, is_new);
                self.pass(Arc::new(Signal::Event(event))).await;
            }
        }
    }

    /// Whether nobody follows it any more. Then it is no longer found.
    fn is_over(&self) -> bool {
        let Some(room) = self.room.upgrade() else {
            return true;
        };
        let mut shapes = room.shapes.lock();
        // Under the lock, so that nobody begins to follow it at the same time.
        let is_over = !self.feed.is_followed();
        if is_over {
            shapes.remove(&self.shape);
        }
        is_over
    }
}
