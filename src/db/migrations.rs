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

struct Scripts {
    name: &'static str,
    up: &'static str,
    down: &'static str,
}

impl Scripts {
    fn version(&self) -> &'static str {
        self.name.split('_').next().unwrap_or_default()
    }
}

macro_rules! mysql {
    ($($name:literal),* $(,)?) => {
        &[$(Scripts {
            name: $name,
            up: include_str!(concat!("../../migrations/mysql/", $name, "/up.sql")),
            down: include_str!(concat!("../../migrations/mysql/", $name, "/down.sql")),
        }),*]
    };
}

/// What to do about migrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing but look.
    Look,
    /// Apply all that are missing.
    Up,
    /// Take the last one back, with the data that it made room for.
    Down,
}

/// A migration of this program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    pub name: &'static str,
    pub is_applied: bool,
}

/// All migrations in order, or why the database cannot be used with this program.
fn listed(applied: &HashSet<String>) -> Result<Vec<Migration>, Failure> {
    let known: HashSet<_> = MYSQL.iter().map(Scripts::version).collect();
    if let Some(newer) = applied
        .iter()
        .find(|version| !known.contains(version.as_str()))
    {
        return Err(format!(
            "it was made by a newer version of madang, which has the migration {newer}; use that version"
        )
        .into());
    }
    let migrations = MYSQL.iter().map(|scripts| Migration {
        name: scripts.name,
        is_applied: applied.contains(scripts.version()),
    });
    Ok(migrations.collect())
}

/// All migrations, for a database that does not exist yet.
pub(super) fn none_applied() -> Vec<Migration> {
    listed(&HashSet::new()).unwrap_or_default()
}

/// Names, the same on both engines, and texts. Each statement ends with a semicolon at the end of a line. A statement that does not change a table
/// must be safe to run twice.
const MYSQL: &[Scripts] = mysql![
    "0001_accounts",
    "0002_forum",
    "0003_likes_views_orders",
    "0004_post_search",
    "0005_sign_in_addresses",
    "0006_cache_entries",
    "0007_jobs",
    "0008_chat",
    "0009_files",
    "0010_ai",
    "0011_visible_first",
];

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Done = Result<(), Failure>;

/// Does it, and returns what is applied afterwards.
pub(super) fn run_sqlite(
    conn: &mut SqliteConnection,
    action: Action,
) -> Result<Vec<Migration>, Failure> {
    // Exclusively, so that of two programs that start at once, the second finds the work done.
    let mut failure = None;
    let done = conn.exclusive_transaction(|conn| {
        migrate_sqlite(conn, action).map_err(|e| {
            failure = Some(e);
            diesel::result::Error::RollbackTransaction
        })
    });
    match (done, failure) {
        (_, Some(failure)) => Err(failure),
        (done, None) => Ok(done?),
    }
}

fn migrate_sqlite(conn: &mut SqliteConnection, action: Action) -> Result<Vec<Migration>, Failure> {
    let found = listed(&applied(conn)?)?;
    match action {
        Action::Look => return Ok(found),
        Action::Up => drop(conn.run_pending_migrations(SQLITE)?),
        Action::Down if found.iter().any(|migration| migration.is_applied) => {
            conn.revert_last_migration(SQLITE)?;
        }
        Action::Down => {}
    }
    listed(&applied(conn)?)
}

fn applied<DB: diesel::backend::Backend>(
    conn: &mut impl MigrationHarness<DB>,
) -> Result<HashSet<String>, Failure> {
    let applied = conn.applied_migrations()?;
    Ok(applied.iter().map(ToString::to_string).collect())
}

#[derive(QueryableByName)]
struct Lock {
    #[diesel(sql_type = Nullable<BigInt>)]
    got: Option<i64>,
}

