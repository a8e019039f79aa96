//! Who takes part in chat sessions: joining, leaving, invitations and removals. The number of participants changes with
//! their rows, under the lock of the session.

use std::collections::HashSet;

use diesel::prelude::*;

use super::{Standing, changed_for, people_changed, standing_in};
use crate::{
    access::{self, Act, SignedIn},
    app::App,
    chat::ChatSession,
    clock::Timestamp,
    db::{
        Conn, lists, on,
        tables::{chat_invitations, chat_participants, chat_sessions, users},
    },
    error::{Error, Result, Rule},
    ids::{ChatSessionId, UserId},
    input::Violations,
};

/// The number of rows that one transaction of a job removes, and of users who are told of a session's end one by one.
const BATCH: i64 = 1_000;

/// Joins a visible session, or one that `actor` is invited to. Joining again changes nothing.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for a closed session and for a direct chat; `LIMIT_EXCEEDED` for too many sessions.
pub async fn join(app: &App, actor: &SignedIn, id: ChatSessionId) -> Result<ChatSession> {
    let (actor, now) = (*actor, app.clock.now());
    let most = app.config.limits.chat_participations;
    let (session, has_joined) = app
        .db
        .write(move |conn| {
            let standing = Standing::locked(conn, &actor, id)?;
            if standing.participation.is_some() {
                return Ok((standing.session, false));
            }
            let mut session = standing.not_direct()?.open("id")?.session;
            access::lock_account(conn, actor.id)?;
            check_number(conn, actor.id, most)?;
            insert(conn, id, actor.id, now)?;
            delete_invitations(conn, id, &[actor.id])?;
            count(conn, id, 1)?;
            session.participant_count += 1;
            Ok((session, true))
        })
        .await?;
    if has_joined {
        tell(app, id, &[actor.id]);
    }
    Ok(session)
}

/// Leaves a session. A direct chat is only hidden, until something is said in it. Returns the session, if the actor may
/// still see it.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn leave(app: &App, actor: &SignedIn, id: ChatSessionId) -> Result<Option<ChatSession>> {
    let actor = *actor;
    let (session, has_left) = app
        .db
        .write(move |conn| {
            let standing = Standing::locked(conn, &actor, id)?;
            if standing.participation.is_none() {
                return Ok((Some(standing.session), false));
            }
            if standing.session.is_direct() {
                set_hidden(conn, id, Some(actor.id), true)?;
                return Ok((None, false));
            }
            delete(conn, id, &[actor.id])?;
            match standing_in(conn, &actor, id) {
                Ok(standing) => Ok((Some(standing.session), true)),
                Err(Error::NotFound) => Ok((None, true)),
                Err(error) => Err(error),
            }
        })
        .await?;
    if has_left {
        tell(app, id, &[actor.id]);
    } else {
        app.bus.publish(&changed_for(actor.id), id);
    }
    Ok(session)
}

/// Invites users. Those who take part or are invited already stay as they are.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN`; `CONFLICT` for a closed session and for a direct chat; `INVALID` at `userIds.N` for unknown
/// users; `LIMIT_EXCEEDED` for too many invitations.
pub async fn invite(
    app: &App,
    actor: &SignedIn,
    id: ChatSessionId,
    users: Vec<UserId>,
) -> Result<ChatSession> {
    let (actor, now, told) = (*actor, app.clock.now(), users.clone());
    let most = app.config.limits.invitations;
    let session = app
        .db
        .write(move |conn| {
            let standing = Standing::locked(conn, &actor, id)?;
            let session = standing.managed()?.open("id")?.session;
            insert_invitations(conn, &session, &users, "userIds", now)?;
            check_invitations(conn, &session, most)?;
            Ok(session)
        })
        .await?;
    for user in told {
        app.bus.publish(&changed_for(user), id);
    }
    Ok(session)
}

/// Declines an invitation. Without one, nothing changes.
///
/// # Errors
/// `NOT_FOUND` when `actor` may not see the session.
pub async fn decline(app: &App, actor: &SignedIn, id: ChatSessionId) -> Result<()> {
    let actor = *actor;
    app.db
        .write(move |conn| {
            standing_in(conn, &actor, id)?;
            delete_invitations(conn, id, &[actor.id])
        })
        .await?;
    app.bus.publish(&changed_for(actor.id), id);
    Ok(())
}

/// Removes users, and takes their invitations back. Others are ignored.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN`; `CONFLICT` for a direct chat.
pub async fn remove(
    app: &App,
    act: &Act<'_, SignedIn>,
    id: ChatSessionId,
    users: Vec<UserId>,
) -> Result<ChatSession> {
    let (actor, told) = (act.actor, users.clone());
    let session = app
        .db
        .write(move |conn| {
            let mut session = Standing::locked(conn, &actor, id)?.managed()?.session;
            session.participant_count -= delete(conn, id, &users)?;
            delete_invitations(conn, id, &users)?;
            Ok(session)
        })
        .await?;
    tell(app, id, &told);
    Ok(session)
}

