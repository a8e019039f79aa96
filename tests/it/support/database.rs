//! A database of a test's own: a SQLite file, or a schema of its own on the MySQL/MariaDB server of `TEST_MYSQL_URL`.

use std::path::Path;

use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};
use madang::{app::App, db::on};

/// What a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backends {
    /// SQLite, and all else in this process.
    Embedded,
    /// MariaDB, Redis, SecantusDB and moto.
    Engines,
}

impl Backends {
    /// Set for the whole run by `TEST_BACKENDS`: `embedded`, unless it says `engines`.
    pub fn of_this_run() -> Self {
        match std::env::var_os("TEST_BACKENDS") {
            Some(backends) if backends == "engines" => Self::Engines,
            Some(backends) if backends == "embedded" => Self::Embedded,
            None => Self::Embedded,
            Some(other) => panic!("TEST_BACKENDS is {other:?}: neither embedded nor engines"),
        }
    }
}

/// Goes away when it is dropped.
pub struct Database {
    pub url: String,
    schema: Option<(String, String)>,
}

impl Database {
    pub async fn make(engine: Backends, volume: &Path) -> Self {
        match engine {
            Backends::Embedded => {
                let url = format!("sqlite://{}", volume.join("test.sqlite").display());
                Self { url, schema: None }
            }
            Backends::Engines => {
                let server = server_url();
                let name = format!("madang_test_{}", uuid::Uuid::now_v7().simple());
                let statement =
                    format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
                execute(server.clone(), statement).await.unwrap();
                let url = format!("{}/{name}", server.trim_end_matches('/'));
                Self {
                    url,
                    schema: Some((server, name)),
                }
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some((server, name)) = self.schema.take() else {
            return;
        };
        // A thread of its own, since a runtime may be around and may be ending.
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(execute(server, format!("DROP DATABASE {name}")))
        });
        if !matches!(dropping.join(), Ok(Ok(()))) {
            eprintln!("a test's schema could not be dropped");
        }
    }
}

/// A database of a test's own on the server of this run that speaks MongoDB's protocol. It goes away with the server.
pub fn mongodb_url(backends: Backends) -> Option<String> {
    if backends == Backends::Embedded {
        return None;
    }
    let url = std::env::var("TEST_MONGODB_URL");
    let url = url.expect("TEST_MONGODB_URL is needed for the tests on engines; ./test.sh starts a server and sets it");
    let name = uuid::Uuid::now_v7().simple();
    Some(format!("{}/madang_test_{name}", url.trim_end_matches('/')))
}

/// A place of a test's own in the S3-compatible store of this run, in the bucket `madang`.
pub fn blobs_url(backends: Backends) -> Option<String> {
    if backends == Backends::Embedded {
        return None;
    }
    let endpoint = std::env::var("TEST_S3_ENDPOINT");
    let endpoint = endpoint.expect("TEST_S3_ENDPOINT is needed for the tests on engines; ./test.sh starts a server and sets it");
    let name = uuid::Uuid::now_v7().simple();
    Some(format!(
        "s3://test:secret%2Fof%2Ftests@madang/{name}?endpoint={endpoint}"
    ))
}

/// The Redis of this run, with a prefix of a test's own.
pub struct SharedRedis {
    url: String,
    prefix: String,
}

impl SharedRedis {
    pub fn of(backends: Backends) -> Option<Self> {
        if backends == Backends::Embedded {
            return None;
        }
        let url = std::env::var("TEST_REDIS_URL");
        Some(Self {
            url: url.expect("TEST_REDIS_URL is needed for the tests on engines; ./test.sh starts a server and sets it"),
            prefix: format!("test-{}", uuid::Uuid::now_v7().simple()),
        })
    }

    pub fn flags(&self) -> [String; 4] {
        ["--redis-url", &self.url, "--redis-prefix", &self.prefix].map(str::to_owned)
    }

    /// Makes everything in it expire so much earlier, as if time had passed.
    pub fn advance(&self, seconds: u64) {
        let script = "local cursor = '0'
            repeat
                local found = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':*', 'COUNT', 1000)
                cursor = found[1]
                for _, key in ipairs(found[2]) do
                    local left = redis.call('PTTL', key)
                    if redis.call('TYPE', key).ok == 'zset' then
                        for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
                            redis.call('ZINCRBY', key, -ARGV[2], member)
                        end
                    end
                    if left >= 0 and left <= tonumber(ARGV[2]) then
                        redis.call('DEL', key)
                    elseif left > 0 then
                        redis.call('PEXPIRE', key, left - ARGV[2])
                    end
                end
            until cursor == '0'
            return 'done'";
        let millis = (seconds * 1_000).to_string();
        let done = std::process::Command::new("redis-cli")
            .args(["-u", &self.url, "EVAL", script, "0", &self.prefix, &millis])
            .output()
            .expect("redis-cli is needed; ./test.sh installs it");
        assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "done");
    }
}

/// `mysql://USER:PASSWORD@HOST:PORT` of a server where schemas may be made.
fn server_url() -> String {
    let url = std::env::var("TEST_MYSQL_URL");
    url.expect("TEST_MYSQL_URL is needed for the tests on MySQL/MariaDB; ./test.sh starts a server and sets it")
}

pub async fn execute(
    url: String,
    statement: String,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    use mysql_async::prelude::Queryable;
    let mut conn = mysql_async::Conn::new(mysql_async::Opts::from_url(&url)?).await?;
    conn.query_drop(statement).await?;
    conn.disconnect().await?;
    Ok(())
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    row: String,
}

/// The tables of `src/db/tables.rs` with their columns.
pub fn tables() -> Vec<(String, Vec<String>)> {
    let source = include_str!("../../../src/db/tables.rs");
    let tables = source.split("\ntable! {").skip(1).map(|table| {
        let (head, body) = table.split_once(" {\n").unwrap();
        let name = head.lines().last().unwrap().trim();
        let name = name.split_once(" (").unwrap().0.to_owned();
        let columns = body
            .lines()
            .take_while(|line| line.trim() != "}")
            .filter_map(|line| line.trim().split_once(" -> "))
            .map(|(column, _)| column.to_owned());
        (name, columns.collect())
    });
    tables.collect()
}

/// Every row of every table as text.
pub async fn rows(app: &App) -> Vec<String> {
    app.db
        .read(|conn| {
            let mut rows = Vec::new();
            for (table, columns) in tables() {
                let columns: Vec<_> = columns
                    .iter()
                    // On SQLite, the search table has a rowid for it.
                    .filter(|column| table != "post_search" || *column != "number")
                    // It is written a moment after what it tells of.
                    .filter(|column| *column != "last_activity_at")
                    .map(|c| format!("coalesce(hex({c}), 'null')"))
                    .collect();
                let (sqlite, mysql) = (columns.join(" || ' ' || "), columns.join(", ' ', "));
                let text = match conn {
                    madang::db::Conn::Sqlite(_) => sqlite,
                    madang::db::Conn::Mysql(_) => format!("concat({mysql})"),
                };
                let query = format!("SELECT {text} AS `row` FROM {table} ORDER BY 1");
                let found: Vec<Row> = on!(conn, |c| diesel::sql_query(query).load(c))?;
                rows.extend(found.into_iter().map(|r| format!("{table}: {}", r.row)));
            }
            Ok(rows)
        })
        .await
        .unwrap()
}
