//! Counts the sockets without a sign-in of each address.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub struct AnonymousSockets(Arc<Mutex<HashMap<IpAddr, usize>>>);

/// One such socket, counted until it is dropped.
pub struct AnonymousSocket {
    sockets: AnonymousSockets,
    address: IpAddr,
}

impl AnonymousSockets {
    /// One more socket of `address`, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, address: IpAddr, limit: usize) -> Option<AnonymousSocket> {
        let mut sockets = self.0.lock();
        let taken = sockets.entry(address).or_default();
        if *taken >= limit {
            return None;
        }
        *taken += 1;
        Some(AnonymousSocket {
            sockets: self.clone(),
            address,
        })
    }
}

impl Drop for AnonymousSocket {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.sockets.0.lock().entry(self.address) {
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
    fn an_address_has_so_many_sockets_and_nothing_is_left_of_those_that_were_given_back() {
        let sockets = AnonymousSockets::default();
        let take = |host| sockets.take(IpAddr::from([192, 0, 2, host]), 2);
        let (one, two) = (take(1), take(1));
        assert!(one.is_some() && two.is_some());
        assert!(take(1).is_none());
        assert!(take(2).is_some());

        drop(one);
        assert!(take(1).is_some());
        drop(two);

        assert!(sockets.0.lock().is_empty());
    }
}
