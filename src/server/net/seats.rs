//! The sockets of each user on this server: counted, and notified when the user's rights change.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    bus::{Heard, Listener},
    ids::UserId,
};

/// All seats. Cheap to clone. One listener serves all sockets, so that a message wakes only those of its user.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<UserId, Vec<Arc<Notify>>>>>);

/// The seat of one socket, which is free again when dropped.
pub struct Seat {
    seats: Seats,
    user: UserId,
    changed: Arc<Notify>,
    waiting: Pin<Box<OwnedNotified>>,
}

impl Seats {
    /// A seat for one more socket of `user`, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, user: UserId, limit: usize) -> Option<Seat> {
        let changed = Arc::new(Notify::new());
        let mut seats = self.0.lock();
        let taken = seats.entry(user).or_default();
        if taken.len() >= limit {
            return None;
        }
        taken.push(Arc::clone(&changed));
        Some(Seat {
            seats: self.clone(),
            user,
            waiting: Box::pin(Arc::clone(&changed).notified_owned()),
            changed,
        })
    }

    /// Notifies sockets of what `listener` receives, forever. Before, what is cached of it is dropped by `forget`: otherwise
    /// a socket that checks its right again at once might be told the old one.
    pub async fn listen(self, mut listener: Listener<UserId>, forget: impl Fn(Heard<UserId>)) {
        loop {
            let heard = listener.next().await;
            forget(heard);
            let seats = self.0.lock();
            match heard {
                Heard::News(news) => {
                    let theirs = seats.get(&news.about);
                    theirs.into_iter().flatten().for_each(|s| s.notify_one());
                }
                Heard::Missed => seats.values().flatten().for_each(|s| s.notify_one()),
            }
        }
    }
}

impl Seat {
    /// Waits for a notification that the user's rights may have changed. One that comes while nobody waits is kept.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.waiting.as_mut().poll(cx));
        let next = Arc::clone(&self.changed).notified_owned();
        self.waiting.set(next);
        Poll::Ready(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut theirs) = self.seats.0.lock().entry(self.user) {
            theirs.get_mut().retain(|s| !Arc::ptr_eq(s, &self.changed));
            if theirs.get().is_empty() {
                theirs.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;
    use crate::{access::RIGHTS_CHANGED, bus::Bus};

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_seat_is_free_again_when_its_socket_is_gone() {
        let seats = Seats::default();
        let first = seats.take(user(1), 2).unwrap();
        let _second = seats.take(user(1), 2).unwrap();
        assert!(seats.take(user(1), 2).is_none());
        assert!(seats.take(user(2), 2).is_some());

        drop(first);

        assert!(seats.take(user(1), 2).is_some());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn word_of_changed_rights_reaches_the_sockets_of_that_user_only() {
        let (bus, seats) = (Bus::in_process(), Seats::default());
        let listening = tokio::task::LocalSet::new();
        let (mut one, mut other) = (
            seats.take(user(1), 9).unwrap(),
            seats.take(user(2), 9).unwrap(),
        );
        listening.spawn_local(
            seats
                .clone()
                .listen(bus.listen(&[RIGHTS_CHANGED]).await.unwrap(), |_| {}),
        );

        bus.publish(&RIGHTS_CHANGED, user(1));

        let moment = Duration::from_millis(200);
        listening
            .run_until(async {
                assert!(
                    timeout(moment, poll_fn(|cx| one.poll_changed(cx)))
                        .await
                        .is_ok()
                );
                assert!(
                    timeout(moment, poll_fn(|cx| other.poll_changed(cx)))
                        .await
                        .is_err()
                );
            })
            .await;
    }
}
