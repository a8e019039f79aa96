//! Tells which part of a task has to be polled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Remembers whether a part of a task was woken, so that the task can be woken for another part without polling this one.
pub struct Alarm(Arc<Bell>);

struct Bell {
    rings: AtomicBool,
    task: AtomicWaker,
}

impl Default for Alarm {
    /// An alarm that rings, since the part must be polled once before anything can wake it.
    fn default() -> Self {
        Self(Arc::new(Bell {
            rings: AtomicBool::new(true),
            task: AtomicWaker::new(),
        }))
    }
}

impl Alarm {
    /// Polls the part if the alarm rings. It goes on ringing if something came of it, since there may be more.
    pub fn poll<T>(
        &self,
        cx: &mut Context<'_>,
        part: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.0.task.register(cx.waker());
        if !self.0.rings.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(&self.0));
        let polled = part(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.ring();
        }
        polled
    }

    /// Has the part polled the next time that the task is woken for any reason.
    pub fn ring(&self) {
        self.0.rings.store(true, Ordering::Release);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rings.store(true, Ordering::Release);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the part was polled. It tells its waker, and is not ready.
    fn is_polled(alarm: &Alarm, wakers: &mut Vec<Waker>) -> bool {
        let before = wakers.len();
        let mut cx = Context::from_waker(Waker::noop());
        let polled = alarm.poll(&mut cx, |cx| {
            wakers.push(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        wakers.len() > before
    }

    #[test]
    fn a_part_is_polled_at_first_and_when_it_was_woken() {
        let (alarm, mut wakers) = (Alarm::default(), Vec::new());
        assert!(is_polled(&alarm, &mut wakers));
        assert!(!is_polled(&alarm, &mut wakers));

        wakers[0].wake_by_ref();

        assert!(is_polled(&alarm, &mut wakers));
        assert!(!is_polled(&alarm, &mut wakers));
        alarm.ring();
        assert!(is_polled(&alarm, &mut wakers));
    }

    #[test]
    fn a_part_that_was_ready_is_polled_again() {
        let (alarm, mut wakers) = (Alarm::default(), Vec::new());
        let mut cx = Context::from_waker(Waker::noop());

        assert!(alarm.poll(&mut cx, |_| Poll::Ready(())).is_ready());

        assert!(is_polled(&alarm, &mut wakers));
    }

    #[tokio::test]
    async fn waking_a_part_wakes_the_task() {
        let alarm = Alarm::default();
        let (wake, mut woken) = tokio::sync::mpsc::unbounded_channel();
        let part = std::future::poll_fn(|cx| {
            alarm.poll(cx, |cx| match woken.poll_recv(cx) {
                Poll::Ready(_) => Poll::Ready(()),
                Poll::Pending => Poll::Pending,
            })
        });
        let waking = async {
            tokio::task::yield_now().await;
            wake.send(()).unwrap();
        };

        let patience = std::time::Duration::from_secs(5);
        let both = tokio::time::timeout(patience, async { tokio::join!(part, waking) });

        both.await.unwrap();
    }
}
