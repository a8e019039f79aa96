//! Refresh tokens: each can be exchanged once for a new one, which renews its sign-in session.

use std::time::Duration;

use diesel::prelude::*;

use super::sign_in::Granted;
use crate::{
    accounts::{SignInSession, User, tokens},
    app::App,
    clock::Timestamp,
    db::{
        Conn,
        dialect::{self, Lockable},
        on,
        tables::{refresh_tokens, sign_in_sessions, users},
    },
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// The longest life of a sign-in session, however often it is renewed.
const LONGEST_SESSION: Duration = Duration::from_secs(90 * 86_400);
/// The most tokens of a session that can be used. Each use within [`GRACE`] makes another one.
const TOKENS: usize = 20;
/// How long after its first use a refresh token may be used again: for two tabs, or a lost response.
const GRACE: Duration = Duration::from_secs(20);

const MINUTE: Duration = Duration::from_secs(60);

/// When a session that began at `created_at` and is renewed at `now` expires.
pub(super) fn expiry(ttl: Duration, created_at: Timestamp, now: Timestamp) -> Timestamp {
    now.after(ttl).min(created_at.after(LONGEST_SESSION))
}

/// Exchanges a refresh token for a new one. The token is the proof of who acts.
///
/// # Errors
/// `TOKEN_INVALID` for an unknown, expired or used token (a used one ends its session); `BANNED`; `RATE_LIMITED`.
pub async fn refresh(app: &App, refresh_token: &str) -> Result<Granted> {
    let shown = tokens::hash(refresh_token);
    let (_, session) = session_of(app, refresh_token)
        .await?
        .ok_or(Error::TokenInvalid)?;
    let limit = app.config.limits.refresh;
    app.rate("refresh", &session.to_string(), limit, MINUTE)
        .await?;

    let now = app.clock.now();
    let successor = tokens::refresh_token(&app.keys, session)?;
    let successor_hash = tokens::hash(&successor);
    let ttl = app.config.refresh_token_ttl;
    let outcome = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::SignInSessions, session)?;
            match use_token(conn, session, &shown, now)? {
                Used::InTime(began_at, user) => {
                    let expires_at = expiry(ttl, began_at, now);
                    renew(conn, session, now, expires_at)?;
                    insert_token(conn, &successor_hash, session, expires_at)?;
                    Ok(Ok((user, expires_at)))
                }
                // Somebody holds a copy, perhaps a thief: the session ends.
                Used::Late(user) => {
                    on!(conn, |c| diesel::delete(
                        sign_in_sessions::table.find(session)
                    )
                    .execute(c))?;
                    Ok(Err(user))
                }
            }
        })
        .await?;
    let (user, expires_at) = match outcome {
        Ok(renewed) => renewed,
        Err(user) => {
            tracing::warn!(%user, "a used refresh token came back; its sign-in session is ended");
            app.rights.changed(user);
            return Err(Error::TokenInvalid);
        }
    };
    let access = tokens::issue_access(app, &user, session)?;
    Ok(Granted {
        user,
        access,
        refresh_token: successor,
        refresh_lifetime: expires_at.since(now),
    })
}

/// Which use of a refresh token this is.
enum Used {
    /// The first, or another within [`GRACE`] after it: when the session began, and its user.
    InTime(Timestamp, User),
    /// Later than that. The token belongs to this user, or was stolen from them.
    Late(UserId),
}

