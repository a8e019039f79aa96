//! A program that is killed while it migrates leaves a database that the next one brings up to date.

use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};
use futures_util::future::join_all;
use madang::db::{Conn, Db, on};

use crate::support::{Backends, Cut, Database, JWT_SECRET, config, proxy};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Definition {
    #[diesel(sql_type = Text)]
    #[diesel(column_name = "Create Table")]
    text: String,
}

async fn open(url: &str) -> Result<Db, madang::config::Fault> {
    let volume = tempfile::tempdir().unwrap();
    let secret = ["--jwt-secret", JWT_SECRET];
    let flags = ["--database-url", url, secret[0], secret[1]];
    Db::open(&config(volume.path(), &flags)).await
}

/// How every table was made, and which migrations have run.
async fn schema(db: &Db) -> Vec<String> {
    db.read(|conn| {
        let Conn::Mysql(_) = conn else {
            panic!("of MySQL only");
        };
        let tables: Vec<Name> = on!(conn, |c| diesel::sql_query(
            "SELECT CAST(TABLE_NAME AS CHAR) AS name FROM information_schema.TABLES
             WHERE TABLE_SCHEMA = database() ORDER BY 1"
        )
        .load(c))?;
        let mut schema = Vec::new();
        for Name { name } in tables {
            let query = format!("SHOW CREATE TABLE {name}");
            let found: Definition = on!(conn, |c| diesel::sql_query(query).get_result(c))?;
            schema.push(found.text);
        }
        let rows: Vec<Name> = on!(conn, |c| diesel::sql_query(
            "SELECT version AS name FROM __diesel_schema_migrations
             UNION ALL SELECT concat('unfinished ', version) FROM __madang_migration_progress ORDER BY 1"
        )
        .load(c))?;
        schema.extend(rows.into_iter().map(|row| row.name));
        Ok(schema)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_is_cut_off_anywhere_goes_on_at_the_next_start() {
    if Backends::of_this_run() == Backends::Embedded {
        // One transaction: `crash` kills the program on both engines.
        return;
    }
    let volume = tempfile::tempdir().unwrap();
    let clean = Database::make(Backends::Engines, volume.path()).await;
    let expected = schema(&open(&clean.url).await.unwrap()).await;

    // Whether it cut anything.
    let try_at = async |cut, at| {
        let database = Database::make(Backends::Engines, volume.path()).await;
        let killed = open(&proxy(&database.url, at, cut).await).await;

        let again = open(&database.url).await;

        let again = again.unwrap_or_else(|e| panic!("{cut:?} {at}: {e}"));
        assert_eq!(schema(&again).await, expected, "{cut:?} {at}");
        killed.is_err()
    };

    let mut cuts = 0;
    for batch in 0.. {
        let places = (8 * batch)..(8 * batch + 8);
        let tries = places.flat_map(|at| [try_at(Cut::Before, at), try_at(Cut::After, at)]);
        let has_cut = join_all(tries).await.into_iter().filter(|cut| *cut).count();
        if has_cut == 0 {
            break;
        }
        cuts += has_cut;
    }
    // Each statement of each migration, and each note of it, on both sides.
    assert!(cuts > 40, "only {cuts} cuts");
}
