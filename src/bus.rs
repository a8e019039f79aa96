//! Publish and subscribe between the tasks of one server and, with Redis, between servers. A message is only a hint to
//! look: if one is lost, news come later, but they come.
//!
//! A topic exists while it has listeners. Each message is stored once, however many listen, until all listeners have
//! received it. A listener that falls too far behind is told so, without any effect on the others.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    marker::PhantomData,
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::ids::{Id, Kind};

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

/// A topic whose messages are `M`s. Each feature defines the topics for its own news.
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
        Self::new(name, id.uuid())
    }

    /// The topic with this name that belongs to nothing in particular.
    #[must_use]
    pub const fn only(name: &'static str) -> Self {
        Self::new(name, Uuid::nil())
    }

    const fn new(name: &'static str, of: Uuid) -> Self {
        Self {
            key: (name, of),
            message: PhantomData,
        }
    }

    /// The same topic, for listeners to whom it does not matter what a message is about.
    #[must_use]
    pub fn untyped(self) -> Topic<Uuid> {
        let (name, of) = self.key;
        Topic::new(name, of)
    }
}

/// How many messages a listener may fall behind before it misses some. A topic stores no more than these: at most 384
/// KiB.
pub const BACKLOG: usize = 16 << 10;

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Bus(Arc<Inner>);

enum Inner {
    InProcess(Mutex<HashMap<Key, Arc<Channel>>>),
}

/// What a listener hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<M> {
    Message(M),
    /// Messages were missed: anything may have changed.
    Missed,
}

/// A subscription to one topic. The topic ends when its last listener is dropped.
pub struct Listener<M> {
    bus: Bus,
    key: Key,
    message: PhantomData<fn() -> M>,
    channel: Arc<Channel>,
    /// Number of the next message to hear.
    next: u64,
}

/// What the listeners of one topic share.
#[derive(Default)]
struct Channel {
    backlog: Mutex<Backlog>,
    published: Notify,
}

#[derive(Default)]
struct Backlog {
    listeners: usize,
    /// Number of the oldest message that is kept.
    first: u64,
    /// Messages in order, each with the number of listeners that have not received it yet.
    kept: VecDeque<(Uuid, usize)>,
}

impl Backlog {
    /// The number of the next message to be published.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn push(&mut self, message: Uuid) {
        if self.kept.len() >= BACKLOG {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back((message, self.listeners));
    }

    /// What a listener receives whose next message is `next`, if there is anything, and its next message after that.
    fn hear(&mut self, next: u64) -> Option<(Heard<Uuid>, u64)> {
        if next < self.first {
            self.pass(self.first);
            return Some((Heard::Missed, self.end()));
        }
        let at = usize::try_from(next - self.first).ok()?;
        let (message, unheard) = self.kept.get_mut(at)?;
        *unheard -= 1;
        let message = *message;
        self.forget();
        Some((Heard::Message(message), next + 1))
    }

    /// Counts all messages from `next` on as received by one listener.
    fn pass(&mut self, next: u64) {
        let heard = usize::try_from(next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        for (_, unheard) in self.kept.iter_mut().skip(heard) {
            *unheard -= 1;
        }
        self.forget();
    }

    /// Drops messages that all have received, and the memory that a burst took.
    fn forget(&mut self) {
        while self.kept.front().is_some_and(|(_, unheard)| *unheard == 0) {
            self.kept.pop_front();
            self.first += 1;
        }
        if self.kept.is_empty() {
            self.kept.shrink_to(16);
        }
    }
}

impl Bus {
    /// A bus within this process.
    #[must_use]
    pub fn in_process() -> Self {
        Self(Arc::new(Inner::InProcess(Mutex::new(HashMap::new()))))
    }

    /// Tells all who listen to `topic` now.
    pub fn publish<M: Message>(&self, topic: &Topic<M>, message: M) {
        let Inner::InProcess(topics) = &*self.0;
        let Some(channel) = topics.lock().get(&topic.key).cloned() else {
            return;
        };
        channel.backlog.lock().push(message.uuid());
        channel.published.notify_waiters();
    }

    /// Listens to what is published from now on.
    #[must_use]
    pub fn listen<M: Message>(&self, topic: &Topic<M>) -> Listener<M> {
        let Inner::InProcess(topics) = &*self.0;
        let mut topics = topics.lock();
        let channel = Arc::clone(topics.entry(topic.key).or_default());
        // Under the lock of all topics, so that the topic cannot be removed at the same time by its last listener.
        let next = {
            let mut backlog = channel.backlog.lock();
            backlog.listeners += 1;
            backlog.end()
        };
        Listener {
            bus: self.clone(),
            key: topic.key,
            message: PhantomData,
            channel,
            next,
        }
    }

    /// How many topics have listeners.
    #[must_use]
    pub fn topics(&self) -> usize {
        let Inner::InProcess(topics) = &*self.0;
        topics.lock().len()
    }

