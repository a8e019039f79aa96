//! The migrations of both engines, embedded. They have the same names and make the same tables.

use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::MysqlConnection;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("migrations/mysql");

type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Applies what is not applied yet.
pub(super) fn run_sqlite(conn: &mut SqliteConnection) -> Done {
    // Alone, so that of two programs that start at once one finds it done.
    let mut failure = None;
    let done = conn.exclusive_transaction(|conn| {
        conn.run_pending_migrations(SQLITE).map(drop).map_err(|e| {
            failure = Some(e);
            diesel::result::Error::RollbackTransaction
        })
    });
    match (done, failure) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(failure)) => Err(failure),
        (Err(error), None) => Err(error.into()),
    }
}

#[derive(diesel::QueryableByName)]
struct Lock {
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::BigInt>)]
    got: Option<i64>,
}

/// Applies what is not applied yet. A lock of the server lets two programs that start at once do it one after the other.
pub(super) fn run_mysql(conn: &mut MysqlConnection) -> Done {
    use diesel::RunQueryDsl;
    let lock: Lock =
        diesel::sql_query("SELECT CAST(GET_LOCK('madang_migrations', 60) AS SIGNED) AS got")
            .get_result(conn)?;
    if lock.got != Some(1) {
        return Err("another program has been migrating for a minute".into());
    }
    let done = conn.run_pending_migrations(MYSQL).map(drop);
    diesel::sql_query("DO RELEASE_LOCK('madang_migrations')").execute(conn)?;
    done
}
