//! A room: what this server knows of a session that somebody follows here. Its keeper listens to the bus, reads what is
//! new from the store, checks who may still read, and feeds all subscribers. A room ends with its last subscriber.

use std::{any::TypeId, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast};

use super::{
    keeper::Keeper,
    shaped,
    shared::{Fed, Feed, Here, Room, Rooms, Shared, forget},
};
use crate::{
    app::App,
    chat::{
        ChatSession, Rev,
        store::{self, log::Log, presence},
    },
    error::{Error, Result},
    fanout::Shape,
    ids::{ChatSessionId, UserId},
};

/// How long a subscription waits for the room to come as far as its cursor.
const CATCH_UP: Duration = Duration::from_secs(5);

impl Room {
    /// The room of `session`, which is opened if nobody follows it here yet.
    ///
    /// # Errors
    /// `NOT_FOUND`; `UNAVAILABLE` when the bus or the store does not work.
    pub async fn enter(app: &App, session: ChatSessionId) -> Result<Arc<Self>> {
        let rooms: Arc<Rooms> = app.memory.of(TypeId::of::<Rooms>());
        let slot = Arc::clone(rooms.0.lock().entry(session).or_default());
        let mut slot = slot.lock().await;
        if let Some(room) = slot.upgrade() {
            return Ok(room);
        }
        let opened = Self::open(app, session).await;
        match &opened {
            Ok(room) => *slot = Arc::downgrade(room),
            Err(_) => {
                // Nobody may fill the memory with sessions that there are not. A slot that is locked is not forgotten.
                drop(slot);
                forget(app, session);
            }
        }
        opened
    }

    async fn open(app: &App, session: ChatSessionId) -> Result<Arc<Self>> {
        // First listen, then read: what happens in between is told and read.
        let topics = [
            store::spoken_in(session).untyped(),
            store::changed(session).untyped(),
            store::people_changed(session).untyped(),
            store::typing_in(session).untyped(),
            store::presence_in(session).untyped(),
        ];
        let listener = app.bus.listen(&topics).await?;
        let row = store::find(app, session).await?;
        let heads = Log::open(app).await?.heads(&[session]).await?;
        let head = heads.first().copied().unwrap_or_default();
        let shared = Arc::new(Shared {
            app: app.clone(),
            session,
            feed: Feed::new(head.rev),
            shapes: Mutex::default(),
            here: Mutex::new(Here::default()),
            wake: Notify::new(),
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "it ends with the last subscriber"
        )]
        tokio::spawn(Keeper::new(Arc::clone(&shared), listener, row).run());
        Ok(Arc::new(Self(shared)))
    }

    /// What is fed from now on, and the number up to which a subscriber has to read the store: to those of one shape with
    /// the response to each event.
    pub fn follow(&self, shape: Option<&Shape>) -> (broadcast::Receiver<Fed>, Rev) {
        match shape {
            None => self.0.feed.follow(),
            Some(shape) => shaped::follow(&self.0, shape),
        }
    }

    /// How far the room has come.
    pub fn rev(&self) -> Rev {
        self.0.feed.rev()
    }

    /// Waits until the feed has come as far as `rev`.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it takes too long.
    pub async fn reach(&self, rev: Rev) -> Result<()> {
        let mut seen = self.0.feed.progress();
        self.0.wake.notify_one();
        let reached = seen.wait_for(|seen| *seen >= rev);
        match tokio::time::timeout(CATCH_UP, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Unavailable {
                backend: "documents",
            }),
        }
    }

    /// The session as it is now.
    ///
    /// # Errors
    /// `NOT_FOUND`.
    pub async fn session(&self) -> Result<ChatSession> {
        store::find(&self.0.app, self.0.session).await
    }

    /// How many users are online, if that is known. `user`, who follows the session, is one of them.
    pub async fn online(&self, user: Option<UserId>) -> Option<i32> {
        let count = |here: &Here| {
            let online = here.online.as_ref()?;
            let is_missing = user.is_some_and(|user| !online.contains(&user));
            i32::try_from(online.len() + usize::from(is_missing)).ok()
        };
        if let Some(known) = count(&self.0.here.lock()) {
            return Some(known);
        }
        let online = presence::online(&self.0.app, self.0.session).await.ok()?;
        let mut here = self.0.here.lock();
        here.online = Some(online);
        count(&here)
    }

    /// Takes a seat for a subscription: of `user`, unless it is only an admin who reads.
    pub async fn sit(self: &Arc<Self>, user: Option<UserId>, is_watcher: bool) -> Seat {
        let seat = Seat {
            room: Arc::clone(self),
            user,
            is_watcher,
        };
        let is_first = {
            let mut here = self.0.here.lock();
            here.watchers += usize::from(is_watcher);
            user.is_some_and(|user| {
                let count = here.users.entry(user).or_default();
                *count += 1;
                *count == 1
            })
        };
        if let (Some(user), true) = (user, is_first) {
            let come = presence::come(&self.0.app, self.0.session, user).await;
            if let Err(error) = come {
                // The keeper renews it soon.
                tracing::debug!(%error, "a user could not be shown as online");
            }
            let mut here = self.0.here.lock();
            // Watchers are told by the keeper.
            if here.watchers == 0
                && let Some(online) = &mut here.online
            {
                online.insert(user);
            }
        }
        seat
    }
}

/// A subscription's part in a room.
pub struct Seat {
    room: Arc<Room>,
    user: Option<UserId>,
    is_watcher: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut here = self.room.0.here.lock();
        here.watchers -= usize::from(self.is_watcher);
        let Some(user) = self.user else { return };
        if let Some(count) = here.users.get_mut(&user) {
            *count -= 1;
            if *count == 0 {
                here.users.remove(&user);
                here.gone.push(user);
                self.room.0.wake.notify_one();
            }
        }
    }
}
