//! Counts what each address or each user has at once: connections, requests, sockets, subscriptions.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    sync::Arc,
};

use parking_lot::Mutex;

/// How many each one has. Cheap to clone.
pub struct Counts<K: Copy + Eq + Hash>(Arc<Mutex<HashMap<K, usize>>>);

/// One of them, counted until it is dropped.
pub struct Taken<K: Copy + Eq + Hash> {
    all: Counts<K>,
    whose: K,
}

impl<K: Copy + Eq + Hash> Clone for Counts<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Copy + Eq + Hash> Default for Counts<K> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Copy + Eq + Hash> Counts<K> {
    /// One more of `whose`, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, whose: K, limit: usize) -> Option<Taken<K>> {
        let mut all = self.0.lock();
        let taken = all.get(&whose).copied().unwrap_or_default();
        if taken >= limit {
            return None;
        }
        all.insert(whose, taken + 1);
        Some(Taken {
            all: self.clone(),
            whose,
        })
    }
}

impl<K: Copy + Eq + Hash> Drop for Taken<K> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.all.0.lock().entry(self.whose) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_so_many_and_nothing_is_left_of_those_that_were_given_back() {
        let all = Counts::default();
        let take = |whose| all.take(whose, 2);
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some());
        assert!(take(1).is_none());
        assert!(take(2).is_some());

        drop(one);
        assert!(take(1).is_some());
        drop(two);
        assert!(all.take(1, 0).is_none());

        assert!(all.0.lock().is_empty());
    }
}
