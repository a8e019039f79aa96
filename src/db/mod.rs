//! The relational port: SQLite in this process, or MySQL/MariaDB. `DATABASE_URL` chooses once; the code above does not
//! know which.
//!
//! A store passes a closure to [`Db::read`] or [`Db::write`]. It runs on one connection. Inside [`on!`], statements are
//! written once for both engines. The closure must not wait for anything else, since it may block a shared thread.

pub mod describe;
pub mod dialect;
pub mod lists;
mod migrations;
mod mysql;
mod patience;
pub(crate) mod sqlite;
pub mod tables;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{
    connection::{Connection, InstrumentationEvent},
    result::{DatabaseErrorKind, Error as DieselError},
    sqlite::SqliteConnection,
};
use futures_util::FutureExt;
use parking_lot::Mutex;

pub use migrations::{Action, Migration};
pub use mysql::MysqlConnection;
pub use sqlite::readers;

use crate::{
    config::{Config, Fault},
    error::{Error, Result, Rule},
};

/// A version of the data, which changes with each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

#[cfg(test)]
impl Version {
    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// How long MySQL may take for a statement that reads little as a rule. A busy server takes less, too.
const SHORT: Duration = Duration::from_millis(500);

/// A connection to either engine.
pub enum Conn {
    Sqlite(SqliteConnection),
    Mysql(MysqlConnection),
}

impl Conn {
    /// Runs `read`, which reads little as a rule. When it reads much it is stopped, and `None` is returned. SQLite counts
    /// what it reads; to MySQL, `read` has to tell the limit that it is given.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn if_short<T>(
        &mut self,
        read: impl FnOnce(&mut Self, Option<Duration>) -> Result<T>,
    ) -> Result<Option<T>> {
        match self {
            Self::Sqlite(_) => {
                let quick = sqlite::Allowance::short();
                let (done, is_stopped) = sqlite::within(quick, || read(self, None));
                if is_stopped {
                    return Ok(None);
                }
                done.map(Some)
            }
            Self::Mysql(_) => match read(self, Some(SHORT)) {
                Err(Error::Timeout) => Ok(None),
                done => done.map(Some),
            },
        }
    }
}

/// Type-checks an expression for both engines and runs it for the one in use: `on!(conn, |c| users::table.load(c))`.
/// Inside, `DB` is the engine's diesel backend, for `into_boxed::<DB>()`.
#[macro_export]
macro_rules! on {
    ($conn:expr, |$c:ident| $body:expr) => {
        match $conn {
            $crate::db::Conn::Sqlite($c) => {
                #[allow(dead_code, reason = "not every expression names its backend")]
                type DB = diesel::sqlite::Sqlite;
                $body
            }
            $crate::db::Conn::Mysql($c) => {
                #[allow(dead_code, reason = "not every expression names its backend")]
                type DB = diesel::mysql::Mysql;
                $body
            }
        }
    };
}
pub use on;

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Db(Arc<Inner>);

struct Inner {
    engine: Engine,
    statements: Statements,
    /// When a write last failed because the database was unavailable. `None` once a later write has succeeded.
    failed: Mutex<Option<Instant>>,
}

/// How long after a failed write the database counts as unavailable. On a full disk, small writes may still succeed.
const AFTERMATH: Duration = Duration::from_secs(5);

enum Engine {
    Sqlite(sqlite::Sqlite),
    Mysql(mysql::Mysql),
}

/// The most statements that a connection keeps prepared. Clients choose among thousands of kinds of list, so it forgets all
/// when there are this many: each takes memory, and MySQL allows 16 382 to all connections together.
const KEPT: usize = 256;

/// Counts the statements that ran, on all connections.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicU64>);

/// Counts the statements that connections keep prepared. Cheap to clone.
#[derive(Clone, Default)]
struct Kept(Arc<AtomicUsize>);

impl Kept {
    /// Whether there are `most`. If so, the caller lets them go, and they are no longer counted.
    fn is_full(&self, most: usize) -> bool {
        let is_full = self.0.load(Ordering::Relaxed) >= most;
        if is_full {
            self.0.store(0, Ordering::Relaxed);
        }
        is_full
    }
}

impl Statements {
    /// Counts those of `conn` from now on; `kept` counts those that it keeps prepared.
    fn watch(&self, conn: &mut impl Connection, kept: &Kept) {
        let (count, kept) = (Arc::clone(&self.0), Arc::clone(&kept.0));
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
            InstrumentationEvent::StartQuery { query, .. } => {
                count.fetch_add(1, Ordering::Relaxed);
                if tracing::enabled!(target: "madang::sql", tracing::Level::TRACE) {
                    let text = query.to_string();
                    // Without values, which include password hashes, addresses and private texts.
                    let statement = text.split(" -- binds: ").next().unwrap_or_default();
                    tracing::trace!(target: "madang::sql", statement);
                }
            }
            InstrumentationEvent::CacheQuery { .. } => {
                kept.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        });
    }
}

impl Db {
    /// Opens the database that `config` names and runs the migrations.
    ///
    /// # Errors
    /// A sentence about `DATABASE_URL` when the database cannot be opened.
    pub async fn open(config: &Config) -> Result<Self, Fault> {
        let statements = Statements::default();
        let engine = if config.database_url.expose().starts_with("mysql:") {
            Engine::Mysql(mysql::Mysql::open(config, &statements).await?)
        } else {
            Engine::Sqlite(sqlite::Sqlite::open(config, &statements)?)
        };
        Ok(Self(Arc::new(Inner {
            engine,
            statements,
            failed: Mutex::new(None),
        })))
    }

