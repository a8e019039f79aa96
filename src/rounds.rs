//! Rounds: a future that is polled again immediately, in place, when something inside asks for it.
//!
//! Loaders let all fields of a level be polled before they read, and then answer many fields at once. With tokio alone,
//! each of these steps would put the task into a queue and wake a thread, which costs more than the step itself.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

/// The number of rounds after which other tasks get a turn.
const MOST: usize = 100;

/// The rounds of one future.
#[derive(Default)]
pub struct Rounds {
    /// The wakers that wait for the next round. `None` while the future is not being polled.
    waiting: Mutex<Option<Vec<Waker>>>,
}

/// Wakes the task, unless it is being polled: then another round is enough.
#[derive(Default)]
struct Bell {
    task: AtomicWaker,
    is_polled: AtomicBool,
    has_rung: AtomicBool,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    // Written in the opposite order to the reads in `drive`, so that one of the two always sees the other.
    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, SeqCst);
        if !self.is_polled.load(SeqCst) {
            self.task.wake();
        }
    }
}

impl Rounds {
    /// Runs `work`. Only one at a time.
    pub async fn drive<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        poll_fn(|task| {
            bell.task.register(task.waker());
            for _ in 0..MOST {
                bell.has_rung.store(false, SeqCst);
                bell.is_polled.store(true, SeqCst);
                *self.waiting.lock() = Some(Vec::new());
                let polled = work.as_mut().poll(&mut Context::from_waker(&waker));
                let waiting = self.waiting.lock().take();
                // As if still being polled, which is what the next round is for.
                waiting.into_iter().flatten().for_each(Waker::wake);
                bell.is_polled.store(false, SeqCst);
                if polled.is_ready() || !bell.has_rung.load(SeqCst) {
                    return polled;
                }
            }
            task.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }

    /// Waits until everything in this round has been polled.
    pub async fn next(&self) {
        let mut has_waited = false;
        let is_driven = poll_fn(|task| {
            if mem::replace(&mut has_waited, true) {
                return Poll::Ready(true);
            }
            match &mut *self.waiting.lock() {
                None => Poll::Ready(false),
                Some(waiting) => {
                    if waiting
                        .last()
                        .is_none_or(|last| !last.will_wake(task.waker()))
                    {
                        waiting.push(task.waker().clone());
                    }
                    Poll::Pending
                }
            }
        })
        .await;
        if !is_driven {
            // It wakes after the whole task was polled.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "nobody shuts a test down, which waits for its tasks itself"
)]
mod tests {
    use std::{sync::atomic::AtomicUsize, time::Duration};

    use futures_util::future::{join, join_all};

    use super::*;

    /// How often a future is polled from outside until it is done.
    async fn polls<F: Future>(work: F) -> (usize, F::Output) {
        let (mut work, mut polls) = (pin!(work), 0);
        let output = poll_fn(|task| {
            polls += 1;
            work.as_mut().poll(task)
        })
        .await;
        (polls, output)
    }

    #[tokio::test]
    async fn rounds_take_one_poll_and_keep_step() {
        let (rounds, arrived) = (Rounds::default(), AtomicUsize::new(0));
        // More than `join_all` polls in a row.
        let each = |_| async {
            arrived.fetch_add(1, SeqCst);
            rounds.next().await;
            let seen = arrived.load(SeqCst);
            rounds.next().await;
            seen
        };

        let (polls, seen) = polls(rounds.drive(join_all((0..100).map(each)))).await;

        assert_eq!(polls, 1);
        assert_eq!(seen, vec![100; 100]);
    }

    #[tokio::test]
    async fn who_is_not_driven_waits_for_a_round_of_the_task() {
        let (rounds, arrived) = (Rounds::default(), AtomicUsize::new(0));
        let each = async || {
            arrived.fetch_add(1, SeqCst);
            rounds.next().await;
            arrived.load(SeqCst)
        };

        assert_eq!(join(each(), each()).await, (2, 2));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_wakes_from_elsewhere_is_never_missed() {
        for n in 0..2_000_u32 {
            let rounds = Rounds::default();
            let (answer, waiting) = tokio::sync::oneshot::channel();
            let other = tokio::spawn(async move {
                for _ in 0..n % 50 {
                    std::hint::spin_loop();
                }
                answer.send(n)
            });
            let work = async {
                for _ in 0..n % 7 {
                    rounds.next().await;
                }
                waiting.await
            };

            let came = tokio::time::timeout(Duration::from_secs(10), rounds.drive(work)).await;

            assert_eq!(came, Ok(Ok(n)));
            assert_eq!(other.await.expect("no panic"), Ok(()));
        }
    }

    #[tokio::test]
    async fn who_asks_for_ever_lets_others_have_their_turn() {
        let rounds = Rounds::default();
        let endless = async {
            loop {
                rounds.next().await;
            }
        };
        let tick = Duration::from_millis(10);

        let ended = tokio::time::timeout(tick, rounds.drive(endless)).await;

        assert!(ended.is_err());
    }
}
