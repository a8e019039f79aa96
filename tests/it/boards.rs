//! Boards: who may enter, who may know of them, and what happens to what stands on them.

use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

async fn names(client: &Client) -> Vec<String> {
    let answer = client.query("{ boards { nodes { name } } }").await;
    let nodes = answer.data()["boards"]["nodes"].as_array().unwrap().clone();
    nodes
        .iter()
        .map(|n| n["name"].as_str().unwrap().to_owned())
        .collect()
}

fn board(name: &str, is_visible: bool, is_available: bool) -> Value {
    json!({ "name": name, "information": "i", "isVisible": is_visible, "isAvailable": is_available })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_makes_a_board_and_all_of_it_comes_back() {
    let app = TestApp::start().await;
    let admin = app.admin().await;

    let fields = "board { id name information isVisible isAvailable postCount lastPost { id } viewerCanPost updatedAt members { nodes { name } } }";
    let answer = admin
        .mutate(
            "createBoard",
            json!({ "name": " 마당 ", "information": "Where a village meets." }),
            fields,
        )
        .await;

    let made = &answer.data()["createBoard"]["board"];
    assert!(made["id"].as_str().unwrap().starts_with("board_"));
    assert_eq!(
        (&made["name"], &made["isVisible"], &made["isAvailable"]),
        (&json!("마당"), &json!(true), &json!(true))
    );
    assert_eq!(
        (
            &made["postCount"],
            &made["lastPost"],
            &made["viewerCanPost"]
        ),
        (&json!(0), &json!(null), &json!(true))
    );
    assert_eq!(
        (&made["updatedAt"], &made["members"]["nodes"]),
        (&json!(null), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_board_is_told_at_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let before = app.rows().await;

    let input =
        json!({ "name": " ", "information": "x".repeat(513), "memberIds": ["nobody", admin.id] });
    let answer = admin.mutate("createBoard", input, "board { id }").await;

    assert_eq!(answer.code(), "INVALID");
    let expected = [
        ("name", "BLANK"),
        ("information", "TOO_LONG"),
        ("memberIds.0", "ID_TYPE"),
    ];
    assert_eq!(
        answer.violations(),
        expected.map(|(f, c)| (f.to_owned(), c.to_owned()))
    );
    let unknown = json!({ "name": "n", "information": "i", "memberIds": [admin.id, app.id_of_nothing("user")] });
    let answer = admin.mutate("createBoard", unknown, "board { id }").await;
    assert_eq!(
        (answer.code(), answer.violation()),
        ("INVALID", ("memberIds.1".into(), "UNKNOWN".into()))
    );
    let many: Vec<_> = (0..101).map(|_| admin.id.clone()).collect();
    let answer = admin
        .mutate(
            "createBoard",
            json!({ "name": "n", "information": "i", "memberIds": many }),
            "board { id }",
        )
        .await;
    assert_eq!(answer.code(), "LIMIT_EXCEEDED");
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_s_name_is_unique_in_any_case() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let first = admin.board(board("Straße", true, true)).await;
    let second = admin.board(board("Gasse", true, true)).await;

    let again = admin
        .mutate("createBoard", board("STRASSE", true, true), "board { id }")
        .await;
    assert_eq!(
        (again.code(), again.violation()),
        ("CONFLICT", ("name".into(), "TAKEN".into()))
    );
    let renamed = admin
        .mutate(
            "updateBoard",
            json!({ "id": second, "name": "strasse" }),
            "board { id }",
        )
        .await;
    assert_eq!(renamed.code(), "CONFLICT");
    // One's own name in another case is no other's.
    let own = admin
        .mutate(
            "updateBoard",
            json!({ "id": first, "name": "STRASSE" }),
            "board { name }",
        )
        .await;
    assert_eq!(own.text("updateBoard.board.name"), "STRASSE");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_know_of_which_board() {
    let app = TestApp::start().await;
    let (admin, (member, stranger)) = (app.admin().await, app.two_users().await);
    for (name, is_visible, is_available) in [
        ("1 public", true, true),
        ("2 private", false, true),
        ("3 closed", true, false),
        ("4 both", false, false),
    ] {
        let mut input = board(name, is_visible, is_available);
        input["memberIds"] = json!([member.id]);
        admin.board(input).await;
    }

    assert_eq!(
        names(&admin).await,
        ["1 public", "2 private", "3 closed", "4 both"]
    );
    assert_eq!(names(&member).await, ["1 public", "2 private"]);
    assert_eq!(names(&stranger).await, ["1 public"]);
    assert_eq!(
        app.anonymous()
            .query("{ boards { nodes { name } } }")
            .await
            .code(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn with_public_read_anyone_reads_what_is_public() {
    let app = TestApp::with(&["--public-read", "on"]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let open = admin.board(board("open", true, true)).await;
    let private = admin.board(board("private", false, true)).await;
    let post = ann.post_on(&open, "Hello").await;

    let anyone = app.anonymous();
    assert_eq!(names(&anyone).await, ["open"]);
    let seen = anyone.run("query($i: ID!) { post(id: $i) { title content viewerCanEdit board { viewerCanPost } } }", json!({ "i": post })).await;
    assert_eq!(seen.data()["post"]["board"]["viewerCanPost"], false);
    assert_eq!(
        anyone
            .run(
                "query($i: ID!) { board(id: $i) { id } }",
                json!({ "i": private })
            )
            .await
            .code(),
        "NOT_FOUND"
    );
    let input = json!({ "boardId": open, "title": "t", "content": "c" });
    assert_eq!(
        anyone
            .mutate("createPost", input, "post { id }")
            .await
            .code(),
        "UNAUTHENTICATED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_that_one_may_not_enter_looks_like_none() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let private = admin.board(board("private", false, true)).await;
    let post = admin.post_on(&private, "secret").await;
    let comment = admin.comment_on(&post, "secret").await;
    let document = "query($b: ID!, $p: ID!, $c: ID!) { board(id: $b) { id } post(id: $p) { id } comment(id: $c) { id } n: nodes(ids: [$b, $p, $c]) { id } }";

    let hidden = ann
        .run(document, json!({ "b": private, "p": post, "c": comment }))
        .await;
    let nothing = ["board", "post", "comment"].map(|p| app.id_of_nothing(p));
    let nothing = ann
        .run(
            document,
            json!({ "b": nothing[0], "p": nothing[1], "c": nothing[2] }),
        )
        .await;

    assert_eq!(hidden.body, nothing.body);
    assert_eq!(hidden.at("n"), &json!([null, null, null]));
    let posts = ann
        .run(
            "query($b: ID) { posts(boardId: $b) { nodes { id } } }",
            json!({ "b": private }),
        )
        .await;
    assert_eq!(posts.data()["posts"]["nodes"], json!([]));
    let input = json!({ "boardId": private, "title": "t", "content": "c" });
    assert_eq!(
        ann.mutate("createPost", input, "post { id }").await.code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_are_given_listed_and_taken() {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let id = admin.board(board("private", false, true)).await;
    let list = "board { members { edges { grantedAt node { name } } pageInfo { hasNextPage } } }";

    admin
        .mutate(
            "updateBoard",
            json!({ "id": id, "addMemberIds": [ben.id] }),
            list,
        )
        .await
        .data();
    app.advance(1);
    // Who is a member already keeps the older grant.
    let added = admin
        .mutate(
            "updateBoard",
            json!({ "id": id, "addMemberIds": [ann.id, ben.id] }),
            list,
        )
        .await;
    let edges = added.data()["updateBoard"]["board"]["members"]["edges"]
        .as_array()
        .unwrap()
        .clone();
    let listed: Vec<_> = edges
        .iter()
        .map(|e| e["node"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(listed, ["ben", "ann"]);
    assert!(edges[0]["grantedAt"].as_str() < edges[1]["grantedAt"].as_str());
    assert_eq!(names(&ann).await, ["private"]);

    let page = "query($i: ID!, $c: String) { board(id: $i) { members(first: 1, after: $c) { nodes { name } pageInfo { endCursor } } } }";
    let first = admin.run(page, json!({ "i": id })).await;
    let second = admin
        .run(
            page,
            json!({ "i": id, "c": first.at("board.members.pageInfo.endCursor") }),
        )
        .await;
    assert_eq!(
        (
            first.at("board.members.nodes.0.name"),
            second.at("board.members.nodes.0.name")
        ),
        (&json!("ben"), &json!("ann"))
    );

    admin
        .mutate(
            "updateBoard",
            json!({ "id": id, "removeMemberIds": [ann.id] }),
            list,
        )
        .await
        .data();
    assert!(names(&ann).await.is_empty());
    assert_eq!(names(&ben).await, ["private"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn null_in_a_change_of_a_board_changes_nothing() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let id = admin.board(any_board()).await;
    let before = app.rows().await;

    let input = json!({ "id": id, "name": null, "information": null, "isVisible": null, "isAvailable": null });
    let answer = admin.mutate("updateBoard", input, "board { id }").await;

    let fields: Vec<_> = answer.violations().into_iter().collect();
    let expected = ["name", "information", "isVisible", "isAvailable"]
        .map(|f| (f.to_owned(), "NULL".to_owned()));
    assert_eq!(fields, expected);
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_board_takes_its_posts_and_comments_along() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let before = app.rows().await;
    let id = admin.board(any_board()).await;
    let post = ann.post_on(&id, "Hello").await;
    ann.comment_on(&post, "hi").await;

    let deleted = admin
        .mutate("deleteBoard", json!({ "id": id }), "deletedBoardId")
        .await;

    assert_eq!(deleted.text("deleteBoard.deletedBoardId"), id);
    assert_eq!(app.rows().await, before);
    assert_eq!(
        admin
            .mutate("deleteBoard", json!({ "id": id }), "deletedBoardId")
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_post_is_the_newest_that_the_viewer_may_read() {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let (one, two) = (
        admin.board(board("one", true, true)).await,
        admin.board(board("two", true, true)).await,
    );
    ann.post_on(&one, "old").await;
    ann.post_on(&two, "other").await;
    let hidden = json!({ "boardId": one, "title": "hidden", "content": "c", "isVisible": false });
    ann.mutate("createPost", hidden, "post { id }").await.data();

    let document = "{ boards { nodes { name lastPost { title } postCount } } }";
    let seen =
        async |client: &Client| client.query(document).await.data()["boards"]["nodes"].clone();

    let other = json!({ "name": "two", "lastPost": { "title": "other" }, "postCount": 1 });
    assert_eq!(
        seen(&ann).await,
        json!([{ "name": "one", "lastPost": { "title": "hidden" }, "postCount": 1 }, other])
    );
    assert_eq!(
        seen(&ben).await,
        json!([{ "name": "one", "lastPost": { "title": "old" }, "postCount": 1 }, other])
    );
    assert_eq!(seen(&admin).await[0]["lastPost"]["title"], "hidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_take_one_name_at_once_one_gets_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;

    let attempts = (0..10).map(|n| {
        let name = if n % 2 == 0 { "Wanted" } else { "WANTED" };
        admin.mutate("createBoard", board(name, true, true), "board { id }")
    });
    let answers = futures_util::future::join_all(attempts).await;

    assert_eq!(answers.iter().filter(|a| a.errors().is_empty()).count(), 1);
    assert_eq!(
        answers
            .iter()
            .filter(|a| !a.errors().is_empty() && a.code() == "CONFLICT")
            .count(),
        9
    );
}
