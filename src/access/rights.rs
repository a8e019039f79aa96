//! Who the sign-in sessions speak for, remembered for a moment.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

use super::SignedIn;
use crate::{
    clock::{Clock, Moment},
    ids::{SignInId, UserId},
};

/// Who the sign-in sessions speak for, remembered for a moment, so that not every request asks the database.
///
/// A change of rights on this server empties it at once ([`RightsCache::forget`]); what changes elsewhere shows when
/// [`RIGHTS_LIFETIME`] is over, or earlier by the bus.
pub struct RightsCache {
    clock: Clock,
    remembered: Mutex<Remembered>,
}

/// How long rights are remembered.
pub const RIGHTS_LIFETIME: Duration = Duration::from_secs(1);
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
pub struct AsOf(u64);

impl RightsCache {
    /// An empty cache.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            remembered: Mutex::default(),
        }
    }

    /// Who `session` speaks for, or the moment to hand to [`RightsCache::remember`] after asking the database.
    pub fn recall(&self, session: SignInId) -> Result<SignedIn, AsOf> {
        let remembered = self.remembered.lock();
        match remembered.sessions.get(&session) {
            Some((signed_in, read_at)) if self.clock.moment().since(*read_at) < RIGHTS_LIFETIME => {
                Ok(*signed_in)
            }
            _ => Err(AsOf(remembered.changes)),
        }
    }

    /// Keeps what the database said, unless rights have changed since it was asked.
    pub fn remember(&self, signed_in: SignedIn, as_of: AsOf) {
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
    pub fn forget(&self, user: UserId) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered
            .sessions
            .retain(|_, (signed_in, _)| signed_in.id != user);
    }

    /// Forgets everything, as after missed news.
    pub fn forget_all(&self) {
        let mut remembered = self.remembered.lock();
        remembered.changes += 1;
        remembered.sessions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;

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
