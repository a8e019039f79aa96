//! Whom sign-in sessions authenticate: read from the database, cached for a moment, and announced on the bus when it
//! changes.

use std::{collections::HashMap, time::Duration};

use diesel::{prelude::*, sql_types::Binary};
use parking_lot::Mutex;

use super::{Actor, Role, SignedIn};
use crate::{
    bus::{Bus, Heard, Topic},
    clock::{Clock, Moment, Timestamp},
    db::{
        Conn, Db, on,
        tables::{sign_in_sessions, users},
    },
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// Announces whose rights have changed: by a role, a ban, ended sign-in sessions or the deletion of the account.
pub const RIGHTS_CHANGED: Topic<UserId> = Topic::only("rights-changed");

/// The same as [`RIGHTS_CHANGED`], for one user.
#[must_use]
pub fn rights_changed_of(user: UserId) -> Topic<UserId> {
    Topic::of("rights-changed-of", user)
}

/// The current rights of users.
pub struct Rights {
    db: Db,
    bus: Bus,
    clock: Clock,
    cache: RightsCache,
}

impl Rights {
    /// Rights as `db` has them.
    #[must_use]
    pub fn new(db: Db, bus: Bus, clock: Clock) -> Self {
        let cache = RightsCache::new(clock.clone());
        Self {
            db,
            bus,
            clock,
            cache,
        }
    }

    /// The user whom `session` authenticates now.
    ///
    /// # Errors
    /// `TOKEN_INVALID` when it has ended, `BANNED` when its user is.
    pub async fn of(&self, session: SignInId) -> Result<SignedIn> {
        let as_of = match self.cache.recall(session) {
            // While the bus is down, nothing tells of changes elsewhere.
            Ok(signed_in) if self.bus.health().is_ok() => return Ok(signed_in),
            Ok(_) => self.cache.as_of(),
            Err(as_of) => as_of,
        };
        type Row = (UserId, Role, bool, Option<String>, Timestamp);
        let row: Option<Row> = self
            .db
            .read(move |conn| {
                Ok(on!(conn, |c| {
                    sign_in_sessions::table
                        .inner_join(users::table)
                        .filter(sign_in_sessions::id.eq(session))
                        .select((
                            users::id,
                            users::role,
                            users::is_banned,
                            users::ban_reason,
                            sign_in_sessions::expires_at,
                        ))
                        .get_result(c)
                        .optional()
                })?)
            })
            .await?;
        match row {
            Some((_, _, true, reason, _)) => Err(Error::Banned { reason }),
            Some((id, role, false, _, expires_at)) if expires_at > self.clock.now() => {
                let signed_in = SignedIn { id, role, session };
                self.cache.remember(signed_in, as_of);
                Ok(signed_in)
            }
            _ => Err(Error::TokenInvalid),
        }
    }

    /// The users whose sign-in session has ended or whose role is another, of `known` rights. For a few hundred at a time.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn changed_among(&self, known: Vec<SignedIn>) -> Result<Vec<UserId>> {
        let now = self.clock.now();
        let sessions: Vec<_> = known.iter().map(|right| right.session).collect();
        let present: HashMap<SignInId, Role> = self
            .db
            .read(move |conn| {
                let rows: Vec<(SignInId, Role)> = on!(conn, |c| {
                    sign_in_sessions::table
                        .inner_join(users::table)
                        .filter(sign_in_sessions::id.eq_any(&sessions))
                        .filter(sign_in_sessions::expires_at.gt(now))
                        .filter(users::is_banned.eq(false))
                        .select((sign_in_sessions::id, users::role))
                        .load(c)
                })?;
                Ok(rows.into_iter().collect())
            })
            .await?;
        let changed = known
            .into_iter()
            .filter(|right| present.get(&right.session) != Some(&right.role));
        Ok(changed.map(|right| right.id).collect())
    }

    /// Call it once a change of the rights of `user` is committed: this server drops what it cached, and the other
    /// servers and all subscriptions and sockets of the user are told.
    pub fn changed(&self, user: UserId) {
        self.cache.forget(user);
        self.bus.publish(&RIGHTS_CHANGED, user);
        self.bus.publish(&rights_changed_of(user), user);
    }

    /// Drops what is cached of one session.
    pub fn forget_session(&self, session: SignInId) {
        let mut remembered = self.cache.remembered.lock();
        remembered.changes += 1;
        remembered.sessions.remove(&session);
    }

    /// Drops what a message of [`RIGHTS_CHANGED`] is about from the cache.
    pub fn forget(&self, heard: Heard<UserId>) {
        match heard {
            Heard::News(news) => self.cache.forget(news.about),
            Heard::Missed => self.cache.forget_all(),
        }
    }
}

