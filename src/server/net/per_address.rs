//! Counts something for each address: connections, requests, sockets without a sign-in.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

/// How many of them each address has. Cheap to clone.
#[derive(Clone, Default)]
pub struct PerAddress(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One of them, counted until it is dropped.
pub struct Taken {
    all: PerAddress,
    address: IpAddr,
}

impl PerAddress {
    /// One more of `address`, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, address: IpAddr, limit: usize) -> Option<Taken> {
        let mut all = self.0.lock();
        let taken = all.get(&address).copied().unwrap_or_default();
        if taken >= limit {
            return None;
        }
        all.insert(address, taken + 1);
        Some(Taken {
            all: self.clone(),
            address,
        })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.all.0.lock().entry(self.address) {
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
    fn an_address_has_so_many_and_nothing_is_left_of_those_that_were_given_back() {
        let all = PerAddress::default();
        let take = |host| all.take(IpAddr::from([192, 0, 2, host]), 2);
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some());
        assert!(take(1).is_none());
        assert!(take(2).is_some());

        drop(one);
        assert!(take(1).is_some());
        drop(two);
        assert!(all.take(IpAddr::from([192, 0, 2, 1]), 0).is_none());

        assert!(all.0.lock().is_empty());
    }
}
