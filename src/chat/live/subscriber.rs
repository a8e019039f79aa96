//! One subscription to a session: it replays what its subscriber has missed, says that it is ready, and goes on live.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{
    reader,
    room::Seat,
    shared::{Fed, Room, Signal},
};
use crate::{
    access::{Actor, Caller, SignedIn, rights_changed_of},
    app::App,
    bus::Listener,
    chat::{
        Chat, Rev,
        events::{Event, What},
        store::{self, log::Log},
    },
    error::{Error, Result},
    fanout::Shape,
    ids::{ChatId, ChatSessionId, UserId},
};

/// So many chats may be delivered in a later state than that of their change. With more, a resync is less work.
const AHEAD: usize = 1_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    pub session: ChatSessionId,
    /// The number of the last change that the subscriber knows. Without one, it goes on from now.
    pub after: Option<Rev>,
    /// Whether it wants to know who is online.
    pub presence: bool,
}

/// A subscription.
struct Subscriber {
    app: App,
    caller: Arc<Caller>,
    session: ChatSessionId,
    user: UserId,
    takes_part: bool,
    is_watcher: bool,
    room: Arc<Room>,
    feed: Receiver<Fed>,
    shape: Option<Shape>,
    /// Announces when the subscriber's role may have changed. Of those who read as admins only.
    rights: Option<Listener<UserId>>,
    _seat: Seat,
    phase: Phase,
    /// The number of the last change that was delivered.
    last: Rev,
    /// Up to which cursor the subscriber knew all chats at first.
    known: Rev,
    /// Chats that were delivered in a later state: their changes up to these are not delivered again.
    ahead: HashMap<ChatId, Rev>,
    ready: VecDeque<Event>,
}

/// What a subscription is about to do.
enum Phase {
    /// Replay up to this number.
    Replay(Rev),
    /// Say that it is ready.
    Ready,
    Live,
}

/// An event of a subscription.
pub enum Delivery {
    Event(Event),
    /// The response to one, which all subscribers of the shape get.
    Rendered(Bytes),
}

impl Delivery {
    /// The event, unless it is a response already.
    #[must_use]
    pub fn into_event(self) -> Option<Event> {
        match self {
            Self::Event(event) => Some(event),
            Self::Rendered(_) => None,
        }
    }
}

/// Follows a session. With a shape, live events come as responses. The stream ends with an error when the right ends.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who neither take part nor are admins; `RESYNC_REQUIRED` for a cursor that cannot
/// be honoured; `UNAVAILABLE`.
pub async fn subscribe(
    app: App,
    caller: Arc<Caller>,
    wish: Wish,
    shape: Option<Shape>,
) -> Result<impl Stream<Item = Result<Delivery>> + use<>> {
    let actor = caller.actor();
    let actor = *actor.signed_in().ok_or(Error::Unauthenticated)?;
    // First without a room, so that callers without the right open none.
    let takes_part = check(&app, &actor, wish.session).await?;
    let room = Room::enter(&app, wish.session).await?;
    if let Some(after) = wish.after {
        honour(&app, wish.session, after).await?;
        // Or its events would have older cursors than the one that the subscriber has already.
        if after > room.rev() {
            room.reach(after).await?;
        }
    }
    let rights = if takes_part {
        None
    } else {
        Some(app.bus.listen(&[rights_changed_of(actor.id)]).await?)
    };
    let seat = room
        .sit(takes_part.then_some(actor.id), wish.presence)
        .await;
    let (feed, now) = room.follow(shape.as_ref());
    // Again now that it follows, so that no end of the right is missed.
    check(&app, &actor, wish.session).await?;
    let last = wish.after.unwrap_or(now);
    let subscriber = Subscriber {
        app,
        caller,
        session: wish.session,
        user: actor.id,
        takes_part,
        is_watcher: wish.presence,
        room,
        feed,
        shape,
        rights,
        _seat: seat,
        phase: Phase::Replay(now),
        last,
        known: last,
        ahead: HashMap::new(),
        ready: VecDeque::new(),
    };
    // Boxed, since the stream moves it for each event.
    Ok(stream::unfold(
        Some(Box::new(subscriber)),
        |subscriber| async {
            let mut subscriber = subscriber?;
            match subscriber.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(subscriber))),
                Err(error) => Some((Err(error), None)),
            }
        },
    ))
}

/// Whether the actor takes part.
async fn check(app: &App, actor: &SignedIn, session: ChatSessionId) -> Result<bool> {
    let standing = store::standing(app, actor, session).await?.reader()?;
    Ok(standing.participation().is_some())
}

