//! The thread that writes to a SQLite database and commits in groups.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use diesel::RunQueryDsl;
use tokio::sync::oneshot;

use super::{
    super::{Conn, UNAVAILABLE},
    files::Files,
};
use crate::error::{Error, Result};

/// The most writes in one group commit, which also ends after [`GROUP_TIME`]: the first write waits for the last one's
/// work.
const GROUP_SIZE: usize = 64;
const GROUP_TIME: Duration = Duration::from_millis(5);

/// One write, which runs inside a savepoint.
type Job = Box<dyn FnOnce(&mut Conn) -> Outcome + Send>;

enum Outcome {
    /// The caller was gone before it began, so it did not run.
    Dropped,
    /// To be rolled back. The caller has been answered.
    Failed,
    /// To be committed. The caller is answered after the commit.
    Kept(Answer),
}

type Answer = Box<dyn FnOnce(Result<()>) + Send>;

/// The only writer of a database. Its thread ends when it is dropped.
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    /// The number of committed groups.
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread, which writes through `conn` as long as `files` are those that were opened.
    pub(crate) fn start(name: &str, conn: Conn, files: Files) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let commits = Arc::<AtomicU64>::default();
        std::thread::Builder::new().name(name.to_owned()).spawn({
            let commits = Arc::clone(&commits);
            move || write_until_closed(conn, &queue, &files, &commits)
        })?;
        Ok(Self { jobs, commits })
    }

    /// How many groups were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }

    /// Runs `work` in a savepoint and answers after the commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |conn| {
            if reply.is_closed() {
                return Outcome::Dropped;
            }
            match run_guarded(|| work(conn)) {
                Ok(value) => Outcome::Kept(Box::new(move |committed| {
                    // A caller who is gone is not told, but the write stands.
                    let _ = reply.send(committed.map(|()| value));
                })),
                Err(error) => {
                    let _ = reply.send(Err(error));
                    Outcome::Failed
                }
            }
        });
        self.jobs.send(job).map_err(|_| UNAVAILABLE)?;
        answer.await.map_err(|_| UNAVAILABLE)?
    }
}

/// Runs `work`. A panic becomes an error, and the savepoint is rolled back.
pub(crate) fn run_guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::internal("a store panicked")))
}

fn write_until_closed(
    mut conn: Conn,
    queue: &mpsc::Receiver<Job>,
    files: &Files,
    commits: &AtomicU64,
) {
    while let Ok(first) = queue.recv() {
        write_group(&mut conn, first, queue, files, commits);
    }
}

/// Begins a transaction, runs `first` and the other waiting writes, commits, and only then answers.
fn write_group(
    conn: &mut Conn,
    first: Job,
    queue: &mpsc::Receiver<Job>,
    files: &Files,
    commits: &AtomicU64,
) {
    if files.check().is_err() {
        // Dropping it answers UNAVAILABLE.
        return;
    }
    if let Err(error) = execute(conn, "BEGIN IMMEDIATE") {
        // Running it would write outside a transaction; dropping it answers UNAVAILABLE.
        tracing::error!(%error, "cannot begin to write");
        return;
    }
    let begun = Instant::now();
    let mut answers = Vec::new();
    let mut next = Some(first);
    while let Some(job) = next {
        match run_in_savepoint(conn, job) {
            Ok(Outcome::Kept(answer)) => answers.push(answer),
            Ok(Outcome::Dropped | Outcome::Failed) => {}
            Err(error) => {
                tracing::error!(%error, "a savepoint failed, the group is taken back");
                return give_up(conn, answers, &error);
            }
        }
        let room = answers.len() < GROUP_SIZE && begun.elapsed() < GROUP_TIME;
        next = if room { queue.try_recv().ok() } else { None };
    }
    let outcome = execute(conn, "COMMIT");
    // Before the callers are answered: reads after that must not use what was cached before.
    commits.fetch_add(1, Ordering::SeqCst);
    match outcome {
        Ok(()) => {
            // Once more: a write is acknowledged only if it is in the current files.
            let outcome = files.check();
            for answer in answers {
                answer(outcome.clone());
            }
        }
        Err(error) => {
            tracing::error!(%error, "a commit failed");
            give_up(conn, answers, &error);
        }
    }
}

fn run_in_savepoint(conn: &mut Conn, job: Job) -> Result<Outcome> {
    execute(conn, "SAVEPOINT job")?;
    let outcome = job(conn);
    if !matches!(outcome, Outcome::Kept(_)) {
        execute(conn, "ROLLBACK TO job")?;
    }
    execute(conn, "RELEASE job")?;
    Ok(outcome)
}

fn give_up(conn: &mut Conn, answers: Vec<Answer>, error: &Error) {
    // Fails if SQLite has rolled back by itself, as on a full disk.
    if let Err(error) = execute(conn, "ROLLBACK") {
        tracing::warn!(%error, "nothing was left to roll back");
    }
    for answer in answers {
        answer(Err(error.clone()));
    }
}

fn execute(conn: &mut Conn, statement: &'static str) -> Result<()> {
    super::super::on!(conn, |c| diesel::sql_query(statement).execute(c))?;
    Ok(())
}
