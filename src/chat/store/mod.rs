//! The store of chat sessions: owns `chat_sessions`, `chat_participants` and `chat_invitations`, and decides who may do
//! what. Sessions change in `sessions`, who takes part in `people`, what is said in `talk`; lists are in `page`.

pub mod log;
mod page;
pub mod people;
pub mod presence;
pub mod sessions;
pub mod talk;
mod touch;
mod writer;

use std::collections::HashMap;

use diesel::{
    dsl::{auto_type, exists},
    prelude::*,
    sql_types::Bool,
};

pub use page::{ParticipantList, SessionFilter, SessionList};

use super::ChatSession;
use crate::{
    access::{Actor, SignedIn},
    app::App,
    bus::Topic,
    clock::Timestamp,
    db::{
        Conn,
        dialect::{self, Lockable},
        lists, on,
        tables::{chat_invitations, chat_participants, chat_sessions},
    },
    error::{Error, Result, Rule},
    ids::{ChatSessionId, UserId},
    loader::Batch,
};

/// Announces that a session was changed or deleted.
#[must_use]
pub fn changed(session: ChatSessionId) -> Topic<ChatSessionId> {
    Topic::of("chat-session-changed", session)
}

/// Announces who has joined or left a session.
#[must_use]
pub fn people_changed(session: ChatSessionId) -> Topic<UserId> {
    Topic::of("chat-people-changed", session)
}

/// Announces how far what is said in a session has come.
#[must_use]
pub fn spoken_in(session: ChatSessionId) -> Topic<ChatSessionId> {
    Topic::of("chat-spoken-in", session)
}

/// Announces that something was said in a session, at most once a second.
#[must_use]
pub fn active(session: ChatSessionId) -> Topic<ChatSessionId> {
    Topic::of("chat-session-active", session)
}

/// Announces who is about to say something in a session.
#[must_use]
pub fn typing_in(session: ChatSessionId) -> Topic<UserId> {
    Topic::of("chat-typing-in", session)
}

/// Announces that somebody has come online in a session, or is about to go.
#[must_use]
pub fn presence_in(session: ChatSessionId) -> Topic<UserId> {
    Topic::of("chat-presence-in", session)
}

/// Announces sessions that concern a user anew: as a participant, as an invitee, or not any more.
#[must_use]
pub fn changed_for(user: UserId) -> Topic<ChatSessionId> {
    Topic::of("chat-session-changed-for", user)
}

/// The condition, for a query on `chat_sessions`, that the actor may know of the session.
#[auto_type]
fn may_see(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    let user: UserId = actor.id_or_nil();
    let takes_part = exists(
        chat_participants::table
            .filter(chat_participants::session_id.eq(chat_sessions::id))
            .filter(chat_participants::user_id.eq(user)),
    );
    let is_invited = exists(
        chat_invitations::table
            .filter(chat_invitations::session_id.eq(chat_sessions::id))
            .filter(chat_invitations::user_id.eq(user)),
    );
    let created = chat_sessions::creator_id
        .is_not_null()
        .and(chat_sessions::creator_id.assume_not_null().eq(user));
    is_admin
        .into_sql::<Bool>()
        .or(chat_sessions::is_visible)
        .or(created)
        .or(takes_part)
        .or(is_invited)
}

/// Sessions by id, of those that the actor may see.
pub struct ReadableSession;

impl Batch for ReadableSession {
    type Key = ChatSessionId;
    type Value = ChatSession;

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, ChatSession>> {
        if actor.signed_in().is_none() {
            return Ok(HashMap::new());
        }
        app.db
            .read(move |conn| {
                let found: Vec<ChatSession> = on!(conn, |c| chat_sessions::table
                    .filter(lists::among(chat_sessions::id, ids.iter().copied()))
                    .filter(may_see(&actor))
                    .select(ChatSession::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|one| (one.id, one)).collect())
            })
            .await
    }
}

/// Sessions by id, for objects that the actor may already read: a reader of a chat may read its session.
pub struct SessionOfReadable;

impl Batch for SessionOfReadable {
    type Key = ChatSessionId;
    type Value = ChatSession;
    const IS_KEPT: bool = true;