/// Locks the account of `actor` against its deletion until the transaction ends, for rows that name a user without a
/// foreign key.
///
/// # Errors
/// `TOKEN_INVALID` when it is deleted.
pub fn lock_user(conn: &mut Conn, actor: &Actor) -> Result<()> {
    let id = actor.id().ok_or(Error::Unauthenticated)?;
    lock_account(conn, id).map_err(|error| match error {
        Error::NotFound => Error::TokenInvalid,
        error => error,
    })
}

/// As [`lock_user`], for any account.
///
/// # Errors
/// `NOT_FOUND` when there is none.
pub fn lock_account(conn: &mut Conn, id: UserId) -> Result<()> {
    if let Conn::Mysql(conn) = conn {
        // MariaDB does not know FOR SHARE.
        diesel::sql_query("SELECT 1 FROM users WHERE id = ? LOCK IN SHARE MODE")
            .bind::<Binary, _>(id)
            .execute(conn)?;
    }
    let there: Option<UserId> = on!(conn, |c| users::table
        .find(id)
        .select(users::id)
        .get_result(c)
        .optional())?;
    there.map(drop).ok_or(Error::NotFound)
}

/// Whom sign-in sessions authenticate, cached so that not every request reads the database.
///
/// A change on this server drops the user's entries at once ([`RightsCache::forget`]). A change on another server takes
/// effect after [`RIGHTS_LIFETIME`], or earlier through the bus.
struct RightsCache {
    clock: Clock,
    remembered: Mutex<Remembered>,
}

/// How long an entry is valid.
const RIGHTS_LIFETIME: Duration = Duration::from_secs(1);
/// With this many entries, expired ones are removed.
const SWEEP_RIGHTS_FROM: usize = 10_000;

#[derive(Default)]
struct Remembered {
    sessions: HashMap<SignInId, (SignedIn, Moment)>,
    /// Counts changes of rights, so that what was read before a change is not cached after it.
    changes: u64,
}

/// The number of changes so far, taken before the database is read.
#[derive(Clone, Copy)]
struct AsOf(u64);

impl RightsCache {
    /// An empty cache.
    fn new(clock: Clock) -> Self {
        Self {
            clock,
            remembered: Mutex::default(),
        }
    }

    /// The cached user of `session`, or what to pass to [`RightsCache::remember`] after reading the database.
    fn recall(&self, session: SignInId) -> Result<SignedIn, AsOf> {
        let remembered = self.remembered.lock();
        match remembered.sessions.get(&session) {
            Some((signed_in, read_at)) if self.clock.moment().since(*read_at) < RIGHTS_LIFETIME => {
                Ok(*signed_in)
            }
            _ => Err(AsOf(remembered.changes)),
        }
    }

    fn as_of(&self) -> AsOf {
        AsOf(self.remembered.lock().changes)
    }

    /// Caches what was read, unless rights have changed since the read began.
    fn remember(&self, signed_in: SignedIn, as_of: AsOf) {
        let now = self.clock.moment();
        let mut remembered = self.remembered.lock();
        if remembered.changes != as_of.0 {
            return;
        }
        if remembered.sessions.len() >= SWEEP_RIGHTS_FROM {
            remembered
                .sessions
                .retain(|_, (_, read_at)| now.since(*read_at) < RIGHTS_LIFETIME);
        }
        remembered
            .sessions
            .insert(signed_in.session, (signed_in, now));
    }

    /// Forgets all about `user`.
    fn forget(&self, user: UserId) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered
            .sessions
            .retain(|_, (signed_in, _)| signed_in.id != user);
    }

    /// Drops everything, for when messages were missed.
    fn forget_all(&self) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_remembered_for_a_second_whatever_the_time_of_day() {
        let clock = Clock::system();
        let cache = RightsCache::new(clock.clone());
        let signed_in = SignedIn {
            id: clock.id(),
            role: Role::User,
            session: clock.id(),
        };
        let recall = || cache.recall(signed_in.session).ok();
        let as_of = cache.recall(signed_in.session).expect_err("unknown yet");
        cache.remember(signed_in, as_of);

        clock.set_by(-3_600);
        assert_eq!(recall(), Some(signed_in));
        clock.advance(RIGHTS_LIFETIME);

        assert_eq!(recall(), None);
    }
}
