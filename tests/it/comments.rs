//! Comments: writing, reading, changing, hiding, deleting, and the number of them.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

async fn post() -> (Arc<TestApp>, Client, Client, Client, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "Post").await;
    (app, admin, ann, ben, post)
}

async fn seen(client: &Client, post: &str) -> (Value, Vec<String>) {
    let document =
        "query($i: ID!) { post(id: $i) { commentCount comments { nodes { content } } } }";
    let answer = client.run(document, json!({ "i": post })).await;
    let nodes = answer.data()["post"]["comments"]["nodes"]
        .as_array()
        .unwrap()
        .clone();
    let contents = nodes
        .iter()
        .map(|n| n["content"].as_str().unwrap().to_owned())
        .collect();
    (answer.at("post.commentCount").clone(), contents)
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_stand_oldest_first_under_their_post() {
    let (_app, _, ann, ben, post) = post().await;
    ann.comment_on(&post, "one").await;
    ben.comment_on(&post, "둘 👋").await;
    let three = ann.comment_on(&post, "three").await;

    assert_eq!(
        seen(&ann, &post).await,
        (
            json!(3),
            vec!["one".to_owned(), "둘 👋".to_owned(), "three".to_owned()]
        )
    );
    let document = "query($i: ID!) { comment(id: $i) { content author { name } post { id title } viewerCanEdit isVisible updatedAt } }";
    let one = ben.run(document, json!({ "i": three })).await;
    assert_eq!(
        one.data()["comment"],
        json!({ "content": "three", "author": { "name": "ann" }, "post": { "id": post, "title": "Post" }, "viewerCanEdit": false, "isVisible": null, "updatedAt": null })
    );
    assert_eq!(
        one.body["extensions"]["withheld"],
        json!(["Comment.isVisible"])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_comment_is_told_at_once() {
    let (app, _, ann, _, post) = post().await;
    let before = app.rows().await;

    let answer = ann
        .mutate(
            "createComment",
            json!({ "postId": ann.id, "content": "" }),
            "comment { id }",
        )
        .await;
    let fields: Vec<_> = answer.violations();
    assert_eq!(
        fields,
        [
            ("postId".to_owned(), "ID_TYPE".to_owned()),
            ("content".to_owned(), "BLANK".to_owned())
        ]
    );
    let long = ann
        .mutate(
            "createComment",
            json!({ "postId": post, "content": "c".repeat(4_001) }),
            "comment { id }",
        )
        .await;
    assert_eq!(
        long.violation(),
        ("content".to_owned(), "TOO_LONG".to_owned())
    );
    let nowhere = json!({ "postId": app.id_of_nothing("post"), "content": "c" });
    assert_eq!(
        ann.mutate("createComment", nowhere, "comment { id }")
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_comment_exists_for_its_author_and_admins_only() {
    let (app, admin, ann, ben, post) = post().await;
    ann.comment_on(&post, "shown").await;
    let input = json!({ "postId": post, "content": "hidden", "isVisible": false });
    let hidden = ann
        .mutate("createComment", input, "comment { id }")
        .await
        .text("createComment.comment.id");

    let both = vec!["shown".to_owned(), "hidden".to_owned()];
    assert_eq!(seen(&ann, &post).await, (json!(1), both.clone()));
    assert_eq!(seen(&admin, &post).await, (json!(1), both));
    assert_eq!(
        seen(&ben, &post).await,
        (json!(1), vec!["shown".to_owned()])
    );
    let document = "query($i: ID!) { comment(id: $i) { id } }";
    let unseen = ben.run(document, json!({ "i": hidden })).await;
    assert_eq!(
        unseen.body,
        ben.run(document, json!({ "i": app.id_of_nothing("comment") }))
            .await
            .body
    );
    assert_eq!(
        ben.mutate("deleteComment", json!({ "id": hidden }), "deletedCommentId")
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_comments_follows_hiding_showing_and_deleting() {
    let (_app, admin, ann, ben, post) = post().await;
    let (one, two) = (
        ann.comment_on(&post, "one").await,
        ben.comment_on(&post, "two").await,
    );

    for (visible, count) in [(false, 1), (false, 1), (true, 2), (false, 1)] {
        ann.mutate(
            "updateComment",
            json!({ "id": one, "isVisible": visible }),
            "comment { id }",
        )
        .await
        .data();
        assert_eq!(seen(&ben, &post).await.0, count);
    }
    ann.mutate("deleteComment", json!({ "id": one }), "deletedCommentId")
        .await
        .data();
    assert_eq!(seen(&ben, &post).await.0, 1);
    let deleted = admin
        .mutate("deleteComment", json!({ "id": two }), "deletedCommentId")
        .await;
    assert_eq!(deleted.text("deleteComment.deletedCommentId"), two);
    assert_eq!(seen(&ben, &post).await, (json!(0), vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn author_and_admins_change_a_comment_and_strangers_do_not() {
    let (app, admin, ann, ben, post) = post().await;
    let comment = ann.comment_on(&post, "first").await;

    let fields = "comment { content updatedAt }";
    let changed = ann
        .mutate(
            "updateComment",
            json!({ "id": comment, "content": "second" }),
            fields,
        )
        .await;
    assert_eq!(changed.text("updateComment.comment.content"), "second");
    let changed = admin
        .mutate(
            "updateComment",
            json!({ "id": comment, "content": "third" }),
            fields,
        )
        .await;
    assert_eq!(changed.text("updateComment.comment.content"), "third");
    let before = app.rows().await;
    assert_eq!(
        ben.mutate(
            "updateComment",
            json!({ "id": comment, "content": "x" }),
            fields
        )
        .await
        .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        ben.mutate(
            "deleteComment",
            json!({ "id": comment }),
            "deletedCommentId"
        )
        .await
        .code(),
        "FORBIDDEN"
    );
    let null = ann
        .mutate(
            "updateComment",
            json!({ "id": comment, "content": null }),
            fields,
        )
        .await;
    assert_eq!(null.violation(), ("content".to_owned(), "NULL".to_owned()));
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_paged_like_everything() {
    let (_app, _, ann, _, post) = post().await;
    for n in 0..5 {
        ann.comment_on(&post, &format!("{n}")).await;
    }
    let document = "query($i: ID!, $f: Int, $a: String, $l: Int, $b: String) { post(id: $i) { comments(first: $f, after: $a, last: $l, before: $b) { nodes { content } pageInfo { startCursor endCursor hasNextPage hasPreviousPage } } } }";
    let contents = |answer: &crate::support::Answer| -> Vec<String> {
        let nodes = answer.data()["post"]["comments"]["nodes"]
            .as_array()
            .unwrap();
        nodes
            .iter()
            .map(|n| n["content"].as_str().unwrap().to_owned())
            .collect()
    };

    let first = ann.run(document, json!({ "i": post, "f": 2 })).await;
    let next = ann
        .run(
            document,
            json!({ "i": post, "f": 2, "a": first.at("post.comments.pageInfo.endCursor") }),
        )
        .await;
    let last = ann.run(document, json!({ "i": post, "l": 2 })).await;
    let before = ann
        .run(
            document,
            json!({ "i": post, "l": 2, "b": last.at("post.comments.pageInfo.startCursor") }),
        )
        .await;

    assert_eq!(
        [
            contents(&first),
            contents(&next),
            contents(&before),
            contents(&last)
        ],
        [["0", "1"], ["2", "3"], ["1", "2"], ["3", "4"]]
    );
    assert_eq!(last.at("post.comments.pageInfo.hasPreviousPage"), true);
    assert_eq!(last.at("post.comments.pageInfo.hasNextPage"), false);
}
