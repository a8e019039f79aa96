//! The cache of this process. It has a size: what it forgets first when it is full are claims, then what ends soonest.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;

use super::kept::{self, Kept};
use crate::{
    clock::{Clock, Moment},
    db::Db,
    error::Result,
};

pub(super) struct Memory {
    clock: Clock,
    db: Db,
    shelf: Mutex<Shelf>,
    /// Held while a lock is taken, so that fences are handed out in the order of the locks.
    locking: tokio::sync::Mutex<()>,
    /// By family and member.
    tallies: Mutex<HashMap<&'static str, HashMap<String, u64>>>,
    /// When each member stops to belong to its set. A restart forgets them.
    sets: Mutex<HashMap<String, HashMap<String, Moment>>>,
}

struct Shelf {
    entries: HashMap<String, Entry>,
    /// With this many entries, expired ones are removed.
    sweep_at: usize,
    /// The most entries.
    most: usize,
}

struct Entry {
    ends: Moment,
    value: Value,
}

#[derive(Clone)]
pub(super) enum Value {
    Count(u64),
    Bytes(Vec<u8>),
    Claim,
    /// With its fence.
    Lock(u64),
}

/// With fewer entries than this, nothing is removed.
const SWEEP_FROM: usize = 4_096;
/// The most entries: some 100 MB of them.
const MOST: usize = 500_000;

impl Shelf {
    fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            sweep_at: SWEEP_FROM.min(most),
            most,
        }
    }

    /// The value of `key`, if it has not ended.
    fn at(&mut self, key: &str, now: Moment) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(|entry| entry.ends > now)
    }

    fn insert(&mut self, key: String, entry: Entry, now: Moment) {
        if self.entries.len() >= self.sweep_at {
            self.entries.retain(|_, e| e.ends > now);
            self.make_room();
            // The cost grows with the number of entries. Doubling the threshold keeps it rare.
            self.sweep_at = (self.entries.len() * 2).clamp(SWEEP_FROM.min(self.most), self.most);
        }
        self.entries.insert(key, entry);
    }

    /// Forgets a tenth when it is full.
    fn make_room(&mut self) {
        if self.entries.len() < self.most - self.most / 10 {
            return;
        }
        let rank = |entry: &Entry| match entry.value {
            Value::Claim => (0, entry.ends),
            Value::Count(_) | Value::Bytes(_) => (1, entry.ends),
            Value::Lock(_) => (2, entry.ends),
        };
        let mut ranks: Vec<_> = self.entries.values().map(rank).collect();
        let at = self.most / 10;
        let (_, last, _) = ranks.select_nth_unstable(at);
        let last = *last;
        self.entries.retain(|_, entry| rank(entry) > last);
        tracing::warn!(
            left = self.entries.len(),
            "the cache is full and forgets what ends soonest; REDIS_URL gives it more room"
        );
    }
}

