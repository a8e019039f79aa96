//! Numbers that look random and are the same for the same seed, on every machine and in every version: SplitMix64
//! (<https://prng.di.unimi.it/splitmix64.c>). Good for made-up data and for splitting data, never for a secret.

use crate::{
    clock::Timestamp,
    ids::{Id, Kind},
};

/// A stream of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream `name` of `seed`. Streams are independent of each other.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let mixed = name
            .bytes()
            .fold(seed, |seed, byte| Self(seed ^ u64::from(byte)).number());
        Self(mixed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is above zero.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.number()) * end as u128) >> 64) as usize
    }

    /// A number below `end`; small ones are far more frequent, as few posts are read and answered much.
    pub fn skewed(&mut self, end: usize) -> usize {
        let share = self.below(end);
        (share as u128 * self.below(end) as u128 / end as u128) as usize
    }

    /// True in this many per cent of calls.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A random item of a list that is not empty.
    pub fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }

    /// An id with this time.
    pub fn id<K: Kind>(&mut self, at: Timestamp) -> Id<K> {
        let millis = u64::try_from(at.micros().div_euclid(1_000)).unwrap_or_default();
        let mut tail = [0; 10];
        tail[..8].copy_from_slice(&self.number().to_be_bytes());
        tail[8..].copy_from_slice(&self.number().to_be_bytes()[..2]);
        Id::from_uuid(uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_every_time_and_differ_by_seed_and_name() {
        let numbers = |seed, name| {
            let mut random = Random::new(seed, name);
            (0..3).map(|_| random.below(1_000_000)).collect::<Vec<_>>()
        };

        assert_eq!(numbers(1, "posts"), numbers(1, "posts"));
        assert_ne!(numbers(1, "posts"), numbers(2, "posts"));
        assert_ne!(numbers(1, "posts"), numbers(1, "likes"));
    }
}
