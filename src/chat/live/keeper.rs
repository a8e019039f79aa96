//! The keeper of a room: one task that reads what is new and feeds the subscribers.

use std::{collections::HashSet, mem, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    reader,
    shared::{self, Fed, Shared, Signal},
};
use crate::{
    bus::{Heard, Listener, Topic},
    chat::{
        ChatSession,
        events::{Event, NAMED, What},
        store::{self, people, presence},
    },
    error::Error,
    ids::UserId,
};

/// The store is looked at so often even if the bus tells nothing.
const POLL: Duration = Duration::from_secs(10);
/// The same while the bus does not work, or the store did not answer.
const POLL_SOON: Duration = Duration::from_secs(1);
/// The least time between two events about who takes part, and about who is online.
const COALESCED: Duration = Duration::from_secs(1);
/// How often it is looked who is online, since those who end are not announced.
const LOOK: Duration = Duration::from_secs(5);

pub(super) struct Keeper {
    shared: Arc<Shared>,
    listener: Listener<Uuid>,
    topics: Topics,
    session: Arc<ChatSession>,
    /// What is to be done.
    todo: Todo,
    /// Who has joined or left since the last event about it.
    people: HashSet<UserId>,
    people_at: Instant,
    poll_at: Instant,
    renew_at: Instant,
    look_at: Instant,
    looked_at: Instant,
}

struct Topics {
    spoken: Topic<Uuid>,
    changed: Topic<Uuid>,
    people: Topic<Uuid>,
    typing: Topic<Uuid>,
}

