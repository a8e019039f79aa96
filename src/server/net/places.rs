//! How many sockets without a sign-in each address has.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

/// All places. Cheap to clone.
#[derive(Clone, Default)]
pub struct Places(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// The place of one socket, free again when dropped.
pub struct Place {
    places: Places,
    address: IpAddr,
}

impl Places {
    /// A place for one more socket of `address`, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, address: IpAddr, limit: usize) -> Option<Place> {
        let mut places = self.0.lock();
        let taken = places.entry(address).or_default();
        if *taken >= limit {
            return None;
        }
        *taken += 1;
        Some(Place {
            places: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.places.0.lock().entry(self.address) {
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
    fn an_address_has_so_many_places_and_nothing_is_left_of_those_that_were_given_back() {
        let places = Places::default();
        let take = |host| places.take(IpAddr::from([192, 0, 2, host]), 2);
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some());
        assert!(take(1).is_none());
        assert!(take(2).is_some());

        drop(one);
        assert!(take(1).is_some());
        drop(two);

        assert!(places.0.lock().is_empty());
    }
}
