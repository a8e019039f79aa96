//! The sockets of each user on this server: counted, and notified when the user's rights change.

use std::{
    collections::{HashMap, hash_map::Entry},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    access::SignedIn,
    app::App,
    bus::{Heard, Listener},
    ids::UserId,
};

/// How often rights are read again while the bus does not tell of changes.
const LOOK: Duration = Duration::from_secs(1);
/// Rights that are read with one statement.
const BATCH: usize = 500;

/// All seats. Cheap to clone. One listener serves all sockets, so that a message wakes only those of its user.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<HashMap<UserId, Vec<Arc<Taken>>>>>);

/// What is known of a seat.
struct Taken {
    changed: Arc<Notify>,
    /// The right of its socket, as last read.
    right: Mutex<SignedIn>,
}

/// The seat of one socket, which is free again when dropped.
pub struct Seat {
    seats: Seats,
    user: UserId,
    taken: Arc<Taken>,
    waiting: Pin<Box<OwnedNotified>>,
}

impl Seats {
    /// A seat for one more socket of this user, unless there are `limit` already.
    #[must_use]
    pub fn take(&self, right: SignedIn, limit: usize) -> Option<Seat> {
        let user = right.id;
        let mut seats = self.0.lock();
        let theirs = seats.entry(user).or_default();
        if theirs.len() >= limit {
            return None;
        }
        let taken = Arc::new(Taken {
            changed: Arc::new(Notify::new()),
            right: Mutex::new(right),
        });
        theirs.push(Arc::clone(&taken));
        Some(Seat {
            seats: self.clone(),
            user,
            waiting: Box::pin(Arc::clone(&taken.changed).notified_owned()),
            taken,
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
                    theirs
                        .into_iter()
                        .flatten()
                        .for_each(|s| s.changed.notify_one());
                }
                Heard::Missed => seats
                    .values()
                    .flatten()
                    .for_each(|s| s.changed.notify_one()),
            }
        }
    }

    /// While the bus does not work, finds out in the database whose rights have changed, forever. It tells of them as
    /// the server would that changed them.
    pub async fn look(self, app: App) {
        loop {
            tokio::time::sleep(LOOK).await;
            if app.bus.health().is_ok() {
                continue;
            }
            for known in self.rights().chunks(BATCH) {
                match app.rights.changed_among(known.to_vec()).await {
                    Ok(users) => users.into_iter().for_each(|user| app.rights.changed(user)),
                    // The database is away, too.
                    Err(_) => break,
                }
            }
        }
    }

    /// The rights of all sockets, as last read.
    fn rights(&self) -> Vec<SignedIn> {
        let seats = self.0.lock();
        seats.values().flatten().map(|s| *s.right.lock()).collect()
    }
}

impl Seat {
    /// Waits for a notification that the user's rights may have changed. One that comes while nobody waits is kept.
    pub fn poll_changed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.waiting.as_mut().poll(cx));
        let next = Arc::clone(&self.taken.changed).notified_owned();
        self.waiting.set(next);
        Poll::Ready(())
    }

    /// Notes what was read.
    pub fn set_right(&self, right: SignedIn) {
        *self.taken.right.lock() = right;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut theirs) = self.seats.0.lock().entry(self.user) {
            theirs.get_mut().retain(|s| !Arc::ptr_eq(s, &self.taken));
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
    use crate::{
        access::{RIGHTS_CHANGED, Role},
        bus::Bus,
        ids::SignInId,
    };

    fn user(number: u128) -> SignedIn {
        SignedIn {
            id: UserId::from_uuid(Uuid::from_u128(number)),
            role: Role::User,
            session: SignInId::from_uuid(Uuid::from_u128(number)),
        }
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

        bus.publish(&RIGHTS_CHANGED, user(1).id);

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
