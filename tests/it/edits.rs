//! What texts become, and what an edit leaves alone.

use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

/// Changes a thing and tells its `updatedAt` after it.
async fn edit(client: &Client, mutation: &str, thing: &str, input: Value) -> Value {
    let answer = client
        .mutate(mutation, input, &format!("{thing} {{ updatedAt }}"))
        .await;
    answer.data()[mutation][thing]["updatedAt"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_changes_nothing_leaves_updated_at() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "Post").await;
    let comment = ann.comment_on(&post, "comment").await;
    for (client, mutation, thing, id, same, other) in [
        (
            &admin,
            "updateBoard",
            "board",
            &board,
            json!({ "name": "Yard", "information": "Where a village meets.", "isVisible": true }),
            json!({ "information": "Two\nlines" }),
        ),
        (
            &ann,
            "updatePost",
            "post",
            &post,
            json!({ "title": " Post ", "content": "Post: content", "isVisible": true }),
            json!({ "content": "other" }),
        ),
        (
            &ann,
            "updateComment",
            "comment",
            &comment,
            json!({ "content": "comment" }),
            json!({ "content": "other" }),
        ),
        (
            &ann,
            "updateUser",
            "user",
            &ann.id,
            json!({ "name": "ann", "email": "ann@example.org" }),
            json!({ "name": "Ann" }),
        ),
    ] {
        let input = |mut change: Value| {
            change["id"] = json!(id);
            change
        };
        let before = app.rows().await;
        for nothing in [json!({}), same] {
            let updated = edit(client, mutation, thing, input(nothing)).await;
            assert_eq!(updated, Value::Null, "{mutation}");
        }
        assert_eq!(app.rows().await, before, "{mutation}");

        let updated = edit(client, mutation, thing, input(other)).await;
        assert!(updated.is_string(), "{mutation}");
        assert_eq!(
            edit(client, mutation, thing, input(json!({}))).await,
            updated,
            "{mutation}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_and_a_role_are_no_changes_of_ones_own() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let id = json!(ann.id);
    for (mutation, input) in [
        ("banUser", json!({ "id": id, "reason": "Two\nlines" })),
        ("unbanUser", json!({ "id": id })),
        ("setUserRole", json!({ "id": id, "role": "ADMIN" })),
        ("setUserRole", json!({ "id": id, "role": "USER" })),
    ] {
        assert_eq!(
            edit(&admin, mutation, "user", input).await,
            Value::Null,
            "{mutation}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_composed_their_lines_end_alike_and_something_of_them_is_visible() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "Post").await;
    let decomposed = "\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}";
    let typed = format!("{decomposed}\r\n  {decomposed}");
    let input = |content: &str| json!({ "id": post, "title": decomposed, "content": content });

    let answer = ann
        .mutate("updatePost", input(&typed), "post { title content }")
        .await;
    assert_eq!(
        answer.data()["updatePost"]["post"],
        json!({ "title": "마당", "content": "마당\n  마당" })
    );

    for (content, rule) in [
        ("\u{200b}\u{3164}\n\u{2800}", "BLANK"),
        ("a\rb", "CONTROL_CHARACTER"),
        ("a\u{0}b", "CONTROL_CHARACTER"),
    ] {
        for (mutation, input) in [
            ("updatePost", json!({ "id": post, "content": content })),
            (
                "createPost",
                json!({ "boardId": board, "title": "t", "content": content }),
            ),
            (
                "createComment",
                json!({ "postId": post, "content": content }),
            ),
        ] {
            let refused = ann.mutate(mutation, input, "__typename").await;
            assert_eq!(refused.code(), "INVALID");
            let violation = &refused.errors()[0]["extensions"]["violations"][0];
            assert_eq!(
                (&violation["field"], &violation["code"]),
                (&json!("content"), &json!(rule)),
                "{mutation} {content:?}"
            );
        }
    }
}
