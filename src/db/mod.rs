//! The relational port: SQLite in this process, or MySQL/MariaDB. Chosen once by `DATABASE_URL`; nobody above asks which.
//!
//! A store hands a closure to [`Db::read`] or [`Db::write`]. It runs on one connection, and writes its statements once,
//! inside [`on!`], for both engines. It waits for nothing else: it may hold a thread that others share.

pub mod describe;
pub mod dialect;
pub mod lists;
mod migrations;
mod mysql;
mod sqlite;
pub mod tables;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
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

pub use mysql::MysqlConnection;
pub use sqlite::readers;

use crate::{
    config::{Config, Fault},
    error::{Error, Result, Violation},
};

/// A version of the data: another one with each commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u64);

#[cfg(test)]
impl Version {
    pub(crate) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// A connection to either engine.
pub enum Conn {
    Sqlite(SqliteConnection),
    Mysql(MysqlConnection),
}

/// Writes an expression once that is type-checked and run for the engine at hand: `on!(conn, |c| users::table.load(c))`.
/// Inside, `DB` is the engine's diesel backend, as `into_boxed::<DB>()` asks for it.
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
    /// When a write failed last for want of a database, unless one was tried since and succeeded.
    failed: Mutex<Option<Instant>>,
}

/// For so long after a write has failed the database counts as away: on a full disk small writes may still succeed.
const AFTERMATH: Duration = Duration::from_secs(5);

enum Engine {
    Sqlite(sqlite::Sqlite),
    Mysql(mysql::Mysql),
}

/// Counts the statements that ran, on all connections.
#[derive(Clone, Default)]
struct Statements(Arc<AtomicU64>);

impl Statements {
    fn watch(&self, conn: &mut impl Connection) {
        let count = Arc::clone(&self.0);
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                count.fetch_add(1, Ordering::Relaxed);
                if tracing::enabled!(target: "madang::sql", tracing::Level::TRACE) {
                    let text = query.to_string();
                    // Values are password hashes, addresses and what people write.
                    let statement = text.split(" -- binds: ").next().unwrap_or_default();
                    tracing::trace!(target: "madang::sql", statement);
                }
            }
        });
    }
}

impl Db {
    /// Opens the database that `config` names and brings its tables up to date.
    ///
    /// # Errors
    /// A sentence about `DATABASE_URL` when there is no database to be had there.
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

    /// Runs `work` on a connection that sees all that was committed. It cannot write.
    /// Dropped before it began, it does not run.
    ///
    /// SQLite works on the thread that asks: to wake another one costs more than nearly every read. So the runtime has
    /// more threads than there are [`readers`].
    ///
    /// # Errors
    /// What `work` fails with; `UNAVAILABLE` when the database cannot be reached.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.read(work).await,
            Engine::Mysql(mysql) => mysql.read(work).boxed().await,
        }
    }

    /// Runs `work` in a transaction that is committed when it succeeds and rolled back when it fails or panics.
    /// Who waits for the answer and goes away stops nothing that has begun; before that, nothing begins.
    /// `work` may run again when the engine gives up a deadlock, so it does nothing but statements.
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

    /// Which version the data is of: while it stays the same, what was read since is still so. `None` where other
    /// programs commit too.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => Some(sqlite.version()),
            Engine::Mysql(_) => None,
        }
    }

    /// Whether the database answers and takes writes. It writes only once writes have failed, to see whether they still do.
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
            // Changes nothing, and yet wants to be written.
            let touch = "UPDATE __diesel_schema_migrations SET version = version";
            on!(conn, |c| diesel::sql_query(touch).execute(c))?;
            Ok(())
        })
        .await?;
        *self.0.failed.lock() = None;
        Ok(())
    }

    /// How many statements have run since the start.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.0.statements.0.load(Ordering::Relaxed)
    }
}

const UNAVAILABLE: Error = Error::Unavailable {
    backend: "database",
};

impl From<DieselError> for Error {
    fn from(error: DieselError) -> Self {
        let away = match &error {
            DieselError::NotFound => return Self::NotFound,
            DieselError::BrokenTransactionManager => true,
            DieselError::DatabaseError(DatabaseErrorKind::ClosedConnection, _) => true,
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, info) => {
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

/// The field whose unique column the insert or update ran into: what a look-up before the write cannot rule out when
/// several servers write. `columns` pairs a column's name, as messages of both engines hold it, with the input's field.
#[must_use]
pub fn taken(error: &DieselError, columns: &[(&str, &str)]) -> Option<Violation> {
    let DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, info) = error else {
        return None;
    };
    let (_, field) = columns
        .iter()
        .find(|(column, _)| info.message().contains(column))?;
    Some(crate::error::Rule::Taken.at(*field))
}
