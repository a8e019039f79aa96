//! The migrations of both engines, embedded. They have the same names and create the same tables.
//!
//! On SQLite all missing migrations run in one transaction. MySQL commits each DDL statement by itself, so there each
//! statement is recorded before it runs. If the program is killed in the middle, the next start goes on at that
//! statement.

use std::collections::HashSet;

use diesel::{
    Connection, OptionalExtension, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_types::{BigInt, Integer, Nullable, Text},
    sqlite::SqliteConnection,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::MysqlConnection;

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

macro_rules! mysql {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../migrations/mysql/", $name, "/up.sql")))),*]
    };
}

/// Names and texts. Each statement ends with a semicolon at the end of a line. A statement that does not change a table
/// must be safe to run twice.
const MYSQL: &[(&str, &str)] = mysql![
    "0001_accounts",
    "0002_forum",
    "0003_likes_views_orders",
    "0004_post_search",
    "0005_sign_in_addresses",
    "0006_cache_entries",
    "0007_jobs",
];

type Done = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Applies the missing migrations.
pub(super) fn run_sqlite(conn: &mut SqliteConnection) -> Done {
    // Exclusively, so that of two programs that start at once, the second finds the work done.
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

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = Nullable<BigInt>)]
    got: Option<i64>,
}

/// Applies the missing migrations. A lock on the server makes two programs that start at once do so one after the
/// other. The connection must not be used afterwards.
pub(super) fn run_mysql(conn: &mut MysqlConnection) -> Done {
    // For this database only: others on the same server do not wait.
    const LOCK: &str = "concat('madang.', md5(database()))";
    // Changing a large table may take long.
    conn.batch_execute("SET SESSION wait_timeout = 3600 /*M! , max_statement_time = 0 */")?;
    let lock: Lock = diesel::sql_query(format!(
        "SELECT CAST(GET_LOCK({LOCK}, 60) AS SIGNED) AS got"
    ))
    .get_result(conn)?;
    if lock.got != Some(1) {
        return Err("another program has been migrating for a minute".into());
    }
    let done = apply_missing(conn);
    diesel::sql_query(format!("DO RELEASE_LOCK({LOCK})")).execute(conn)?;
    done
}

fn apply_missing(conn: &mut MysqlConnection) -> Done {
    let applied = conn.applied_migrations()?;
    let applied: HashSet<String> = applied.iter().map(ToString::to_string).collect();
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS __madang_migration_progress (
             version VARCHAR(50) NOT NULL PRIMARY KEY,
             statement INTEGER NOT NULL
         ) ENGINE = InnoDB",
    )?;
    for (name, text) in MYSQL {
        let version = name.split('_').next().unwrap_or_default();
        if !applied.contains(version) {
            apply(conn, version, text).map_err(|e| format!("{name}: {e}"))?;
        }
    }
    Ok(())
}

#[derive(QueryableByName)]
struct Progress {
    #[diesel(sql_type = Integer)]
    statement: i32,
}

/// Runs the statements of one migration, from where an earlier attempt stopped.
fn apply(conn: &mut MysqlConnection, version: &str, text: &str) -> Done {
    let begun: Option<Progress> =
        diesel::sql_query("SELECT statement FROM __madang_migration_progress WHERE version = ?")
            .bind::<Text, _>(version)
            .get_result(conn)
            .optional()?;
    let begun = begun.map(|progress| progress.statement);
    for (number, statement) in (0..).zip(statements(text)) {
        if begun.is_some_and(|begun| number < begun) {
            continue;
        }
        // It may have run before its program was killed.
        let may_be_done = begun == Some(number);
        if !may_be_done {
            diesel::sql_query("REPLACE INTO __madang_migration_progress VALUES (?, ?)")
                .bind::<Text, _>(version)
                .bind::<Integer, _>(number)
                .execute(conn)?;
        }
        match conn.batch_execute(statement) {
            Err(error) if may_be_done && says_done(&error) => {}
            done => done?,
        }
    }
    conn.transaction(|conn| -> diesel::QueryResult<()> {
        diesel::sql_query("INSERT INTO __diesel_schema_migrations (version) VALUES (?)")
            .bind::<Text, _>(version)
            .execute(conn)?;
        diesel::sql_query("DELETE FROM __madang_migration_progress WHERE version = ?")
            .bind::<Text, _>(version)
            .execute(conn)?;
        Ok(())
    })?;
    Ok(())
}

/// The statements of a migration.
fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(";\n")
        .map(str::trim)
        .filter(|statement| !statement.is_empty())
}

/// Whether a statement failed because its effect exists already. A statement takes effect completely or not at all:
/// InnoDB's DDL is atomic (MariaDB from 10.6, MySQL from 8.0).
fn says_done(error: &diesel::result::Error) -> bool {
    // The server's errors 1050, 1060, 1061, 1826 and 1091. Their texts depend on `lc_messages`.
    const SIGNS: [&str; 5] = [
        "already exists",
        "Duplicate column name",
        "Duplicate key name",
        "Duplicate foreign key constraint name",
        "check that",
    ];
    let message = error.to_string();
    SIGNS.iter().any(|sign| message.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_of_the_folder_is_embedded() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/mysql");
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();

        assert_eq!(
            MYSQL.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn each_statement_is_one() {
        for (name, text) in MYSQL {
            for statement in statements(text) {
                assert_eq!(statement.matches(';').count(), 1, "{name}: {statement}");
                assert!(statement.ends_with(';'), "{name}: {statement}");
            }
        }
    }
}
