//! Sign-in sessions: beginning, renewing and ending the right to act.

use std::{collections::HashMap, time::Duration};

use diesel::prelude::*;

use super::addresses;
use crate::{
    access::{Act, Actor, SignedIn},
    accounts::{
        SignInSession, User, login_key, passwords,
        tokens::{self, AccessToken},
    },
    app::App,
    clock::Timestamp,
    db::{
        Conn,
        dialect::{self, Lockable},
        on,
        tables::{refresh_tokens, sign_in_sessions, users},
    },
    error::{Error, Result},
    hashing::Verdict,
    ids::{SignInId, UserId},
    loader::Batch,
};

/// However often it is renewed, a sign-in session ends then.
const LONGEST_SESSION: Duration = Duration::from_secs(90 * 86_400);
/// For so long a refresh token may be used again after its first use: two tabs, a lost answer.
const GRACE: Duration = Duration::from_secs(20);
/// What a subscription token lives for.
const SUBSCRIPTION_TOKEN_LIFETIME: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What signing in or renewing brings.
#[derive(Debug)]
pub struct Granted {
    pub user: User,
    pub access: AccessToken,
    pub refresh_token: String,
    /// How long the refresh token lives.
    pub refresh_lifetime: Duration,
}

/// Signs in with a name or an e-mail address and a password.
///
/// # Errors
/// `UNAUTHENTICATED` for an unknown user and for a wrong password alike; `BANNED`; `RATE_LIMITED`.
pub async fn log_in(
    app: &App,
    act: &Act<'_, Actor>,
    name_or_email: &str,
    password: String,
) -> Result<Granted> {
    let key = login_key(name_or_email);
    let typed = key.clone();
    let limits = &app.config.limits;
    let client = act.client;
    let network = client.network();
    app.rate("login-address", &network, limits.login_address, MINUTE)
        .await?;

    let found = app
        .db
        .read(move |conn| {
            let found: Option<(User, String)> = on!(conn, |c| {
                users::table
                    .filter(users::name_key.eq(&key).or(users::email_key.eq(&key)))
                    .select((User::as_select(), users::password_hash))
                    .first(c)
                    .optional()
            })?;
            Ok(found)
        })
        .await?;
    let (user, hash) = found.unzip();
    // By what was typed: a name and an e-mail address of one account answer as those of two strangers.
    let pair = format!("{network} {typed}");
    app.rate("login", &pair, limits.login, MINUTE).await?;
    let is_at_home = match &user {
        Some(user) => addresses::is_known(app, user.id, network.clone()).await?,
        None => false,
    };
    // Guesses of others from elsewhere do not lock the owner out.
    if !is_at_home {
        let account = user.as_ref().map(|user| user.id.to_string());
        for counted in std::iter::once(typed).chain(account) {
            app.rate("login-account", &counted, limits.login_account, HOUR)
                .await?;
        }
    }
    let password = passwords::typed(&password);
    let verdict = app.hashing.verify(password.clone(), hash.clone()).await?;
    let (Some(user), Some(hash), Verdict::Right | Verdict::RightButOld) = (user, hash, verdict)
    else {
        return Err(Error::Credentials);
    };
    let user = user.unless_banned()?;
    let rehashed = if verdict == Verdict::RightButOld {
        Some(app.hashing.hash(password).await?)
    } else {
        None
    };

    let now = app.clock.now();
    let session = SignInSession {
        id: app.clock.id(),
        user_id: user.id,
        created_at: now,
        last_used_at: now,
        expires_at: now.after(app.config.refresh_token_ttl.min(LONGEST_SESSION)),
        user_agent: client
            .user_agent
            .as_deref()
            .map(|agent| agent.chars().take(512).collect()),
        ip: Some(client.address.to_string()),
    };
    let access = tokens::issue_access(app, &user, session.id)?;
    let refresh_token = tokens::random()?;
    let token_hash = tokens::hash(&refresh_token);
    let refresh_lifetime = session.expires_at.since(now);
    let most = app.config.limits.sign_ins as usize;
    let (user, has_ended_others) = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::Users, user.id)?;
            // The account may have changed while the password was being checked.
            let (present, present_hash): (User, String) = on!(conn, |c| {
                users::table
                    .find(user.id)
                    .select((User::as_select(), users::password_hash))
                    .get_result(c)
                    .optional()
            })?
            .ok_or(Error::Credentials)?;
            if present_hash != hash {
                return Err(Error::Credentials);
            }
            let present = present.unless_banned()?;
            if let Some(rehashed) = &rehashed {
                let rehashed = users::password_hash.eq(rehashed);
                on!(conn, |c| diesel::update(users::table.find(user.id))
                    .set(rehashed)
                    .execute(c))?;
            }
            let over = sign_in_sessions::user_id
                .eq(user.id)
                .and(sign_in_sessions::expires_at.le(now));
            on!(conn, |c| diesel::delete(
                sign_in_sessions::table.filter(over)
            )
            .execute(c))?;
            let ended = end_oldest(conn, user.id, most - 1)?;
            on!(conn, |c| diesel::insert_into(sign_in_sessions::table)
                .values(&session)
                .execute(c))?;
            insert_token(conn, &token_hash, session.id, session.expires_at)?;
            addresses::remember(conn, user.id, &network, now)?;
            Ok((present, ended > 0))
        })
        .await?;
    if has_ended_others {
        app.rights.changed(user.id);
    }
    Ok(Granted {
        user,
        access,
        refresh_token,
        refresh_lifetime,
    })
}

