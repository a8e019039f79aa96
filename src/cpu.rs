//! Work that keeps a core busy, on its own threads. One core is left free for everything else, if there are several, so
//! that a storm of log-ins never stalls queries. Each kind of work has its own share, so that none waits for another.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::{Error, Result};

/// Kinds of work, each with its own share.
#[derive(Clone, Copy, Debug)]
pub enum Share {
    Passwords,
    /// Large documents that clients send.
    Documents,
    /// Looking through files that are uploaded.
    Files,
    /// Training AI models and asking them, in turns.
    Models,
    /// Decoding pictures, one at a time: each may take hundreds of MiB.
    Pictures,
}

/// The threads. Cheap to clone.
#[derive(Clone)]
pub struct Cpu {
    passwords: Arc<Semaphore>,
    documents: Arc<Semaphore>,
    files: Arc<Semaphore>,
    models: Arc<Semaphore>,
    pictures: Arc<Semaphore>,
}

impl Default for Cpu {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = || Arc::new(Semaphore::new((cores - 1).max(1)));
        Self {
            passwords: share(),
            documents: share(),
            files: share(),
            models: share(),
            pictures: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Cpu {
    /// Runs `work` when it is its turn. Once begun, it is finished even if the caller goes away.
    ///
    /// # Errors
    /// `INTERNAL` when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        share: Share,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let share = match share {
            Share::Passwords => &self.passwords,
            Share::Documents => &self.documents,
            Share::Files => &self.files,
            Share::Models => &self.models,
            Share::Pictures => &self.pictures,
        };
        let permit = Arc::clone(share)
            .acquire_owned()
            .await
            .map_err(|error| Error::internal(error))?;
        let task = tokio::task::spawn_blocking(move || {
            // Held by the thread, not by the caller: a caller who goes away must not make room for another thread.
            let _permit = permit;
            work()
        });
        task.await.map_err(|error| Error::internal(error))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        thread,
        time::Duration,
    };

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn no_more_work_runs_at_once_than_its_share_allows_and_shares_do_not_wait_for_each_other()
    {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        static MOST: AtomicUsize = AtomicUsize::new(0);
        let cpu = Cpu::default();
        let most = cpu.passwords.available_permits();

        let passwords = join_all((0..most * 4).map(|_| {
            cpu.run(Share::Passwords, || {
                MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(20));
                RUNNING.fetch_sub(1, Ordering::SeqCst);
            })
        }));
        let document = cpu.run(Share::Documents, || RUNNING.load(Ordering::SeqCst));
        let (passwords, document) = tokio::join!(passwords, document);

        assert!(passwords.into_iter().all(|done| done.is_ok()));
        assert!(document.is_ok_and(|beside| beside <= most));
        assert_eq!(MOST.load(Ordering::SeqCst), most);
    }
}
