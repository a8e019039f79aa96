//! Users: finding, creating, changing and deleting them.

use std::{collections::HashMap, time::Duration};

use diesel::prelude::*;

use super::sessions;
use crate::{
    access::{Act, Actor, Admin, Operator, Role, SignedIn},
    accounts::{
        BanReason, Email, Name, User, UserDeleted,
        hashes::{self, Verdict},
        passwords::{self, Password},
    },
    app::App,
    db::{
        Conn, conflict,
        dialect::{self, Lockable},
        lists, on,
        tables::{sign_in_sessions, users},
    },
    error::{Error, Result, Rule},
    ids::UserId,
    input::Violations,
    loader::Batch,
    text,
};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// The input field for each unique column.
const UNIQUE: [(&str, &str); 2] = [("name_key", "name"), ("email_key", "email")];

/// Users by id.
pub struct UserById;

impl Batch for UserById {
    type Key = UserId;
    type Value = User;
    const IS_KEPT: bool = true;

    async fn load(app: &App, _: Actor, ids: Vec<UserId>) -> Result<HashMap<UserId, User>> {
        app.db
            .read(move |conn| {
                let found: Vec<User> = on!(conn, |c| users::table
                    .filter(lists::among(users::id, ids.iter().copied()))
                    .select(User::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|user| (user.id, user)).collect())
            })
            .await
    }
}

/// The user with this id.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn find(app: &App, id: UserId) -> Result<User> {
    app.db.read(move |conn| by_id(conn, id)).await
}

/// The user with this name, in any case and normal form.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn find_by_name(app: &App, name: &str) -> Result<User> {
    // No name is that long, and folding takes time.
    if name.len() > 1_024 {
        return Err(Error::NotFound);
    }
    let key = text::fold(name.trim());
    app.db
        .read(move |conn| {
            Ok(on!(conn, |c| users::table
                .filter(users::name_key.eq(&key))
                .select(User::as_select())
                .first(c))?)
        })
        .await
}

/// An account to be.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: Name,
    pub email: Email,
    pub password: Password,
}

/// Creates an account, as anyone may.
///
/// # Errors
/// `CONFLICT` when the name or the e-mail address is taken, by whichever spelling; `RATE_LIMITED`.
pub async fn sign_up(app: &App, act: &Act<'_, Actor>, new: NewUser) -> Result<User> {
    let (network, limit) = (act.client.network(), app.config.limits.sign_up);
    app.rate("sign-up", &network, limit, HOUR).await?;
    make(app, new, Role::User).await
}

/// Creates an account with any role, as the operator may.
///
/// # Errors
/// `CONFLICT`, as [`sign_up`].
pub async fn insert(app: &App, _: Operator, new: NewUser, role: Role) -> Result<User> {
    make(app, new, role).await
}

async fn make(app: &App, new: NewUser, role: Role) -> Result<User> {
    let NewUser {
        name,
        email,
        password,
    } = new;
    let password_hash = hashes::hash(&app.cpu, password.into_inner()).await?;
    let (id, joined_at) = (app.clock.id(), app.clock.now());
    app.db
        .write(move |conn| {
            refuse_taken(conn, None, Some(&name), Some(&email))?;
            let row = (
                (
                    users::id.eq(id),
                    users::joined_at.eq(joined_at),
                    users::role.eq(role),
                    users::is_banned.eq(false),
                ),
                &name,
                &email,
                users::password_hash.eq(&password_hash),
            );
            on!(conn, |c| diesel::insert_into(users::table)
                .values(row)
                .execute(c))
            .map_err(|error| conflict(error, &UNIQUE))?;
            by_id(conn, id)
        })
        .await
}

/// A change of an account. Absent fields stay unchanged.
#[derive(Debug, Default)]
pub struct UserChanges {
    pub name: Option<Name>,
    pub email: Option<Email>,
    /// Required to change one's own e-mail address.
    pub current_password: Option<String>,
}