#[derive(Default)]
struct Todo {
    read: bool,
    session: bool,
    people: bool,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, listener: Listener<Uuid>, session: ChatSession) -> Self {
        let (id, now) = (shared.session, Instant::now());
        Self {
            shared,
            listener,
            topics: Topics {
                spoken: store::spoken_in(id).untyped(),
                changed: store::changed(id).untyped(),
                people: store::people_changed(id).untyped(),
                typing: store::typing_in(id).untyped(),
            },
            session: Arc::new(session),
            todo: Todo::default(),
            people: HashSet::new(),
            people_at: now,
            poll_at: now + POLL,
            renew_at: now + presence::RENEWED,
            look_at: now + LOOK,
            looked_at: now,
        }
    }

    /// Keeps the room until its last subscriber has left.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            let due = self.due();
            tokio::select! {
                heard = self.listener.next() => self.hear(heard).await,
                () = shared.wake.notified() => self.todo.read = true,
                () = sleep_until(due) => {}
            }
            let is_over = self.shared.here.lock().is_over;
            self.tell_who_is_gone().await;
            if is_over {
                break;
            }
            if self.work().await.is_err() {
                self.feed(Signal::Over).await;
                break;
            }
        }
        shared::forget(&self.shared.app, self.shared.session);
    }

    fn due(&self) -> Instant {
        let mut due = self.poll_at.min(self.renew_at);
        if !self.people.is_empty() {
            due = due.min(self.people_at);
        }
        if self.shared.here.lock().watchers > 0 {
            due = due.min(self.look_at);
        }
        due
    }

    async fn hear(&mut self, heard: Heard<Uuid>) {
        let Heard::News(news) = heard else {
            self.todo = Todo {
                read: true,
                session: true,
                people: true,
            };
            self.look_soon();
            return;
        };
        if news.topic == self.topics.spoken {
            let seen = self.shared.feed.rev().0.unsigned_abs();
            self.todo.read |= news.number == 0 || news.number > seen;
        } else if news.topic == self.topics.changed {
            self.todo.session = true;
        } else if news.topic == self.topics.people {
            self.people.insert(UserId::from_uuid(news.about));
            self.todo.people = true;
        } else if news.topic == self.topics.typing {
            let user = UserId::from_uuid(news.about);
            self.tell(What::Typing(user)).await;
        } else {
            self.look_soon();
        }
    }

    /// Looks who is online as soon as the last event about it is a second ago.
    fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + COALESCED);
    }

    /// Does what is to be done and due. Fails when the session is deleted.
    async fn work(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        if now >= self.poll_at {
            let is_alone = self.shared.app.bus.health().is_err();
            self.poll_at = now + if is_alone { POLL_SOON } else { POLL };
            self.todo.read = true;
            self.todo.session |= is_alone;
        }
        let todo = mem::take(&mut self.todo);
        if todo.read || todo.session || todo.people {
            match self.look_at_session(todo.session).await {
                Err(Error::NotFound) => return Err(Error::NotFound),
                Err(error) => self.try_again(&error),
                Ok(()) if todo.read => {
                    if let Err(error) = self.read().await {
                        self.try_again(&error);
                    }
                }
                Ok(()) => {}
            }
        }
        if !self.people.is_empty() && now >= self.people_at {
            self.tell_people().await;
        }
        if now >= self.renew_at {
            self.renew_at = now + presence::RENEWED;
            self.renew().await;
        }
        let has_watchers = self.shared.here.lock().watchers > 0;
        if now >= self.look_at {
            self.looked_at = now;
            self.look_at = now + LOOK;
            if has_watchers {
                self.tell_presence().await;
            } else {
                // Read anew when somebody asks.
                self.shared.here.lock().online = None;
            }
        }
        Ok(())
    }

    fn try_again(&mut self, error: &Error) {
        tracing::warn!(%error, session = %self.shared.session, "a chat session cannot be read");
        self.todo.session = true;
        self.poll_at = Instant::now() + POLL_SOON;
    }

    /// Reads the session's row, and checks the rights of all who follow it here if somebody has lost theirs.
    async fn look_at_session(&mut self, may_have_changed: bool) -> Result<(), Error> {
        let app = &self.shared.app;
        let present = store::find(app, self.shared.session).await?;
        if present.people_rev != self.session.people_rev {
            let here: Vec<_> = self.shared.here.lock().users.keys().copied().collect();
            let there = people::among(app, self.shared.session, here.clone()).await?;
            let lost: HashSet<_> = here
                .into_iter()
                .filter(|user| !there.contains(user))
                .collect();
            if !lost.is_empty() {
                self.feed(Signal::Check(lost)).await;
            }
        }
        let has_changed = may_have_changed && present.updated_at != self.session.updated_at;
        self.session = Arc::new(present);
        if has_changed {
            self.tell(What::SessionUpdated(Arc::clone(&self.session)))
                .await;
        }
        Ok(())
    }

    /// Feeds what has changed since the last time.
    async fn read(&mut self) -> Result<(), Error> {
        loop {
            let last = self.shared.feed.rev();
            let changes = reader::read(&self.shared.app, self.shared.session, last).await?;
            let is_all = changes.len() < reader::LIMIT as usize;
            for (rev, chat) in changes {
                let is_new = chat.born == rev;
                self.feed(Signal::Event(Event::of_change(rev, chat, is_new)))
                    .await;
            }
            if is_all {
                return Ok(());
            }
        }
    }

    async fn tell(&self, what: What) {
        let rev = self.shared.feed.rev();
        self.feed(Signal::Event(Event { rev, what })).await;
    }

    async fn feed(&self, signal: Signal) {
        let fed = Fed {
            signal: Arc::new(signal),
            rendered: None,
        };
        self.shared.feed.feed(fed).await;
    }

    async fn tell_people(&mut self) {
        let (app, session) = (&self.shared.app, self.shared.session);
        let users: Vec<_> = self.people.iter().copied().collect();
        let there = match people::among(app, session, users.clone()).await {
            Ok(there) => there,
            Err(error) => return self.try_again(&error),
        };
        self.people.clear();
        self.people_at = Instant::now() + COALESCED;
        let (mut joined, mut left): (Vec<_>, Vec<_>) =
            users.into_iter().partition(|user| there.contains(user));
        joined.truncate(NAMED);
        left.truncate(NAMED);
        self.tell(What::Participants {
            joined,
            left,
            count: self.session.participant_count,
        })
        .await;
    }

    async fn renew(&self) {
        let (app, session) = (&self.shared.app, self.shared.session);
        let users: Vec<_> = self.shared.here.lock().users.keys().copied().collect();
        if let Err(error) = presence::renew(app, session, &users).await {
            tracing::debug!(%error, "who is online could not be renewed");
        }
    }

    /// Tells the other servers who has left here.
    async fn tell_who_is_gone(&mut self) {
        let gone: Vec<_> = {
            let mut here = self.shared.here.lock();
            let gone = mem::take(&mut here.gone);
            gone.into_iter()
                .filter(|user| !here.users.contains_key(user))
                .collect()
        };
        if gone.is_empty() {
            return;
        }
        let (app, session) = (&self.shared.app, self.shared.session);
        if let Err(error) = presence::go(app, session, &gone).await {
            tracing::debug!(%error, "who has gone offline could not be told");
        }
        // Until then they count as online.
        self.look_at = self
            .look_at
            .min(Instant::now() + presence::GRACE + COALESCED);
    }

    async fn tell_presence(&mut self) {
        let (app, session) = (&self.shared.app, self.shared.session);
        let present = match presence::online(app, session).await {
            Ok(present) => present,
            Err(error) => {
                tracing::debug!(%error, "it is not known who is online");
                self.shared.here.lock().online = None;
                return;
            }
        };
        let before = self.shared.here.lock().online.replace(present.clone());
        let Some(before) = before else { return };
        let some = |users: &mut dyn Iterator<Item = &UserId>| users.take(NAMED).copied().collect();
        let came: Vec<_> = some(&mut present.difference(&before));
        let went: Vec<_> = some(&mut before.difference(&present));
        if !came.is_empty() || !went.is_empty() {
            let online = i32::try_from(present.len()).unwrap_or(i32::MAX);
            self.tell(What::Presence { came, went, online }).await;
        }
    }
}
