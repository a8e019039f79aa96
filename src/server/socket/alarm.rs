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
#[derive(Clone)]
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
