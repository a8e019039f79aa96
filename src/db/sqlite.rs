//! SQLite in this process: one thread that writes and commits in groups, several connections that read.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use diesel::{Connection, RunQueryDsl, connection::SimpleConnection, sqlite::SqliteConnection};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

use super::{Conn, Statements, UNAVAILABLE, Version, migrations};
use crate::{
    config::{Config, Fault, Synchronous},
    error::{Error, Result},
};

/// The number of connections that read from SQLite. More than there are cores mostly wait for the disk, but a few help:
/// otherwise one long search would block the others.
#[must_use]
pub fn readers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

/// The most writes in one group commit, which also ends after [`GROUP_TIME`]: the first write waits for the last one's
/// work.
const GROUP_SIZE: usize = 64;
const GROUP_TIME: Duration = Duration::from_millis(5);

/// The files of an open database. If one is deleted or replaced while the server runs, SQLite still accepts writes,
/// which are lost when the server stops.
#[derive(Clone)]
struct Files(Arc<[(PathBuf, Identity)]>);

/// The identity of a file, whatever is written to it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[cfg(unix)]
    fn of(path: &Path) -> std::io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = std::fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Where files have no such numbers: whether it exists.
    #[cfg(not(unix))]
    fn of(path: &Path) -> std::io::Result<Self> {
        std::fs::metadata(path).map(|_| Self {
            device: 0,
            inode: 0,
        })
    }
}

impl Files {
    /// The database's file at `path`, and its log's if there is one.
    fn of(path: &Path) -> std::io::Result<Self> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let log = PathBuf::from(log);
        let mut files = vec![(path.to_owned(), Identity::of(path)?)];
        if let Ok(identity) = Identity::of(&log) {
            files.push((log, identity));
        }
        Ok(Self(files.into()))
    }

    /// # Errors
    /// `UNAVAILABLE` when a file is gone or was replaced.
    fn check(&self) -> Result<()> {
        for (path, identity) in &*self.0 {
            if Identity::of(path).ok() != Some(*identity) {
                tracing::error!(
                    path = %path.display(),
                    "a file of the database was deleted or replaced: put it back and start anew; nothing is written meanwhile"
                );
                return Err(UNAVAILABLE);
            }
        }
        Ok(())
    }
}

pub(super) struct Sqlite {
    files: Files,
    jobs: mpsc::Sender<Job>,
    readers: Readers,
    /// The number of committed groups.
    commits: Arc<AtomicU64>,
}

struct Readers {
    idle: Mutex<Vec<Conn>>,
    free: Semaphore,
}

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

impl Sqlite {
    pub(super) fn open(config: &Config, statements: &Statements) -> Result<Self, Fault> {
        let path = path_of(config);
        let fault = |message: String| Fault::new("DATABASE_URL", message);
        if path.as_os_str() == ":memory:" {
            return Err(fault(
                "a database in memory is none that several connections share; name a file"
                    .to_owned(),
            ));
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|e| fault(format!("cannot make the folder {}: {e}", folder.display())))?;
        }
        create_private(&path).map_err(|e| fault(format!("cannot make {}: {e}", path.display())))?;
        let connect = |pragmas: &str| {
            connect(&path, pragmas)
                .map_err(|e| fault(format!("cannot open {}: {e}", path.display())))
        };

        let synchronous = match config.sqlite_synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        // A migration that recreates a table drops the old one, which must not delete the rows that refer to it.
        let mut writer = connect(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = OFF;"
        ))?;
        migrations::run_sqlite(&mut writer)
            .and_then(|()| Ok(writer.batch_execute("PRAGMA foreign_keys = ON;")?))
            .map_err(|e| fault(format!("cannot bring {} up to date: {e}", path.display())))?;
        statements.watch(&mut writer);

        let count = readers();
        let mut idle = Vec::with_capacity(count);
        for _ in 0..count {
            let mut reader = connect("PRAGMA query_only = ON;")?;
            statements.watch(&mut reader);
            idle.push(Conn::Sqlite(reader));
        }
        let readers = Readers {
            idle: Mutex::new(idle),
            free: Semaphore::new(count),
        };

        // After the readers, which create the log.
        let files = Files::of(&path)
            .map_err(|e| fault(format!("cannot look at {}: {e}", path.display())))?;
        let (jobs, queue) = mpsc::channel();
        let commits = Arc::<AtomicU64>::default();
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn({
                let (files, commits) = (files.clone(), Arc::clone(&commits));
                move || write_until_closed(Conn::Sqlite(writer), &queue, &files, &commits)
            })
            .map_err(|e| fault(format!("cannot start the thread that writes: {e}")))?;
        Ok(Self {
            files,
            jobs,
            readers,
            commits,
        })
    }

    /// # Errors
    /// `UNAVAILABLE` when the files are no longer those that were opened.
    pub(super) fn check_files(&self) -> Result<()> {
        self.files.check()
    }

    pub(super) fn version(&self) -> Version {
        Version(self.commits.load(Ordering::SeqCst))
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let free = self.readers.free.acquire();
        let _permit = free.await.map_err(Error::internal)?;
        // Nothing below waits or unwinds, so the connection is always returned.
        let idle = self.readers.idle.lock().pop();
        let mut conn = idle.ok_or(UNAVAILABLE)?;
        let outcome = run_guarded(|| work(&mut conn));
        self.readers.idle.lock().push(conn);
        outcome
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
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

fn path_of(config: &Config) -> PathBuf {
    let url = config.database_url.expose();
    match url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
    {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => config.volume_dir.join("database").join("madang.sqlite"),
    }
}

/// Creates the file, if it does not exist, with a mode that only its owner can read: it contains addresses and password
/// hashes. SQLite gives its log files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

fn connect(path: &Path, pragmas: &str) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let path = path.to_str().ok_or("the path is not UTF-8")?;
    let mut conn = SqliteConnection::establish(path)?;
    conn.batch_execute("PRAGMA busy_timeout = 5000;")?;
    conn.batch_execute(pragmas)?;
    Ok(conn)
}

/// Runs `work`. A panic becomes an error, and the savepoint is rolled back.
pub(super) fn run_guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
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
    super::on!(conn, |c| diesel::sql_query(statement).execute(c))?;
    Ok(())
}
