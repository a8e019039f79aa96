//! What the subscribers and the keeper of a room share, and the register of all rooms.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

use crate::{
    app::App,
    chat::{Rev, events::Event},
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

/// A session that somebody follows here. Dropping the last one ends it.
pub struct Room(pub(super) Arc<Shared>);

/// What the subscribers and the keeper of a room share.
pub(super) struct Shared {
    pub app: App,
    pub session: ChatSessionId,
    pub feed: broadcast::Sender<Arc<Signal>>,
    /// How far the feed has come.
    pub rev: watch::Sender<Rev>,
    /// Held while something is fed, so that who subscribes knows what the feed brings.
    pub feeding: Mutex<()>,
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
