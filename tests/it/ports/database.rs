//! What only a database server can do: stop a statement, close a connection, let two transactions wait for each other.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use diesel::{
    QueryableByName,
    dsl::sql,
    prelude::*,
    sql_types::{BigInt, Bool},
};
use futures_util::future::join_all;
use madang::{
    boards::store::count_posts,
    db::{Conn, Db, lists::load_parts, on, tables::boards},
    error::{Error, Result},
};
use mysql_async::prelude::Queryable;
use tokio::sync::oneshot;

use crate::{
    db::{insert, keys},
    support::{Backends, OwnServer, TestApp, config},
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

fn execute(conn: &mut Conn, statement: &str) -> Result<()> {
    on!(conn, |c| diesel::sql_query(statement).execute(c))?;
    Ok(())
}

/// Another client of the same database. `None` on SQLite, which has no others.
async fn other_client(app: &TestApp) -> Option<mysql_async::Conn> {
    if Backends::of_this_run() == Backends::Embedded {
        return None;
    }
    let url = app.app.config.database_url.expose();
    Some(mysql_async::Conn::from_url(url).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_stopped_on_the_server() {
    let app = TestApp::with(&["--limit-request-time", "1s"]).await;
    let Some(mut other) = other_client(&app).await else {
        return;
    };
    let id = app.clock.id();
    let made = app.app.db.write(move |conn| insert(conn, id, "a"));
    made.await.unwrap();

    let slow = "SELECT COUNT(*) FROM boards WHERE SLEEP(60) = 0";
    let read = app.app.db.read(|conn| execute(conn, slow)).await;
    let slow = "UPDATE boards SET information = 'x' WHERE SLEEP(60) = 0";
    let written = app.app.db.write(|conn| execute(conn, slow)).await;

    assert!(matches!(read, Err(Error::Timeout)), "{read:?}");
    assert!(matches!(written, Err(Error::Timeout)), "{written:?}");
    let running = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = database() AND INFO LIKE '%SLEEP(60)%' AND ID <> CONNECTION_ID()";
    let running: Option<i64> = other.query_first(running).await.unwrap();
    assert_eq!(running, Some(0));

    // Whoever waits for a lock that long does not wait any longer either, and changes nothing.
    let lock = "SELECT 1 FROM boards FOR UPDATE";
    other.query_drop("BEGIN").await.unwrap();
    other.query_drop(lock).await.unwrap();
    let waited = app.app.db.write(move |conn| count_posts(conn, id, 1)).await;
    assert!(matches!(waited, Err(Error::Timeout)), "{waited:?}");
    other.query_drop("ROLLBACK").await.unwrap();
    let count = "SELECT CAST(post_count AS SIGNED) AS number FROM boards";
    let count = app.app.db.read(move |conn| {
        let count: Number = on!(conn, |c| diesel::sql_query(count).get_result(c))?;
        Ok(count.number)
    });
    assert_eq!(count.await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_should_be_short_is_stopped_alone() {
    let app = TestApp::start().await;
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let ids = [app.clock.id(), app.clock.id()];
    let made = app.app.db.write(move |conn| {
        insert(conn, ids[0], "a")?;
        insert(conn, ids[1], "b")
    });
    made.await.unwrap();
    fn read(conn: &mut Conn, limit: Option<Duration>, condition: &str) -> Result<Vec<Vec<i64>>> {
        let Conn::Mysql(c) = conn else { unreachable!() };
        let query = boards::table
            .filter(sql::<Bool>(condition))
            .select(sql::<BigInt>("7"));
        Ok(load_parts(
            limit,
            c,
            vec![vec![query.clone()], vec![query]],
        )?)
    }

    let seen = app.app.db.read(|conn| {
        let endless = conn.if_short(|conn, limit| read(conn, limit, "SLEEP(60) = 0"))?;
        let short = conn.if_short(|conn, limit| read(conn, limit, "SLEEP(0) = 0"))?;
        // Longer than a short one may take.
        let after = read(conn, None, "SLEEP(0.4) = 0")?;
        Ok((endless, short, after))
    });

    let both = vec![vec![7, 7]; 2];
    assert_eq!(seen.await.unwrap(), (None, Some(both.clone()), both));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_ask_for_ever_new_kinds_of_list_do_not_fill_a_connection_with_them() {
    let app = TestApp::with(&["--limit-database-connections", "1"]).await;
    let id = app.clock.id();
    let made = app.app.db.write(move |conn| insert(conn, id, "a"));
    made.await.unwrap();
    let mut connections = HashSet::new();

    for parts in 1..=300 {
        let read = app.app.db.read(move |conn| {
            // A statement of its own for each number of parts, and kept prepared.
            let part = boards::table.select(boards::name_key);
            let found = on!(conn, |c| load_parts(None, c, vec![vec![part; parts]]))?;
            let connection = match conn {
                Conn::Sqlite(_) => None,
                Conn::Mysql(c) => {
                    let own = "SELECT CAST(CONNECTION_ID() AS SIGNED) AS number";
                    let own: Number = diesel::sql_query(own).get_result(c)?;
                    Some(own.number)
                }
            };
            Ok((found, connection))
        });
        let (found, connection): (Vec<Vec<String>>, _) = read.await.unwrap();
        assert_eq!(found, [vec!["a"; parts]]);
        connections.insert(connection);
    }

    let expected = match Backends::of_this_run() {
        Backends::Embedded => 1,
        // What a connection keeps on the server ends with it.
        _ => 2,
    };
    assert_eq!(connections.len(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_keep_no_more_statements_is_unavailable_until_it_can() {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let server = OwnServer::database().await;
    let (url, volume) = (server.url(), tempfile::tempdir().unwrap());
    let config = config(volume.path(), &["--database-url", &url]);
    let db = Db::open(&config).await.unwrap();
    let mut other = mysql_async::Conn::from_url(&url).await.unwrap();
    let read = || {
        db.read(|conn| {
            let keys = on!(conn, |c| boards::table.select(boards::name_key).load(c))?;
            Ok::<Vec<String>, Error>(keys)
        })
    };

    for (most, is_served) in [(0, false), (16_382, true)] {
        let allow = format!("SET GLOBAL max_prepared_stmt_count = {most}");
        other.query_drop(allow).await.unwrap();
        match read().await {
            Ok(_) => assert!(is_served),
            Err(Error::Unavailable { .. }) => assert!(!is_served),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_that_the_server_has_closed_cost_no_request() {
    let app = TestApp::start().await;
    let Some(mut other) = other_client(&app).await else {
        return;
    };
    // So many that several connections are there.
    let read = || app.app.db.read(|conn| execute(conn, "SELECT SLEEP(0.1)"));
    for done in join_all((0..8).map(|_| read())).await {
        done.unwrap();
    }
    let others = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = database() AND ID <> CONNECTION_ID()";
    let found: Vec<i64> = other.query(others).await.unwrap();
    assert!(found.len() >= 8, "{found:?}");

    for id in found {
        other.query_drop(format!("KILL {id}")).await.unwrap();
    }
    // From then on a connection counts as idle.
    tokio::time::sleep(Duration::from_millis(1_200)).await;

    for done in join_all((0..8).map(|_| read())).await {
        done.unwrap();
    }
    let id = app.clock.id();
    let written = app.app.db.write(move |conn| insert(conn, id, "a"));
    written.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_transactions_that_wait_for_each_other_both_succeed() {
    let app = TestApp::start().await;
    let ids = [app.clock.id(), app.clock.id()];
    for (id, key) in ids.into_iter().zip(["a", "b"]) {
        let made = app.app.db.write(move |conn| insert(conn, id, key));
        made.await.unwrap();
    }
    let attempts = Arc::new(AtomicU32::new(0));
    let count_both = |first: usize| {
        let attempts = Arc::clone(&attempts);
        app.app.db.write(move |conn| {
            attempts.fetch_add(1, Ordering::SeqCst);
            count_posts(conn, ids[first], 1)?;
            // Until the other one has locked its first row, too.
            std::thread::sleep(Duration::from_millis(200));
            count_posts(conn, ids[1 - first], 1)
        })
    };

    let (one, other) = tokio::join!(count_both(0), count_both(1));

    one.unwrap();
    other.unwrap();
    let expected = if Backends::of_this_run() == Backends::Embedded {
        // One after the other.
        2
    } else {
        3
    };
    assert_eq!(attempts.load(Ordering::SeqCst), expected);
    assert_eq!(keys(&app.app).await, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_free_connection_is_told_so_in_time_and_the_next_one_is_served() {
    let app = TestApp::with(&["--limit-database-connections", "2"]).await;
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let (begin, begun) = (0..2)
        .map(|_| oneshot::channel::<()>())
        .unzip::<_, _, Vec<_>, Vec<_>>();
    let holding: Vec<_> = begun
        .into_iter()
        .map(|begun| {
            let db = app.app.db.clone();
            tokio::spawn(async move {
                let begun = Mutex::new(Some(begun));
                db.read(move |_| {
                    let begun = begun.lock().unwrap().take();
                    let _ = begun.map(oneshot::Receiver::blocking_recv);
                    Ok(())
                })
                .await
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(200)).await;

    let refused = app.app.db.ping().await;

    assert!(
        matches!(refused, Err(Error::Unavailable { .. })),
        "{refused:?}"
    );
    drop(begin);
    for held in holding {
        held.await.unwrap().unwrap();
    }
    app.app.db.ping().await.unwrap();
}