/// Marks the token of `session` with this hash as used.
///
/// # Errors
/// `TOKEN_INVALID` for an expired one, or when the session has ended; `BANNED`.
fn use_token(conn: &mut Conn, session: SignInId, hash: &[u8], now: Timestamp) -> Result<Used> {
    let found: Option<(SignInSession, User)> = on!(conn, |c| {
        sign_in_sessions::table
            .inner_join(users::table)
            .filter(sign_in_sessions::id.eq(session))
            .select((SignInSession::as_select(), User::as_select()))
            .get_result(c)
            .optional()
    })?;
    let (session, user) = found.ok_or(Error::TokenInvalid)?;
    let user = user.unless_banned()?;
    if session.expires_at <= now {
        return Err(Error::TokenInvalid);
    }
    let token: Option<(Option<Timestamp>, Timestamp)> = on!(conn, |c| {
        refresh_tokens::table
            .find(hash)
            .select((refresh_tokens::rotated_at, refresh_tokens::expires_at))
            .get_result(c)
            .optional()
    })?;
    // Used ones are forgotten after a while. The signature says that it was one.
    let Some((rotated_at, expires_at)) = token else {
        return Ok(Used::Late(user.id));
    };
    if expires_at <= now {
        return Err(Error::TokenInvalid);
    }
    match rotated_at {
        None => {
            let rotated = refresh_tokens::rotated_at.eq(now);
            on!(conn, |c| diesel::update(refresh_tokens::table.find(hash))
                .set(rotated)
                .execute(c))?;
        }
        // In either direction: the system's time may have been set back.
        Some(at) if now.distance(at) >= GRACE => return Ok(Used::Late(user.id)),
        Some(_) => {}
    }
    Ok(Used::InTime(session.created_at, user))
}

/// Extends `session`, and deletes tokens that can no longer be used.
fn renew(conn: &mut Conn, session: SignInId, now: Timestamp, expires_at: Timestamp) -> Result<()> {
    let renewed = (
        sign_in_sessions::last_used_at.eq(now),
        sign_in_sessions::expires_at.eq(expires_at),
    );
    let long_ago = refresh_tokens::rotated_at.le(now.before(GRACE));
    let of_no_use = refresh_tokens::session_id.eq(session).and(
        refresh_tokens::expires_at
            .le(now)
            .or(refresh_tokens::rotated_at
                .is_not_null()
                .and(long_ago.assume_not_null())),
    );
    let kept: Vec<Vec<u8>> = on!(conn, |c| {
        diesel::update(sign_in_sessions::table.find(session))
            .set(renewed)
            .execute(c)?;
        diesel::delete(refresh_tokens::table.filter(of_no_use)).execute(c)?;
        refresh_tokens::table
            .filter(refresh_tokens::session_id.eq(session))
            .filter(refresh_tokens::rotated_at.is_null())
            .order(refresh_tokens::expires_at.desc())
            .select(refresh_tokens::hash)
            .load(c)
    })?;
    let too_many = kept.get(TOKENS..).unwrap_or_default();
    if !too_many.is_empty() {
        let too_many = refresh_tokens::hash.eq_any(too_many);
        on!(conn, |c| diesel::delete(
            refresh_tokens::table.filter(too_many)
        )
        .execute(c))?;
    }
    Ok(())
}

/// The session that a refresh token belongs to, used or not, and its user.
pub(super) async fn session_of(app: &App, token: &str) -> Result<Option<(UserId, SignInId)>> {
    let hash = tokens::hash(token);
    let signed = tokens::signed_session(&app.keys, token);
    app.db
        .read(move |conn| {
            // Tokens that were issued under another secret are known by their rows.
            let of_row: Option<SignInId> = on!(conn, |c| {
                refresh_tokens::table
                    .find(&hash)
                    .select(refresh_tokens::session_id)
                    .get_result(c)
                    .optional()
            })?;
            let Some(session) = of_row.or(signed) else {
                return Ok(None);
            };
            Ok(on!(conn, |c| {
                sign_in_sessions::table
                    .find(session)
                    .select((sign_in_sessions::user_id, sign_in_sessions::id))
                    .get_result(c)
                    .optional()
            })?)
        })
        .await
}

/// Adds a refresh token with this hash to `session`.
pub(super) fn insert_token(
    conn: &mut Conn,
    hash: &[u8],
    session: SignInId,
    expires_at: Timestamp,
) -> Result<()> {
    let row = (
        refresh_tokens::hash.eq(hash),
        refresh_tokens::session_id.eq(session),
        refresh_tokens::expires_at.eq(expires_at),
    );
    on!(conn, |c| diesel::insert_into(refresh_tokens::table)
        .values(row)
        .execute(c))?;
    Ok(())
}
