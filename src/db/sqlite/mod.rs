//! SQLite in this process: one thread that writes and commits in groups, several connections that read.

mod files;
mod writer;

use std::path::PathBuf;

use diesel::{connection::SimpleConnection, sqlite::SqliteConnection};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) use self::{
    files::{Files, connect, create_private},
    writer::{Writer, run_guarded},
};

use super::{
    Conn, Statements, UNAVAILABLE, Version,
    migrations::{self, Action, Migration},
};
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

pub(super) struct Sqlite {
    files: Files,
    writer: Writer,
    readers: Readers,
}

struct Readers {
    idle: Mutex<Vec<Conn>>,
    free: Semaphore,
}

impl Sqlite {
    pub(super) fn open(config: &Config, statements: &Statements) -> Result<Self, Fault> {
        let path = path_of(config)?;
        let (mut writer, _) = migrated(config, Action::Up)?;
        statements.watch(&mut writer);
        let connect = |pragmas: &str| {
            connect(&path, pragmas)
                .map_err(|e| fault(format!("cannot open {}: {e}", path.display())))
        };

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
        let writer = Writer::start("sqlite-writer", Conn::Sqlite(writer), files.clone())
            .map_err(|e| fault(format!("cannot start the thread that writes: {e}")))?;
        Ok(Self {
            files,
            writer,
            readers,
        })
    }

    /// # Errors
    /// `UNAVAILABLE` when the files are no longer those that were opened.
    pub(super) fn check_files(&self) -> Result<()> {
        self.files.check()
    }

    pub(super) fn version(&self) -> Version {
        Version(self.writer.commits())
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
