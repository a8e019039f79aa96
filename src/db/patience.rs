//! Waits for the answers of a database server, but not forever: a server that hangs, or whose network is gone without a
//! word, would otherwise hold the thread and its connection for good.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::Duration,
};

use diesel_async::async_connection_wrapper::BlockOn;
use tokio::runtime::Handle;

use super::UNAVAILABLE;
use crate::error::{Error, Result};

thread_local! {
    /// How long this thread waits for an answer. Without a limit, as long as it takes.
    static PATIENCE: Cell<Option<Duration>> = const { Cell::new(None) };
}

/// Blocks the thread until an answer is there, or [`within`] gives up.
pub struct Patient(Handle);

impl BlockOn for Patient {
    fn block_on<F: Future>(&self, answer: F) -> F::Output {
        self.0.block_on(async {
            match PATIENCE.get() {
                None => answer.await,
                Some(limit) => match tokio::time::timeout(limit, answer).await {
                    Ok(answer) => answer,
                    Err(_) => give_up(),
                },
            }
        })
    }

    /// # Panics
    /// Outside of a runtime.
    fn get_runtime() -> Self {
        Self(Handle::current())
    }
}

/// Why a thread unwinds that has waited long enough. The library leaves no other way out of a blocking call.
struct NoAnswer;

/// Unwinds to [`within`]. What runs on the way, such as a rollback, does not wait again.
fn give_up() -> ! {
    PATIENCE.set(Some(Duration::ZERO));
    resume_unwind(Box::new(NoAnswer));
}

/// Runs `work`, which waits for no answer longer than `limit`. The connection is of no use after an error of this kind.
///
/// # Errors
/// `UNAVAILABLE` when an answer did not come in time; `INTERNAL` when `work` panics; those of `work`.
pub(super) fn within<T>(limit: Duration, work: impl FnOnce() -> Result<T>) -> Result<T> {
    PATIENCE.set(Some(limit));
    let done = catch_unwind(AssertUnwindSafe(work));
    let has_given_up = PATIENCE.replace(None) == Some(Duration::ZERO);
    if has_given_up {
        tracing::warn!(?limit, "the database does not answer");
        return Err(UNAVAILABLE);
    }
    done.unwrap_or_else(|_| Err(Error::internal("a store panicked")))
}