    async fn load(
        app: &App,
        _: Actor,
        ids: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, ChatSession>> {
        app.db
            .read(move |conn| {
                let found: Vec<ChatSession> = on!(conn, |c| chat_sessions::table
                    .filter(lists::among(chat_sessions::id, ids.iter().copied()))
                    .select(ChatSession::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|one| (one.id, one)).collect())
            })
            .await
    }
}

/// That a user takes part in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = chat_participants)]
pub struct Participation {
    pub joined_at: Timestamp,
    /// The newest chat that the user has read, by its seq.
    pub read_seq: i32,
}

/// The actor's participations, by session.
pub struct ParticipationOfActor;

impl Batch for ParticipationOfActor {
    type Key = ChatSessionId;
    type Value = Participation;

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, Participation>> {
        use chat_participants::{session_id, table, user_id};
        let Some(user) = actor.id() else {
            return Ok(HashMap::new());
        };
        app.db
            .read(move |conn| {
                let found: Vec<(ChatSessionId, Participation)> = on!(conn, |c| table
                    .filter(
                        user_id
                            .eq(user)
                            .and(lists::among(session_id, ids.iter().copied()))
                    )
                    .select((session_id, Participation::as_select()))
                    .load(c))?;
                Ok(found.into_iter().collect())
            })
            .await
    }
}

/// The sessions that the actor is invited to.
pub struct InvitationOfActor;

impl Batch for InvitationOfActor {
    type Key = ChatSessionId;
    type Value = ();

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<ChatSessionId>,
    ) -> Result<HashMap<ChatSessionId, ()>> {
        use chat_invitations::{session_id, table, user_id};
        let Some(user) = actor.id() else {
            return Ok(HashMap::new());
        };
        app.db
            .read(move |conn| {
                let found: Vec<ChatSessionId> = on!(conn, |c| table
                    .filter(
                        user_id
                            .eq(user)
                            .and(lists::among(session_id, ids.iter().copied()))
                    )
                    .select(session_id)
                    .load(c))?;
                Ok(found.into_iter().map(|session| (session, ())).collect())
            })
            .await
    }
}

/// A session and what it is to the actor.
#[derive(Clone, Debug)]
pub struct Standing {
    pub session: ChatSession,
    actor: SignedIn,
    participation: Option<Participation>,
}

/// Loads a session that `actor` may see.
///
/// # Errors
/// `NOT_FOUND` when it does not exist or `actor` may not see it.
pub fn standing_in(conn: &mut Conn, actor: &SignedIn, id: ChatSessionId) -> Result<Standing> {
    let viewer = Actor::SignedIn(*actor);
    let session: ChatSession = on!(conn, |c| chat_sessions::table
        .filter(chat_sessions::id.eq(id))
        .filter(may_see(&viewer))
        .select(ChatSession::as_select())
        .first(c))?;
    let participation: Option<Participation> = on!(conn, |c| chat_participants::table
        .find((id, actor.id))
        .select(Participation::as_select())
        .first(c)
        .optional())?;
    Ok(Standing {
        session,
        actor: *actor,
        participation,
    })
}

/// The session with this id, whoever asks.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn find(app: &App, id: ChatSessionId) -> Result<ChatSession> {
    app.db
        .read(move |conn| {
            Ok(on!(conn, |c| chat_sessions::table
                .find(id)
                .select(ChatSession::as_select())
                .first(c))?)
        })
        .await
}

/// As [`standing_in`], in a transaction of its own.
///
/// # Errors
/// As [`standing_in`].
pub async fn standing(app: &App, actor: &SignedIn, id: ChatSessionId) -> Result<Standing> {
    let actor = *actor;
    app.db.read(move |conn| standing_in(conn, &actor, id)).await
}

impl Standing {
    /// Locks the session until the transaction ends, and reads it again.
    ///
    /// # Errors
    /// As [`standing_in`].
    fn locked(conn: &mut Conn, actor: &SignedIn, id: ChatSessionId) -> Result<Self> {
        dialect::lock(conn, Lockable::ChatSessions, id)?;
        standing_in(conn, actor, id)
    }

    /// How the actor takes part, if at all.
    #[must_use]
    pub fn participation(&self) -> Option<Participation> {
        self.participation
    }

    /// That the actor may read what is said: participants and admins.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn reader(self) -> Result<Self> {
        if self.participation.is_some() || self.actor.is_admin() {
            Ok(self)
        } else {
            Err(Error::Forbidden)
        }
    }

    /// That the actor takes part.
    ///
    /// # Errors
    /// `FORBIDDEN`.
    pub fn participant(self) -> Result<Self> {
        if self.participation.is_some() {
            Ok(self)
        } else {
            Err(Error::Forbidden)
        }
    }

    /// That the session is open.
    ///
    /// # Errors
    /// `CONFLICT` at `field`.
    pub fn open(self, field: &str) -> Result<Self> {
        if self.session.is_closed {
            Err(Error::conflict(field, Rule::State))
        } else {
            Ok(self)
        }
    }

    /// That the session is not a direct chat, whose two participants stay and which nobody manages.
    ///
    /// # Errors
    /// `CONFLICT`.
    fn not_direct(self) -> Result<Self> {
        if self.session.is_direct() {
            Err(Error::conflict("id", Rule::State))
        } else {
            Ok(self)
        }
    }

    /// That the actor created the session or is an admin, and that it is not a direct chat.
    ///
    /// # Errors
    /// `CONFLICT` for a direct chat; `FORBIDDEN`.
    fn managed(self) -> Result<Self> {
        let standing = self.not_direct()?;
        if Actor::SignedIn(standing.actor).owns(standing.session.creator_id) {
            Ok(standing)
        } else {
            Err(Error::Forbidden)
        }
    }
}
