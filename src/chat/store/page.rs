//! Lists of chat sessions and of their participants.

use diesel::{dsl::exists, prelude::*};

use crate::{
    access::Actor,
    accounts::User,
    chat::ChatSession,
    clock::Timestamp,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        lists::{self, keyset_of_two},
        on,
        tables::{chat_invitations, chat_participants, chat_sessions, users},
    },
    error::Result,
    ids::{ChatSessionId, UserId},
    list::{Asked, List},
    text::Prefix,
};

/// Which sessions a list has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, async_graphql::Enum)]
#[graphql(name = "ChatSessionFilter")]
pub enum SessionFilter {
    /// Those that the viewer takes part in, without direct chats that the viewer has left.
    Joined,
    /// Those that the viewer is invited to.
    Invited,
    /// Open ones that the viewer could join: visible ones; for admins, also invisible ones.
    Discoverable,
}

/// Sessions, latest activity first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SessionList {
    pub filter: SessionFilter,
    pub name_prefix: Option<Prefix>,
}

/// The query of the sessions in a list, for the backend `$db`.
macro_rules! sessions_of {
    ($db:ty, $actor:expr, $list:expr) => {{
        let user = $actor.id_or_nil();
        let mut query = chat_sessions::table.into_boxed::<$db>();
        query = match $list.filter {
            SessionFilter::Joined => query.filter(
                chat_sessions::id.eq_any(
                    chat_participants::table
                        .filter(chat_participants::user_id.eq(user))
                        .filter(chat_participants::is_hidden.eq(false))
                        .select(chat_participants::session_id),
                ),
            ),
            SessionFilter::Invited => query.filter(
                chat_sessions::id.eq_any(
                    chat_invitations::table
                        .filter(chat_invitations::user_id.eq(user))
                        .select(chat_invitations::session_id),
                ),
            ),
            SessionFilter::Discoverable => {
                let takes_part = chat_participants::table
                    .filter(chat_participants::session_id.eq(chat_sessions::id))
                    .filter(chat_participants::user_id.eq(user));
                let query = query
                    .filter(chat_sessions::is_closed.eq(false))
                    .filter(chat_sessions::direct_key.is_null())
                    .filter(diesel::dsl::not(exists(takes_part)));
                if $actor.is_admin() {
                    query
                } else {
                    query.filter(chat_sessions::is_visible.eq(true))
                }
            }
        };
        if let Some(prefix) = &$list.name_prefix {
            let (first, last) = prefix.bounds();
            query = query.filter(chat_sessions::name_key.between(first, last));
        }
        query
    }};
}

impl List for SessionList {
    type Item = ChatSession;
    type Key = (Timestamp, ChatSessionId);

    fn cursors(&self) -> Cursors {
        Cursors::ChatSessions
    }

    fn direction(&self) -> Direction {
        Direction::Desc
    }

    fn key(&self, session: &ChatSession) -> Self::Key {
        (session.last_activity_at, session.id)
    }

    fn read(
        conn: &mut Conn,
        actor: &Actor,
        asked: &[Asked<Self>],
    ) -> Result<Vec<Vec<ChatSession>>> {
        use chat_sessions::{id as session_id, last_activity_at};
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = sessions_of!(DB, actor, list).select(ChatSession::as_select());
                keyset_of_two!(
                    query,
                    *page,
                    list.direction(),
                    (last_activity_at, session_id)
                )
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                sessions_of!(DB, actor, list)
                    .select(chat_sessions::id)
                    .limit(COUNTED + 1)
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}

/// A user who takes part, and since when.
pub type Participant = (User, Timestamp);

/// The participants of a session, in the order in which they joined. The caller has checked that the actor may see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParticipantList(pub ChatSessionId);

impl List for ParticipantList {
    type Item = Participant;
    type Key = (Timestamp, UserId);

    fn cursors(&self) -> Cursors {
        Cursors::ChatParticipants
    }

    fn direction(&self) -> Direction {
        Direction::Asc
    }

    fn key(&self, (user, joined_at): &Participant) -> Self::Key {
        (*joined_at, user.id)
    }

    fn read(conn: &mut Conn, _: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Participant>>> {
        use chat_participants::{joined_at, session_id, user_id};
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = chat_participants::table
                    .inner_join(users::table)
                    .filter(session_id.eq(list.0))
                    .select((User::as_select(), joined_at))
                    .into_boxed::<DB>();
                keyset_of_two!(query, *page, list.direction(), (joined_at, user_id))
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, _: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                chat_participants::table
                    .filter(chat_participants::session_id.eq(list.0))
                    .select(chat_participants::user_id)
                    .limit(COUNTED + 1)
                    .into_boxed::<DB>()
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}
