//! Chat sessions: creating, changing and deleting them.

use diesel::prelude::*;

use super::{Standing, changed, changed_for, people};
use crate::{
    access::{self, Act, Actor, SignedIn},
    accounts::store::users,
    app::App,
    chat::{ChatSession, DirectKey, Information, SessionDeleted, SessionName},
    db::{Conn, on, tables::chat_sessions},
    error::{Error, Result, Rule},
    ids::{ChatSessionId, UserId},
};

/// A session to be.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub name: SessionName,
    pub information: Information,
    pub is_visible: bool,
    pub is_closed: bool,
    pub invited: Vec<UserId>,
}

/// Creates a session, in which its creator takes part.
///
/// # Errors
/// `INVALID` at `inviteIds.N` for unknown users; `LIMIT_EXCEEDED` for too many sessions or invitations.
pub async fn insert(app: &App, actor: &SignedIn, new: NewSession) -> Result<ChatSession> {
    let now = app.clock.now();
    let session = ChatSession {
        id: app.clock.id(),
        name: new.name,
        information: new.information,
        creator_id: Some(actor.id),
        is_visible: new.is_visible,
        is_closed: new.is_closed,
        direct_key: None,
        participant_count: 1,
        people_rev: 0,
        created_at: now,
        updated_at: None,
        last_activity_at: now,
    };
    let (actor, invited) = (*actor, new.invited);
    let told = invited.clone();
    let limits = &app.config.limits;
    let (most, most_invitations) = (limits.chat_sessions, limits.invitations);
    let most_joined = limits.chat_participations;
    let session = app
        .db
        .write(move |conn| {
            access::lock_user(conn, &Actor::SignedIn(actor))?;
            check_number(conn, actor.id, most)?;
            people::check_number(conn, actor.id, most_joined)?;
            on!(conn, |c| diesel::insert_into(chat_sessions::table)
                .values(&session)
                .execute(c))?;
            people::insert(conn, session.id, actor.id, now)?;
            people::insert_invitations(conn, &session, &invited, "inviteIds", now)?;
            people::check_invitations(conn, &session, most_invitations)?;
            Ok(session.clone())
        })
        .await?;
    for user in told.into_iter().chain([actor.id]) {
        app.bus.publish(&changed_for(user), session.id);
    }
    Ok(session)
}

/// # Errors
/// `LIMIT_EXCEEDED` when `creator`, whose row is locked, has `most` sessions.
fn check_number(conn: &mut Conn, creator: UserId, most: u32) -> Result<()> {
    let own = chat_sessions::table
        .filter(chat_sessions::creator_id.eq(creator))
        .select(chat_sessions::id)
        .limit(most.into());
    let number: Vec<ChatSessionId> = on!(conn, |c| own.load(c))?;
    people::at_most(most, number.len() + 1, "chat sessions")
}

/// The direct chat between `actor` and `other`, which is created if there is none. It is back in the list of `actor`.
///
/// # Errors
/// `INVALID` at `userId` for oneself and for unknown users; `LIMIT_EXCEEDED` for too many sessions.
pub async fn start_direct(app: &App, actor: &SignedIn, other: UserId) -> Result<ChatSession> {
    if other == actor.id {
        return Err(Error::invalid("userId", Rule::State));
    }
    let unknown = |error| match error {
        Error::NotFound => Error::invalid("userId", Rule::Unknown),
        error => error,
    };
    let one = users::find(app, actor.id).await?;
    let two = users::find(app, other).await.map_err(unknown)?;
    let now = app.clock.now();
    let key = DirectKey::of(one.id, two.id);
    let limits = &app.config.limits;
    let (most, most_joined) = (limits.chat_sessions, limits.chat_participations);
    let name = SessionName::of_direct(&one.name.text, &two.name.text);
    let session = ChatSession {
        id: app.clock.id(),
        information: Information::of_direct(&name),
        name,
        creator_id: Some(one.id),
        is_visible: false,
        is_closed: false,
        direct_key: Some(key.clone()),
        participant_count: 2,
        people_rev: 0,
        created_at: now,
        updated_at: None,
        last_activity_at: now,
    };
    let (session, is_new) = app
        .db
        .write(move |conn| {
            for user in [one.id.min(two.id), one.id.max(two.id)] {
                access::lock_account(conn, user).map_err(unknown)?;
            }
            let inserted = on!(conn, |c| diesel::insert_or_ignore_into(
                chat_sessions::table
            )
            .values(&session)
            .execute(c))?;
            if inserted == 1 {
                check_number(conn, one.id, most + 1)?;
                people::check_number(conn, one.id, most_joined)?;
                people::insert(conn, session.id, one.id, now)?;
                people::insert(conn, session.id, two.id, now)?;
                return Ok((session.clone(), true));
            }
            let session: ChatSession = on!(conn, |c| chat_sessions::table
                .filter(chat_sessions::direct_key.eq(&key))
                .select(ChatSession::as_select())
                .first(c))?;
            people::set_hidden(conn, session.id, Some(one.id), false)?;
            Ok((session, false))
        })
        .await?;
    app.bus.publish(&changed_for(actor.id), session.id);
    if is_new {
        app.bus.publish(&changed_for(other), session.id);
    }
    Ok(session)
}

