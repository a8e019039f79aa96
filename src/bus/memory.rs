//! The topics of this process and their listeners.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::Notified};
use uuid::Uuid;

use super::Key;

/// How many messages a listener may fall behind before it misses some. A topic stores no more than these: at most 512
/// KiB.
pub const BACKLOG: usize = 16 << 10;

/// A message without its types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub about: Uuid,
    pub number: u64,
}

/// All topics with listeners. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Hub(Arc<Topics>);

#[derive(Default)]
struct Topics {
    channels: Mutex<HashMap<Key, Arc<Channel>>>,
    /// Called when a topic has lost its last listener.
    ended: std::sync::OnceLock<Box<dyn Fn(Key) + Send + Sync>>,
}

/// What the listeners of one topic share.
#[derive(Default)]
pub(super) struct Channel {
    backlog: Mutex<Backlog>,
    published: Notify,
}

impl Channel {
    /// Waits until something is published after this call.
    pub(super) fn published(&self) -> Notified<'_> {
        self.published.notified()
    }
}

#[derive(Default)]
struct Backlog {
    listeners: usize,
    /// Number of the oldest message that is kept.
    first: u64,
    /// Messages in order, each with the number of listeners that have not received it yet.
    kept: VecDeque<(Told, usize)>,
}

impl Backlog {
    /// The number of the next message to be published.
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn push(&mut self, told: Told) {
        if self.kept.len() >= BACKLOG {
            self.kept.pop_front();
            self.first += 1;
        }
        self.kept.push_back((told, self.listeners));
    }

    /// Drops all messages in a way that every listener notices.
    fn lose(&mut self) {
        // One more than there are, or those who have received all of them would not notice.
        self.first = self.end() + 1;
        self.kept.clear();
        self.kept.shrink_to(16);
    }

    /// What a listener receives whose next message is `next`, if there is anything, and its next message after that.
    /// `None` instead of a message: some were missed.
    fn hear(&mut self, next: u64) -> Option<(Option<Told>, u64)> {
        if next < self.first {
            self.pass(self.first);
            return Some((None, self.end()));
        }
        let at = usize::try_from(next - self.first).ok()?;
        let (told, unheard) = self.kept.get_mut(at)?;
        *unheard -= 1;
        let told = *told;
        self.forget();
        Some((Some(told), next + 1))
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

impl Hub {
    /// Tells the listeners of this process.
    pub(super) fn tell(&self, key: Key, told: Told) {
        let Some(channel) = self.0.channels.lock().get(&key).cloned() else {
            return;
        };
        channel.backlog.lock().push(told);
        channel.published.notify_waiters();
    }

    /// Tells all listeners of all topics that they may have missed messages.
    pub(super) fn lose(&self) {
        let channels: Vec<_> = self.0.channels.lock().values().cloned().collect();
        for channel in channels {
            channel.backlog.lock().lose();
            channel.published.notify_waiters();
        }
    }

    /// Sets what is called, under the lock of all topics, when a topic has lost its last listener.
    pub(super) fn on_end(&self, ended: impl Fn(Key) + Send + Sync + 'static) {
        let _ = self.0.ended.set(Box::new(ended));
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.0.channels.lock().contains_key(key)
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.0.channels.lock().keys().copied().collect()
    }

    pub(super) fn topics(&self) -> usize {
        self.0.channels.lock().len()
    }

    pub(super) fn kept(&self) -> usize {
        let channels = self.0.channels.lock();
        channels.values().map(|c| c.backlog.lock().kept.len()).sum()
    }
}

/// One listener's part in one topic.
pub(super) struct Subscription {
    hub: Hub,
    key: Key,
    channel: Arc<Channel>,
    /// Number of the next message to hear.
    next: u64,
}

impl Subscription {
    pub(super) fn begin(hub: &Hub, key: Key) -> Self {
        let mut channels = hub.0.channels.lock();
        let channel = Arc::clone(channels.entry(key).or_default());
        // Under the lock of all topics, so that the topic cannot be removed at the same time by its last listener.
        let next = {
            let mut backlog = channel.backlog.lock();
            backlog.listeners += 1;
            backlog.end()
        };
        Self {
            hub: hub.clone(),
            key,
            channel,
            next,
        }
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    pub(super) fn channel(&self) -> Arc<Channel> {
        Arc::clone(&self.channel)
    }

    /// The next message, if there is one. `None` instead of a message: some were missed.
    pub(super) fn hear(&mut self) -> Option<Option<Told>> {
        let (heard, next) = self.channel.backlog.lock().hear(self.next)?;
        self.next = next;
        Some(heard)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut channels = self.hub.0.channels.lock();
        let mut backlog = self.channel.backlog.lock();
        backlog.pass(self.next);
        backlog.listeners -= 1;
        if backlog.listeners == 0
            && let Entry::Occupied(topic) = channels.entry(self.key)
        {
            topic.remove();
            if let Some(ended) = self.hub.0.ended.get() {
                ended(self.key);
            }
        }
    }
}
