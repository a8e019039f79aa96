//! `madang demo`: a community that is the same for the same seed, counters, access and search included.

use std::{process::Command, sync::Arc};

use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};
use madang::{
    db::on,
    demo::{self, Keys, Options},
};

use crate::support::TestApp;

async fn demo(posts: usize, comments: usize, seed: u64) -> (Arc<TestApp>, Keys) {
    let app = TestApp::start().await;
    let options = Options {
        posts,
        comments,
        seed,
    };
    let keys = demo::fill(&app.app, &options).await.unwrap();
    (app, keys)
}

/// All rows without what differs by design: sessions, and password hashes, which are the sixth column.
async fn rows(app: &TestApp) -> Vec<String> {
    let rows = app.rows().await.into_iter();
    let kept = rows
        .filter(|row| !row.starts_with("sign_in_sessions") && !row.starts_with("refresh_tokens"));
    kept.map(|row| {
        let parts = row.split(' ').enumerate();
        let parts = parts.filter(|(n, _)| !row.starts_with("users: ") || *n != 6);
        parts.map(|(_, part)| part).collect::<Vec<_>>().join(" ")
    })
    .collect()
}

#[derive(QueryableByName)]
struct Wrong {
    #[diesel(sql_type = BigInt)]
    wrong: i64,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_makes_the_same_community() {
    let (one, one_keys) = demo(40, 100, 7).await;
    let (two, two_keys) = demo(40, 100, 7).await;
    let (other, _) = demo(40, 100, 8).await;

    assert!(rows(&one).await == rows(&two).await);
    assert!(rows(&one).await != rows(&other).await);
    assert_ne!(one_keys.password, two_keys.password);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_community_hangs_together() {
    let (app, keys) = demo(300, 2_000, 1).await;
    let mut admin = app.anonymous();
    admin.log_in(&keys.admin, &keys.password).await;

    let seen = admin
        .query("{ posts(first: 100) { totalCount nodes { title createdAt board { name } author { name } } } boards { totalCount nodes { isVisible postCount members { totalCount } } } \
                users { totalCount } ko: posts(search: \"김치찌개\") { totalCount nodes { title } } en: posts(search: \"sqlite\") { totalCount } }")
        .await;
    let data = seen.data();

    assert_eq!(
        (&data["posts"]["totalCount"], &data["boards"]["totalCount"]),
        (&300.into(), &8.into())
    );
    assert!(data["ko"]["totalCount"].as_i64().unwrap() > 2, "{data}");
    assert!(data["en"]["totalCount"].as_i64().unwrap() > 2, "{data}");
    let private: Vec<_> = data["boards"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|b| b["isVisible"] == false)
        .collect();
    assert_eq!(
        (private.len(), &private[0]["members"]["totalCount"]),
        (1, &5.into())
    );
    let times: Vec<_> = data["posts"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["createdAt"].as_str().unwrap())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer > older));
    const RECOUNT: &str = "
        SELECT (SELECT count(*) FROM posts p WHERE p.like_count <> (SELECT count(*) FROM likes l WHERE l.post_id = p.id)
                OR p.comment_count <> (SELECT count(*) FROM comments c WHERE c.post_id = p.id AND c.is_visible))
             + (SELECT count(*) FROM boards b WHERE b.post_count <>
                (SELECT count(*) FROM posts p WHERE p.board_id = b.id AND p.is_visible))
             + (SELECT count(*) FROM comments c, posts p WHERE p.id = c.post_id AND c.created_at < p.created_at) AS wrong";
    let wrong: Vec<Wrong> = app
        .app
        .db
        .read(|conn| Ok(on!(conn, |c| diesel::sql_query(RECOUNT).load(c))?))
        .await
        .unwrap();
    assert_eq!(wrong[0].wrong, 0);
    assert!(
        app.rows()
            .await
            .iter()
            .filter(|row| row.starts_with("comments: "))
            .count()
            == 2_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_community_goes_on_living() {
    let (app, _) = demo(30, 50, 1).await;
    let ann = app.user("ann").await;
    let board = ann
        .query("{ boards { nodes { id } } }")
        .await
        .text("boards.nodes.0.id");
    ann.post_on(&board, "새로운 시작").await;

    let newest = ann.query("{ posts(first: 1) { nodes { title } } posts2: posts(search: \"새로운\") { totalCount } }").await;

    assert_eq!(newest.data()["posts"]["nodes"][0]["title"], "새로운 시작");
    assert_eq!(newest.data()["posts2"]["totalCount"], 1);
}

#[test]
fn the_command_prints_the_password_once_and_fills_an_empty_database_only() {
    let volume = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_madang"));
        command
            .arg("demo")
            .args(arguments)
            .env_clear()
            .env("VOLUME_DIR", volume.path())
            .current_dir(&volume);
        command.output().unwrap()
    };

    let wrong = run(&["--posts", "many"]);
    assert_eq!(wrong.status.code(), Some(2));
    let made = run(&["--posts", "20", "--comments", "30"]);
    assert!(made.status.success(), "{made:?}");
    let said = String::from_utf8(made.stdout.clone()).unwrap();
    assert!(
        said.contains("Log in as admin with the password ") && said.lines().count() == 1,
        "{said}"
    );
    assert!(made.stderr.is_empty(), "{made:?}");
    let again = run(&[]);
    assert_eq!(again.status.code(), Some(1));
    let sentence = "madang: the database is not empty: the demo fills an empty one only\n";
    assert_eq!(String::from_utf8(again.stderr).unwrap(), sentence);
    assert!(again.stdout.is_empty());
}
