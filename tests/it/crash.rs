//! What is acknowledged is there, whatever becomes of the process or the disk.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};
use futures_util::future::join_all;
use madang::{
    access::Role,
    app::App,
    clock::Clock,
    db::{Conn, on},
};
use serde_json::{Value, json};

use crate::{
    counters::wrong,
    support::{Backends, Database, JWT_SECRET, PASSWORD, Process, config, insert_user, mutate},
};

/// The database as it is once the server is gone.
async fn open(volume: &Path, url: &str) -> App {
    let flags = ["--database-url", url, "--jwt-secret", JWT_SECRET];
    App::open(config(volume, &flags), Clock::system())
        .await
        .unwrap()
}

async fn log_in(server: &Process, name: &str) -> String {
    let input = json!({ "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" });
    let answer = server.mutate("", "login", input, "accessToken").await;
    let answer = answer.unwrap();
    let token = answer["data"]["login"]["accessToken"].as_str();
    token.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// Rows by their ids, in hexadecimal: likes by those of their posts.
async fn ids(app: &App, table: &str) -> BTreeSet<String> {
    #[derive(QueryableByName)]
    struct Id {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let column = if table == "likes" { "post_id" } else { "id" };
    let query = format!("SELECT lower(hex({column})) AS id FROM {table}");
    let rows: Vec<Id> = app
        .db
        .read(move |conn| Ok(on!(conn, |c| diesel::sql_query(&query).load(c))?))
        .await
        .unwrap();
    rows.into_iter().map(|row| row.id).collect()
}

/// What the engine says of its own files.
async fn integrity(app: &App) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Sqlite {
        #[diesel(sql_type = Text)]
        integrity_check: String,
    }
    #[derive(QueryableByName)]
    struct Mysql {
        #[diesel(sql_type = Text, column_name = "Msg_text")]
        said: String,
    }
    app.db
        .read(|conn| {
            Ok(match conn {
                Conn::Sqlite(c) => diesel::sql_query("PRAGMA integrity_check")
                    .load::<Sqlite>(c)?
                    .into_iter()
                    .map(|row| row.integrity_check)
                    .collect::<Vec<_>>(),
                Conn::Mysql(c) => diesel::sql_query(
                    "CHECK TABLE users, boards, posts, comments, likes, post_search",
                )
                .load::<Mysql>(c)?
                .into_iter()
                .map(|row| row.said)
                .collect(),
            })
        })
        .await
        .unwrap()
}

/// What was acknowledged, as (table, id in hexadecimal).
type Acknowledged = Arc<Mutex<Vec<(&'static str, String)>>>;

fn hex(id: &str) -> String {
    let (_, uuid) = madang::ids::decode(id).unwrap();
    uuid.simple().to_string()
}

/// Writes until the connection breaks.
async fn write(address: String, token: String, board: String, n: usize, done: Acknowledged) {
    let call = async |name, input, fields| -> Option<Value> {
        let answer = mutate(&address, &token, name, input, fields).await.ok()?;
        assert!(answer["errors"].is_null(), "{answer}");
        Some(answer["data"][name].clone())
    };
    loop {
        let input =
            json!({ "boardId": board, "title": format!("post {n}"), "content": "하나 two" });
        let Some(made) = call("createPost", input, "post { id }").await else {
            return;
        };
        let post = made["post"]["id"].as_str().unwrap().to_owned();
        done.lock().unwrap().push(("posts", hex(&post)));
        let input = json!({ "postId": post, "content": "comment" });
        let Some(made) = call("createComment", input, "comment { id }").await else {
            return;
        };
        let comment = made["comment"]["id"].as_str().unwrap();
        done.lock().unwrap().push(("comments", hex(comment)));
        let Some(_) = call("likePost", json!({ "id": post }), "post { id }").await else {
            return;
        };
        done.lock().unwrap().push(("likes", hex(&post)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_that_it_acknowledged() {
    const WRITERS: usize = 8;
    let volume = tempfile::tempdir().unwrap();
    let database = Database::make(Backends::of_this_run(), volume.path()).await;
    let app = open(volume.path(), &database.url).await;
    insert_user(&app, "admin", Role::Admin).await;
    for n in 0..WRITERS {
        insert_user(&app, &format!("writer{n}"), Role::User).await;
    }
    drop(app);
    let flags = ["--database-url", &database.url];
    let start = || Process::start(&[], volume.path(), &flags);
    let server = start();
    let admin = log_in(&server, "admin").await;
    let input = json!({ "name": "Yard", "information": "i" });
    let board = server.mutate(&admin, "createBoard", input, "board { id }");
    let board = board.await.unwrap()["data"]["createBoard"]["board"]["id"].clone();
    let board = board.as_str().unwrap().to_owned();
    let mut tokens = Vec::new();
    for n in 0..WRITERS {
        tokens.push(log_in(&server, &format!("writer{n}")).await);
    }
    server.kill();

    let acknowledged = Acknowledged::default();
    for round in 0..20 {
        let server = start();
        let writers = tokens.iter().enumerate().map(|(n, token)| {
            let done = Arc::clone(&acknowledged);
            tokio::spawn(write(
                server.address(),
                token.clone(),
                board.clone(),
                n,
                done,
            ))
        });
        let writers: Vec<_> = writers.collect();
        tokio::time::sleep(Duration::from_millis(60 + 37 * (round % 7))).await;
        server.kill();
        for ended in join_all(writers).await {
            ended.unwrap();
        }
    }

    let app = open(volume.path(), &database.url).await;
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    assert!(acknowledged.len() > 100, "only {}", acknowledged.len());
    for table in ["posts", "comments", "likes"] {
        let there = ids(&app, table).await;
        let lost: Vec<_> = acknowledged
            .iter()
            .filter(|(of, id)| *of == table && !there.contains(id))
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    assert_eq!(wrong(&app).await, 0);
    assert!(
        integrity(&app)
            .await
            .iter()
            .all(|said| matches!(said.as_str(), "ok" | "OK"))
    );
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_and_over_when_there_is_room() {
    let volume = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", volume.path().join("full.sqlite").display());
    let app = open(volume.path(), &url).await;
    insert_user(&app, "admin", Role::Admin).await;
    drop(app);
    // No file may grow beyond a megabyte: writing then fails, as on a full disk. In units of 512 bytes.
    let limited = [
        "sh",
        "-c",
        "trap '' XFSZ; ulimit -S -f 2048; exec \"$@\"",
        "sh",
    ];
    let server = Process::start(&limited, volume.path(), &["--database-url", &url]);
    let token = log_in(&server, "admin").await;
    let input = json!({ "name": "Yard", "information": "i" });
    let board = server.mutate(&token, "createBoard", input, "board { id }");
    let board = board.await.unwrap()["data"]["createBoard"]["board"]["id"].clone();
    let content = "m".repeat(50_000);
    let post = async || {
        let input = json!({ "boardId": board, "title": "t", "content": content });
        let answer = server.mutate(&token, "createPost", input, "post { id }");
        answer.await.unwrap()
    };
    let ready = async || server.get("/readyz").await.unwrap();
    assert_eq!(ready().await.0, 200);

    let mut posts = BTreeSet::new();
    let refused = loop {
        let answer = post().await;
        match answer["data"]["createPost"]["post"]["id"].as_str() {
            Some(id) => posts.insert(hex(id)),
            None => break answer,
        };
        assert!(posts.len() < 100, "the disk is never full");
    };

    assert_eq!(refused["errors"][0]["extensions"]["code"], "UNAVAILABLE");
    let (status, said) = ready().await;
    assert_eq!(status, 503, "{said}");
    assert!(said.contains(r#""database":"down""#), "{said}");

    let room = format!("--fsize=unlimited:unlimited --pid {}", server.pid());
    let given = std::process::Command::new("prlimit")
        .args(room.split(' '))
        .status();
    assert!(given.unwrap().success());
    let mut tries = 0;
    while ready().await.0 != 200 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        tries += 1;
        assert!(tries < 200, "it stays down");
    }
    posts.insert(hex(post().await["data"]["createPost"]["post"]["id"]
        .as_str()
        .unwrap()));
    server.kill();

    let app = open(volume.path(), &url).await;
    assert!(ids(&app, "posts").await.is_superset(&posts));
    assert_eq!(integrity(&app).await, ["ok"]);
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_database_whose_files_are_gone_takes_no_writes() {
    for suffix in ["", "-wal"] {
        let app = crate::support::TestApp::on(Backends::Embedded, &[]).await;
        let admin = app.admin().await;
        let board = admin.board(crate::support::any_board()).await;
        let post = admin.post_on(&board, "kept").await;
        let ready = async || {
            let request = http::Request::get("/readyz").body(axum::body::Body::empty());
            app.anonymous().send(request.unwrap()).await.status.as_u16()
        };
        assert_eq!(ready().await, 200);
        let file = app.volume.path().join(format!("test.sqlite{suffix}"));
        let aside = app.volume.path().join("aside");
        std::fs::rename(&file, &aside).unwrap();

        let input = json!({ "postId": post, "content": "lost" });
        let refused = admin
            .mutate("createComment", input.clone(), "comment { id }")
            .await;
        assert_eq!(refused.code(), "UNAVAILABLE");
        assert_eq!(ready().await, 503);
        // Another file in its place is none of it.
        std::fs::copy(&aside, &file).unwrap();
        let refused = admin
            .mutate("createComment", input.clone(), "comment { id }")
            .await;
        assert_eq!(refused.code(), "UNAVAILABLE");

        std::fs::rename(&aside, &file).unwrap();
        let mut tries = 0;
        while ready().await != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            tries += 1;
            assert!(tries < 200, "it stays down");
        }
        admin
            .mutate("createComment", input, "comment { id }")
            .await
            .data();
    }
}
