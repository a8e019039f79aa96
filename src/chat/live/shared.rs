//! What the subscribers and the keeper of a room share, and the register of all rooms.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, broadcast, watch},
    task::yield_now,
};

use crate::{
    app::App,
    chat::{Rev, events::Event},
    fanout::Shape,
    ids::{ChatSessionId, UserId},
};

/// What subscribers are fed.
#[derive(Debug)]
pub enum Signal {
    Event(Event),
    /// These users may have lost their right.
    Check(HashSet<UserId>),
    /// The session is deleted.
    Over,
}

/// A signal, and the response to it where all subscribers of a feed get the same.
#[derive(Clone, Debug)]
pub struct Fed {
    pub signal: Arc<Signal>,
    pub rendered: Option<Bytes>,
}

/// Signals for many subscribers, in order. They are fed to one crowd after the other. Otherwise thousands of sockets would
/// be woken at once, and whatever else the server does would wait until the last of them has sent its message.
pub struct Feed {
    crowds: Mutex<Vec<Arc<Crowd>>>,
    /// How far it has come.
    rev: watch::Sender<Rev>,
}

/// Some of the subscribers of a feed.
struct Crowd {
    sender: broadcast::Sender<Fed>,
    /// How far it was fed. Locked while it is fed, so that who subscribes knows what the feed brings.
    rev: Mutex<Rev>,
}

impl Feed {
    /// A feed that has come as far as `rev`.
    pub fn new(rev: Rev) -> Self {
        Self {
            crowds: Mutex::default(),
            rev: watch::Sender::new(rev),
        }
    }

    /// How far it has come.
    pub fn rev(&self) -> Rev {
        *self.rev.borrow()
    }

    /// Tells when it comes further.
    pub fn progress(&self) -> watch::Receiver<Rev> {
        self.rev.subscribe()
    }

    /// What is fed from now on, and the number up to which a subscriber has to read the store.
    pub fn follow(&self) -> (broadcast::Receiver<Fed>, Rev) {
        let mut crowds = self.crowds.lock();
        let with_room = crowds.iter().find(|crowd| crowd.len() < CROWD);
        if let Some(crowd) = with_room {
            return crowd.follow();
        }
        let crowd = Arc::new(Crowd {
            sender: broadcast::Sender::new(BACKLOG),
            // It is not fed what the others are being fed at this moment.
            rev: Mutex::new(self.rev()),
        });
        crowds.push(Arc::clone(&crowd));
        crowd.follow()
    }

    /// Feeds a signal. That of a change takes the feed as far as the change. To be called by one task only, or the order
    /// would be lost.
    pub async fn feed(&self, fed: Fed) {
        let rev = match &*fed.signal {
            Signal::Event(event) if event.chat().is_some() => Some(event.rev),
            _ => None,
        };
        let crowds = {
            let mut crowds = self.crowds.lock();
            crowds.retain(|crowd| crowd.len() > 0);
            if let Some(rev) = rev {
                self.rev.send_replace(rev);
            }
            crowds.clone()
        };
        for (n, crowd) in crowds.iter().enumerate() {
            if n > 0 {
                yield_now().await;
            }
            crowd.feed(fed.clone(), rev);
        }
    }

    /// Whether somebody follows it.
    pub fn is_followed(&self) -> bool {
        self.crowds.lock().iter().any(|crowd| crowd.len() > 0)
    }
}

impl Crowd {
    fn len(&self) -> usize {
        self.sender.receiver_count()
    }

    fn follow(&self) -> (broadcast::Receiver<Fed>, Rev) {
        let rev = self.rev.lock();
        (self.sender.subscribe(), *rev)
    }

    fn feed(&self, fed: Fed, rev: Option<Rev>) {
        let mut fed_up_to = self.rev.lock();
        // Fails when nobody is there.
        let _ = self.sender.send(fed);
        if let Some(rev) = rev {
            *fed_up_to = rev;
        }
    }
}

/// The most subscribers that are woken at once: about as many as the queue of a thread has room for.
const CROWD: usize = 128;

/// How many events a subscriber may be behind before it has to read what it missed from the store.
const BACKLOG: usize = 256;

/// A session that somebody follows here. Dropping the last one ends it.
pub struct Room(pub(super) Arc<Shared>);

/// What the subscribers and the keeper of a room share.
pub(super) struct Shared {
    pub app: App,
    pub session: ChatSessionId,
    pub feed: Feed,
    /// The feeds of those who want the same bytes.
    pub shapes: Mutex<HashMap<Shape, Arc<Feed>>>,
    pub here: Mutex<Here>,
    /// Wakes the keeper.
    pub wake: Notify,
}

/// Who follows the session here.
#[derive(Default)]
pub(super) struct Here {
    /// Users who take part, with the number of their subscriptions.
    pub users: HashMap<UserId, usize>,
    /// Those who have left since the keeper last looked.
    pub gone: Vec<UserId>,
    /// Subscriptions that want to know who is online.
    pub watchers: usize,
    /// Who is online anywhere, as last read.
    pub online: Option<HashSet<UserId>>,
    pub is_over: bool,
}

/// All rooms of this server.
#[derive(Default)]
pub(super) struct Rooms(pub Mutex<HashMap<ChatSessionId, Slot>>);

/// A room that is being opened, or is open.
pub(super) type Slot = Arc<tokio::sync::Mutex<Weak<Room>>>;

impl Drop for Room {
    fn drop(&mut self) {
        self.0.here.lock().is_over = true;
        self.0.wake.notify_one();
    }
}

/// Forgets a room that has ended, unless a new one was opened.
pub(super) fn forget(app: &App, session: ChatSessionId) {
    let rooms: Arc<Rooms> = app.memory.of(TypeId::of::<Rooms>());
    let mut rooms = rooms.0.lock();
    let is_unused = rooms.get(&session).is_some_and(|slot| {
        // Somebody who opens it holds the lock.
        slot.try_lock().is_ok_and(|room| room.strong_count() == 0)
    });
    if is_unused {
        rooms.remove(&session);
    }
}
