//! What cannot be written once for both engines, one function each: row locks, inserts that leave what is there alone,
//! inserts of many rows, and what the drivers say when the database is away.

use diesel::{RunQueryDsl, sql_types::Binary};

use super::{Conn, MysqlConnection};
use crate::{
    clock::Timestamp,
    error::Result,
    ids::{BoardId, Id, Kind, UserId},
};

/// Whether a message of a driver says that the server is away, rather than that the statement is at fault.
#[must_use]
pub(super) fn is_away(message: &str) -> bool {
    const SIGNS: [&str; 10] = [
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
    ];
    SIGNS.iter().any(|sign| message.contains(sign))
}

/// Tables whose rows are locked.
#[derive(Clone, Copy, Debug)]
pub enum Lockable {
    Users,
    SignInSessions,
    Boards,
    Posts,
    Comments,
}

impl Lockable {
    fn statement(self) -> &'static str {
        match self {
            Self::Users => "SELECT 1 FROM users WHERE id = ? FOR UPDATE",
            Self::SignInSessions => "SELECT 1 FROM sign_in_sessions WHERE id = ? FOR UPDATE",
            Self::Boards => "SELECT 1 FROM boards WHERE id = ? FOR UPDATE",
            Self::Posts => "SELECT 1 FROM posts WHERE id = ? FOR UPDATE",
            Self::Comments => "SELECT 1 FROM comments WHERE id = ? FOR UPDATE",
        }
    }
}

/// Keeps the row, where there is one, as it is until the transaction ends. On SQLite nobody else writes meanwhile anyway.
///
/// # Errors
/// Those of the database.
pub fn lock<K: Kind>(conn: &mut Conn, table: Lockable, id: Id<K>) -> Result<()> {
    if let Conn::Mysql(conn) = conn {
        run(
            diesel::sql_query(table.statement()).bind::<Binary, _>(id),
            conn,
        )?;
    }
    Ok(())
}

/// Keeps all admins what they are until the transaction ends, so that two of them cannot remove each other.
///
/// # Errors
/// Those of the database.
pub fn lock_admins(conn: &mut Conn) -> Result<()> {
    if let Conn::Mysql(conn) = conn {
        run(
            diesel::sql_query("SELECT 1 FROM users WHERE role = 1 FOR UPDATE"),
            conn,
        )?;
    }
    Ok(())
}

fn run(
    query: impl RunQueryDsl<MysqlConnection>
    + diesel::query_builder::QueryFragment<diesel::mysql::Mysql>
    + diesel::query_builder::QueryId,
    conn: &mut MysqlConnection,
) -> Result<()> {
    diesel::connection::Connection::execute_returning_count(conn, &query)?;
    Ok(())
}

/// Grants `users` entry to `board`; who has it already keeps the older grant.
///
/// # Errors
/// Those of the database.
pub fn insert_grants(
    conn: &mut Conn,
    board: BoardId,
    users: &[UserId],
    at: Timestamp,
) -> Result<()> {
    use super::tables::board_grants;
    use diesel::ExpressionMethods;
    let rows: Vec<_> = users
        .iter()
        .map(|user| {
            (
                board_grants::board_id.eq(board),
                board_grants::user_id.eq(*user),
                board_grants::granted_at.eq(at),
            )
        })
        .collect();
    super::on!(conn, |c| {
        for row in rows {
            diesel::insert_or_ignore_into(board_grants::table)
                .values(row)
                .execute(c)?;
        }
    });
    Ok(())
}

/// Inserts rows: one statement on MySQL, where each is a round trip; one for each row on SQLite, where diesel would begin
/// a transaction of its own for many. For rows that come from a list of bounded length.
#[macro_export]
macro_rules! insert_many {
    ($conn:expr, $table:expr, $rows:expr) => {
        match $conn {
            $crate::db::Conn::Sqlite(c) => {
                for row in $rows {
                    diesel::insert_into($table).values(row).execute(c)?;
                }
            }
            $crate::db::Conn::Mysql(c) => {
                diesel::insert_into($table).values($rows).execute(c)?;
            }
        }
    };
}
pub use insert_many;