    /// How many messages are stored for listeners that have not received them yet.
    #[must_use]
    pub fn kept(&self) -> usize {
        let Inner::InProcess(topics) = &*self.0;
        let topics = topics.lock();
        topics.values().map(|c| c.backlog.lock().kept.len()).sum()
    }
}

impl<M: Message> Listener<M> {
    /// Waits for the next message. Cancel-safe.
    pub async fn next(&mut self) -> Heard<M> {
        loop {
            let published = self.channel.published.notified();
            // Created before looking, so that what is published after the look is noticed.
            if let Some((heard, next)) = self.channel.backlog.lock().hear(self.next) {
                self.next = next;
                return match heard {
                    Heard::Message(uuid) => Heard::Message(M::from_uuid(uuid)),
                    Heard::Missed => Heard::Missed,
                };
            }
            published.await;
        }
    }
}

impl<M> Drop for Listener<M> {
    fn drop(&mut self) {
        let Inner::InProcess(topics) = &*self.bus.0;
        let mut topics = topics.lock();
        let mut backlog = self.channel.backlog.lock();
        backlog.pass(self.next);
        backlog.listeners -= 1;
        if backlog.listeners == 0
            && let Entry::Occupied(topic) = topics.entry(self.key)
        {
            topic.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: Topic<Uuid> = Topic::only("rights");
    const BOARDS: Topic<Uuid> = Topic::only("boards");

    fn message(number: usize) -> Uuid {
        Uuid::from_u128(number as u128)
    }

    /// All that `listener` hears without waiting.
    async fn heard(listener: &mut Listener<Uuid>) -> Vec<Heard<Uuid>> {
        let mut all = Vec::new();
        while let Ok(heard) = tokio::time::timeout(std::time::Duration::ZERO, listener.next()).await
        {
            all.push(heard);
        }
        all
    }

    #[tokio::test]
    async fn a_listener_hears_its_topic_in_order_from_when_it_began() {
        let bus = Bus::in_process();
        let _earlier = bus.listen(&RIGHTS);
        bus.publish(&RIGHTS, message(1));
        let mut listener = bus.listen(&RIGHTS);

        bus.publish(&BOARDS, message(2));
        bus.publish(&RIGHTS, message(3));
        bus.publish(&RIGHTS, message(4));

        assert_eq!(listener.next().await, Heard::Message(message(3)));
        assert_eq!(listener.next().await, Heard::Message(message(4)));
    }

    #[tokio::test]
    async fn a_stalled_listener_is_told_so_and_costs_no_other_a_message() {
        let bus = Bus::in_process();
        let (mut stalled, mut healthy) = (bus.listen(&RIGHTS), bus.listen(&RIGHTS));

        for n in 0..=BACKLOG {
            bus.publish(&RIGHTS, message(n));
            assert_eq!(healthy.next().await, Heard::Message(message(n)));
        }

        assert_eq!(bus.kept(), BACKLOG);
        assert_eq!(heard(&mut stalled).await, [Heard::Missed]);
        assert_eq!(bus.kept(), 0);
        bus.publish(&RIGHTS, message(7));
        for listener in [&mut stalled, &mut healthy] {
            assert_eq!(heard(listener).await, [Heard::Message(message(7))]);
        }
    }

    #[tokio::test]
    async fn a_topic_ends_with_its_last_listener_and_a_message_with_the_last_that_hears_it() {
        let bus = Bus::in_process();
        for n in 0..1_000 {
            drop(bus.listen(&Topic::<Uuid>::new("post", message(n))));
        }
        assert_eq!(bus.topics(), 0);

        let (mut one, other) = (bus.listen(&BOARDS), bus.listen(&BOARDS));
        (0..5).for_each(|n| bus.publish(&BOARDS, message(n)));
        assert_eq!(one.next().await, Heard::Message(message(0)));
        let late = bus.listen(&BOARDS);
        bus.publish(&BOARDS, message(5));
        assert_eq!(bus.kept(), 6);
        drop(other);
        assert_eq!(bus.kept(), 5);
        assert_eq!(heard(&mut one).await.len(), 5);
        assert_eq!(bus.kept(), 1);

        drop((one, late));

        assert_eq!((bus.topics(), bus.kept()), (0, 0));
        // Nobody listens, so nothing is kept.
        bus.publish(&BOARDS, message(6));
        assert_eq!((bus.topics(), bus.kept()), (0, 0));
    }

    #[tokio::test(flavor = "multi_thread")]
    #[expect(
        clippy::disallowed_methods,
        reason = "nobody shuts a test down, which waits for its tasks itself"
    )]
    async fn nothing_is_missed_between_a_look_and_a_wait() {
        let bus = Bus::in_process();
        let listening: Vec<_> = (0..8)
            .map(|_| {
                let mut listener = bus.listen(&BOARDS);
                tokio::spawn(async move {
                    for n in 0..2_000 {
                        assert_eq!(listener.next().await, Heard::Message(message(n)));
                    }
                })
            })
            .collect();

        for n in 0..2_000 {
            bus.publish(&BOARDS, message(n));
            if n % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }

        for listener in listening {
            let ended = tokio::time::timeout(std::time::Duration::from_secs(20), listener).await;
            ended.expect("in time").expect("no panic");
        }
        assert_eq!((bus.topics(), bus.kept()), (0, 0));
    }
}
