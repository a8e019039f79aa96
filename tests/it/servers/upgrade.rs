//! Rolling upgrades: servers of this version go on while a newer one adds to the tables, and none starts on tables that it
//! does not know.

use serde_json::json;

use super::{
    Yard,
    load::{ACTS, Load},
    text,
};
use crate::support::{Backends, Servers, call, database};

/// What a newer version might add, on MariaDB.
const NEWER: [&str; 4] = [
    "ALTER TABLE posts ADD COLUMN pinned_at DATETIME(6) NULL",
    "ALTER TABLE users ADD COLUMN theme VARCHAR(20) NOT NULL DEFAULT 'light'",
    "CREATE TABLE polls (id BINARY(16) NOT NULL PRIMARY KEY, post_id BINARY(16) NOT NULL,
         CONSTRAINT polls_post FOREIGN KEY (post_id) REFERENCES posts (id) ON DELETE CASCADE)",
    "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
];

#[tokio::test(flavor = "multi_thread")]
async fn servers_go_on_while_a_newer_version_adds_to_the_tables_and_none_starts_that_is_older() {
    let yard = Yard::of(Servers::new(&["--workers", "0"]).await).await;
    if Backends::of_this_run() == Backends::Embedded {
        // One server, which is the only one that migrates. tests/it/ports/start.rs shows that it refuses newer tables.
        return;
    }
    let load = Load::on(&yard).await;
    load.until_done(&ACTS).await;

    for statement in NEWER {
        let url = yard.servers.database_url().to_owned();
        database::execute(url, statement.to_owned()).await.unwrap();
        load.until_done(&ACTS).await;
    }

    let (code, said) = yard.servers.refusal();
    assert_eq!(code, Some(2), "{said}");
    let expected = "it was made by a newer version of madang, which has the migration 9999; use that version\n";
    assert!(
        said.starts_with("madang: DATABASE_URL: ") && said.ends_with(expected),
        "{said}"
    );
    // What has started still does all that it did.
    load.until_done(&ACTS).await;
    let board = yard.board("Yard", json!({})).await;
    let input = json!({ "id": board });
    let deleted = call(
        yard.there(),
        &yard.admin,
        "deleteBoard",
        input,
        "deletedBoardId",
    );
    assert_eq!(text(&deleted.await["deletedBoardId"]), board);
    for act in ACTS {
        assert_eq!(load.count(act).failed, 0, "{act:?}");
    }
    load.end().await;
}
