//! Who sign-in sessions speak for at present: asked of the database, remembered for a moment, and told of on the bus when
//! it changes.

use std::{collections::HashMap, time::Duration};

use diesel::prelude::*;
use parking_lot::Mutex;

use super::{Role, SignedIn};
use crate::{
    bus::{Bus, Heard, Topic},
    clock::{Clock, Moment, Timestamp},
    db::{
        Db, on,
        tables::{sign_in_sessions, users},
    },
    error::{Error, Result},
    ids::{SignInId, UserId},
};

/// Says whose rights have changed: a role, a ban, sign-in sessions, or that the account is gone.
pub const RIGHTS_CHANGED: Topic<UserId> = Topic::only("rights-changed");

/// As [`RIGHTS_CHANGED`], of one user.
#[must_use]
pub fn rights_changed_of(user: UserId) -> Topic<UserId> {
    Topic::of("rights-changed-of", user)
}

/// What users may do at present.
pub struct Rights {
    db: Db,
    bus: Bus,
    clock: Clock,
    cache: RightsCache,
}

impl Rights {
    /// The rights that `db` knows of.
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

    /// Who `session` speaks for at present.
    ///
    /// # Errors
    /// `TOKEN_INVALID` when it has ended, `BANNED` when its user is.
    pub async fn of(&self, session: SignInId) -> Result<SignedIn> {
        let as_of = match self.cache.recall(session) {
            Ok(signed_in) => return Ok(signed_in),
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

    /// Rights of `user` have changed and are committed: this server forgets what it knew, the others and all subscriptions
    /// and sockets of the user hear of it.
    pub fn changed(&self, user: UserId) {
        self.cache.forget(user);
        self.bus.publish(&RIGHTS_CHANGED, user);
        self.bus.publish(&rights_changed_of(user), user);
    }

    /// Forgets what has changed by what was heard of [`RIGHTS_CHANGED`].
    pub fn forget(&self, heard: Heard<UserId>) {
        match heard {
            Heard::Message(user) => self.cache.forget(user),
            Heard::Missed => self.cache.forget_all(),
        }
    }
}

/// Who the sign-in sessions speak for, remembered for a moment, so that not every request asks the database.
///
/// A change of rights on this server empties it at once ([`RightsCache::forget`]); what changes elsewhere shows when
/// [`RIGHTS_LIFETIME`] is over, or earlier by the bus.
struct RightsCache {
    clock: Clock,
    remembered: Mutex<Remembered>,
}

/// How long rights are remembered.
const RIGHTS_LIFETIME: Duration = Duration::from_secs(1);
/// Above so many sessions, those whose time is over are dropped.
const SWEEP_RIGHTS_FROM: usize = 10_000;

#[derive(Default)]
struct Remembered {
    sessions: HashMap<SignInId, (SignedIn, Moment)>,
    /// Grows with every change of rights, so that what was read before a change is not kept after it.
    changes: u64,
}

/// A moment in the history of rights: taken before the database is asked.
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

    /// Who `session` speaks for, or the moment to hand to [`RightsCache::remember`] after asking the database.
    fn recall(&self, session: SignInId) -> Result<SignedIn, AsOf> {
        let remembered = self.remembered.lock();
        match remembered.sessions.get(&session) {
            Some((signed_in, read_at)) if self.clock.moment().since(*read_at) < RIGHTS_LIFETIME => {
                Ok(*signed_in)
            }
            _ => Err(AsOf(remembered.changes)),
        }
    }

    /// Keeps what the database said, unless rights have changed since it was asked.
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

    /// Forgets everything, as after missed news.
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
