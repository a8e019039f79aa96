//! SQLite in this process: one thread that writes and commits in groups, several connections that read.

mod allowance;
mod files;
mod pool;
mod writer;

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use diesel::{
    connection::{CacheSize, Connection, SimpleConnection},
    sqlite::SqliteConnection,
};
use futures_util::FutureExt;

pub(crate) use self::{
    allowance::{Allowance, within},
    files::{Files, connect, create_private},
    pool::Readers,
    writer::{Writer, run_guarded},
};

use super::{
    Conn, KEPT, Kept, Statements, Version,
    migrations::{self, Action, Migration},
};
use crate::{
    config::{Config, Fault, Synchronous},
    error::Result,
};

/// The number of connections that read from SQLite. More than there are cores mostly wait for the disk, but a few help:
/// otherwise one long search would block the others.
#[must_use]
pub fn readers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from) + 1
}

/// The number of connections for reads that take long: half of the cores, so that other requests get the other half.
fn slow_readers() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

pub(super) struct Sqlite {
    files: Files,
    writer: Writer,
    /// For reads on the threads of the runtime.
    quick: Readers<Reader>,
    /// For reads that turned out to take long, on threads of their own.
    slow: Readers<Reader>,
    /// How long they may take.
    limit: Duration,
    /// How many there were.
    slow_reads: AtomicU64,
}

/// A connection that reads.
struct Reader {
    conn: Conn,
    kept: Kept,
}

impl Reader {
    fn run<T>(&mut self, work: impl FnOnce(&mut Conn) -> Result<T>) -> Result<T> {
        if self.kept.is_full(KEPT)
            && let Conn::Sqlite(conn) = &mut self.conn
        {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
            conn.set_prepared_statement_cache_size(CacheSize::Unbounded);
        }
        work(&mut self.conn)
    }
}

impl Sqlite {
    pub(super) fn open(config: &Config, statements: &Statements) -> Result<Self, Fault> {
        let path = path_of(config)?;
        let (mut writer, _) = migrated(config, Action::Up)?;
        // What it keeps is bounded by the code: clients do not choose kinds of writes.
        statements.watch(&mut writer, &Kept::default());
        let connect = || {
            let mut conn = connect(&path, "PRAGMA query_only = ON;")
                .map_err(|e| fault(format!("cannot open {}: {e}", path.display())))?;
            let kept = Kept::default();
            statements.watch(&mut conn, &kept);
            let conn = Conn::Sqlite(conn);
            Ok(Reader { conn, kept })
        };
        let quick = Readers::open(readers(), connect)?;
        let slow = Readers::open(slow_readers(), connect)?;

        // After the readers, which create the log.
        let files = Files::of(&path)
            .map_err(|e| fault(format!("cannot look at {}: {e}", path.display())))?;
        let writer = Writer::start("sqlite-writer", Conn::Sqlite(writer), files.clone())
            .map_err(|e| fault(format!("cannot start the thread that writes: {e}")))?;
        Ok(Self {
            files,
            writer,
            quick,
            slow,
            limit: config.limits.request_time,
            slow_reads: AtomicU64::default(),
        })
    }

    /// # Errors
    /// `UNAVAILABLE` when the files are no longer those that were opened.
    pub(super) fn check_files(&self) -> Result<()> {
        self.files.check()
    }

    pub(super) fn slow_reads(&self) -> u64 {
        self.slow_reads.load(Ordering::Relaxed)
    }

    pub(super) fn version(&self) -> Version {
        Version(self.writer.commits())
    }

    /// Runs `work` on this thread. If that takes long, `work` is stopped, and runs again on a thread of its own.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let quick = self.quick.read_here(|reader| reader.run(&work));
        let (outcome, is_stopped) = quick.await;
        if !is_stopped {
            return outcome;
        }
        self.slow_reads.fetch_add(1, Ordering::Relaxed);
        let slow = move |reader: &mut Reader| reader.run(work);
        self.slow.read_apart(self.limit, slow).boxed().await
    }

    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.writer.write(work).await
    }
}

/// Opens the connection that writes, and does this about migrations.
pub(super) fn migrated(
    config: &Config,
    action: Action,
) -> Result<(SqliteConnection, Vec<Migration>), Fault> {
    let path = path_of(config)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| fault(format!("cannot make the folder {}: {e}", folder.display())))?;
    }
    create_private(&path).map_err(|e| fault(format!("cannot make {}: {e}", path.display())))?;
    let synchronous = match config.sqlite_synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    // A migration that recreates a table drops the old one, which must not delete the rows that refer to it.
    let pragmas = format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = OFF;"
    );
    let mut writer = connect(&path, &pragmas)
        .map_err(|e| fault(format!("cannot open {}: {e}", path.display())))?;
    let migrations = migrations::run_sqlite(&mut writer, action)
        .and_then(|found| {
            writer.batch_execute("PRAGMA foreign_keys = ON;")?;
            Ok(found)
        })
        .map_err(|e| fault(format!("cannot use {}: {e}", path.display())))?;
    Ok((writer, migrations))
}

fn fault(sentence: impl Into<String>) -> Fault {
    Fault::new("DATABASE_URL", sentence)
}

/// The file of the database, which need not exist yet.
pub(super) fn path_of(config: &Config) -> Result<PathBuf, Fault> {
    let url = config.database_url.expose();
    let path = match url
        .strip_prefix("sqlite://")
        .or_else(|| url.strip_prefix("sqlite:"))
    {
        Some(path) if !path.is_empty() => PathBuf::from(path),
        _ => config.volume_dir.join("database").join("madang.sqlite"),
    };
    if path.as_os_str() == ":memory:" {
        return Err(fault(
            "a database in memory is none that several connections share; name a file",
        ));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use diesel::{IntoSql, sql_types::BigInt};

    use super::*;
    use crate::db::lists::load_parts;

    #[test]
    fn a_reader_that_keeps_many_statements_forgets_them_and_works_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut conn = connect(&folder.path().join("db"), "").unwrap();
        let kept = Kept::default();
        Statements::default().watch(&mut conn, &kept);
        let conn = Conn::Sqlite(conn);
        let mut reader = Reader {
            conn,
            kept: kept.clone(),
        };
        // A statement of its own for each number of parts.
        let mut read = |parts| {
            let found: Result<Vec<Vec<i64>>> = reader.run(|conn| {
                let Conn::Sqlite(conn) = conn else {
                    unreachable!()
                };
                let seven = diesel::select(7_i64.into_sql::<BigInt>());
                Ok(load_parts(None, conn, vec![vec![seven; parts]])?)
            });
            assert_eq!(found.unwrap(), [vec![7; parts]]);
            kept.0.load(Ordering::Relaxed)
        };

        for parts in 2..KEPT + 2 {
            assert_eq!(read(parts), parts - 1);
        }
        assert_eq!(read(2), 1, "it was forgotten");
        assert_eq!(read(2), 1, "it is kept again");
        assert_eq!(read(3), 2);
    }
}
