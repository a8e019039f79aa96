//! Files of SQLite databases: making, opening and watching them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{Connection, connection::SimpleConnection, sqlite::SqliteConnection};

use super::{super::UNAVAILABLE, allowance};
use crate::error::Result;

/// The files of an open database. If one is deleted or replaced while the server runs, SQLite still accepts writes,
/// which are lost when the server stops.
#[derive(Clone)]
pub(crate) struct Files(Arc<[(PathBuf, Identity)]>);

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
    pub(crate) fn of(path: &Path) -> std::io::Result<Self> {
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
    pub(crate) fn check(&self) -> Result<()> {
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

/// Creates the file, if it does not exist, with a mode that only its owner can read: it contains addresses and password
/// hashes. SQLite gives its log files the same mode.
pub(crate) fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Opens a connection that waits for others that write, and whose reads can be limited.
pub(crate) fn connect(
    path: &Path,
    pragmas: &str,
) -> Result<SqliteConnection, Box<dyn std::error::Error>> {
    let path = path.to_str().ok_or("the path is not UTF-8")?;
    allowance::install();
    let mut conn = SqliteConnection::establish(path)?;
    conn.batch_execute("PRAGMA busy_timeout = 5000;")?;
    let began = Instant::now();
    // The change of the journal's mode does not wait by itself.
    while let Err(error) = conn.batch_execute(pragmas) {
        let is_locked = error.to_string().contains("database is locked");
        if !is_locked || began.elapsed() > PATIENCE {
            return Err(error.into());
        }
        std::thread::sleep(PAUSE);
    }
    Ok(conn)
}

/// How long another program that starts may keep the database locked.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);
