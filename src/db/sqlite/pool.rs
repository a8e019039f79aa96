//! Connections that read, on the calling thread or on threads of their own.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    super::UNAVAILABLE,
    allowance::{Allowance, Caller, within},
    writer::run_guarded,
};
use crate::error::{Error, Result};

/// Cheap to clone.
pub(crate) struct Readers<C>(Arc<Inner<C>>);

struct Inner<C> {
    idle: Mutex<Vec<C>>,
    free: Arc<Semaphore>,
}

impl<C> Clone for Readers<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Send + 'static> Readers<C> {
    /// As many as `connect` opens in so many calls.
    ///
    /// # Errors
    /// Those of `connect`.
    pub(crate) fn open<E>(count: usize, connect: impl Fn() -> Result<C, E>) -> Result<Self, E> {
        let idle: Result<Vec<_>, _> = (0..count).map(|_| connect()).collect();
        Ok(Self(Arc::new(Inner {
            idle: Mutex::new(idle?),
            free: Arc::new(Semaphore::new(count)),
        })))
    }

    /// Runs `work` on this thread, as long as a quick read may take. Returns whether it was stopped.
    pub(crate) async fn read_here<T>(
        &self,
        work: impl FnOnce(&mut C) -> Result<T>,
    ) -> (Result<T>, bool) {
        match self.0.free.acquire().await {
            Ok(_permit) => self.run(Allowance::quick(), work),
            Err(error) => (Err(Error::internal(error)), false),
        }
    }

    /// Runs `work` on a thread of its own, as long as `limit` or until the caller gives up.
    ///
    /// # Errors
    /// What `work` fails with; `TIMEOUT`.
    pub(crate) async fn read_apart<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(&mut C) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let free = Arc::clone(&self.0.free).acquire_owned().await;
        let permit = free.map_err(|error| Error::internal(error))?;
        let (readers, caller) = (self.clone(), Caller::default());
        let allowance = Allowance::long(limit, &caller);
        let reading = tokio::task::spawn_blocking(move || {
            let (outcome, is_stopped) = readers.run(allowance, work);
            drop(permit);
            if is_stopped {
                tracing::warn!("a read that took too long was stopped");
            }
            outcome
        });
        reading.await.map_err(|error| Error::internal(error))?
    }

    /// Runs `work` on an idle connection, of which the caller's permit says that there is one.
    fn run<T>(
        &self,
        allowance: Allowance,
        work: impl FnOnce(&mut C) -> Result<T>,
    ) -> (Result<T>, bool) {
        // Nothing below unwinds, so the connection is always returned.
        let idle = self.0.idle.lock().pop();
        let Some(mut conn) = idle else {
            return (Err(UNAVAILABLE), false);
        };
        let done = within(allowance, || run_guarded(|| work(&mut conn)));
        self.0.idle.lock().push(conn);
        done
    }
}
