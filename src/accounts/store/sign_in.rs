//! Signing in with a password: where sign-in sessions begin.

use std::time::Duration;

use diesel::prelude::*;

use super::{addresses, refresh};
use crate::{
    access::{Act, Actor, Client},
    accounts::{
        SignInSession, User,
        hashes::{self, Verdict},
        login_key, passwords,
        tokens::{self, AccessToken},
    },
    app::App,
    clock::Timestamp,
    db::{
        Conn,
        dialect::{self, Lockable},
        on,
        tables::{sign_in_sessions, users},
    },
    error::{Error, Result},
    ids::{SignInId, UserId},
};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// The result of a sign-in or a refresh.
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
    let typed = login_key(name_or_email);
    let network = act.client.network();
    let limit = app.config.limits.login_address;
    app.rate("login-address", &network, limit, MINUTE).await?;
    let (user, hash) = find(app, typed.clone()).await?.unzip();
    limit_guesses(app, &network, typed, user.as_ref()).await?;

    let password = passwords::typed(&password);
    let verdict = hashes::verify(&app.cpu, password.clone(), hash.clone()).await?;
    let (Some(user), Some(hash), Verdict::Right | Verdict::RightButOld) = (user, hash, verdict)
    else {
        return Err(Error::Credentials);
    };
    let user = user.unless_banned()?;
    let rehashed = match verdict {
        Verdict::RightButOld => Some(hashes::hash(&app.cpu, password).await?),
        _ => None,
    };
    let proof = Proof { hash, rehashed };
    begin(app, act.client, user.id, proof).await
}

/// The account with this name or e-mail address, and the hash of its password.
async fn find(app: &App, key: String) -> Result<Option<(User, String)>> {
    app.db
        .read(move |conn| {
            Ok(on!(conn, |c| {
                users::table
                    .filter(users::name_key.eq(&key).or(users::email_key.eq(&key)))
                    .select((User::as_select(), users::password_hash))
                    .first(c)
                    .optional()
            })?)
        })
        .await
}

/// Limits attempts at an account.
async fn limit_guesses(app: &App, network: &str, typed: String, user: Option<&User>) -> Result<()> {
    let limits = &app.config.limits;
    // Counted by what was typed, so that a name and an e-mail address of one account cannot be told from those of two
    // accounts.
    let pair = format!("{network} {typed}");
    app.rate("login", &pair, limits.login, MINUTE).await?;
    // From a known network the account's own limit does not apply, so that others cannot lock the owner out.
    if let Some(user) = user
        && addresses::is_known(app, user.id, network.to_owned()).await?
    {
        return Ok(());
    }
    let account = user.map(|user| user.id.to_string());
    for counted in std::iter::once(typed).chain(account) {
        app.rate("login-account", &counted, limits.login_account, HOUR)
            .await?;
    }
    Ok(())
}

/// That a password is right.
struct Proof {
    /// The hash that it fits.
    hash: String,
    /// Its new hash, if the parameters have changed.
    rehashed: Option<String>,
}

impl Proof {
    /// Checks again and loads the user: the account may have changed while the password was being verified.
    fn present(&self, conn: &mut Conn, id: UserId) -> Result<User> {
        let present: Option<(User, String)> = on!(conn, |c| {
            users::table
                .find(id)
                .select((User::as_select(), users::password_hash))
                .get_result(c)
                .optional()
        })?;
        match present {
            Some((user, hash)) if hash == self.hash => user.unless_banned(),
            _ => Err(Error::Credentials),
        }
    }
}

/// Begins a session for the user on this client.
async fn begin(app: &App, client: &Client, id: UserId, proof: Proof) -> Result<Granted> {
    let now = app.clock.now();
    let user_agent = client.user_agent.as_deref();
    let session = SignInSession {
        id: app.clock.id(),
        user_id: id,
        created_at: now,
        last_used_at: now,
        expires_at: refresh::expiry(app.config.refresh_token_ttl, now, now),
        user_agent: user_agent.map(|agent| agent.chars().take(512).collect()),
        ip: Some(client.address.to_string()),
    };
    let session_id = session.id;
    let refresh_token = tokens::refresh_token(&app.keys, session_id)?;
    let token_hash = tokens::hash(&refresh_token);
    let refresh_lifetime = session.expires_at.since(now);
    let (network, most) = (client.network(), app.config.limits.sign_ins as usize);
    let (user, ended) = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::Users, id)?;
            let user = proof.present(conn, id)?;
            if let Some(rehashed) = &proof.rehashed {
                let rehashed = users::password_hash.eq(rehashed);
                on!(conn, |c| diesel::update(users::table.find(id))
                    .set(rehashed)
                    .execute(c))?;
            }
            delete_expired(conn, id, now)?;
            let ended = delete_oldest(conn, id, most - 1)?;
            on!(conn, |c| diesel::insert_into(sign_in_sessions::table)
                .values(&session)
                .execute(c))?;
            refresh::insert_token(conn, &token_hash, session.id, session.expires_at)?;
            addresses::remember(conn, id, &network, now)?;
            Ok((user, ended))
        })
        .await?;
    if ended > 0 {
        app.rights.changed(id);
    }
    let access = tokens::issue_access(app, &user, session_id)?;
    Ok(Granted {
        user,
        access,
        refresh_token,
        refresh_lifetime,
    })
}

fn delete_expired(conn: &mut Conn, user: UserId, now: Timestamp) -> Result<()> {
    let expired = sign_in_sessions::user_id
        .eq(user)
        .and(sign_in_sessions::expires_at.le(now));
    on!(conn, |c| diesel::delete(
        sign_in_sessions::table.filter(expired)
    )
    .execute(c))?;
    Ok(())
}

/// Deletes all but the newest `kept` sessions of `user`. Returns how many were deleted.
fn delete_oldest(conn: &mut Conn, user: UserId, kept: usize) -> Result<usize> {
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