impl Memory {
    pub(super) fn new(clock: Clock, db: Db) -> Self {
        Self {
            clock,
            db,
            shelf: Mutex::new(Shelf::new(MOST)),
            locking: tokio::sync::Mutex::default(),
            tallies: Mutex::default(),
            sets: Mutex::default(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.clock.moment();
        match &self.shelf.lock().at(key, now)?.value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }

    pub(super) fn put(&self, key: &str, value: Vec<u8>, lifetime: Duration) {
        let now = self.clock.moment();
        let entry = Entry {
            ends: now.after(lifetime),
            value: Value::Bytes(value),
        };
        self.shelf.lock().insert(key.to_owned(), entry, now);
    }

    pub(super) fn take(&self, key: &str) -> Option<Vec<u8>> {
        let now = self.clock.moment();
        let entry = self.shelf.lock().entries.remove(key)?;
        match entry.value {
            Value::Bytes(bytes) if entry.ends > now => Some(bytes),
            _ => None,
        }
    }

    pub(super) fn count(&self, key: &str, window: Duration) -> (u64, Duration) {
        let now = self.clock.moment();
        let mut shelf = self.shelf.lock();
        if let Some(entry) = shelf.at(key, now)
            && let Value::Count(count) = &mut entry.value
        {
            *count += 1;
            return (*count, entry.ends.since(now));
        }
        let entry = Entry {
            ends: now.after(window),
            value: Value::Count(1),
        };
        shelf.insert(key.to_owned(), entry, now);
        (1, window)
    }

    pub(super) fn claim(&self, key: &str, lifetime: Duration) -> bool {
        self.hold(key.to_owned(), Value::Claim, lifetime)
    }

    /// Inserts the value unless there is one.
    fn hold(&self, key: String, value: Value, lifetime: Duration) -> bool {
        let now = self.clock.moment();
        let mut shelf = self.shelf.lock();
        let is_free = shelf.at(&key, now).is_none();
        if is_free {
            let ends = now.after(lifetime);
            shelf.insert(key, Entry { ends, value }, now);
        }
        is_free
    }

    pub(super) fn tally(&self, family: &'static str, member: &str, by: u64) {
        let mut tallies = self.tallies.lock();
        *tallies
            .entry(family)
            .or_default()
            .entry(member.to_owned())
            .or_default() += by;
    }

    pub(super) fn take_tally(&self, family: &'static str) -> HashMap<String, u64> {
        self.tallies.lock().remove(family).unwrap_or_default()
    }

    pub(super) fn enrol(&self, set: &str, members: &[String], lifetime: Duration) {
        let ends = self.clock.moment().after(lifetime);
        let mut sets = self.sets.lock();
        let set = sets.entry(set.to_owned()).or_default();
        for member in members {
            match set.get_mut(member) {
                Some(until) => *until = ends,
                None => drop(set.insert(member.clone(), ends)),
            }
        }
    }

    pub(super) fn members(&self, set: &str) -> Vec<String> {
        let now = self.clock.moment();
        let mut sets = self.sets.lock();
        let Some(members) = sets.get_mut(set) else {
            return Vec::new();
        };
        members.retain(|_, ends| *ends > now);
        let found = members.keys().cloned().collect();
        if members.is_empty() {
            sets.remove(set);
        }
        found
    }

    pub(super) async fn lock(&self, name: &str, lease: Duration) -> Result<Option<u64>> {
        let key = lock_key(name);
        let _one_at_a_time = self.locking.lock().await;
        // A fence that is not used does no harm; a lock without one could not be refused.
        let is_held = self.shelf.lock().at(&key, self.clock.moment()).is_some();
        if is_held {
            return Ok(None);
        }
        let fence = kept::next_fence(&self.db, key.clone()).await?;
        Ok(self.hold(key, Value::Lock(fence), lease).then_some(fence))
    }

    pub(super) fn renew(&self, name: &str, fence: u64, lease: Duration) -> bool {
        let now = self.clock.moment();
        match self.shelf.lock().at(&lock_key(name), now) {
            Some(entry) if matches!(entry.value, Value::Lock(held) if held == fence) => {
                entry.ends = now.after(lease);
                true
            }
            _ => false,
        }
    }

    pub(super) fn unlock(&self, name: &str, fence: u64) -> bool {
        let is_held = self.renew(name, fence, Duration::ZERO);
        if is_held {
            self.shelf.lock().entries.remove(&lock_key(name));
        }
        is_held
    }

    pub(super) async fn restore(&self) -> Result<()> {
        let kept = kept::take(&self.db, self.clock.now()).await?;
        let now = self.clock.moment();
        let mut shelf = self.shelf.lock();
        for Kept {
            name,
            value,
            remains,
        } in kept
        {
            let ends = now.after(remains);
            shelf.insert(name, Entry { ends, value }, now);
        }
        Ok(())
    }

    pub(super) async fn save(&self) -> Result<()> {
        let now = self.clock.moment();
        let kept: Vec<_> = {
            let shelf = self.shelf.lock();
            let live = shelf.entries.iter().filter(|(_, entry)| entry.ends > now);
            live.map(|(name, entry)| Kept {
                name: name.clone(),
                value: entry.value.clone(),
                remains: entry.ends.since(now),
            })
            .collect()
        };
        kept::save(&self.db, self.clock.now(), kept).await
    }
}

fn lock_key(name: &str) -> String {
    format!("lock:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(value: Value, seconds: u64) -> Entry {
        let ends = Clock::system().moment().after(Duration::from_secs(seconds));
        Entry { ends, value }
    }

    #[test]
    fn a_full_shelf_forgets_claims_first_then_what_ends_soonest_and_never_a_lock() {
        let mut shelf = Shelf::new(1_000);
        let now = Clock::system().moment();
        shelf.insert("lock".to_owned(), entry(Value::Lock(1), 1), now);
        shelf.insert("rate".to_owned(), entry(Value::Count(1), 60), now);

        for n in 0..5_000 {
            shelf.insert(format!("claim {n}"), entry(Value::Claim, 3_600 + n), now);
            assert!(shelf.entries.len() <= 1_000);
        }
        assert!(shelf.entries.contains_key("lock") && shelf.entries.contains_key("rate"));
        assert!(shelf.entries.contains_key("claim 4999"));
        for n in 0..5_000 {
            shelf.insert(format!("count {n}"), entry(Value::Count(1), 61 + n), now);
            assert!(shelf.entries.len() <= 1_000);
        }

        assert!(shelf.entries.contains_key("lock") && !shelf.entries.contains_key("rate"));
    }
}