/// Changes the account `id`. A change without effect leaves `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither the owner nor an admin, and for an admin who changes another
/// user's e-mail address; `INVALID` at `currentPassword`; `CONFLICT` when a name is taken.
pub async fn update(
    app: &App,
    act: &Act<'_, SignedIn>,
    id: UserId,
    changes: UserChanges,
) -> Result<User> {
    let actor = act.actor;
    let user = editable(app, &actor, id).await?;
    let moves = changes
        .email
        .as_ref()
        .is_some_and(|email| email.text != user.email.text);
    let mut checked = None;
    if moves {
        if user.id != actor.id {
            return Err(Error::Forbidden);
        }
        checked = Some(check_password(app, id, changes.current_password).await?);
    }
    let (name, email, now) = (changes.name, changes.email, app.clock.now());
    app.db
        .write(move |conn| {
            if let Some(checked) = &checked {
                checked.still_holds(conn, &actor)?;
            }
            refuse_taken(conn, Some(id), name.as_ref(), email.as_ref())?;
            let present = by_id(conn, id)?;
            let is_same = name.as_ref().is_none_or(|n| n.text == present.name.text)
                && email.as_ref().is_none_or(|e| e.text == present.email.text);
            if is_same {
                return Ok(present);
            }
            let changes = (name.as_ref(), email.as_ref(), users::updated_at.eq(now));
            on!(conn, |c| diesel::update(users::table.find(id))
                .set(changes)
                .execute(c))
            .map_err(|error| conflict(error, &UNIQUE))?;
            by_id(conn, id)
        })
        .await
}

/// Changes the password of `actor` and ends all other sign-in sessions.
///
/// # Errors
/// `INVALID` at `currentPassword`.
pub async fn change_password(
    app: &App,
    act: &Act<'_, SignedIn>,
    current: String,
    new: Password,
) -> Result<()> {
    let actor = act.actor;
    let checked = check_password(app, actor.id, Some(current)).await?;
    let hash = hashes::hash(&app.cpu, new.into_inner()).await?;
    let now = app.clock.now();
    app.db
        .write(move |conn| {
            checked.still_holds(conn, &actor)?;
            let changes = (users::password_hash.eq(&hash), users::updated_at.eq(now));
            on!(conn, |c| diesel::update(users::table.find(actor.id))
                .set(changes)
                .execute(c))?;
            sessions::delete_all(conn, actor.id, Some(actor.session))
        })
        .await?;
    app.rights.changed(actor.id);
    Ok(())
}

/// Deletes the account `id`. Its posts and comments stay without an author; its sessions, tokens and grants are deleted.
/// What else follows is the work of the features that follow [`UserDeleted`].
///
/// # Errors
/// `NOT_FOUND`; `FORBIDDEN` for callers who are neither the owner nor an admin; `INVALID` at `currentPassword`;
/// `CONFLICT` for the last admin.
pub async fn delete(
    app: &App,
    act: &Act<'_, SignedIn>,
    id: UserId,
    current_password: Option<String>,
) -> Result<()> {
    let actor = act.actor;
    editable(app, &actor, id).await?;
    let mut checked = None;
    if id == actor.id {
        checked = Some(check_password(app, id, current_password).await?);
    }
    let queue = app.queue.clone();
    let waiting = app
        .db
        .write(move |conn| {
            keep_an_admin(conn, id)?;
            if let Some(checked) = &checked {
                checked.still_holds(conn, &actor)?;
            }
            on!(conn, |c| diesel::delete(users::table.find(id)).execute(c))?;
            queue.enqueue(conn, &UserDeleted { user: id })
        })
        .await?;
    app.queue.announce(waiting);
    app.rights.changed(id);
    Ok(())
}

/// Changes the role of the user `id`.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for the last admin.
pub async fn set_role(app: &App, _: &Act<'_, Admin>, id: UserId, role: Role) -> Result<User> {
    let user = app
        .db
        .write(move |conn| {
            if role != Role::Admin {
                keep_an_admin(conn, id)?;
            }
            on!(conn, |c| diesel::update(users::table.find(id))
                .set(users::role.eq(role))
                .execute(c))?;
            by_id(conn, id)
        })
        .await?;
    app.rights.changed(id);
    Ok(user)
}

/// Bans the user `id`, whose sessions are refused from then on; without a ban, lifts the ban.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` for the last admin.
pub async fn set_ban(app: &App, _: &Act<'_, Admin>, id: UserId, ban: Option<Ban>) -> Result<User> {
    let user = app
        .db
        .write(move |conn| {
            if ban.is_some() {
                keep_an_admin(conn, id)?;
            }
            let reason = ban.as_ref().and_then(|ban| ban.reason.as_ref());
            let changes = (
                users::is_banned.eq(ban.is_some()),
                users::ban_reason.eq(reason),
            );
            on!(conn, |c| diesel::update(users::table.find(id))
                .set(changes)
                .execute(c))?;
            by_id(conn, id)
        })
        .await?;
    app.rights.changed(id);
    Ok(user)
}

/// A ban, with the reason that the admin gives.
#[derive(Clone, Debug)]
pub struct Ban {
    pub reason: Option<BanReason>,
}

