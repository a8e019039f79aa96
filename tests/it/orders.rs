//! Orders of posts: every walk, of any page size and either way, equals the whole list.

use std::sync::Arc;

use madang::posts::store::views;
use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

const FIELDS: [&str; 5] = ["CREATED_AT", "UPDATED_AT", "VIEWS", "LIKES", "COMMENTS"];

/// Twelve posts with many equal counts, some of them hidden, some changed; the first board has most of them.
async fn yard() -> (Arc<TestApp>, Client, Client, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    let other = json!({ "name": "Other", "information": "i" });
    let other = admin.board(other).await;
    for n in 0..12 {
        let on = if n % 4 == 3 { &other } else { &board };
        let input = json!({ "boardId": on, "title": format!("{n}"), "content": "c", "isVisible": n % 5 != 4 });
        let post = ann.mutate("createPost", input, "post { id }").await;
        let post = post.text("createPost.post.id");
        for (client, likes) in [(&ann, n % 3 > 0), (&admin, n % 3 > 1)] {
            if likes {
                let input = json!({ "id": post });
                client.mutate("likePost", input, "post { id }").await.data();
            }
        }
        for _ in 0..(n * 7) % 4 {
            ann.comment_on(&post, "comment").await;
        }
        if n % 2 == 0 {
            let document = "query($i: ID!) { post(id: $i) { content } }";
            ann.run(document, json!({ "i": post })).await.data();
        }
        if n % 4 == 1 {
            let input = json!({ "id": post, "content": "changed" });
            ann.mutate("updatePost", input, "post { id }").await.data();
        }
    }
    // Changed after all others were made.
    let oldest = ann.query("{ posts(last: 1) { nodes { id } } }").await;
    let input = json!({ "id": oldest.text("posts.nodes.0.id"), "content": "changed last" });
    ann.mutate("updatePost", input, "post { id }").await.data();
    views::flush(&app.app).await.unwrap();
    (app, ann, ben, board)
}

