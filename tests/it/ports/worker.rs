//! The worker as a process: killed in the middle of a job, and told to stop.

use std::time::Duration;

use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};
use madang::{app::App, db::on, ids::UserId};
use serde_json::json;

use crate::support::{PASSWORD, TestApp, WorkerProcess, any_board};

/// Likes, each on a post of its own: so many batches of the job that it is still at them when it is killed.
const LIKES: usize = 30_000;

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

async fn number(app: &App, query: &str) -> i64 {
    let query = format!("SELECT CAST(({query}) AS SIGNED) AS number");
    app.db
        .read(move |conn| {
            let found: Number = on!(conn, |c| diesel::sql_query(&query).get_result(c))?;
            Ok(found.number)
        })
        .await
        .unwrap()
}

async fn execute(app: &App, statement: String) {
    app.db
        .write(move |conn| Ok(on!(conn, |c| diesel::sql_query(&statement).execute(c))?))
        .await
        .unwrap();
}

async fn until(app: &App, query: &str, is_it: impl Fn(i64) -> bool) {
    for _ in 0..6_000 {
        if is_it(number(app, query).await) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it does not happen: {query}");
}

/// `LIKES` posts, each liked by `user`.
async fn like_much(app: &TestApp, board: &str, user: &str) {
    let hex = |id: uuid::Uuid| format!("X'{}'", id.simple());
    let board = hex(madang::ids::BoardId::parse(board).unwrap().uuid());
    let user = hex(UserId::parse(user).unwrap().uuid());
    let posts: Vec<_> = (0..LIKES)
        .map(|_| hex(app.clock.id::<madang::ids::PostKind>().uuid()))
        .collect();
    for posts in posts.chunks(500) {
        let rows: Vec<_> = posts
            .iter()
            .map(|post| format!("({post}, {board}, 't', 1, 0, 1, 0, 1, 1, 'c')"))
            .collect();
        let columns = "id, board_id, title, is_visible, view_count, like_count, comment_count, created_at, changed_at, content";
        execute(
            &app.app,
            format!("INSERT INTO posts ({columns}) VALUES {}", rows.join(", ")),
        )
        .await;
        let rows: Vec<_> = posts
            .iter()
            .map(|post| format!("({post}, {user}, 1)"))
            .collect();
        execute(
            &app.app,
            format!(
                "INSERT INTO likes (post_id, user_id, created_at) VALUES {}",
                rows.join(", ")
            ),
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_in_the_middle_leaves_the_rest_to_the_next_and_each_effect_is_there_once()
 {
    let app = TestApp::start().await;
    let (admin, ben) = (app.admin().await, app.user("ben").await);
    let board = admin.board(any_board()).await;
    like_much(&app, &board, &ben.id).await;
    let input = json!({ "id": ben.id, "currentPassword": PASSWORD });
    ben.mutate("deleteUser", input, "deletedUserId")
        .await
        .data();
    let likes = "SELECT COUNT(*) FROM likes";
    let counted = "SELECT COALESCE(SUM(like_count), 0) FROM posts";
    assert_eq!(number(&app.app, likes).await, LIKES as i64);

    let first = WorkerProcess::start(&app);
    until(&app.app, likes, |left| left < LIKES as i64).await;
    first.kill();

    let left = number(&app.app, likes).await;
    assert!(left > 0, "it was done before it could be killed");
    assert_eq!(number(&app.app, counted).await, left);
    let running = "SELECT COUNT(*) FROM jobs WHERE kind = 'take_back_likes' AND state = 1";
    assert_eq!(number(&app.app, running).await, 1);
    // As if all leases of the dead one had run out.
    let run_out = "UPDATE jobs SET due_at = 1 WHERE state = 1";
    execute(&app.app, run_out.to_owned()).await;
    let second = WorkerProcess::start(&app);
    let done =
        "SELECT COUNT(*) FROM jobs WHERE kind = 'take_back_likes' AND state = 2 AND attempts = 2";
    until(&app.app, done, |done| done == 1).await;

    assert_eq!(number(&app.app, likes).await, 0);
    assert_eq!(number(&app.app, counted).await, 0);
    assert_eq!(
        number(&app.app, "SELECT MIN(like_count) FROM posts").await,
        0
    );
    assert_eq!(second.stop(), Some(0));
    assert_eq!(
        number(&app.app, "SELECT COUNT(*) FROM jobs WHERE state = 1").await,
        0
    );
}
