//! What cannot be written once for both engines: row locks, the engine's time, and how drivers report that the database is unavailable.
//! Full text is in `posts::store::search`.

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary},
};

use super::Conn;
use crate::{
    clock::{Clock, Timestamp},
    error::Result,
    ids::{Id, Kind},
};

/// Whether a driver's message says that the database is unavailable, and not that the statement is wrong.
#[must_use]
pub(super) fn is_away(message: &str) -> bool {
    const SIGNS: [&str; 11] = [
        "Input/output error",
        "Connection refused",
        "Connection reset",
        "Broken pipe",
        "connection closed",
        "is closed",
        "gone away",
        "readonly database",
        "disk I/O error",
        "database or disk is full",
        // The statements that all servers keep prepared are too many. They end with the connections.
        "max_prepared_stmt_count",
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// Whether a driver's message says that the engine has stopped a statement at its time limit: MariaDB's 1969, MySQL's
/// 3024 and SQLITE_INTERRUPT.
#[must_use]
pub(super) fn is_stopped(message: &str) -> bool {
    message.contains("max_statement_time exceeded")
        || message.contains("maximum statement execution time exceeded")
        || message == "interrupted"
}

/// Tables whose rows are locked.
#[derive(Clone, Copy, Debug)]
pub enum Lockable {
    Users,
    SignInSessions,
    Boards,
    Posts,
    Comments,
    Jobs,
    ChatSessions,
    AiModels,
    AiLogs,
}

impl Lockable {
    fn statement(self) -> &'static str {
        match self {
            Self::Users => "SELECT 1 FROM users WHERE id = ? FOR UPDATE",
            Self::SignInSessions => "SELECT 1 FROM sign_in_sessions WHERE id = ? FOR UPDATE",
            Self::Boards => "SELECT 1 FROM boards WHERE id = ? FOR UPDATE",
            Self::Posts => "SELECT 1 FROM posts WHERE id = ? FOR UPDATE",
            Self::Comments => "SELECT 1 FROM comments WHERE id = ? FOR UPDATE",
            Self::Jobs => "SELECT 1 FROM jobs WHERE id = ? FOR UPDATE",
            Self::ChatSessions => "SELECT 1 FROM chat_sessions WHERE id = ? FOR UPDATE",
            Self::AiModels => "SELECT 1 FROM ai_models WHERE id = ? FOR UPDATE",
            Self::AiLogs => "SELECT 1 FROM ai_logs WHERE id = ? FOR UPDATE",
        }
    }
}

/// Locks the row, if it exists, until the transaction ends. On SQLite there is only one writer anyway.
///
/// # Errors
/// Those of the database.
pub fn lock<K: Kind>(conn: &mut Conn, table: Lockable, id: Id<K>) -> Result<()> {
    if let Conn::Mysql(conn) = conn {
        diesel::sql_query(table.statement())
            .bind::<Binary, _>(id)
            .execute(conn)?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = BigInt)]
    micros: i64,
}

/// The time by which leases are measured: that of the engine where several servers share one, so that it does not matter
/// if their clocks differ. SQLite is used by this machine alone.
///
/// # Errors
/// Those of the database.
pub fn now(conn: &mut Conn, clock: &Clock) -> Result<Timestamp> {
    match conn {
        Conn::Sqlite(_) => Ok(clock.now()),
        Conn::Mysql(conn) => {
            let now: Now = diesel::sql_query(
                "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) AS micros",
            )
            .get_result(conn)?;
            Ok(Timestamp::from_micros(now.micros).after(clock.moved()))
        }
    }
}
