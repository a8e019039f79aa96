//! Counters are exact, however many write at once.

use std::sync::Arc;

use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};
use madang::{app::App, db::on};
use serde_json::json;

use crate::support::{Answer, Client, TestApp};

#[derive(QueryableByName)]
struct Wrong {
    #[diesel(sql_type = BigInt)]
    wrong: i64,
}

/// Rows whose counter is not what a recount says.
pub async fn wrong(app: &App) -> i64 {
    const RECOUNT: &str = "
        SELECT (SELECT count(*) FROM posts p WHERE p.like_count <> (SELECT count(*) FROM likes l WHERE l.post_id = p.id)
                OR p.comment_count <> (SELECT count(*) FROM comments c WHERE c.post_id = p.id AND c.is_visible))
             + (SELECT count(*) FROM boards b WHERE b.post_count <>
                (SELECT count(*) FROM posts p WHERE p.board_id = b.id AND p.is_visible)) AS wrong";
    let rows: Vec<Wrong> = app
        .db
        .read(|conn| Ok(on!(conn, |c| diesel::sql_query(RECOUNT).load(c))?))
        .await
        .unwrap();
    rows[0].wrong
}

async fn crowd(app: &Arc<TestApp>) -> Vec<Client> {
    let mut crowd = Vec::new();
    for n in 0..20 {
        crowd.push(app.user(&format!("user{n}")).await);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_changes_by_twenty_people_at_once_leave_counters_exact() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let crowd = crowd(&app).await;
    let mut boards = Vec::new();
    for n in 0..2 {
        let input = json!({ "name": format!("board {n}"), "information": "i" });
        boards.push(admin.board(input).await);
    }
    let (mut posts, mut comments) = (Vec::new(), Vec::new());
    for n in 0..8 {
        let post = admin.post_on(&boards[n % 2], &format!("{n}")).await;
        for _ in 0..4 {
            comments.push(admin.comment_on(&post, "c").await);
        }
        posts.push(post);
    }

    let changes = (0..200).map(|n| {
        let (client, admin) = (crowd[n % 20].clone(), admin.clone());
        let post = posts[n * 7 % 5].clone();
        let doomed = posts[5 + n % 3].clone();
        let comment = comments[n % comments.len()].clone();
        let board = boards[n % 2].clone();
        tokio::spawn(async move {
            let shown = n % 4 < 2;
            let answer = match n / 20 {
                0 | 3 | 6 => client.mutate("likePost", json!({ "id": post }), "post { likeCount }").await,
                1 | 7 => client.mutate("unlikePost", json!({ "id": post }), "post { likeCount }").await,
                2 => client.mutate("createComment", json!({ "postId": post, "content": "c", "isVisible": shown }), "comment { id }").await,
                4 if n % 20 < 3 => admin.mutate("deletePost", json!({ "id": doomed }), "deletedPostId").await,
                4 => client.mutate("likePost", json!({ "id": doomed }), "post { id }").await,
                5 => admin.mutate("updateComment", json!({ "id": comment, "isVisible": shown }), "comment { id }").await,
                8 => admin.mutate("updatePost", json!({ "id": post, "isVisible": shown }), "post { id }").await,
                _ if n % 2 == 0 => admin.mutate("deleteComment", json!({ "id": comment }), "deletedCommentId").await,
                _ => client.mutate("createPost", json!({ "boardId": board, "title": "t", "content": "c", "isVisible": shown }), "post { id }").await,
            };
            // What has been hidden or deleted meanwhile is not there; nothing else may go wrong.
            assert!(answer.errors().is_empty() || answer.code() == "NOT_FOUND", "{}", answer.body);
        })
    });
    for change in futures_util::future::join_all(changes).await {
        change.unwrap();
    }

    assert_eq!(wrong(&app.app).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everybody_at_once_likes_a_post_and_takes_it_back() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let crowd = crowd(&app).await;
    let board = admin
        .board(json!({ "name": "b", "information": "i" }))
        .await;
    let post = admin.post_on(&board, "post").await;
    for (name, expected) in [("likePost", 20), ("unlikePost", 0), ("likePost", 20)] {
        let all = crowd.iter().chain(&crowd).cloned().map(|client| {
            let post = post.clone();
            tokio::spawn(async move {
                client
                    .mutate(name, json!({ "id": post }), "post { id }")
                    .await
                    .data()
                    .clone()
            })
        });
        for one in futures_util::future::join_all(all).await {
            one.unwrap();
        }

        let seen = admin.query("{ posts { nodes { likeCount } } }").await;
        assert_eq!(seen.data()["posts"]["nodes"][0]["likeCount"], expected);
        assert_eq!(wrong(&app.app).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn likes_that_come_while_their_users_are_deleted_leave_counters_exact() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let crowd = crowd(&app).await;
    let board = admin
        .board(json!({ "name": "b", "information": "i" }))
        .await;
    let mut posts = Vec::new();
    for n in 0..5 {
        posts.push(admin.post_on(&board, &format!("{n}")).await);
    }
    for client in &crowd {
        client
            .mutate("likePost", json!({ "id": posts[0] }), "post { id }")
            .await
            .data();
    }

    let changes = (0..60).map(|n| {
        let (client, admin, post) = (crowd[n % 10].clone(), admin.clone(), posts[n % 5].clone());
        tokio::spawn(async move {
            if n % 6 == 5 {
                admin
                    .mutate("deleteUser", json!({ "id": client.id }), "deletedUserId")
                    .await;
            } else {
                // Whoever is deleted cannot like any more.
                client
                    .mutate("likePost", json!({ "id": post }), "post { id }")
                    .await;
            }
        })
    });
    for change in futures_util::future::join_all(changes).await {
        change.unwrap();
    }

    assert_eq!(wrong(&app.app).await, 0);
}

/// What may come of an operation in a storm: it has run, or what it is about or who calls is gone or not allowed.
fn is_fair(answer: &Answer) -> bool {
    const FAIR: [&str; 4] = ["NOT_FOUND", "BANNED", "FORBIDDEN", "CONFLICT"];
    answer.errors().is_empty() || FAIR.contains(&answer.code())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_everything_leaves_counters_exact_and_no_fault() {
    const CLIENTS: usize = 32;
    const EACH: usize = 24;
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let users = futures_util::future::join_all((0..CLIENTS).map(|n| {
        let app = Arc::clone(&app);
        async move { app.user(&format!("user{n}")).await }
    }))
    .await;
    let mut boards = Vec::new();
    for n in 0..3 {
        let members: Vec<_> = users.iter().map(|user| &user.id).collect();
        let input = json!({ "name": format!("board {n}"), "information": "i", "isVisible": n > 0, "memberIds": members });
        boards.push(admin.board(input).await);
    }
    let (mut posts, mut comments) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let author = &users[n];
        let post = author.post_on(&boards[n % 3], &format!("{n}")).await;
        for user in &users[..3] {
            comments.push(user.comment_on(&post, "c").await);
        }
        posts.push(post);
    }

    let storm = users.iter().enumerate().map(|(me, client)| {
        let (client, admin, victim) = (client.clone(), admin.clone(), users[(me + 7) % CLIENTS].id.clone());
        let (boards, posts, comments) = (boards.clone(), posts.clone(), comments.clone());
        tokio::spawn(async move {
            for n in 0..EACH {
                let dice = me * 31 + n * 17;
                let (board, post) = (&boards[dice % 3], &posts[dice % posts.len()]);
                let comment = &comments[dice % comments.len()];
                let shown = dice % 3 > 0;
                // Whoever is in charge does what not everybody may.
                let (who, name, input) = match dice % 16 {
                    0..=2 => (&client, "likePost", json!({ "id": post })),
                    3 => (&client, "unlikePost", json!({ "id": post })),
                    4..=5 => (&client, "createComment", json!({ "postId": post, "content": "c", "isVisible": shown })),
                    6 => (&client, "createPost", json!({ "boardId": board, "title": "t", "content": "c", "isVisible": shown })),
                    7 => (&client, "updatePost", json!({ "id": post, "title": format!("{dice}"), "isVisible": shown })),
                    8 => (&client, "updateComment", json!({ "id": comment, "content": format!("{dice}"), "isVisible": shown })),
                    9 => (&admin, "updatePost", json!({ "id": post, "isVisible": shown })),
                    10 => (&admin, "updateComment", json!({ "id": comment, "isVisible": shown })),
                    11 if n % 5 == 0 => (&admin, "deletePost", json!({ "id": post })),
                    11 => (&admin, "deleteComment", json!({ "id": comment })),
                    12 => (&admin, "banUser", json!({ "id": victim, "reason": "storm" })),
                    13 => (&admin, "unbanUser", json!({ "id": victim })),
                    14 => (&admin, "updateBoard", json!({ "id": board, "addMemberIds": [victim] })),
                    _ => (&admin, "updateBoard", json!({ "id": board, "removeMemberIds": [victim] })),
                };
                let answer = who.mutate(name, input, "__typename").await;
                assert!(is_fair(&answer), "{name}: {}", answer.body);
            }
        })
    });
    for one in futures_util::future::join_all(storm.collect::<Vec<_>>()).await {
        one.unwrap();
    }

    assert_eq!(wrong(&app.app).await, 0);
}