/// Checks that a subscription can go on after this number.
async fn honour(app: &App, session: ChatSessionId, after: Rev) -> Result<()> {
    let heads = Log::open(app).await?.heads(&[session]).await?;
    let head = heads.first().copied().unwrap_or_default().rev;
    if after > head || head.0 - after.0 > app.config.limits.replay.into() {
        Err(Error::ResyncRequired)
    } else {
        Ok(())
    }
}

impl Subscriber {
    async fn next(&mut self) -> Result<Delivery> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Delivery::Event(event));
            }
            match self.phase {
                Phase::Replay(until) if self.last >= until => self.phase = Phase::Ready,
                Phase::Replay(until) => self.replay(until).await?,
                Phase::Ready => {
                    self.phase = Phase::Live;
                    return self.say_ready().await;
                }
                Phase::Live => {
                    if let Some(delivery) = self.live().await? {
                        return Ok(delivery);
                    }
                }
            }
        }
    }

    /// Reads the next changes up to `until` from the store.
    async fn replay(&mut self, until: Rev) -> Result<()> {
        let changes = reader::read(&self.app, self.session, self.last).await?;
        if changes.is_empty() {
            // Only of a session that is being deleted.
            return Err(Error::NotFound);
        }
        for (rev, chat) in changes {
            if rev > until {
                break;
            }
            self.last = rev;
            if self.ahead.get(&chat.id).is_some_and(|ahead| *ahead >= rev) {
                continue;
            }
            if chat.latest > rev {
                self.run_ahead(&chat)?;
            }
            let is_new = chat.born > self.known;
            self.ready.push_back(Event::of_change(rev, chat, is_new));
        }
        Ok(())
    }

    /// Notes that this chat is delivered in a later state than that of its change.
    fn run_ahead(&mut self, chat: &Chat) -> Result<()> {
        if self.ahead.len() >= AHEAD {
            return Err(Error::ResyncRequired);
        }
        self.ahead.insert(chat.id, chat.latest);
        Ok(())
    }

    async fn say_ready(&self) -> Result<Delivery> {
        let session = Arc::new(self.room.session().await?);
        let online = self.room.online(self.takes_part.then_some(self.user)).await;
        Ok(Delivery::Event(Event {
            rev: self.last,
            what: What::Ready { session, online },
        }))
    }

    /// The next signal, if it is for this subscriber.
    async fn live(&mut self) -> Result<Option<Delivery>> {
        let rights = async {
            match &mut self.rights {
                // Dropped from the cache first, or the old right might be found there.
                Some(rights) => self.app.rights.forget(rights.next().await),
                None => std::future::pending().await,
            }
        };
        let signal = tokio::select! {
            biased;
            () = rights => {
                self.check_again().await?;
                return Ok(None);
            }
            signal = self.feed.recv() => signal,
        };
        match signal {
            Ok(Fed { signal, rendered }) => {
                let event = match &*signal {
                    Signal::Event(event) => event,
                    Signal::Check(lost) => {
                        if lost.contains(&self.user) {
                            self.check_again().await?;
                        }
                        return Ok(None);
                    }
                    Signal::Over => return Err(Error::NotFound),
                };
                if !self.is_for_me(event)? {
                    return Ok(None);
                }
                Ok(Some(match rendered {
                    Some(rendered) => Delivery::Rendered(rendered),
                    None => Delivery::Event(event.clone()),
                }))
            }
            Err(RecvError::Lagged(_)) => {
                // It was too slow: what it missed is read from the store.
                let (feed, now) = self.room.follow(self.shape.as_ref());
                self.feed = feed;
                self.known = self.last;
                self.phase = Phase::Replay(now);
                Ok(None)
            }
            Err(RecvError::Closed) => Err(Error::ResyncRequired),
        }
    }

    fn is_for_me(&mut self, event: &Event) -> Result<bool> {
        let Some(chat) = event.chat() else {
            return Ok(match &event.what {
                What::Typing(user) => *user != self.user,
                What::Presence { .. } => self.is_watcher,
                _ => true,
            });
        };
        if event.rev <= self.last {
            return Ok(false);
        }
        self.last = event.rev;
        if self.ahead.is_empty() && chat.latest == event.rev {
            return Ok(true);
        }
        let ahead = self.ahead.get(&chat.id).copied();
        if ahead.is_some_and(|ahead| ahead >= event.rev) {
            return Ok(false);
        }
        if chat.latest > event.rev {
            self.run_ahead(chat)?;
        } else {
            self.ahead.remove(&chat.id);
        }
        Ok(true)
    }

    /// Reads the right again.
    async fn check_again(&self) -> Result<()> {
        let actor = self.caller.actor();
        let actor = actor.signed_in().ok_or(Error::Unauthenticated)?;
        let present = self.app.rights.of(actor.session).await?;
        self.caller.become_actor(Actor::SignedIn(present));
        check(&self.app, &present, self.session).await.map(drop)
    }
}