/// A change of a session. Absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct SessionChanges {
    pub name: Option<SessionName>,
    pub information: Option<Information>,
    pub is_visible: Option<bool>,
    pub is_closed: Option<bool>,
}

impl SessionChanges {
    fn change(&self, session: &ChatSession) -> bool {
        let ChatSession {
            name, information, ..
        } = session;
        self.name.as_ref().is_some_and(|n| n.text != name.text)
            || self.information.as_ref().is_some_and(|i| i != information)
            || self.is_visible.is_some_and(|v| v != session.is_visible)
            || self.is_closed.is_some_and(|c| c != session.is_closed)
    }
}

/// Changes a session. A change without effect leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its creator nor an admin; `CONFLICT` for a direct chat.
pub async fn update(
    app: &App,
    actor: &SignedIn,
    id: ChatSessionId,
    changes: SessionChanges,
) -> Result<ChatSession> {
    let (actor, now) = (*actor, app.clock.now());
    let (session, has_changed) = app
        .db
        .write(move |conn| {
            let session = Standing::locked(conn, &actor, id)?.managed()?.session;
            if !changes.change(&session) {
                return Ok((session, false));
            }
            let row = (
                changes.name.as_ref(),
                changes
                    .information
                    .as_ref()
                    .map(|i| chat_sessions::information.eq(i)),
                changes.is_visible.map(|v| chat_sessions::is_visible.eq(v)),
                changes.is_closed.map(|c| chat_sessions::is_closed.eq(c)),
                chat_sessions::updated_at.eq(now),
            );
            on!(conn, |c| diesel::update(chat_sessions::table.find(id))
                .set(row)
                .execute(c))?;
            let session = super::standing_in(conn, &actor, id)?.session;
            Ok((session, true))
        })
        .await?;
    if has_changed {
        app.bus.publish(&changed(id), id);
    }
    Ok(session)
}

/// Deletes a session with all that was said in it. Only admins delete direct chats.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither its creator nor an admin; `CONFLICT` for a direct chat.
pub async fn delete(app: &App, act: &Act<'_, SignedIn>, id: ChatSessionId) -> Result<()> {
    let (actor, queue) = (act.actor, app.queue.clone());
    let (waiting, people) = app
        .db
        .write(move |conn| {
            let standing = Standing::locked(conn, &actor, id)?;
            if !actor.is_admin() {
                standing.managed()?;
            }
            let people = people::some_of(conn, id)?;
            on!(conn, |c| diesel::delete(chat_sessions::table.find(id))
                .execute(c))?;
            let waiting = queue.enqueue(conn, &SessionDeleted { session: id })?;
            Ok((waiting, people))
        })
        .await?;
    app.queue.announce(waiting);
    app.bus.publish(&changed(id), id);
    for user in people {
        app.bus.publish(&changed_for(user), id);
    }
    Ok(())
}
