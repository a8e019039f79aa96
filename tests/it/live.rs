//! What is added while one watches: comments to a post, as the subscription `commentAdded` gets them.

use std::{sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use madang::{
    boards,
    bus::BACKLOG,
    comments::{Comment, live::CommentsOn, store},
    error::{Error, Result},
    ids::{BoardId, CommentId, PostId, UserId},
    watch,
};
use serde_json::json;

use crate::support::{Client, TestApp, any_board};

async fn yard() -> (Arc<TestApp>, Client, Client, Client, String, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "post").await;
    (app, admin, ann, ben, board, post)
}

/// Watches the comments on `post` as this client.
async fn watch(
    app: &TestApp,
    client: &Client,
    post: &str,
) -> Result<impl Stream<Item = Result<Comment>>> {
    let post = PostId::parse(post).unwrap();
    watch::follow(app.app.clone(), client.caller().await, CommentsOn(post)).await
}

async fn next(
    stream: &mut (impl Stream<Item = Result<Comment>> + Unpin),
) -> Option<Result<Comment>> {
    tokio::time::timeout(Duration::from_secs(5), stream.next())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_post_gets_the_comments_that_are_added_to_it() {
    let (app, _, ann, ben, board, post) = yard().await;
    let other = ann.post_on(&board, "other").await;
    ann.comment_on(&post, "before").await;
    let mut seen = Box::pin(watch(&app, &ben, &post).await.unwrap());

    ann.comment_on(&other, "elsewhere").await;
    let hidden = json!({ "postId": post, "content": "hidden", "isVisible": false });
    ann.mutate("createComment", hidden, "comment { id }")
        .await
        .data();
    ann.comment_on(&post, "one").await;
    ben.comment_on(&post, "two").await;

    assert_eq!(
        next(&mut seen).await.unwrap().unwrap().content.as_str(),
        "one"
    );
    assert_eq!(
        next(&mut seen).await.unwrap().unwrap().content.as_str(),
        "two"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_one_may_not_read_cannot_be_watched() {
    let (app, _, ann, ben, _, post) = yard().await;
    let input = json!({ "id": post, "isVisible": false });
    ann.mutate("updatePost", input, "post { id }").await.data();

    for post in [post, app.id_of_nothing("post")] {
        let topics = app.app.bus.topics();
        for _ in 0..100 {
            let refused = watch(&app, &ben, &post).await.err();
            assert!(matches!(refused, Some(Error::NotFound)));
        }
        assert_eq!(app.app.bus.topics(), topics);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stops_watching_leaves_nothing_behind() {
    let (app, _, ann, ben, _, post) = yard().await;
    let before = (app.app.bus.topics(), app.app.bus.kept());
    let seen = watch(&app, &ben, &post).await.unwrap();
    assert!(app.app.bus.topics() > before.0);
    ann.comment_on(&post, "one").await;
    assert!(app.app.bus.kept() > before.1);

    drop(seen);

    assert_eq!((app.app.bus.topics(), app.app.bus.kept()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_too_far_behind_is_told_to_load_anew_and_others_miss_nothing() {
    let (app, _, ann, ben, _, post) = yard().await;
    let comment = ann.comment_on(&post, "one").await;
    let topic = store::added_to(PostId::parse(&post).unwrap());
    let comment = CommentId::parse(&comment).unwrap();
    let mut stalled = Box::pin(watch(&app, &ben, &post).await.unwrap());
    let mut healthy = Box::pin(watch(&app, &ben, &post).await.unwrap());

    for n in 0..=BACKLOG {
        app.app.bus.publish(&topic, comment);
        // Reads them as they come, which nobody could a backlog later.
        if n % (BACKLOG / 8) == 0 {
            assert_eq!(
                next(&mut healthy).await.unwrap().unwrap().content.as_str(),
                "one"
            );
        }
    }

    assert!(matches!(
        next(&mut stalled).await,
        Some(Err(Error::ResyncRequired))
    ));
    assert!(next(&mut stalled).await.is_none());
    assert_eq!(
        next(&mut healthy).await.unwrap().unwrap().content.as_str(),
        "one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_wakes_only_those_whom_it_concerns() {
    let (app, admin, ann, ben, _, post) = yard().await;
    let other = json!({ "name": "Other", "information": "i" });
    let other = BoardId::parse(&admin.board(other).await).unwrap();
    let ann = UserId::parse(&ann.id).unwrap();
    let mut seen = Box::pin(watch(&app, &ben, &post).await.unwrap());
    let before = app.app.db.statements();

    app.app.rights.changed(ann);
    app.app.bus.publish(&boards::store::changed(other), other);
    let woken = tokio::time::timeout(Duration::from_millis(200), seen.next()).await;

    assert!(woken.is_err());
    assert_eq!(app.app.db.statements(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_when_the_post_can_no_longer_be_read() {
    let (app, admin, ann, ben, board, _) = yard().await;
    for (name, by_board, input) in [
        ("updatePost", false, json!({ "isVisible": false })),
        ("deletePost", false, json!({})),
        ("updateBoard", true, json!({ "isVisible": false })),
        ("deleteBoard", true, json!({})),
    ] {
        admin
            .mutate(
                "updateBoard",
                json!({ "id": board, "isVisible": true }),
                "board { id }",
            )
            .await
            .data();
        let post = ann.post_on(&board, "post").await;
        let mut seen = Box::pin(watch(&app, &ben, &post).await.unwrap());
        // A change that ends nothing.
        ann.mutate(
            "updatePost",
            json!({ "id": post, "title": "changed" }),
            "post { id }",
        )
        .await
        .data();
        ann.comment_on(&post, "still").await;
        assert_eq!(
            next(&mut seen).await.unwrap().unwrap().content.as_str(),
            "still"
        );

        let mut input = input;
        input["id"] = json!(if by_board { &board } else { &post });
        admin.mutate(name, input, "__typename").await.data();

        assert!(
            matches!(next(&mut seen).await, Some(Err(Error::NotFound))),
            "{name}"
        );
        assert!(next(&mut seen).await.is_none());
    }
}
