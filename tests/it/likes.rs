//! Likes: once a user and post, counted exactly, and gone with the user.

use std::sync::Arc;

use serde_json::json;

use crate::support::{Client, PASSWORD, TestApp, any_board};

async fn yard() -> (Arc<TestApp>, Client, Client, Client, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    (app, admin, ann, ben, board)
}

async fn like(client: &Client, post: &str) -> i64 {
    let answer = client
        .mutate(
            "likePost",
            json!({ "id": post }),
            "post { likeCount viewerHasLiked }",
        )
        .await;
    assert_eq!(answer.data()["likePost"]["post"]["viewerHasLiked"], true);
    answer.at("likePost.post.likeCount").as_i64().unwrap()
}

async fn unlike(client: &Client, post: &str) -> i64 {
    let answer = client
        .mutate(
            "unlikePost",
            json!({ "id": post }),
            "post { likeCount viewerHasLiked }",
        )
        .await;
    assert_eq!(answer.data()["unlikePost"]["post"]["viewerHasLiked"], false);
    answer.at("unlikePost.post.likeCount").as_i64().unwrap()
}

async fn rows_of_likes(app: &TestApp) -> usize {
    let rows = app.rows().await;
    rows.iter().filter(|row| row.starts_with("likes: ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn liking_twice_is_liking_once() {
    let (app, _, ann, ben, board) = yard().await;
    let post = ann.post_on(&board, "post").await;

    let counts = [
        like(&ben, &post).await,
        like(&ben, &post).await,
        like(&ann, &post).await,
        unlike(&ben, &post).await,
        unlike(&ben, &post).await,
    ];

    assert_eq!(counts, [1, 1, 2, 1, 1]);
    assert_eq!(rows_of_likes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_post_cannot_be_liked_by_who_may_not_know_of_it() {
    let (app, admin, ann, ben, board) = yard().await;
    let input = json!({ "boardId": board, "title": "t", "content": "c", "isVisible": false });
    let hidden = ann.mutate("createPost", input, "post { id }").await;
    let hidden = hidden.text("createPost.post.id");

    for name in ["likePost", "unlikePost"] {
        let refused = ben
            .mutate(name, json!({ "id": hidden }), "post { id }")
            .await;
        let nothing = json!({ "id": app.id_of_nothing("post") });

        assert_eq!(refused.code(), "NOT_FOUND");
        assert_eq!(
            refused.body,
            ben.mutate(name, nothing, "post { id }").await.body
        );
        let wrong = ben
            .mutate(name, json!({ "id": ann.id }), "post { id }")
            .await;
        assert_eq!(wrong.violation(), ("id".to_owned(), "ID_TYPE".to_owned()));
    }
    assert_eq!(rows_of_likes(&app).await, 0);
    assert_eq!(like(&admin, &hidden).await, 1);
    assert_eq!(like(&ann, &hidden).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_viewer_likes_takes_one_statement_for_a_list() {
    let (app, _, ann, ben, board) = yard().await;
    let mut posts = Vec::new();
    for n in 0..10 {
        posts.push(ann.post_on(&board, &format!("{n}")).await);
    }
    like(&ben, &posts[3]).await;
    like(&ann, &posts[4]).await;
    let document = "{ posts { nodes { title viewerHasLiked likeCount } } }";
    ben.query(document).await.data();
    let before = app.app.db.statements();

    let answer = ben.query(document).await;

    assert_eq!(app.app.db.statements() - before, 2);
    let nodes = answer.data()["posts"]["nodes"].as_array().unwrap().clone();
    let liked: Vec<_> = nodes
        .iter()
        .filter(|n| n["viewerHasLiked"] == true)
        .collect();
    assert_eq!(
        liked,
        [&json!({ "title": "3", "viewerHasLiked": true, "likeCount": 1 })]
    );
    assert_eq!(
        nodes[5],
        json!({ "title": "4", "viewerHasLiked": false, "likeCount": 1 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_likes_of_a_deleted_user_are_taken_back() {
    let (app, _, ann, ben, board) = yard().await;
    let (one, two) = (
        ann.post_on(&board, "1").await,
        ann.post_on(&board, "2").await,
    );
    for post in [&one, &two] {
        like(&ben, post).await;
    }
    like(&ann, &one).await;

    let input = json!({ "id": ben.id, "currentPassword": PASSWORD });
    ben.mutate("deleteUser", input, "deletedUserId")
        .await
        .data();
    app.run_jobs().await;

    let answer = ann
        .query("{ posts { nodes { title likeCount viewerHasLiked } } }")
        .await;
    assert_eq!(
        answer.data()["posts"]["nodes"],
        json!([
            { "title": "2", "likeCount": 0, "viewerHasLiked": false },
            { "title": "1", "likeCount": 1, "viewerHasLiked": true },
        ])
    );
    assert_eq!(rows_of_likes(&app).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_likes_of_a_deleted_post_go_with_it() {
    let (app, _, ann, ben, board) = yard().await;
    let post = ann.post_on(&board, "post").await;
    like(&ben, &post).await;

    ann.mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();

    assert_eq!(rows_of_likes(&app).await, 0);
}
