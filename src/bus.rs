//! Publish and subscribe between the tasks of one server and, with Redis, between servers. A message is a hint to look,
//! never the news itself: losing one delays, it loses nothing.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::broadcast;

/// What is said, and about what. Whoever gets a message reads the store for what has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Rights of users: somebody's role, ban, sign-in sessions or account changed.
    Rights,
    /// Access to boards changed: a board's flags, a grant, a deletion.
    Boards,
    /// The post with this UUID was changed or deleted.
    Post(uuid::Uuid),
    /// Posts were added to the board with this UUID.
    PostsOf(uuid::Uuid),
    /// Comments were added to the post with this UUID.
    CommentsOf(uuid::Uuid),
}

/// A message: the UUID of what it is about.
pub type Message = uuid::Uuid;

/// How many messages a slow listener may fall behind before it is told that it missed some.
const BACKLOG: usize = 1_024;

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

enum Inner {
    InProcess(Mutex<HashMap<Topic, broadcast::Sender<Message>>>),
}

/// What a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    Message(Message),
    /// Messages were missed: look at everything that one watches.
    Missed,
}

/// A subscription to one topic.
pub struct Listener(broadcast::Receiver<Message>);

impl Bus {
    /// A bus within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self(Arc::new(Inner::InProcess(Mutex::new(HashMap::new()))))
    }

    /// Tells all who listen to `topic` now.
    pub fn publish(&self, topic: Topic, message: Message) {
        let Inner::InProcess(topics) = &*self.0;
        let mut topics = topics.lock();
        let heard = topics
            .get(&topic)
            .is_some_and(|sender| sender.send(message).is_ok());
        if !heard {
            topics.remove(&topic);
        }
    }

    /// Hears what is published from now on.
    #[must_use]
    pub fn listen(&self, topic: Topic) -> Listener {
        let Inner::InProcess(topics) = &*self.0;
        Listener(
            topics
                .lock()
                .entry(topic)
                .or_insert_with(|| broadcast::channel(BACKLOG).0)
                .subscribe(),
        )
    }
}

impl Listener {
    /// The next message. `None` once the bus is gone. Safe to drop while waiting.
    pub async fn next(&mut self) -> Option<Heard> {
        match self.0.recv().await {
            Ok(message) => Some(Heard::Message(message)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Heard::Missed),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[tokio::test]
    async fn a_listener_hears_its_topic_in_order_from_when_it_began() {
        let bus = Bus::in_process();
        bus.publish(Topic::Rights, Uuid::from_u128(1));
        let mut listener = bus.listen(Topic::Rights);

        bus.publish(Topic::Boards, Uuid::from_u128(2));
        bus.publish(Topic::Rights, Uuid::from_u128(3));
        bus.publish(Topic::Rights, Uuid::from_u128(4));

        assert_eq!(
            listener.next().await,
            Some(Heard::Message(Uuid::from_u128(3)))
        );
        assert_eq!(
            listener.next().await,
            Some(Heard::Message(Uuid::from_u128(4)))
        );
    }

    #[tokio::test]
    async fn who_is_too_slow_is_told_so() {
        let bus = Bus::in_process();
        let mut listener = bus.listen(Topic::Rights);

        for n in 0..=BACKLOG as u128 {
            bus.publish(Topic::Rights, Uuid::from_u128(n));
        }

        assert_eq!(listener.next().await, Some(Heard::Missed));
    }
}