/// The hash that a password has been verified against.
#[derive(Clone)]
struct Checked(String);

impl Checked {
    /// Fails if the password or the session of `actor` has changed since the check. Locks the account until the
    /// transaction ends.
    fn still_holds(&self, conn: &mut Conn, actor: &SignedIn) -> Result<()> {
        dialect::lock(conn, Lockable::Users, actor.id)?;
        let present: Option<String> = on!(conn, |c| {
            users::table
                .inner_join(sign_in_sessions::table)
                .filter(
                    users::id
                        .eq(actor.id)
                        .and(sign_in_sessions::id.eq(actor.session)),
                )
                .select(users::password_hash)
                .first(c)
                .optional()
        })?;
        match present {
            None => Err(Error::TokenInvalid),
            Some(hash) if hash != self.0 => {
                Err(Error::invalid("currentPassword", Rule::WrongPassword))
            }
            Some(_) => Ok(()),
        }
    }
}

/// Loads the account `id`, if `actor` may change it.
async fn editable(app: &App, actor: &SignedIn, id: UserId) -> Result<User> {
    let user = find(app, id).await?;
    if user.id == actor.id || actor.is_admin() {
        Ok(user)
    } else {
        Err(Error::Forbidden)
    }
}

/// Checks the current password of `id`. Attempts are limited like log-ins.
async fn check_password(app: &App, id: UserId, password: Option<String>) -> Result<Checked> {
    let Some(password) = password else {
        return Err(Error::invalid("currentPassword", Rule::Required));
    };
    app.rate("password", &id.to_string(), app.config.limits.login, MINUTE)
        .await?;
    let hash = app
        .db
        .read(move |conn| {
            let hash: String = on!(conn, |c| users::table
                .find(id)
                .select(users::password_hash)
                .get_result(c))?;
            Ok(hash)
        })
        .await?;
    let password = passwords::typed(&password);
    match hashes::verify(&app.cpu, password, Some(hash.clone())).await? {
        Verdict::Right | Verdict::RightButOld => Ok(Checked(hash)),
        Verdict::Wrong => Err(Error::invalid("currentPassword", Rule::WrongPassword)),
    }
}

fn by_id(conn: &mut Conn, id: UserId) -> Result<User> {
    Ok(on!(conn, |c| users::table
        .find(id)
        .select(User::as_select())
        .get_result(c))?)
}

/// Fails if another account than `own` has the name or the e-mail address. Reports both at once.
fn refuse_taken(
    conn: &mut Conn,
    own: Option<UserId>,
    name: Option<&Name>,
    email: Option<&Email>,
) -> Result<()> {
    let mut violations = Violations::default();
    if let Some(name) = name {
        let holder: Option<UserId> = on!(conn, |c| {
            users::table
                .filter(users::name_key.eq(&name.key))
                .select(users::id)
                .first(c)
                .optional()
        })?;
        if holder.is_some() && holder != own {
            violations.push(Rule::Taken.at("name"));
        }
    }
    if let Some(email) = email {
        let holder: Option<UserId> = on!(conn, |c| {
            users::table
                .filter(users::email_key.eq(&email.key))
                .select(users::id)
                .first(c)
                .optional()
        })?;
        if holder.is_some() && holder != own {
            violations.push(Rule::Taken.at("email"));
        }
    }
    violations.conflict()
}

/// Fails if `id` is the only admin who is not banned. Locks all admins until the transaction ends.
fn keep_an_admin(conn: &mut Conn, id: UserId) -> Result<()> {
    lock_admins(conn)?;
    dialect::lock(conn, Lockable::Users, id)?;
    let user = by_id(conn, id)?;
    if user.role != Role::Admin || user.is_banned {
        return Ok(());
    }
    let others: i64 = on!(conn, |c| {
        users::table
            .filter(
                users::role
                    .eq(Role::Admin)
                    .and(users::is_banned.eq(false))
                    .and(users::id.ne(id)),
            )
            .count()
            .get_result(c)
    })?;
    if others == 0 {
        Err(Error::conflict("id", Rule::LastAdmin))
    } else {
        Ok(())
    }
}

/// Locks the rows of all admins until the transaction ends, so that two of them cannot demote each other at the same
/// time. On SQLite there is only one writer anyway.
fn lock_admins(conn: &mut Conn) -> Result<()> {
    if let Conn::Mysql(conn) = conn {
        diesel::sql_query("SELECT 1 FROM users WHERE role = 1 FOR UPDATE").execute(conn)?;
    }
    Ok(())
}
