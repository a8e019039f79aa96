//! Lists of every kind: how many items they have, and how few statements lists under lists take.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Client, TestApp};

/// Some boards with posts by two people, with comments; everything of theirs once per board, and two members each.
async fn village(boards: usize) -> (Arc<TestApp>, Client, Client) {
    let app = TestApp::with(&["--limit-complexity", "1000000"]).await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    for n in 0..boards {
        let input = json!({ "name": format!("board {n:03}"), "information": "i", "memberIds": [ann.id, ben.id] });
        let board = admin.board(input).await;
        for client in [&ann, &ben] {
            let post = client
                .post_on(&board, &format!("{n} by {}", client.id))
                .await;
            ann.comment_on(&post, "one").await;
        }
    }
    (app, admin, ann)
}

async fn statements(app: &TestApp, client: &Client, document: &str) -> (u64, Value) {
    app.forget().await;
    let before = app.app.db.statements();
    let answer = client.query(document).await;
    (app.app.db.statements() - before, answer.data().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_under_a_list_take_the_same_few_statements_at_any_length() {
    let (app, admin, _) = village(100).await;
    for (field, expected) in [
        (
            "boards(first: $N) { nodes { posts(first: 3) { nodes { title } pageInfo { hasNextPage } } } }",
            3,
        ),
        (
            "boards(first: $N) { nodes { posts(first: 3, orderBy: { field: LIKES }) { nodes { title } totalCount } } }",
            4,
        ),
        (
            "boards(first: $N) { nodes { members(last: 1) { edges { grantedAt node { name } } totalCount } } }",
            4,
        ),
        (
            "boards(first: $N) { totalCount nodes { posts { nodes { comments(first: 2) { nodes { content author { name } } totalCount } } } } }",
            7,
        ),
        (
            "posts(first: $N) { totalCount nodes { comments(last: 2) { nodes { content } } viewerHasLiked likeCount } }",
            5,
        ),
        (
            "users(first: $N) { totalCount nodes { posts(first: 2) { nodes { title } totalCount } comments { nodes { content } totalCount } grantedBoards { nodes { name } totalCount } } }",
            9,
        ),
        (
            "boards(first: $N) { nodes { a: posts(first: 1) { nodes { title } } b: posts(last: 1) { nodes { title } } } }",
            3,
        ),
    ] {
        for size in [1, 20, 100] {
            let document = format!("{{ {} }}", field.replace("$N", &size.to_string()));

            let (taken, _) = statements(&app, &admin, &document).await;

            assert_eq!(taken, expected, "{document}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_under_a_list_is_what_it_is_alone() {
    let (app, admin, ann) = village(4).await;
    let boards = admin.query("{ boards { nodes { id } } }").await.data()["boards"]["nodes"].clone();
    let input = json!({ "id": boards[1]["id"], "isVisible": false });
    admin
        .mutate("updateBoard", input, "board { id }")
        .await
        .data();
    let hidden = admin
        .query("{ posts { nodes { id } } }")
        .await
        .text("posts.nodes.4.id");
    let input = json!({ "id": hidden, "isVisible": false });
    admin
        .mutate("updatePost", input, "post { id }")
        .await
        .data();

    let anonymous = app.user("cid").await;
    for client in [&admin, &ann, &anonymous] {
        for arguments in [
            "first: 1",
            "last: 1",
            "first: 2, orderBy: { field: COMMENTS }",
            "last: 2, orderBy: { field: UPDATED_AT, direction: ASC }",
        ] {
            let posts = format!(
                "posts({arguments}) {{ nodes {{ id comments {{ nodes {{ id }} }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} totalCount }}"
            );
            let together = client
                .query(&format!("{{ boards {{ nodes {{ id {posts} }} }} }}"))
                .await;
            for board in together.data()["boards"]["nodes"].as_array().unwrap() {
                let alone = client
                    .query(&format!(
                        "{{ board(id: {}) {{ id {posts} }} }}",
                        board["id"]
                    ))
                    .await;

                assert_eq!(*board, alone.data()["board"]);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_of_the_whole_list_for_who_asks_and_costs_nothing_unless_asked_for() {
    let (app, admin, ann) = village(3).await;
    let stranger = app.user("stranger").await;
    let boards = admin.query("{ boards { nodes { id } } }").await.data()["boards"]["nodes"].clone();
    let input = json!({ "id": boards[0]["id"], "isVisible": false });
    admin
        .mutate("updateBoard", input, "board { id }")
        .await
        .data();
    let document = format!(
        "{{ boards(first: 1) {{ totalCount }} named: boards(search: \"BOARD 00\") {{ totalCount }} posts(first: 1) {{ totalCount }} \
         users(first: 1) {{ totalCount }} few: users(search: \"a\") {{ totalCount }} \
         user(id: {:?}) {{ posts {{ totalCount }} comments {{ totalCount }} grantedBoards {{ totalCount }} }} }}",
        ann.id
    );

    for (client, boards, posts, own, comments, granted) in [
        (&admin, 3, 6, 3, 6, json!({ "totalCount": 1 })),
        (&ann, 3, 6, 3, 6, json!({ "totalCount": 1 })),
        (&stranger, 2, 4, 2, 4, json!(null)),
    ] {
        let answer = client.query(&document).await;
        let data = answer.data();

        assert_eq!(data["boards"]["totalCount"], boards);
        assert_eq!(data["named"]["totalCount"], boards);
        assert_eq!(data["posts"]["totalCount"], posts);
        assert_eq!(data["users"]["totalCount"], 4);
        assert_eq!(data["few"]["totalCount"], 2);
        assert_eq!(
            data["user"],
            json!({ "posts": { "totalCount": own }, "comments": { "totalCount": comments }, "grantedBoards": granted })
        );
    }
    let without = statements(&app, &ann, "{ posts { nodes { title } } }")
        .await
        .0;
    let with = statements(&app, &ann, "{ posts { nodes { title } totalCount } }")
        .await
        .0;
    assert_eq!(with, without + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_wrote_comes_newest_first() {
    let (_app, _, ann) = village(3).await;
    let mut all = ann
        .query("{ viewer { comments { nodes { id createdAt } } } }")
        .await
        .data()["viewer"]["comments"]["nodes"]
        .clone();
    let newest_first = all.as_array().unwrap().clone();

    let all = all.as_array_mut().unwrap();
    all.sort_by_key(|node| node["createdAt"].as_str().unwrap().to_owned());
    all.reverse();

    assert_eq!(all.len(), 6);
    assert_eq!(*all, newest_first);
}