/// What became of a refresh token that was shown.
enum Shown {
    Renewed {
        user: User,
        session: SignInId,
        expires_at: Timestamp,
    },
    /// It had been used before: either its owner or a thief holds a copy, so its session is over.
    Reused(UserId),
}

/// Exchanges a refresh token for its successor.
///
/// # Errors
/// `TOKEN_INVALID` for an unknown, expired or used one, the last of which ends its session; `BANNED`; `RATE_LIMITED`.
pub async fn renew(app: &App, refresh_token: &str) -> Result<Granted> {
    let now = app.clock.now();
    let ttl = app.config.refresh_token_ttl;
    let shown_hash = tokens::hash(refresh_token);
    let successor = tokens::random()?;
    let successor_hash = tokens::hash(&successor);
    let session = session_of(app, shown_hash.clone()).await?;
    let session = session.ok_or(Error::TokenInvalid)?.1.to_string();
    app.rate("refresh", &session, app.config.limits.refresh, MINUTE)
        .await?;
    let shown = app
        .db
        .write(move |conn| {
            let id: Option<SignInId> = on!(conn, |c| {
                refresh_tokens::table
                    .find(&shown_hash)
                    .select(refresh_tokens::session_id)
                    .get_result(c)
                    .optional()
            })?;
            let id = id.ok_or(Error::TokenInvalid)?;
            dialect::lock(conn, Lockable::SignInSessions, id)?;
            let (rotated_at, token_ends, session, user) =
                token_in_session(conn, &shown_hash)?.ok_or(Error::TokenInvalid)?;
            let user = user.unless_banned()?;
            if token_ends <= now || session.expires_at <= now {
                return Err(Error::TokenInvalid);
            }
            match rotated_at {
                // Either way: the time may have been set back since.
                Some(at) if now.distance(at) >= GRACE => {
                    on!(conn, |c| diesel::delete(sign_in_sessions::table.find(id))
                        .execute(c))?;
                    return Ok(Shown::Reused(user.id));
                }
                Some(_) => {}
                None => {
                    let rotated = refresh_tokens::rotated_at.eq(now);
                    on!(conn, |c| diesel::update(
                        refresh_tokens::table.find(&shown_hash)
                    )
                    .set(rotated)
                    .execute(c))?;
                }
            }
            let expires_at = now
                .after(ttl)
                .min(session.created_at.after(LONGEST_SESSION));
            let renewed = (
                sign_in_sessions::last_used_at.eq(now),
                sign_in_sessions::expires_at.eq(expires_at),
            );
            on!(conn, |c| diesel::update(sign_in_sessions::table.find(id))
                .set(renewed)
                .execute(c))?;
            let over = refresh_tokens::session_id
                .eq(id)
                .and(refresh_tokens::expires_at.le(now));
            on!(conn, |c| diesel::delete(refresh_tokens::table.filter(over))
                .execute(c))?;
            insert_token(conn, &successor_hash, id, expires_at)?;
            Ok(Shown::Renewed {
                user,
                session: id,
                expires_at,
            })
        })
        .await?;
    match shown {
        Shown::Renewed {
            user,
            session,
            expires_at,
        } => {
            let access = tokens::issue_access(app, &user, session)?;
            Ok(Granted {
                user,
                access,
                refresh_token: successor,
                refresh_lifetime: expires_at.since(now),
            })
        }
        Shown::Reused(user) => {
            tracing::warn!(%user, "a used refresh token came back; its sign-in session is ended");
            app.rights.changed(user);
            Err(Error::TokenInvalid)
        }
    }
}

