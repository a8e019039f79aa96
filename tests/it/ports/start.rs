//! What happens at the start: every backend is chosen once, and what does not work is named with a remedy.

use std::process::{Command, Stdio};

use diesel::RunQueryDsl;
use futures_util::future::join_all;
use madang::{
    app::App,
    clock::Clock,
    config::Config,
    db::{Action, Db, on},
};

use crate::support::{Backends, Database, JWT_SECRET, OwnServer, TestApp, config};

/// Why a server with these settings does not start.
async fn refusal(flags: &[&str]) -> String {
    let volume = tempfile::tempdir().unwrap();
    let flags = [flags, &["--jwt-secret", JWT_SECRET]].concat();
    match App::open(config(volume.path(), &flags), Clock::system()).await {
        Ok(_) => panic!("it starts with {flags:?}"),
        Err(fault) => fault.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_scheme_is_named() {
    for (flag, expected) in [
        (
            "--database-url",
            "DATABASE_URL: begins neither with sqlite:// nor with mysql://",
        ),
        (
            "--mongodb-url",
            "MONGODB_URL: begins neither with mongodb:// nor with mongodb+srv://",
        ),
        (
            "--redis-url",
            "REDIS_URL: begins neither with redis:// nor with rediss://",
        ),
        (
            "--blobs-url",
            "BLOBS_URL: begins neither with s3:// nor with file:///",
        ),
    ] {
        for url in ["postgres://u:hush@host/x", "hush", "http://u:hush@host"] {
            assert_eq!(refusal(&[flag, url]).await, expected);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_does_not_answer_is_named_without_its_password() {
    const REMEDY: &str = "cannot be reached: is the server running, and is the address right?";
    for (flag, key, url) in [
        (
            "--database-url",
            "DATABASE_URL",
            "mysql://me:hush@127.0.0.1:9/madang",
        ),
        (
            "--mongodb-url",
            "MONGODB_URL",
            "mongodb://me:hush@127.0.0.1:9/madang",
        ),
        ("--redis-url", "REDIS_URL", "redis://me:hush@127.0.0.1:9"),
    ] {
        let refusal = refusal(&[flag, url]).await;

        assert!(
            refusal.starts_with(&format!("{key}: {REMEDY}")),
            "{refusal}"
        );
        assert!(
            !refusal.contains("hush") && !refusal.contains('\n'),
            "{refusal}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_refuses_the_password_is_named_without_it() {
    if Backends::of_this_run() == Backends::Embedded {
        return;
    }
    let server = std::env::var("TEST_MYSQL_URL").unwrap();
    let wrong = server.replace(":tester@", ":hush@");
    assert_ne!(server, wrong);
    let refused = refusal(&["--database-url", &format!("{wrong}/madang")]).await;
    assert_eq!(
        refused,
        "DATABASE_URL: refuses the user or the password, or lets this user not into this database"
    );
    let missing = refusal(&["--database-url", &format!("{server}/nothing_here")]).await;
    assert!(
        missing.starts_with("DATABASE_URL: has no such database: CREATE DATABASE"),
        "{missing}"
    );

    let mut redis = OwnServer::redis().await;
    redis.kill();
    redis.start_again(&["--requirepass", "right"]).await;
    let with = |user: &str| redis.url().replace("redis://", &format!("redis://{user}"));
    for url in [with(":hush@"), with("")] {
        let refused = refusal(&["--redis-url", &url]).await;
        assert_eq!(refused, "REDIS_URL: refuses the user or the password");
    }
    let app = TestApp::with(&["--redis-url", &with(":right@")]).await;
    assert!(app.app.backends().await.iter().all(|backend| backend.is_up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_and_engines_with_local_files_are_warned_of() {
    if Backends::of_this_run() == Backends::Embedded {
        assert!(TestApp::start().await.app.warnings().await.is_empty());
        return;
    }
    let mut redis = OwnServer::redis().await;
    redis.kill();
    redis
        .start_again(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"])
        .await;
    let volume = tempfile::tempdir().unwrap();
    let url = redis.url();

    let flags = ["--redis-url", &url, "--jwt-secret", JWT_SECRET];
    let app = App::open(config(volume.path(), &flags), Clock::system())
        .await
        .unwrap();

    let warnings = app.warnings().await;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].starts_with(
        "REDIS_URL: evicts keys when its memory is full (maxmemory-policy allkeys-lru)"
    ));
    assert!(warnings[1].starts_with("BLOBS_URL: names a folder"));
}

async fn empty_database() -> (tempfile::TempDir, Database, Config) {
    let volume = tempfile::tempdir().unwrap();
    let database = Database::make(Backends::of_this_run(), volume.path()).await;
    let flags = ["--database-url", &database.url, "--jwt-secret", JWT_SECRET];
    let config = config(volume.path(), &flags);
    (volume, database, config)
}

async fn applied(config: &Config, action: Action) -> usize {
    let migrations = Db::migrate(config, action).await.unwrap();
    migrations
        .iter()
        .filter(|migration| migration.is_applied)
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_and_down_again() {
    let (_volume, _database, config) = empty_database().await;
    let all = Db::migrate(&config, Action::Look).await.unwrap().len();
    assert_eq!(applied(&config, Action::Look).await, 0);
    assert_eq!(applied(&config, Action::Down).await, 0);
    assert_eq!(applied(&config, Action::Up).await, all);
    let db = Db::open(&config).await.unwrap();
    let fresh = crate::db::columns(&db).await;
    drop(db);

    for left in (0..all).rev() {
        assert_eq!(applied(&config, Action::Down).await, left);
        assert_eq!(applied(&config, Action::Look).await, left);
    }
    assert_eq!(applied(&config, Action::Up).await, all);

    let db = Db::open(&config).await.unwrap();
    assert_eq!(crate::db::columns(&db).await, fresh);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_migrate_once() {
    let (_volume, _database, config) = empty_database().await;

    let starts = (0..6).map(|_| tokio::spawn(App::open(config.clone(), Clock::system())));
    for start in join_all(starts).await {
        start.unwrap().unwrap();
    }

    let all = Db::migrate(&config, Action::Look).await.unwrap();
    assert!(all.iter().all(|migration| migration.is_applied));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_version_is_refused() {
    let (_volume, _database, config) = empty_database().await;
    let db = Db::open(&config).await.unwrap();
    db.write(|conn| {
        let newer = "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')";
        Ok(on!(conn, |c| diesel::sql_query(newer).execute(c))?)
    })
    .await
    .unwrap();
    drop(db);

    let refused = App::open(config, Clock::system())
        .await
        .err()
        .unwrap()
        .to_string();

    assert!(refused.starts_with("DATABASE_URL: "), "{refused}");
    assert!(refused.ends_with("it was made by a newer version of madang, which has the migration 9999; use that version"), "{refused}");
}

/// Exit code, standard output and standard error.
fn run(volume: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_madang"))
        .args(arguments)
        .current_dir(volume)
        .env_clear()
        .env("VOLUME_DIR", volume)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        done.status.code().unwrap(),
        text(done.stdout),
        text(done.stderr),
    )
}

#[test]
fn the_doctor_says_what_works_and_what_does_not() {
    let volume = tempfile::tempdir().unwrap();
    let (code, said, _) = run(volume.path(), &["doctor"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains(" migrations are missing")
            && said.starts_with("database: works; ")
            && said.ends_with("Everything works.\n"),
        "{said}"
    );
    let (code, said, _) = run(volume.path(), &["migrate"]);
    assert!(code == 0 && said.contains("applied  0007_jobs\n"), "{said}");
    let (_, said, _) = run(volume.path(), &["doctor"]);
    assert_eq!(
        said,
        "database: works\ndocuments: works\nredis: not used\nblobs: works\nEverything works.\n"
    );

    let (code, said, failed) = run(
        volume.path(),
        &[
            "doctor",
            "--redis-url",
            "redis://:hush@127.0.0.1:9",
            "--mongodb-url",
            "mongodb://127.0.0.1:9",
            "--jwt-secret",
            JWT_SECRET,
        ],
    );
    assert_eq!(code, 1);
    assert!(
        said.contains("database: works\ndocuments: MONGODB_URL: cannot be reached"),
        "{said}"
    );
    assert!(
        said.contains("\nredis: REDIS_URL: cannot be reached"),
        "{said}"
    );
    assert!(
        !said.contains("hush") && failed == "madang: 2 of the checks failed\n",
        "{failed}"
    );
    let (code, said, failed) = run(volume.path(), &["doctor", "--redis-url", "hush"]);
    assert_eq!((code, said.as_str()), (2, ""));
    assert_eq!(
        failed,
        "madang: REDIS_URL: begins neither with redis:// nor with rediss://\n"
    );
    let (code, said, _) = run(volume.path(), &["migrate", "down"]);
    assert!(
        code == 0 && said.ends_with("missing  0011_visible_first\n"),
        "{said}"
    );
    let (code, said, _) = run(volume.path(), &["migrate", "status"]);
    assert!(
        code == 0 && said.ends_with("applied  0010_ai\nmissing  0011_visible_first\n"),
        "{said}"
    );
}