/// Where posts are listed: how to ask, and where they stand in the answer.
fn places(board: &str, author: &Client) -> [(String, String, &'static str); 3] {
    [
        ("{ posts".to_owned(), "}".to_owned(), "posts"),
        (
            format!("{{ board(id: {board:?}) {{ posts"),
            "} }".to_owned(),
            "board.posts",
        ),
        (
            format!("{{ user(id: {:?}) {{ posts", author.id),
            "} }".to_owned(),
            "user.posts",
        ),
    ]
}

const NODE: &str = "title createdAt updatedAt viewCount likeCount commentCount";

/// What a post is ordered by, taken from what is shown.
fn key(field: &str, node: &Value) -> (Value, String) {
    let created = node["createdAt"].as_str().unwrap().to_owned();
    let key = match field {
        "CREATED_AT" => json!(0),
        "UPDATED_AT" if node["updatedAt"].is_string() => node["updatedAt"].clone(),
        "UPDATED_AT" => json!(created),
        "VIEWS" => node["viewCount"].clone(),
        "LIKES" => node["likeCount"].clone(),
        _ => node["commentCount"].clone(),
    };
    (key, created)
}

fn less(one: &(Value, String), other: &(Value, String)) -> bool {
    let rank = |value: &Value| (value.as_i64(), value.as_str().map(str::to_owned));
    (rank(&one.0), &one.1) < (rank(&other.0), &other.1)
}

async fn walk(
    client: &Client,
    (head, tail, path): &(String, String, &str),
    order: &str,
    size: usize,
    backwards: bool,
) -> Vec<String> {
    let (count, from, on, more) = if backwards {
        ("last", "before", "startCursor", "hasPreviousPage")
    } else {
        ("first", "after", "endCursor", "hasNextPage")
    };
    let (mut cursor, mut seen) = (json!(null), Vec::new());
    for _ in 0..20 {
        let document = format!(
            "{head}(orderBy: {order}, {count}: {size}, {from}: {cursor}) {{ nodes {{ title }} pageInfo {{ {on} {more} }} }} {tail}"
        );
        let answer = client.query(&document).await;
        answer.data();
        let page = answer.at(path);
        let titles = page["nodes"].as_array().unwrap().iter();
        let titles = titles.map(|n| n["title"].as_str().unwrap().to_owned());
        if backwards {
            seen.splice(0..0, titles);
        } else {
            seen.extend(titles);
        }
        if page["pageInfo"][more] == false {
            return seen;
        }
        cursor = page["pageInfo"][on].clone();
    }
    panic!("the walk does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_is_what_it_says_and_every_walk_is_the_whole_list() {
    let (_app, ann, ben, board) = yard().await;
    for client in [&ann, &ben] {
        for place in places(&board, &ann) {
            for (field, direction) in FIELDS.iter().flat_map(|f| [(f, "ASC"), (f, "DESC")]) {
                let order = format!("{{ field: {field}, direction: {direction} }}");
                let document = format!(
                    "{}(orderBy: {order}, first: 100) {{ nodes {{ {NODE} }} totalCount }} {}",
                    place.0, place.1
                );
                let answer = client.query(&document).await;
                answer.data();
                let nodes = answer.at(place.2)["nodes"].as_array().unwrap().clone();

                assert!(nodes.len() > 6);
                assert_eq!(answer.at(place.2)["totalCount"], nodes.len());
                for pair in nodes.windows(2) {
                    let (one, two) = (key(field, &pair[0]), key(field, &pair[1]));
                    let is_right = if direction == "ASC" {
                        less(&one, &two)
                    } else {
                        less(&two, &one)
                    };
                    assert!(is_right, "{document}: {one:?} {two:?}");
                }
                let all: Vec<_> = nodes
                    .iter()
                    .map(|n| n["title"].as_str().unwrap().to_owned())
                    .collect();
                for (size, backwards) in [(1, false), (5, true), (4, false), (12, true)] {
                    let walked = walk(client, &place, &order, size, backwards).await;
                    assert_eq!(walked, all, "{document} {size} {backwards}");
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_order_the_newest_come_first_and_an_order_falls_by_default() {
    let (_app, ann, _, board) = yard().await;
    let titles = async |arguments: &str| {
        let document =
            format!("{{ posts(boardId: {board:?} {arguments}) {{ nodes {{ title }} }} }}");
        ann.query(&document).await.data()["posts"]["nodes"].clone()
    };

    assert_eq!(titles("").await[0]["title"], "10");
    assert_eq!(
        titles("orderBy: { field: CREATED_AT }").await,
        titles("").await
    );
    assert_eq!(titles("orderBy: null").await, titles("").await);
    assert_eq!(
        titles("orderBy: { field: UPDATED_AT }").await[0]["title"],
        "0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_one_order_is_none_of_another() {
    let (_app, ann, _, _) = yard().await;
    let orders: Vec<_> = FIELDS
        .iter()
        .flat_map(|f| {
            [
                format!("{{ field: {f}, direction: ASC }}"),
                format!("{{ field: {f} }}"),
            ]
        })
        .collect();
    for of in &orders {
        let document =
            format!("{{ posts(first: 1, orderBy: {of}) {{ pageInfo {{ endCursor }} }} }}");
        let cursor = ann.query(&document).await.text("posts.pageInfo.endCursor");
        for with in &orders {
            for argument in ["after", "before"] {
                let document = format!(
                    "{{ posts(orderBy: {with}, {argument}: {cursor:?}) {{ nodes {{ id }} }} }}"
                );
                let answer = ann.query(&document).await;

                if of == with {
                    answer.data();
                } else {
                    assert_eq!(
                        answer.violation(),
                        (argument.to_owned(), "CURSOR".to_owned()),
                        "{of} {with}"
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_order_is_held_to_the_same_rules() {
    let (_app, ann, _, board) = yard().await;
    for place in places(&board, &ann) {
        for (arguments, field, code) in [
            ("first: 0", "first", "OUT_OF_RANGE"),
            ("first: 101", "first", "OUT_OF_RANGE"),
            ("last: -1", "last", "OUT_OF_RANGE"),
            ("first: 1, last: 1", "first", "EXCLUSIVE"),
            ("after: \"AAAA\"", "after", "CURSOR"),
        ] {
            let document = format!(
                "{}(orderBy: {{ field: LIKES }}, {arguments}) {{ nodes {{ id }} }} {}",
                place.0, place.1
            );
            let answer = ann.query(&document).await;

            assert_eq!(
                answer.violation(),
                (field.to_owned(), code.to_owned()),
                "{document}"
            );
        }
    }
}
