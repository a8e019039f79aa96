//! A cache of what batches have read since the last commit.
//!
//! Lists refer to the same few authors and boards over and over. Nothing needs to be invalidated: a commit makes the
//! whole cache invalid before it is acknowledged.

use std::{
    any::TypeId,
    collections::HashMap,
    hash::Hash,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{by_type::ByType, db::Version};

/// The most values of one batch. With more, all are dropped.
const MOST: usize = 10_000;

/// How long values are valid. Commits of other processes, such as `madang create-admin`, do not invalidate them.
const LONGEST: Duration = Duration::from_secs(1);

/// What was read, of all batches.
#[derive(Default)]
pub struct Memory(ByType);

/// What was read of one batch.
type Kept<K, V> = RwLock<Option<Since<K, V>>>;

struct Since<K, V> {
    version: Version,
    began: Instant,
    values: HashMap<K, V>,
}

impl<K, V> Since<K, V> {
    fn is_of(&self, version: Version) -> bool {
        self.version == version && self.began.elapsed() < LONGEST
    }
}

impl Memory {
    /// The value of `key` in a batch, if it was read at this version of the data.
    pub fn recall<K, V>(&self, batch: TypeId, version: Version, key: &K) -> Option<V>
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let kept = self.0.of::<Kept<K, V>>(batch);
        let since = kept.read();
        let since = since.as_ref().filter(|since| since.is_of(version))?;
        since.values.get(key).cloned()
    }

    /// Caches what was read. `version` is that of before the read, which may have missed later commits.
    pub fn keep<K, V>(&self, batch: TypeId, version: Version, values: &HashMap<K, V>)
    where
        K: Clone + Eq + Hash + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let kept = self.0.of::<Kept<K, V>>(batch);
        let mut since = kept.write();
        let has_room = |since: &Since<K, V>| since.values.len() + values.len() <= MOST;
        let since = match &mut *since {
            Some(since) if since.is_of(version) && has_room(since) => since,
            other => other.insert(Since {
                version,
                began: Instant::now(),
                values: HashMap::new(),
            }),
        };
        let values = values.iter().take(MOST);
        let values = values.map(|(key, value)| (key.clone(), value.clone()));
        since.values.extend(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: TypeId = TypeId::of::<u8>();

    fn doubled(keys: std::ops::Range<usize>) -> HashMap<usize, usize> {
        keys.map(|key| (key, key * 2)).collect()
    }

    #[test]
    fn another_version_makes_it_void() {
        let (memory, versions) = (Memory::default(), [1, 2].map(Version::of));

        memory.keep(BATCH, versions[0], &doubled(0..3));

        assert_eq!(
            memory.recall::<usize, usize>(BATCH, versions[0], &2),
            Some(4)
        );
        assert_eq!(memory.recall::<usize, usize>(BATCH, versions[0], &3), None);
        assert_eq!(memory.recall::<usize, usize>(BATCH, versions[1], &2), None);
        memory.keep(BATCH, versions[1], &doubled(5..6));
        assert_eq!(memory.recall::<usize, usize>(BATCH, versions[1], &2), None);
        assert_eq!(
            memory.recall::<usize, usize>(BATCH, versions[1], &5),
            Some(10)
        );
    }

    #[test]
    fn it_is_bounded() {
        let (memory, version) = (Memory::default(), Version::of(1));
        let size = || {
            memory
                .0
                .of::<Kept<usize, usize>>(BATCH)
                .read()
                .as_ref()
                .unwrap()
                .values
                .len()
        };

        for tenth in 0..25 {
            let first = tenth * MOST / 10;
            memory.keep(BATCH, version, &doubled(first..first + MOST / 10));
            assert!(size() <= MOST);
        }
        memory.keep(BATCH, version, &doubled(0..MOST * 2));

        assert_eq!(size(), MOST);
    }

    #[test]
    fn it_is_short() {
        let (memory, version) = (Memory::default(), Version::of(1));
        memory.keep(BATCH, version, &doubled(0..1));
        if let Some(since) = &mut *memory.0.of::<Kept<usize, usize>>(BATCH).write() {
            since.began = Instant::now().checked_sub(LONGEST).unwrap();
        }

        assert_eq!(memory.recall::<usize, usize>(BATCH, version, &0), None);
    }
}
