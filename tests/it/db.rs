//! The contract of the relational port, the same on every engine: transactions, errors, panics, people who hang up.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use diesel::{QueryableByName, RunQueryDsl, prelude::*, sql_types::Text};
use madang::{
    app::App,
    clock::Timestamp,
    db::{Conn, Db, on, tables::boards},
    error::{Error, Result, Rule},
    ids::BoardId,
};

use crate::support::{Backends, TestApp};

pub fn insert(conn: &mut Conn, id: BoardId, key: &str) -> Result<()> {
    let row = (
        (
            boards::id.eq(id),
            boards::name.eq(key),
            boards::name_key.eq(key),
            boards::information.eq("i"),
        ),
        (
            boards::is_visible.eq(true),
            boards::is_available.eq(true),
            boards::post_count.eq(0),
        ),
        boards::created_at.eq(Timestamp::from_micros(1)),
    );
    on!(conn, |c| diesel::insert_into(boards::table)
        .values(row)
        .execute(c))?;
    Ok(())
}

pub async fn keys(app: &App) -> Vec<String> {
    app.db
        .read(|conn| {
            Ok(on!(conn, |c| boards::table
                .select(boards::name_key)
                .order(boards::name_key)
                .load(c))?)
        })
        .await
        .unwrap()
}

async fn write(app: &App, key: &'static str) -> Result<()> {
    let id = app.clock.id();
    app.db.write(move |conn| insert(conn, id, key)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_read() {
    let app = TestApp::start().await;

    write(&app.app, "b").await.unwrap();
    write(&app.app, "a").await.unwrap();

    assert_eq!(keys(&app.app).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_takes_all_of_itself_back_and_nothing_of_others() {
    let app = TestApp::start().await;
    let ids: Vec<BoardId> = (0..60).map(|_| app.clock.id()).collect();

    // Many at once, so that they share commits where an engine groups them; every third one fails after its insert.
    let writes = ids.into_iter().enumerate().map(|(n, id)| {
        let app = app.app.clone();
        async move {
            app.db
                .write(move |conn| {
                    insert(conn, id, &format!("{n:02}"))?;
                    if n % 3 == 0 {
                        Err(Error::Forbidden)
                    } else {
                        Ok(())
                    }
                })
                .await
        }
    });
    let answers = futures_util::future::join_all(writes).await;

    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n % 3 == 0, "{n}");
    }
    let expected: Vec<_> = (0..60)
        .filter(|n| n % 3 != 0)
        .map(|n| format!("{n:02}"))
        .collect();
    assert_eq!(keys(&app.app).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_write_is_an_error_and_the_next_one_works() {
    let app = TestApp::start().await;
    let id = app.clock.id();

    let panicked = app
        .app
        .db
        .write(move |conn| -> Result<()> {
            insert(conn, id, "a")?;
            panic!("as a test wants it")
        })
        .await;

    assert!(matches!(panicked, Err(Error::Internal(_))));
    write(&app.app, "b").await.unwrap();
    assert_eq!(keys(&app.app).await, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_read_costs_no_connection() {
    let app = TestApp::start().await;
    for _ in 0..40 {
        let panicked: Result<()> = app.app.db.read(|_| panic!("as a test wants it")).await;
        assert!(panicked.is_err());
    }

    assert!(keys(&app.app).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_column_refuses_and_says_which() {
    let app = TestApp::start().await;
    write(&app.app, "a").await.unwrap();
    let id = app.clock.id();

    let refused = app
        .app
        .db
        .write(move |conn| {
            let row = (
                (
                    boards::id.eq::<BoardId>(id),
                    boards::name.eq("a"),
                    boards::name_key.eq("a"),
                    boards::information.eq("i"),
                ),
                (
                    boards::is_visible.eq(true),
                    boards::is_available.eq(true),
                    boards::post_count.eq(0),
                ),
                boards::created_at.eq(Timestamp::from_micros(1)),
            );
            let refused = on!(conn, |c| diesel::insert_into(boards::table)
                .values(row)
                .execute(c))
            .unwrap_err();
            let columns = [("email_key", "email"), ("name_key", "name")];
            Ok(madang::db::conflict(refused, &columns))
        })
        .await
        .unwrap();

    assert!(matches!(&refused, Error::Conflict(taken) if *taken == [Rule::Taken.at("name")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_cannot_write() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let id = app.clock.id();

    let refused = app.app.db.read(move |conn| insert(conn, id, "a")).await;

    assert!(refused.is_err());
    assert!(keys(&app.app).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_after_the_start_stops_nothing() {
    let app = TestApp::start().await;
    let id = app.clock.id();
    let (began, has_begun) = std::sync::mpsc::channel();
    let began = parking_lot::Mutex::new(began);

    let ports = app.app.clone();
    let writing = async move {
        ports
            .db
            .write(move |conn| {
                began.lock().send(()).unwrap();
                std::thread::sleep(Duration::from_millis(200));
                insert(conn, id, "a")
            })
            .await
    };
    let waiting = tokio::spawn(tokio::time::timeout(Duration::from_millis(100), writing));
    tokio::task::spawn_blocking(move || has_begun.recv_timeout(Duration::from_secs(5)))
        .await
        .unwrap()
        .unwrap();
    assert!(waiting.await.unwrap().is_err(), "the caller has given up");

    for _ in 0..100 {
        if keys(&app.app).await == ["a"] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the write did not finish");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_before_the_start_changes_nothing() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let (slow, late) = (app.clock.id(), app.clock.id());
    let ran = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ran);

    // The only writer is busy; the second write is dropped while it waits.
    let busy = {
        let app = app.app.clone();
        tokio::spawn(async move {
            app.db
                .write(move |conn| {
                    std::thread::sleep(Duration::from_millis(200));
                    insert(conn, slow, "slow")
                })
                .await
        })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    let dropped = app.app.db.write(move |conn| {
        counted.fetch_add(1, Ordering::SeqCst);
        insert(conn, late, "late")
    });
    assert!(
        tokio::time::timeout(Duration::from_millis(20), dropped)
            .await
            .is_err()
    );
    busy.await.unwrap().unwrap();
    write(&app.app, "next").await.unwrap();

    assert_eq!(keys(&app.app).await, ["next", "slow"]);
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_that_wait_share_a_commit() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    let before = app.app.db.statements();

    let writes = (0..50).map(|n| {
        let (app, id) = (app.app.clone(), app.clock.id());
        async move {
            app.db
                .write(move |conn| insert(conn, id, &format!("{n}")))
                .await
        }
    });
    for answer in futures_util::future::join_all(writes).await {
        answer.unwrap();
    }

    // Each write: savepoint, insert, release. Begin and commit are shared; alone they would make it 250.
    let statements = app.app.db.statements() - before;
    assert!(statements < 230, "{statements} statements");
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_by_many_at_once_all_count() {
    let app = TestApp::start().await;
    let id = app.clock.id();
    app.app
        .db
        .write(move |conn| insert(conn, id, "a"))
        .await
        .unwrap();

    let increments = (0..100).map(|_| {
        let app = app.app.clone();
        async move {
            app.db
                .write(move |conn| madang::boards::store::count_posts(conn, id, 1))
                .await
        }
    });
    for answer in futures_util::future::join_all(increments).await {
        answer.unwrap();
    }

    let count: i32 = app
        .app
        .db
        .read(move |conn| {
            Ok(on!(conn, |c| boards::table
                .find(id)
                .select(boards::post_count)
                .get_result(c))?)
        })
        .await
        .unwrap();
    assert_eq!(count, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_of_every_kind_round_trips() {
    let app = TestApp::start().await;
    for text in [
        "마당쇠",
        "👩‍👩‍👧‍👦",
        "a\u{0301}",
        "'\"\\%_;--",
        "\u{10ffff}",
        " trailing ",
    ] {
        let id = app.clock.id();
        app.app
            .db
            .write(move |conn| insert(conn, id, text))
            .await
            .unwrap();
        let read: String = app
            .app
            .db
            .read(move |conn| {
                Ok(on!(conn, |c| boards::table
                    .find(id)
                    .select(boards::name_key)
                    .get_result(c))?)
            })
            .await
            .unwrap();
        assert_eq!(read, text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_opens_again_with_what_it_held() {
    let app = TestApp::on(Backends::Embedded, &[]).await;
    write(&app.app, "a").await.unwrap();
    let url = format!(
        "sqlite://{}",
        app.volume.path().join("test.sqlite").display()
    );

    let again = App::open(
        crate::support::config(app.volume.path(), &["--database-url", &url]),
        app.clock.clone(),
    )
    .await
    .unwrap();

    assert_eq!(keys(&again).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_that_start_at_once_on_one_folder_all_start() {
    let volume = tempfile::tempdir().unwrap();
    let starts = (0..6).map(|_| {
        let config = crate::support::config(volume.path(), &[]);
        tokio::spawn(App::open(config, madang::clock::Clock::system()))
    });

    for start in futures_util::future::join_all(starts).await {
        start.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_the_server_has_cut_are_made_anew() {
    let app = TestApp::on(Backends::of_this_run(), &[]).await;
    write(&app.app, "a").await.unwrap();
    if Backends::of_this_run() == Backends::Embedded {
        // There is no server that could cut anything.
        assert_eq!(keys(&app.app).await, ["a"]);
        return;
    }
    // All but the one that does it, which then is the only one that lives.
    let kill = |conn: &mut Conn| {
        let own = "SELECT CAST(ID AS CHAR) AS table_name, '' AS column_name, '' AS is_nullable FROM information_schema.PROCESSLIST WHERE DB = database()";
        let found: Vec<Column> = on!(conn, |c| diesel::sql_query(own).load(c))?;
        for id in found {
            // The last one is this very connection, whose statement breaks off.
            on!(conn, |c| diesel::sql_query(format!(
                "KILL {}",
                id.table_name
            ))
            .execute(c))
            .ok();
        }
        Ok(())
    };
    app.app.db.read(kill).await.ok();

    for attempt in 0.. {
        if app.app.db.ping().await.is_ok() {
            break;
        }
        assert!(attempt < 3, "the dead connections stay");
    }
    assert_eq!(keys(&app.app).await, ["a"]);
}

#[derive(QueryableByName, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Column {
    #[diesel(sql_type = Text)]
    table_name: String,
    #[diesel(sql_type = Text)]
    column_name: String,
    #[diesel(sql_type = Text)]
    is_nullable: String,
}

const SQLITE_COLUMNS: &str = "SELECT t.name AS table_name, c.name AS column_name, CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END AS is_nullable
    FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE '\\_\\_%' ESCAPE '\\' AND t.name NOT LIKE 'post_search%'";
const MYSQL_COLUMNS: &str = "SELECT CAST(TABLE_NAME AS CHAR) AS table_name, CAST(COLUMN_NAME AS CHAR) AS column_name, CAST(IS_NULLABLE AS CHAR) AS is_nullable
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = database() AND TABLE_NAME NOT LIKE '\\_\\_%' AND TABLE_NAME <> 'post_search'";

pub async fn columns(db: &Db) -> BTreeSet<Column> {
    db.read(|conn| {
        let query = match conn {
            Conn::Sqlite(_) => SQLITE_COLUMNS,
            Conn::Mysql(_) => MYSQL_COLUMNS,
        };
        let columns: Vec<Column> = on!(conn, |c| diesel::sql_query(query).load(c))?;
        Ok(columns.into_iter().collect())
    })
    .await
    .unwrap()
}

/// What `tables.rs` says. Full text is left out, which each engine has in its own way.
fn declared() -> BTreeSet<Column> {
    let mut declared = BTreeSet::new();
    let mut table = String::new();
    for line in include_str!("../../src/db/tables.rs")
        .lines()
        .map(str::trim)
        .filter(|l| !l.starts_with("//"))
    {
        if let Some((name, rest)) = line.split_once(" (")
            && rest.ends_with('{')
        {
            table = name.to_owned();
        }
        if let Some((column, kind)) = line.split_once(" -> ")
            && !line.contains('!')
        {
            let is_nullable = if kind.starts_with("Nullable") {
                "YES"
            } else {
                "NO"
            };
            if table == "post_search" {
                continue;
            }
            declared.insert(Column {
                table_name: table.clone(),
                column_name: column.to_owned(),
                is_nullable: is_nullable.to_owned(),
            });
        }
    }
    declared
}

#[tokio::test(flavor = "multi_thread")]
async fn the_migrations_make_the_tables_that_the_queries_are_written_for() {
    let app = TestApp::start().await;

    assert_eq!(columns(&app.app.db).await, declared());
    assert!(declared().len() > 40);
}

#[test]
fn both_engines_have_migrations_of_the_same_names() {
    let names = |engine: &str| -> Vec<String> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("migrations")
            .join(engine);
        let entries = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };

    assert_eq!(names("sqlite"), names("mysql"));
    assert!(!names("sqlite").is_empty());
}