/// The sign-in sessions of users, latest use first.
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
                                .eq_any(ids)
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

/// Ends the session that the actor comes from.
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

/// Ends the session that this refresh token belongs to, where there is one.
///
/// # Errors
/// Those of the database.
pub async fn end_by_refresh_token(app: &App, refresh_token: &str) -> Result<()> {
    match session_of(app, tokens::hash(refresh_token)).await? {
        Some((user, session)) => end(app, user, session).await,
        None => Ok(()),
    }
}

/// The session that the refresh token with this hash belongs to, and its user.
async fn session_of(app: &App, hash: Vec<u8>) -> Result<Option<(UserId, SignInId)>> {
    app.db
        .read(move |conn| {
            Ok(on!(conn, |c| {
                refresh_tokens::table
                    .inner_join(sign_in_sessions::table)
                    .filter(refresh_tokens::hash.eq(&hash))
                    .select((sign_in_sessions::user_id, sign_in_sessions::id))
                    .get_result(c)
                    .optional()
            })?)
        })
        .await
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
/// `NOT_FOUND` when there is none, and for who neither owns it nor is an admin: sessions of others are nobody's business.
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

/// A token for one WebSocket of `actor`, and its end.
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

/// Takes the session that a subscription token stands for. A second time there is none.
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

/// Deletes the sessions of `user` that were begun before the last `kept` ones, and tells how many these were.
fn end_oldest(conn: &mut Conn, user: UserId, kept: usize) -> Result<usize> {
    let sessions: Vec<SignInId> = on!(conn, |c| {
        sign_in_sessions::table
            .filter(sign_in_sessions::user_id.eq(user))
            .order(sign_in_sessions::id.desc())
            .select(sign_in_sessions::id)
            .load(c)
    })?;
    let oldest = sessions.get(kept..).unwrap_or_default();
    if oldest.is_empty() {
        return Ok(0);
    }
    let oldest = sign_in_sessions::id.eq_any(oldest);
    Ok(on!(conn, |c| diesel::delete(
        sign_in_sessions::table.filter(oldest)
    )
    .execute(c))?)
}

fn insert_token(
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

type TokenRow = (Option<Timestamp>, Timestamp, SignInSession, User);

fn token_in_session(conn: &mut Conn, hash: &[u8]) -> Result<Option<TokenRow>> {
    Ok(on!(conn, |c| {
        refresh_tokens::table
            .inner_join(sign_in_sessions::table.inner_join(users::table))
            .filter(refresh_tokens::hash.eq(hash))
            .select((
                refresh_tokens::rotated_at,
                refresh_tokens::expires_at,
                SignInSession::as_select(),
                User::as_select(),
            ))
            .get_result(c)
            .optional()
    })?)
}