    /// Does this about the migrations of the database that `config` names, without opening it for anything else. Returns
    /// all migrations; none of an SQLite database that does not exist yet is applied.
    ///
    /// # Errors
    /// A sentence about `DATABASE_URL`.
    pub async fn migrate(config: &Config, action: Action) -> Result<Vec<Migration>, Fault> {
        if config.database_url.expose().starts_with("mysql:") {
            let mysql = mysql::Mysql::connect(config, &Statements::default())?;
            mysql.migrate(action).await
        } else if action != Action::Up && !sqlite::path_of(config)?.exists() {
            Ok(migrations::none_applied())
        } else {
            Ok(sqlite::migrated(config, action)?.1)
        }
    }

    /// Runs `work` on a read-only connection that sees everything committed so far. If the future is dropped before
    /// `work` begins, `work` does not run; on SQLite, `work` is stopped when it is dropped later.
    ///
    /// SQLite reads run on the calling thread, since waking another thread costs more than most reads. So the runtime
    /// has more threads than there are [`readers`]. A read that takes more than some milliseconds is stopped, and runs
    /// again elsewhere; so `work` must do nothing but run statements.
    ///
    /// # Errors
    /// What `work` fails with; `TIMEOUT` when it takes longer than LIMIT_REQUEST_TIME; `UNAVAILABLE` when the database
    /// cannot be reached.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work).await,
            Engine::Mysql(mysql) => mysql.read(work).boxed().await,
        }
    }

    /// Runs `work` in a transaction, which is committed when `work` succeeds and rolled back when it fails or panics.
    /// If the future is dropped before `work` begins, nothing happens; after that, the transaction is finished anyway.
    /// `work` may run again after a deadlock, so it must do nothing but run statements.
    ///
    /// # Errors
    /// What `work` or the commit fails with; `UNAVAILABLE` when the database cannot be reached.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let outcome = match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.write(work).await,
            Engine::Mysql(mysql) => mysql.write(work).boxed().await,
        };
        if matches!(outcome, Err(Error::Unavailable { .. })) {
            *self.0.failed.lock() = Some(Instant::now());
        }
        outcome
    }

    /// The current version of the data. While it stays the same, everything read since is still valid. `None` where
    /// other programs commit too.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.version()),
            Engine::Mysql(_) => None,
        }
    }

    /// Checks that the database answers and accepts writes. It writes only after a write has failed, to see whether
    /// writes still fail.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it does not.
    pub async fn ping(&self) -> Result<()> {
        use diesel::RunQueryDsl;
        if let Engine::Sqlite(sqlite) = &self.0.engine {
            sqlite.check_files()?;
        }
        self.read(|conn| {
            on!(conn, |c| diesel::sql_query("SELECT 1").execute(c))?;
            Ok(())
        })
        .await?;
        match *self.0.failed.lock() {
            None => return Ok(()),
            Some(at) if at.elapsed() < AFTERMATH => return Err(UNAVAILABLE),
            Some(_) => {}
        }
        self.write(|conn| {
            // Changes nothing, but must be written.
            let touch = "UPDATE __diesel_schema_migrations SET version = version";
            on!(conn, |c| diesel::sql_query(touch).execute(c))?;
            Ok(())
        })
        .await?;
        *self.0.failed.lock() = None;
        Ok(())
    }

    /// The number of reads since the start that took long and so ran on a thread of their own. Zero on MySQL, where all
    /// do.
    #[must_use]
    pub fn slow_reads(&self) -> u64 {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.slow_reads(),
            Engine::Mysql(_) => 0,
        }
    }

    /// The number of statements since the start.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.0.statements.0.load(Ordering::Relaxed)
    }
}

const UNAVAILABLE: Error = Error::Unavailable {
    backend: "database",
};

impl From<DieselError> for Error {
    #[track_caller]
    fn from(error: DieselError) -> Self {
        let away = match &error {
            DieselError::NotFound => return Self::NotFound,
            DieselError::BrokenTransactionManager => true,
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => true,
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
                if dialect::is_stopped(info.message()) {
                    return Self::Timeout;
                }
                dialect::is_away(info.message())
            }
            _ => false,
        };
        if away {
            tracing::warn!(%error, "the database is away");
            UNAVAILABLE
        } else {
            Self::internal(error)
        }
    }
}

/// `CONFLICT` at the input field of the unique column that an insert or update violated. A check before the write cannot
/// rule this out when several servers write. `columns` pairs a column's name, which the messages of both engines contain,
/// with an input field.
#[must_use]
pub fn conflict(error: DieselError, columns: &[(&str, &str)]) -> Error {
    if let DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) = &error {
        let mut columns = columns.iter();
        let found = columns.find(|(column, _)| info.message().contains(column));
        if let Some((_, field)) = found {
            return Error::conflict(*field, Rule::Taken);
        }
    }
    error.into()
}

/// `NOT_FOUND` when what a new row refers to is not there.
#[must_use]
pub fn gone(error: DieselError) -> Error {
    match error {
        DieselError::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _) => Error::NotFound,
        error => error.into(),
    }
}