/// Notes that `actor` has read everything up to `seq`. Going back changes nothing.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who do not take part.
pub async fn mark_read(
    app: &App,
    actor: &SignedIn,
    id: ChatSessionId,
    seq: i32,
) -> Result<ChatSession> {
    use chat_participants::{read_seq, table};
    let actor = *actor;
    let session = app
        .db
        .write(move |conn| {
            let standing = standing_in(conn, &actor, id)?.participant()?;
            let own = table.find((id, actor.id)).filter(read_seq.lt(seq));
            on!(conn, |c| diesel::update(own)
                .set(read_seq.eq(seq))
                .execute(c))?;
            Ok(standing.session)
        })
        .await?;
    app.bus.publish(&changed_for(actor.id), id);
    Ok(session)
}

/// Tells that these users have joined or left.
fn tell(app: &App, session: ChatSessionId, users: &[UserId]) {
    for user in users {
        app.bus.publish(&people_changed(session), *user);
        app.bus.publish(&changed_for(*user), session);
    }
}

pub(super) fn insert(
    conn: &mut Conn,
    session: ChatSessionId,
    user: UserId,
    at: Timestamp,
) -> Result<()> {
    use chat_participants::{is_hidden, joined_at, read_seq, session_id, table, user_id};
    let row = (
        session_id.eq(session),
        user_id.eq(user),
        joined_at.eq(at),
        read_seq.eq(0),
        is_hidden.eq(false),
    );
    on!(conn, |c| diesel::insert_into(table).values(row).execute(c))?;
    Ok(())
}

/// # Errors
/// `LIMIT_EXCEEDED` when `user`, whose row is locked, takes part in `most` sessions.
pub(super) fn check_number(conn: &mut Conn, user: UserId, most: u32) -> Result<()> {
    use chat_participants::{session_id, table, user_id};
    let joined: Vec<ChatSessionId> = on!(conn, |c| table
        .filter(user_id.eq(user))
        .select(session_id)
        .limit(most.into())
        .load(c))?;
    let what = "chat sessions that a user takes part in";
    at_most(most, joined.len() + 1, what)
}

/// # Errors
/// `LIMIT_EXCEEDED` for a `number` of `what` above `most`.
pub(super) fn at_most(most: u32, number: usize, what: &'static str) -> Result<()> {
    if number <= most as usize {
        return Ok(());
    }
    Err(Error::LimitExceeded {
        what,
        limit: most.into(),
    })
}

/// Adds `change` to the number of participants.
fn count(conn: &mut Conn, session: ChatSessionId, change: i32) -> Result<()> {
    use chat_sessions::{participant_count, people_rev, table};
    let counted = (
        participant_count.eq(participant_count + change),
        people_rev.eq(people_rev + i32::from(change < 0)),
    );
    on!(conn, |c| diesel::update(table.find(session))
        .set(counted)
        .execute(c))?;
    Ok(())
}

/// Removes participants and returns how many there were.
fn delete(conn: &mut Conn, session: ChatSessionId, users: &[UserId]) -> Result<i32> {
    use chat_participants::{session_id, table, user_id};
    let own = table.filter(session_id.eq(session).and(user_id.eq_any(users)));
    let deleted = on!(conn, |c| diesel::delete(own).execute(c))?;
    let deleted = i32::try_from(deleted).unwrap_or(i32::MAX);
    count(conn, session, -deleted)?;
    Ok(deleted)
}

fn delete_invitations(conn: &mut Conn, session: ChatSessionId, users: &[UserId]) -> Result<()> {
    use chat_invitations::{session_id, table, user_id};
    let own = table.filter(session_id.eq(session).and(user_id.eq_any(users)));
    on!(conn, |c| diesel::delete(own).execute(c))?;
    Ok(())
}

/// Hides a direct chat from the list of `user` or, without one, of both participants; or shows it again.
pub(super) fn set_hidden(
    conn: &mut Conn,
    session: ChatSessionId,
    user: Option<UserId>,
    hidden: bool,
) -> Result<()> {
    use chat_participants::{is_hidden, session_id, table, user_id};
    on!(conn, |c| {
        let mut rows = diesel::update(table)
            .filter(session_id.eq(session).and(is_hidden.ne(hidden)))
            .into_boxed::<DB>();
        if let Some(user) = user {
            rows = rows.filter(user_id.eq(user));
        }
        rows.set(is_hidden.eq(hidden)).execute(c)
    })?;
    Ok(())
}

