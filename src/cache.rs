//! Small values that expire, counters and claims: for rates, single-use tokens and views. In the process, or in Redis
//! when several servers share them. Nothing here survives a restart.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::{
    clock::{Clock, Moment},
    error::Result,
};

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

enum Inner {
    InProcess(InProcess),
}

impl Cache {
    /// A cache within this process. Lifetimes are measured by `clock`.
    #[must_use]
    pub fn in_process(clock: Clock) -> Self {
        Self(Arc::new(Inner::InProcess(InProcess {
            clock,
            shelf: Mutex::default(),
            tallies: Mutex::default(),
        })))
    }

    /// Adds one to the counter `key`, which starts at zero and expires `window` after its first count. Returns the new
    /// count and how long the window still lasts.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the cache is a server that cannot be reached.
    pub async fn count(&self, key: &str, window: Duration) -> Result<(u64, Duration)> {
        let Inner::InProcess(cache) = &*self.0;
        Ok(cache.count(key, window))
    }

    /// Stores `value` under `key` for `lifetime`, and replaces what was there.
    ///
    /// # Errors
    /// As [`Cache::count`].
    pub async fn put(&self, key: &str, value: Vec<u8>, lifetime: Duration) -> Result<()> {
        let Inner::InProcess(cache) = &*self.0;
        cache.put(key, value, lifetime);
        Ok(())
    }

    /// Claims `key` for `lifetime`. Returns true to exactly one caller until then.
    ///
    /// # Errors
    /// As [`Cache::count`].
    pub async fn claim(&self, key: &str, lifetime: Duration) -> Result<bool> {
        let Inner::InProcess(cache) = &*self.0;
        Ok(cache.claim(key, lifetime))
    }

    /// Adds `by` to the tally of `member` in `family`.
    ///
    /// # Errors
    /// As [`Cache::count`].
    pub async fn tally(&self, family: &'static str, member: &str, by: u64) -> Result<()> {
        let Inner::InProcess(cache) = &*self.0;
        cache.tally(family, member, by);
        Ok(())
    }

    /// Removes and returns the tallies of `family`, by member. When several callers do so at once, each tally goes to
    /// one of them.
    ///
    /// # Errors
    /// As [`Cache::count`].
    pub async fn take_tally(&self, family: &'static str) -> Result<HashMap<String, u64>> {
        let Inner::InProcess(cache) = &*self.0;
        Ok(cache.tallies.lock().remove(family).unwrap_or_default())
    }

    /// Removes and returns the value of `key`. When several callers do so at once, one gets it.
    ///
    /// # Errors
    /// As [`Cache::count`].
    pub async fn take(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let Inner::InProcess(cache) = &*self.0;
        Ok(cache.take(key))
    }
}

struct InProcess {
    clock: Clock,
    shelf: Mutex<Shelf>,
    /// By family and member.
    tallies: Mutex<HashMap<&'static str, HashMap<String, u64>>>,
}

#[derive(Default)]
struct Shelf {
    entries: HashMap<String, Entry>,
    /// With this many entries, expired ones are removed.
    sweep_at: usize,
}

struct Entry {
    ends: Moment,
    value: Value,
}

enum Value {
    Count(u64),
    Bytes(Vec<u8>),
}

/// With fewer entries than this, nothing is removed.
const SWEEP_FROM: usize = 4_096;

impl Shelf {
    fn insert(&mut self, key: &str, entry: Entry, now: Moment) {
        if self.entries.len() >= self.sweep_at.max(SWEEP_FROM) {
            self.entries.retain(|_, e| e.ends > now);
            // The cost grows with the number of entries. Doubling the threshold keeps it rare.
            self.sweep_at = self.entries.len() * 2;
        }
        self.entries.insert(key.to_owned(), entry);
    }
}

impl InProcess {
    fn count(&self, key: &str, window: Duration) -> (u64, Duration) {
        let now = self.clock.moment();
        let mut shelf = self.shelf.lock();
        match shelf.entries.get_mut(key) {
            Some(Entry {
                ends,
                value: Value::Count(count),
            }) if *ends > now => {
                *count += 1;
                (*count, ends.since(now))
            }
            _ => {
                shelf.insert(
                    key,
                    Entry {
                        ends: now.after(window),
                        value: Value::Count(1),
                    },
                    now,
                );
                (1, window)
            }
        }
    }

    fn put(&self, key: &str, value: Vec<u8>, lifetime: Duration) {
        let now = self.clock.moment();
        self.shelf.lock().insert(
            key,
            Entry {
                ends: now.after(lifetime),
                value: Value::Bytes(value),
            },
            now,
        );
    }

    fn claim(&self, key: &str, lifetime: Duration) -> bool {
        let now = self.clock.moment();
        let mut shelf = self.shelf.lock();
        let is_free = shelf.entries.get(key).is_none_or(|e| e.ends <= now);
        if is_free {
            let claim = Entry {
                ends: now.after(lifetime),
                value: Value::Bytes(Vec::new()),
            };
            shelf.insert(key, claim, now);
        }
        is_free
    }

    fn tally(&self, family: &'static str, member: &str, by: u64) {
        let mut tallies = self.tallies.lock();
        *tallies
            .entry(family)
            .or_default()
            .entry(member.to_owned())
            .or_default() += by;
    }

    fn take(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.clock.moment();
        match self.shelf.lock().entries.remove(key) {
            Some(Entry {
                ends,
                value: Value::Bytes(bytes),
            }) if ends > now => Some(bytes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test]
    async fn a_claim_holds_until_it_ends() {
        let clock = Clock::system();
        let cache = Cache::in_process(clock.clone());

        assert!(cache.claim("a", HOUR).await.unwrap());
        assert!(!cache.claim("a", HOUR).await.unwrap());
        assert!(cache.claim("b", HOUR).await.unwrap());
        clock.advance(HOUR);
        assert!(cache.claim("a", HOUR).await.unwrap());
    }

    #[tokio::test]
    async fn windows_and_lifetimes_do_not_follow_the_time_of_day() {
        let clock = Clock::system();
        let cache = Cache::in_process(clock.clone());
        let minute = Duration::from_secs(60);
        cache.count("rate", minute).await.unwrap();
        cache.put("token", vec![1], minute).await.unwrap();

        for hours in [-1, 3] {
            clock.set_by(hours * 3_600);
            let (count, left) = cache.count("rate", minute).await.unwrap();
            assert!(count > 1 && left <= minute, "{left:?}");
            assert!(!cache.claim("token", minute).await.unwrap());
        }
        clock.advance(minute);

        assert_eq!(cache.count("rate", minute).await.unwrap().0, 1);
        assert_eq!(cache.take("token").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_tally_is_taken_once_and_whole() {
        let cache = Cache::in_process(Clock::system());
        for (family, member, by) in [("x", "1", 1), ("x", "2", 5), ("x", "1", 2), ("y", "1", 9)] {
            cache.tally(family, member, by).await.unwrap();
        }

        let taken = cache.take_tally("x").await.unwrap();

        assert_eq!(
            taken,
            HashMap::from([("1".to_owned(), 3), ("2".to_owned(), 5)])
        );
        assert!(cache.take_tally("x").await.unwrap().is_empty());
    }
}
