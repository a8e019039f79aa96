//! Small values that expire, counters, claims and locks: for rates, single-use tokens, views, and work that one server
//! does at a time. In the process, or in Redis when several servers share them.

mod kept;
mod memory;
mod redis;

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt;

use self::{memory::Memory, redis::Remote};
use crate::{clock::Clock, db::Db, error::Result, redis::Redis};

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Backend>);

enum Backend {
    Memory(Memory),
    Redis(Remote),
}

/// A lock that is held until its lease runs out.
#[derive(Debug, PartialEq, Eq)]
pub struct Lock {
    name: String,
    fence: u64,
}

impl Lock {
    /// Greater than that of everybody who has held the lock before. Whatever the lock protects must refuse to be written
    /// with a smaller one, since the lease of its writer has run out.
    #[must_use]
    pub fn fence(&self) -> u64 {
        self.fence
    }
}

/// Calls the same method of the backend in use. That of Redis is async, and boxed: its future takes 7 KiB, which would be
/// part of every future that uses the cache.
macro_rules! either {
    ($cache:expr, $method:ident($($argument:expr),*)) => {
        match &*$cache.0 {
            Backend::Memory(memory) => Ok(memory.$method($($argument),*)),
            Backend::Redis(redis) => redis.$method($($argument),*).boxed().await,
        }
    };
}

/// All methods fail with `UNAVAILABLE` when the cache is a Redis that cannot be reached.
impl Cache {
    /// A cache within this process. Lifetimes are measured by `clock`. What a restart must not forget is in `db`.
    #[must_use]
    pub fn in_process(clock: Clock, db: Db) -> Self {
        Self(Arc::new(Backend::Memory(Memory::new(clock, db))))
    }

    /// The cache that all servers with this Redis and prefix share. Lifetimes are measured by Redis.
    #[must_use]
    pub fn through(redis: &Redis) -> Self {
        Self(Arc::new(Backend::Redis(Remote::new(redis.clone()))))
    }

    /// Whether this process alone knows what is in it.
    #[must_use]
    pub fn is_in_process(&self) -> bool {
        matches!(*self.0, Backend::Memory(_))
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        either!(self, get(key))
    }

    /// Stores `value` under `key` for `lifetime`, and replaces what was there.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn put(&self, key: &str, value: Vec<u8>, lifetime: Duration) -> Result<()> {
        either!(self, put(key, value, lifetime))
    }

    /// Removes and returns the value of `key`. When several callers do so at once, one gets it.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn take(&self, key: &str) -> Result<Option<Vec<u8>>> {
        either!(self, take(key))
    }

    /// Adds one to the counter `key`, which starts at zero and expires `window` after its first count. Returns the new
    /// count and how long the window still lasts.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn count(&self, key: &str, window: Duration) -> Result<(u64, Duration)> {
        either!(self, count(key, window))
    }

    /// Claims `key` for `lifetime`. Returns true to exactly one caller until then. A cache that is full forgets claims
    /// first, so nothing may depend on them that matters.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn claim(&self, key: &str, lifetime: Duration) -> Result<bool> {
        either!(self, claim(key, lifetime))
    }

    /// Adds `by` to the tally of `member` in `family`.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn tally(&self, family: &'static str, member: &str, by: u64) -> Result<()> {
        either!(self, tally(family, member, by))
    }

    /// Removes and returns the tallies of `family`, by member. When several callers do so at once, each tally goes to
    /// one of them.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn take_tally(&self, family: &'static str) -> Result<HashMap<String, u64>> {
        either!(self, take_tally(family))
    }

    /// Makes `members` belong to `set` for `lifetime` from now on, whether they did or not.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn enrol(&self, set: &str, members: &[String], lifetime: Duration) -> Result<()> {
        either!(self, enrol(set, members, lifetime))
    }

    /// Who belongs to `set` at present, in any order.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn members(&self, set: &str) -> Result<Vec<String>> {
        either!(self, members(set))
    }

    /// Takes the lock `name` for `lease`, if nobody holds it.
    ///
    /// # Errors
    /// See [`Cache`]; those of the database, which keeps the fences of a cache in the process.
    pub async fn lock(&self, name: &str, lease: Duration) -> Result<Option<Lock>> {
        let fence = match &*self.0 {
            Backend::Memory(memory) => memory.lock(name, lease).await,
            Backend::Redis(redis) => redis.lock(name, lease).boxed().await,
        };
        let name = name.to_owned();
        Ok(fence?.map(|fence| Lock { name, fence }))
    }

    /// Holds the lock for another `lease` from now on. Returns false when it is not held any more.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn renew(&self, lock: &Lock, lease: Duration) -> Result<bool> {
        either!(self, renew(&lock.name, lock.fence, lease))
    }

    /// Gives the lock back. Returns false when it was not held any more.
    ///
    /// # Errors
    /// See [`Cache`].
    pub async fn unlock(&self, lock: Lock) -> Result<bool> {
        either!(self, unlock(&lock.name, lock.fence))
    }

    /// Brings back what was [saved](Cache::save). Redis forgets nothing.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn restore(&self) -> Result<()> {
        match &*self.0 {
            Backend::Memory(memory) => memory.restore().await,
            Backend::Redis(_) => Ok(()),
        }
    }

    /// Saves counters, values and claims in the database, before an orderly stop.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn save(&self) -> Result<()> {
        match &*self.0 {
            Backend::Memory(memory) => memory.save().await,
            Backend::Redis(_) => Ok(()),
        }
    }
}
