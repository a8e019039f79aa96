//! Turns: how much may run at once for one address. What would be too much waits for its turn, so that a client that asks
//! for much at once waits itself, and nobody else does.

use tokio::sync::{Semaphore, SemaphorePermit};

/// The turns of one address.
pub(super) struct Turns {
    most: u32,
    requests: Semaphore,
    events: Semaphore,
}

/// What waits for a turn. One does not wait for the other: the events of a client that does not read them keep their turn
/// until its connection is closed.
#[derive(Clone, Copy, Debug)]
pub enum Turning {
    /// Queries and mutations.
    Request,
    /// What subscriptions select from an event.
    Event,
}

/// Something that runs, until this is dropped.
pub struct Turn<'a>(
    #[expect(dead_code, reason = "given back when it is dropped")] Option<SemaphorePermit<'a>>,
);

impl Turns {
    /// Turns for what asks for at most so many objects together.
    pub(super) fn new(most: u64) -> Self {
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let permits = || Semaphore::new((most as usize).min(Semaphore::MAX_PERMITS));
        Self {
            most,
            requests: permits(),
            events: permits(),
        }
    }

    /// Waits until there is room for so many objects more. Those who came first are first.
    pub(super) async fn take(&self, turning: Turning, objects: u64) -> Turn<'_> {
        let permits = match turning {
            Turning::Request => &self.requests,
            Turning::Event => &self.events,
        };
        let objects = u32::try_from(objects).unwrap_or(u32::MAX).min(self.most);
        // Nobody closes it, so there is no error.
        Turn(permits.acquire_many(objects).await.ok())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn what_is_too_much_at_once_waits_and_what_came_first_is_first() {
        let turns = Turns::new(100);
        let take = |objects| turns.take(Turning::Request, objects);
        let now = |objects| take(objects).now_or_never();

        let first = now(60).unwrap();
        let second = now(40).unwrap();
        assert!(now(1).is_none());
        assert!(turns.take(Turning::Event, 100).now_or_never().is_some());
        let mut large = Box::pin(take(70));
        assert!(large.as_mut().now_or_never().is_none());
        drop(second);
        assert!(now(1).is_none(), "it came after the large one");
        drop(first);
        let third = large.as_mut().now_or_never().unwrap();
        assert!(now(30).is_some() && now(31).is_none());

        drop(third);
        assert!(now(u64::MAX).is_some(), "it has a turn alone");
    }
}
