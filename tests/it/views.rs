//! Views: one a reader and post an hour, counted when the content is read, written later.

use std::sync::Arc;

use http::Request;
use madang::{
    access::{self, Actor, Caller},
    error::Language,
    ids::PostId,
    posts::store::views,
};
use serde_json::json;

use crate::support::{Client, TestApp, any_board};

async fn yard() -> (Arc<TestApp>, Client, Client, String) {
    let app = TestApp::with(&["--public-read", "true"]).await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "post").await;
    (app, ann, ben, post)
}

async fn open(client: &Client, post: &str) {
    let document = "query($i: ID!) { post(id: $i) { content } }";
    client.run(document, json!({ "i": post })).await.data();
}

/// What is shown once all has been written.
async fn views(app: &TestApp, client: &Client, post: &str) -> i64 {
    views::flush(&app.app).await.unwrap();
    let document = "query($i: ID!) { post(id: $i) { viewCount } }";
    let answer = client.run(document, json!({ "i": post })).await;
    answer.at("post.viewCount").as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_counts_once_an_hour() {
    let (app, ann, ben, post) = yard().await;

    for _ in 0..3 {
        open(&ann, &post).await;
    }
    assert_eq!(views(&app, &ann, &post).await, 1);
    open(&ben, &post).await;
    app.advance(3_599);
    let ann = ann.again("ann").await;
    open(&ann, &post).await;
    assert_eq!(views(&app, &ann, &post).await, 2);
    app.advance(1);
    open(&ann, &post).await;

    assert_eq!(views(&app, &ann, &post).await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_reading_the_content_of_a_post_by_its_id_counts() {
    let (app, ann, _, post) = yard().await;
    for (document, count) in [
        (
            "query($i: ID!) { post(id: $i) { id title comments { nodes { content } } } }",
            0,
        ),
        (
            "query($i: ID!) { node(id: $i) { ... on Post { content } } }",
            0,
        ),
        (
            "query($i: ID!) { posts(first: 1) { nodes { content } } node(id: $i) { id } }",
            0,
        ),
        (
            "query($i: ID!) { post(id: $i) { title content @skip(if: true) } }",
            0,
        ),
        (
            "query($i: ID!) { first: post(id: $i) { ...F } } fragment F on Post { ... { text: content } }",
            1,
        ),
    ] {
        ann.run(document, json!({ "i": post })).await.data();

        assert_eq!(views(&app, &ann, &post).await, count, "{document}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_one_may_not_read_is_not_viewed() {
    let (app, ann, ben, post) = yard().await;
    ann.mutate(
        "updatePost",
        json!({ "id": post, "isVisible": false }),
        "post { id }",
    )
    .await
    .data();

    let document = "query($i: ID!) { post(id: $i) { content } }";
    let refused = ben.run(document, json!({ "i": post })).await;

    assert_eq!(refused.code(), "NOT_FOUND");
    assert_eq!(views(&app, &ann, &post).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_writes_nothing_until_views_are_written() {
    let (app, ann, _, post) = yard().await;
    open(&ann, &post).await;
    app.advance(3_600);
    let ann = ann.again("ann").await;
    let before = app.rows().await;

    open(&ann, &post).await;

    assert_eq!(app.rows().await, before);
    assert_eq!(views(&app, &ann, &post).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn robots_in_a_burst_are_one_reader_each() {
    let (app, ann, _, post) = yard().await;
    let body = json!({ "query": "query($i: ID!) { post(id: $i) { content } }", "variables": { "i": post } }).to_string();
    let visits = (0..200).map(|n| {
        let mut robot = app.anonymous();
        robot.address = ["198.51.100.1", "198.51.100.2"][n % 2];
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("user-agent", ["robot", "spider"][n / 2 % 2])
            .body(body.clone().into())
            .unwrap();
        async move { robot.send(request).await.data().clone() }
    });

    futures_util::future::join_all(visits).await;

    assert_eq!(views(&app, &ann, &post).await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_makes_thirty_readers_of_a_post_an_hour() {
    let (app, ann, _, post) = yard().await;
    let visit = async |address: &'static str, agent: usize| {
        let mut robot = app.anonymous();
        robot.address = address;
        let body = json!({ "query": "query($i: ID!) { post(id: $i) { content } }", "variables": { "i": post } });
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("user-agent", format!("robot {agent}"))
            .body(body.to_string().into())
            .unwrap();
        robot.send(request).await.data();
    };

    for agent in 0..31 {
        visit("198.51.100.1", agent).await;
    }
    assert_eq!(views(&app, &ann, &post).await, 30);
    visit("198.51.100.2", 0).await;

    assert_eq!(views(&app, &ann, &post).await, 31);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_is_written_when_the_server_stops() {
    let (app, ann, _, post) = yard().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = tokio::spawn(app.server.clone().run(listener));
    open(&ann, &post).await;

    app.server.stop();
    running.await.unwrap();

    let document = "query($i: ID!) { post(id: $i) { viewCount } }";
    let answer = ann.run(document, json!({ "i": post })).await;
    assert_eq!(answer.data()["post"]["viewCount"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_claims_so_many_views_an_hour_whatever_it_reads() {
    let (app, ann, _, post) = yard().await;
    let caller = |address: &str, agent: usize| {
        let client = access::Client {
            address: address.parse().unwrap(),
            user_agent: Some(format!("robot {agent}")),
            request_id: String::new(),
            language: Language::En,
        };
        Caller::new(client, Actor::Anonymous)
    };
    for agent in 0..3_600 {
        let (caller, another) = (caller("198.51.100.1", agent), app.app.clock.id());
        views::count(&app.app, &caller, another).await;
    }

    let post_id = PostId::parse(&post).unwrap();
    views::count(&app.app, &caller("198.51.100.1", 0), post_id).await;
    assert_eq!(views(&app, &ann, &post).await, 0);
    views::count(&app.app, &caller("198.51.100.2", 0), post_id).await;

    assert_eq!(views(&app, &ann, &post).await, 1);
}