/// As [`run_sqlite`]. A lock on the server makes two programs that start at once do so one after the other. The
/// connection must not be used afterwards.
pub(super) fn run_mysql(
    conn: &mut MysqlConnection,
    action: Action,
) -> Result<Vec<Migration>, Failure> {
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
    let done = migrate_mysql(conn, action);
    diesel::sql_query(format!("DO RELEASE_LOCK({LOCK})")).execute(conn)?;
    done
}

fn migrate_mysql(conn: &mut MysqlConnection, action: Action) -> Result<Vec<Migration>, Failure> {
    let found = listed(&applied(conn)?)?;
    match action {
        Action::Look => return Ok(found),
        Action::Up => apply_missing(conn)?,
        Action::Down => {
            let last = MYSQL
                .iter()
                .zip(&found)
                .rfind(|(_, found)| found.is_applied);
            if let Some((scripts, _)) = last {
                revert(conn, scripts).map_err(|e| format!("{}: {e}", scripts.name))?;
            }
        }
    }
    listed(&applied(conn)?)
}

fn apply_missing(conn: &mut MysqlConnection) -> Done {
    let applied = applied(conn)?;
    let missing = MYSQL
        .iter()
        .filter(|scripts| !applied.contains(scripts.version()));
    for scripts in missing {
        let version = scripts.version();
        let note = "INSERT INTO __diesel_schema_migrations (version) VALUES (?)";
        run_statements(conn, version, version, scripts.up, note)
            .map_err(|e| format!("{}: {e}", scripts.name))?;
    }
    Ok(())
}

fn revert(conn: &mut MysqlConnection, scripts: &Scripts) -> Done {
    let (version, note) = (
        scripts.version(),
        "DELETE FROM __diesel_schema_migrations WHERE version = ?",
    );
    run_statements(
        conn,
        &format!("{version}-down"),
        version,
        scripts.down,
        note,
    )
}

#[derive(QueryableByName)]
struct Progress {
    #[diesel(sql_type = Integer)]
    statement: i32,
}

/// Runs the statements of one migration, from where an earlier attempt stopped, and notes the version as `note` says.
/// The attempt is known by its `key`.
fn run_statements(
    conn: &mut MysqlConnection,
    key: &str,
    version: &str,
    text: &str,
    note: &str,
) -> Done {
    conn.batch_execute(
        "CREATE TABLE IF NOT EXISTS __madang_migration_progress (
             version VARCHAR(50) NOT NULL PRIMARY KEY,
             statement INTEGER NOT NULL
         ) ENGINE = InnoDB",
    )?;
    let begun: Option<Progress> =
        diesel::sql_query("SELECT statement FROM __madang_migration_progress WHERE version = ?")
            .bind::<Text, _>(key)
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
                .bind::<Text, _>(key)
                .bind::<Integer, _>(number)
                .execute(conn)?;
        }
        match conn.batch_execute(statement) {
            Err(error) if may_be_done && says_done(&error) => {}
            done => done?,
        }
    }
    conn.transaction(|conn| -> diesel::QueryResult<()> {
        diesel::sql_query(note)
            .bind::<Text, _>(version)
            .execute(conn)?;
        diesel::sql_query("DELETE FROM __madang_migration_progress WHERE version = ?")
            .bind::<Text, _>(key)
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
    // The server's errors 1050, 1060, 1061, 1826, 1091 and 1051. Their texts depend on `lc_messages`.
    const SIGNS: [&str; 6] = [
        "already exists",
        "Duplicate column name",
        "Duplicate key name",
        "Duplicate foreign key constraint name",
        "check that",
        "Unknown table",
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
            MYSQL.iter().map(|scripts| scripts.name).collect::<Vec<_>>(),
            names
        );
    }

    #[test]
    fn each_statement_is_one() {
        let texts = MYSQL
            .iter()
            .flat_map(|s| [(s.name, s.up), (s.name, s.down)]);
        for (name, text) in texts {
            for statement in statements(text) {
                assert_eq!(statement.matches(';').count(), 1, "{name}: {statement}");
                assert!(statement.ends_with(';'), "{name}: {statement}");
            }
        }
    }
}
