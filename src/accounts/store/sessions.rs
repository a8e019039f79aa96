//! Sign-in sessions: listing and ending them, and tokens for their WebSockets. They begin in `sign_in` and are renewed in
//! `refresh`.

use std::{collections::HashMap, time::Duration};

use diesel::prelude::*;

use super::refresh;
use crate::{
    access::{Act, Actor, SignedIn},
    accounts::{SignInSession, tokens},
    app::App,
    clock::Timestamp,
    db::{Conn, on, tables::sign_in_sessions},
    error::{Error, Result},
    ids::{SignInId, UserId},
    loader::Batch,
};

/// What a subscription token lives for.
const SUBSCRIPTION_TOKEN_LIFETIME: Duration = Duration::from_secs(10);

/// The sign-in sessions of users, most recently used first.
pub struct SessionsOfUser;

impl Batch for SessionsOfUser {
    type Key = UserId;
    type Value = Vec<SignInSession>;

    async fn load(
        app: &App,
        _: Actor,
        ids: Vec<UserId>,
    ) -> Result<HashMap<UserId, Vec<SignInSession>>> {
        let now = app.clock.now();
        app.db
            .read(move |conn| {
                let found: Vec<SignInSession> = on!(conn, |c| {
                    sign_in_sessions::table
                        .filter(
                            sign_in_sessions::user_id
                                .eq_any(&ids)
                                .and(sign_in_sessions::expires_at.gt(now)),
                        )
                        .order((
                            sign_in_sessions::last_used_at.desc(),
                            sign_in_sessions::id.desc(),
                        ))
                        .select(SignInSession::as_select())
                        .load(c)
                })?;
                let mut by_user: HashMap<UserId, Vec<SignInSession>> = HashMap::new();
                for session in found {
                    by_user.entry(session.user_id).or_default().push(session);
                }
                Ok(by_user)
            })
            .await
    }
}

/// Ends the actor's current session.
///
/// # Errors
/// Those of the database.
pub async fn log_out(app: &App, act: &Act<'_, SignedIn>) -> Result<()> {
    end(app, act.actor.id, act.actor.session).await
}

async fn end(app: &App, user: UserId, session: SignInId) -> Result<()> {
    app.db
        .write(move |conn| {
            on!(conn, |c| diesel::delete(
                sign_in_sessions::table.find(session)
            )
            .execute(c))?;
            Ok(())
        })
        .await?;
    app.rights.changed(user);
    Ok(())
}

/// Ends the session that this refresh token belongs to, if there is one.
///
/// # Errors
/// Those of the database.
pub async fn end_by_refresh_token(app: &App, refresh_token: &str) -> Result<()> {
    match refresh::session_of(app, refresh_token).await? {
        Some((user, session)) => end(app, user, session).await,
        None => Ok(()),
    }
}

/// Ends all sessions of the actor.
///
/// # Errors
/// Those of the database.
pub async fn log_out_everywhere(app: &App, act: &Act<'_, SignedIn>) -> Result<()> {
    let user = act.actor.id;
    app.db
        .write(move |conn| delete_all(conn, user, None))
        .await?;
    app.rights.changed(user);
    Ok(())
}

/// Ends `session` as `actor`.
///
/// # Errors
/// `NOT_FOUND` when there is no such session, and for callers who are neither its owner nor an admin.
pub async fn revoke(app: &App, act: &Act<'_, SignedIn>, session: SignInId) -> Result<()> {
    let actor = act.actor;
    let owner: UserId = app
        .db
        .read(move |conn| {
            Ok(on!(conn, |c| {
                sign_in_sessions::table
                    .find(session)
                    .select(sign_in_sessions::user_id)
                    .get_result(c)
            })?)
        })
        .await?;
    if owner != actor.id && !actor.is_admin() {
        return Err(Error::NotFound);
    }
    end(app, owner, session).await
}

/// Issues a token for one WebSocket of `actor`, with its expiry.
///
/// # Errors
/// `UNAVAILABLE` when the cache is away.
pub async fn issue_subscription_token(app: &App, actor: &SignedIn) -> Result<(String, Timestamp)> {
    let token = tokens::random()?;
    let session = actor.session.to_string().into_bytes();
    app.cache
        .put(
            &subscription_key(&token),
            session,
            SUBSCRIPTION_TOKEN_LIFETIME,
        )
        .await?;
    Ok((token, app.clock.now().after(SUBSCRIPTION_TOKEN_LIFETIME)))
}

/// Redeems a subscription token for its session. It works once.
///
/// # Errors
/// `UNAVAILABLE` when the cache is away.
pub async fn redeem_subscription_token(app: &App, token: &str) -> Result<Option<SignInId>> {
    let session = app.cache.take(&subscription_key(token)).await?;
    Ok(session.and_then(|bytes| SignInId::parse(&String::from_utf8(bytes).ok()?).ok()))
}

fn subscription_key(token: &str) -> String {
    use std::fmt::Write;
    tokens::hash(token)
        .iter()
        .fold("subscription:".to_owned(), |mut key, byte| {
            // Writing to a string cannot fail.
            let _ = write!(key, "{byte:02x}");
            key
        })
}

/// Deletes the sessions of `user`, all but `kept`.
pub(super) fn delete_all(conn: &mut Conn, user: UserId, kept: Option<SignInId>) -> Result<()> {
    on!(conn, |c| {
        let mut sessions = diesel::delete(sign_in_sessions::table)
            .filter(sign_in_sessions::user_id.eq(user))
            .into_boxed::<DB>();
        if let Some(kept) = kept {
            sessions = sessions.filter(sign_in_sessions::id.ne(kept));
        }
        sessions.execute(c)
    })?;
    Ok(())
}
