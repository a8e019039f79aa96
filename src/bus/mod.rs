//! Publish and subscribe between the tasks of one server and, with Redis, between servers. A message is only a hint to
//! look: if one is lost, news come later, but they come.
//!
//! A topic exists while it has listeners. Each message is stored once, however many listen, until all listeners have
//! received it. A listener that falls too far behind is told so, without any effect on the others.

mod memory;
mod redis;

use std::marker::PhantomData;

use futures_util::future::select_all;
use uuid::Uuid;

pub use self::{memory::BACKLOG, redis::SILENCE};
use self::{
    memory::{Hub, Subscription},
    redis::Remote,
};
use crate::{
    error::Result,
    ids::{Id, Kind},
    redis::Redis,
};

/// The content of a message: the id of what it is about. The receiver reads the current state from the store.
pub trait Message: Copy + Send + 'static {
    fn from_uuid(uuid: Uuid) -> Self;
    fn uuid(self) -> Uuid;
}

impl<K: Kind> Message for Id<K> {
    fn from_uuid(uuid: Uuid) -> Self {
        Self::from_uuid(uuid)
    }

    fn uuid(self) -> Uuid {
        self.uuid()
    }
}

/// For listeners to whom it does not matter what a message is about.
impl Message for Uuid {
    fn from_uuid(uuid: Uuid) -> Self {
        uuid
    }

    fn uuid(self) -> Uuid {
        self
    }
}

/// A topic whose messages are about `M`s. Each feature defines the topics for its own news.
#[derive(Debug)]
pub struct Topic<M> {
    key: Key,
    message: PhantomData<fn() -> M>,
}

/// The identity of a topic: its name and what it belongs to.
type Key = (&'static str, Uuid);

impl<M> Topic<M> {
    /// The topic with this name that belongs to `id`.
    pub fn of<K: Kind>(name: &'static str, id: Id<K>) -> Self {
        Self::new((name, id.uuid()))
    }

    /// The topic with this name that belongs to nothing in particular.
    #[must_use]
    pub const fn only(name: &'static str) -> Self {
        Self::new((name, Uuid::nil()))
    }

    const fn new(key: Key) -> Self {
        Self {
            key,
            message: PhantomData,
        }
    }

    /// The same topic, for listeners to whom it does not matter what a message is about.
    #[must_use]
    pub fn untyped(self) -> Topic<Uuid> {
        Topic::new(self.key)
    }
}

// Derived, these would ask the same of `M`.
impl<M> Clone for Topic<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for Topic<M> {}
impl<M> PartialEq for Topic<M> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<M> Eq for Topic<M> {}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct News<M> {
    pub topic: Topic<M>,
    /// What it is about.
    pub about: M,
    /// How far what it is about has come, where that is counted; otherwise 0.
    pub number: u64,
}

/// What a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<M> {
    News(News<M>),
    /// Messages were missed, or may have been: anything may have changed.
    Missed,
}

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    hub: Hub,
    /// The other servers, if there are any.
    remote: Option<Remote>,
}

impl Bus {
    /// A bus within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self {
            hub: Hub::default(),
            remote: None,
        }
    }

    /// A bus that connects all servers with this Redis and prefix.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the subscriptions that each server needs are not confirmed.
    pub async fn through(redis: &Redis) -> Result<Self> {
        let hub = Hub::default();
        Ok(Self {
            remote: Some(Remote::open(redis, hub.clone()).await?),
            hub,
        })
    }

    /// Tells all who listen to `topic` now. It neither waits nor fails: if other servers cannot be told, their listeners
    /// hear [`Heard::Missed`] once they can be.
    pub fn publish<M: Message>(&self, topic: &Topic<M>, about: M) {
        self.publish_numbered(topic, about, 0);
    }

    /// As [`Bus::publish`], with a number.
    pub fn publish_numbered<M: Message>(&self, topic: &Topic<M>, about: M, number: u64) {
        let told = memory::Told {
            about: about.uuid(),
            number,
        };
        self.hub.tell(topic.key, told);
        if let Some(remote) = &self.remote {
            remote.tell(topic.key, told);
        }
    }

    /// Listens to what is published from now on. When it returns, the subscription is confirmed: a check that is made
    /// afterwards misses nothing.
    ///
    /// # Errors
    /// `UNAVAILABLE` when messages of other servers do not arrive.
    pub async fn listen<M: Message>(&self, topics: &[Topic<M>]) -> Result<Listener<M>> {
        let keys = topics.iter().map(|topic| topic.key);
        let subscriptions: Vec<_> = keys
            .clone()
            .map(|key| Subscription::begin(&self.hub, key))
            .collect();
        if let Some(remote) = &self.remote {
            remote.confirm(keys.collect()).await?;
        }
        Ok(Listener {
            subscriptions,
            turn: 0,
            message: PhantomData,
        })
    }

    /// Whether messages of other servers arrive.
    ///
    /// # Errors
    /// `UNAVAILABLE` when they do not, or have not for [`SILENCE`].
    pub fn health(&self) -> Result<()> {
        self.remote.as_ref().map_or(Ok(()), Remote::health)
    }

    /// How many topics have listeners.
    #[must_use]
    pub fn topics(&self) -> usize {
        self.hub.topics()
    }

    /// How many messages are stored for listeners that have not received them yet.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.hub.kept()
    }
}

/// A subscription to some topics. A topic ends when its last listener is dropped.
pub struct Listener<M> {
    subscriptions: Vec<Subscription>,
    /// The subscription to look at first, so that a busy topic does not silence the others.
    turn: usize,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Listener<M> {
    /// Waits for the next message: those of one topic come in their order. Cancel-safe. Without topics it waits forever.
    pub async fn next(&mut self) -> Heard<M> {
        loop {
            let channels: Vec<_> = self
                .subscriptions
                .iter()
                .map(Subscription::channel)
                .collect();
            // Created before looking, so that what is published after the look is noticed.
            let published = channels.iter().map(|channel| channel.published());
            let published: Vec<_> = published.map(Box::pin).collect();
            if let Some(heard) = self.look() {
                return heard;
            }
            if published.is_empty() {
                std::future::pending::<()>().await;
            }
            select_all(published).await;
        }
    }

    /// The next message, if there is one.
    fn look(&mut self) -> Option<Heard<M>> {
        let count = self.subscriptions.len();
        for at in (0..count).map(|n| (self.turn + n) % count) {
            let subscription = &mut self.subscriptions[at];
            let Some(heard) = subscription.hear() else {
                continue;
            };
            self.turn = at + 1;
            return Some(match heard {
                Some(told) => Heard::News(News {
                    topic: Topic::new(subscription.key()),
                    about: M::from_uuid(told.about),
                    number: told.number,
                }),
                None => Heard::Missed,
            });
        }
        None
    }
}
