//! The migrations of both engines, embedded. They have the same names and make the same tables.

use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::MysqlConnection;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const MYSQL: EmbeddedMigrations = embed_migrations!("migrations/mysql");

type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Applies what is not applied yet.
pub(super) fn run_sqlite(conn: &mut SqliteConnection) -> Done {
    conn.run_pending_migrations(SQLITE).map(drop)
}

/// Applies what is not applied yet. A lock of the server lets two programs that start at once do it one after the other.
pub(super) fn run_mysql(conn: &mut MysqlConnection) -> Done {
    use diesel::RunQueryDsl;
    diesel::sql_query("DO GET_LOCK('madang_migrations', 60)").execute(conn)?;
    let done = conn.run_pending_migrations(MYSQL).map(drop);
    diesel::sql_query("DO RELEASE_LOCK('madang_migrations')").execute(conn)?;
    done
}