/// Invites users to `session`. `field` names their list in the input.
pub(super) fn insert_invitations(
    conn: &mut Conn,
    session: &ChatSession,
    users: &[UserId],
    field: &str,
    at: Timestamp,
) -> Result<()> {
    let known: Vec<UserId> = on!(conn, |c| users::table
        .filter(users::id.eq_any(users))
        .select(users::id)
        .load(c))?;
    let mut violations = Violations::default();
    for (n, user) in users.iter().enumerate() {
        if !known.contains(user) {
            violations.push(Rule::Unknown.at(format!("{field}.{n}")));
        }
    }
    violations.invalid()?;
    let there: Vec<UserId> = on!(conn, |c| chat_participants::table
        .filter(chat_participants::session_id.eq(session.id))
        .filter(chat_participants::user_id.eq_any(users))
        .select(chat_participants::user_id)
        .load(c))?;
    for user in users.iter().filter(|user| !there.contains(user)) {
        let row = (
            chat_invitations::session_id.eq(session.id),
            chat_invitations::user_id.eq(user),
            chat_invitations::invited_at.eq(at),
        );
        on!(conn, |c| diesel::insert_or_ignore_into(
            chat_invitations::table
        )
        .values(row)
        .execute(c))?;
    }
    Ok(())
}

/// # Errors
/// `LIMIT_EXCEEDED` when there are more than `most` invitations to the sessions of the one who created `session`.
pub(super) fn check_invitations(conn: &mut Conn, session: &ChatSession, most: u32) -> Result<()> {
    // Those who are gone invite nobody.
    let Some(creator) = session.creator_id else {
        return Ok(());
    };
    let open: Vec<UserId> = on!(conn, |c| chat_invitations::table
        .inner_join(chat_sessions::table)
        .filter(chat_sessions::creator_id.eq(creator))
        .select(chat_invitations::user_id)
        .limit(i64::from(most) + 1)
        .load(c))?;
    at_most(most, open.len(), "open invitations")
}

/// Some participants of a session: all of an ordinary one.
pub(super) fn some_of(conn: &mut Conn, session: ChatSessionId) -> Result<Vec<UserId>> {
    use chat_participants::{session_id, table, user_id};
    Ok(on!(conn, |c| table
        .filter(session_id.eq(session))
        .select(user_id)
        .limit(BATCH)
        .load(c))?)
}

/// Those of `users` who take part in `session`.
///
/// # Errors
/// Those of the database.
pub async fn among(
    app: &App,
    session: ChatSessionId,
    users: Vec<UserId>,
) -> Result<HashSet<UserId>> {
    use chat_participants::{session_id, table, user_id};
    let mut there = HashSet::new();
    for users in users.chunks(500) {
        let users = users.to_vec();
        let found = app.db.read(move |conn| {
            let found: Vec<UserId> = on!(conn, |c| table
                .filter(session_id.eq(session))
                .filter(lists::among(user_id, users.iter().copied()))
                .select(user_id)
                .load(c))?;
            Ok(found)
        });
        there.extend(found.await?);
    }
    Ok(there)
}

/// The most sessions that a subscription for badges watches.
const WATCHED: i64 = 1_000;

/// The sessions that `user` takes part in, the latest ones of them.
///
/// # Errors
/// Those of the database.
pub async fn sessions_of(app: &App, user: UserId) -> Result<Vec<ChatSession>> {
    app.db
        .read(move |conn| {
            Ok(on!(conn, |c| chat_participants::table
                .inner_join(chat_sessions::table)
                .filter(chat_participants::user_id.eq(user))
                .order(chat_sessions::last_activity_at.desc())
                .limit(WATCHED)
                .select(ChatSession::as_select())
                .load(c))?)
        })
        .await
}

/// Ends some participations of a deleted account together with their counts, and returns the sessions: none when none
/// are left.
///
/// # Errors
/// Those of the database.
pub fn end_some(conn: &mut Conn, user: UserId) -> Result<Vec<ChatSessionId>> {
    use chat_participants::{session_id, table, user_id};
    use chat_sessions::{participant_count, people_rev};
    let joined: Vec<ChatSessionId> = on!(conn, |c| table
        .filter(user_id.eq(user))
        .select(session_id)
        .order(session_id)
        .limit(BATCH)
        .load(c))?;
    // The sessions first, as everywhere: writers that lock in the same order cannot deadlock.
    on!(conn, |c| diesel::update(chat_sessions::table)
        .filter(lists::among(chat_sessions::id, joined.iter().copied()))
        .set((
            participant_count.eq(participant_count - 1),
            people_rev.eq(people_rev + 1),
        ))
        .execute(c))?;
    let own = table.filter(user_id.eq(user).and(session_id.eq_any(&joined)));
    on!(conn, |c| diesel::delete(own).execute(c))?;
    Ok(joined)
}

/// Tells that a deleted account has left `session`.
pub fn tell_end(app: &App, session: ChatSessionId, user: UserId) {
    tell(app, session, &[user]);
}
