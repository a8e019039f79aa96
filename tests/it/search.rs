//! Searching posts: the same finds on every engine, for Korean too, whatever is typed.

use std::sync::Arc;

use serde_json::json;

use crate::support::{Answer, Client, TestApp, any_board};

async fn yard() -> (Arc<TestApp>, Client, Client, Client, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    (app, admin, ann, ben, board)
}

async fn write(client: &Client, board: &str, title: &str, content: &str) -> String {
    let input = json!({ "boardId": board, "title": title, "content": content });
    let answer = client.mutate("createPost", input, "post { id }").await;
    answer.text("createPost.post.id")
}

async fn search(client: &Client, text: &str) -> Answer {
    let document =
        "query($s: String) { posts(search: $s, first: 100) { nodes { title } totalCount } }";
    client.run(document, json!({ "s": text })).await
}

async fn titles(client: &Client, text: &str) -> Vec<String> {
    let answer = search(client, text).await;
    let posts = &answer.data()["posts"];
    let nodes = posts["nodes"].as_array().unwrap();
    assert_eq!(posts["totalCount"], nodes.len(), "{text}");
    nodes
        .iter()
        .map(|n| n["title"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_words_must_be_there_and_titles_come_first() {
    let (_app, _, ann, _, board) = yard().await;
    for (title, content) in [
        ("Rust in the yard", "A village builds."),
        ("Other", "Rust, and a Yard in it."),
        ("Yard", "no more"),
        ("rust YARD!", "newest title"),
        ("Trust", "in Courtyards"),
    ] {
        write(&ann, &board, title, content).await;
    }

    assert_eq!(
        titles(&ann, "yard rust").await,
        ["rust YARD!", "Rust in the yard", "Other"]
    );
    assert_eq!(
        titles(&ann, "ＹＡＲＤ").await,
        ["rust YARD!", "Yard", "Rust in the yard", "Other"]
    );
    assert_eq!(titles(&ann, "the").await, ["Rust in the yard"]);
    assert_eq!(titles(&ann, "a").await, ["Other", "Rust in the yard"]);
    assert!(titles(&ann, "yar").await.is_empty());
    assert!(titles(&ann, "rust nothing").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn korean_is_found_by_one_two_and_three_syllables() {
    let (_app, _, ann, _, board) = yard().await;
    write(&ann, &board, "마당에서 만나요", "모두 함께 저녁을 먹어요").await;
    write(&ann, &board, "가을 산책", "마을 마당까지 걸었습니다").await;
    write(&ann, &board, "당근 마켓", "마음에 드는 물건").await;

    assert_eq!(titles(&ann, "마당").await, ["마당에서 만나요", "가을 산책"]);
    assert_eq!(titles(&ann, "마당에").await, ["마당에서 만나요"]);
    assert_eq!(
        titles(&ann, "마").await,
        ["당근 마켓", "마당에서 만나요", "가을 산책"]
    );
    assert_eq!(titles(&ann, "저녁 마당").await, ["마당에서 만나요"]);
    assert_eq!(
        titles(&ann, "\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}").await,
        ["마당에서 만나요", "가을 산책"]
    );
    assert!(titles(&ann, "당마").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_typed_is_only_text() {
    let (app, _, ann, _, board) = yard().await;
    write(
        &ann,
        &board,
        "a NEAR b",
        "quoted \"words\", 100% sure; DROP TABLE posts; -- and title:x",
    )
    .await;
    write(&ann, &board, "other", "nothing of it").await;
    let before = app.rows().await;

    for text in [
        "near",
        "NEAR(a b)",
        "\"words",
        "\"words\"",
        "'words'",
        "words*",
        "+words -sure",
        "(words",
        "words)",
        "100%",
        "DROP TABLE posts; --",
        "title:x",
        "title : x",
        "{title}: x",
        "^a",
        "a AND b",
        "a OR b",
        "a NOT b",
        "NOT words",
        "<words",
        "~words",
        "@8 words",
        "words\u{0}",
        "words\u{7}sure",
        "words\\",
        "`words`",
        "words\r\n\tsure",
        "👋words👋",
    ] {
        let found = titles(&ann, text).await;
        let expected: &[&str] = if ["a OR b", "a NOT b", "NOT words", "@8 words"].contains(&text) {
            &[]
        } else {
            &["a NEAR b"]
        };
        assert_eq!(found, expected, "{text:?}");
    }
    for nothing in ["!!!", "👋", "\u{7}", "* *", "\"\"", "-", "%", "'"] {
        assert!(titles(&ann, nothing).await.is_empty(), "{nothing:?}");
    }
    for blank in ["", "  ", "\n\t", "\u{3000}"] {
        assert_eq!(
            titles(&ann, blank).await,
            ["other", "a NEAR b"],
            "{blank:?}"
        );
    }
    let no_search = ann.query("{ posts(search: null) { nodes { id } } }").await;
    assert_eq!(
        no_search.data()["posts"]["nodes"].as_array().unwrap().len(),
        2
    );
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_has_as_many_characters_as_a_title() {
    let (_app, _, ann, _, board) = yard().await;
    // As many different pairs as there can be.
    let longest: String = ('가'..).take(128).collect();
    write(&ann, &board, &longest, "c").await;

    assert_eq!(titles(&ann, &longest).await, [longest.as_str()]);
    assert!(titles(&ann, &"ﷺ".repeat(128)).await.is_empty());
    assert!(titles(&ann, &"a ".repeat(64)).await.is_empty());
    for long in ["a".repeat(129), "가".repeat(10_000), "a ".repeat(5_000)] {
        let expected = ("search".to_owned(), "TOO_LONG".to_owned());
        assert_eq!(search(&ann, &long).await.violation(), expected);
        let document = format!(
            "query($s: String) {{ board(id: {board:?}) {{ posts(search: $s) {{ nodes {{ id }} }} }} }}"
        );
        let under = ann.run(&document, json!({ "s": long })).await;
        assert_eq!(under.violation(), expected);
    }
    let all_at_once = json!({ "s": "a".repeat(129), "b": ann.id });
    let answer = ann
        .run(
            "query($s: String, $b: ID) { posts(search: $s, boardId: $b) { nodes { id } } }",
            all_at_once,
        )
        .await;
    assert_eq!(answer.violations().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_follows_what_becomes_of_a_post() {
    let (_app, admin, ann, ben, board) = yard().await;
    let post = write(&ann, &board, "first", "alpha").await;
    let update = async |input: serde_json::Value| {
        let mut input = input;
        input["id"] = json!(post);
        ann.mutate("updatePost", input, "post { id }").await.data();
    };

    update(json!({ "title": "second" })).await;
    assert!(titles(&ben, "first").await.is_empty());
    assert_eq!(titles(&ben, "second alpha").await, ["second"]);
    update(json!({ "content": "beta" })).await;
    assert!(titles(&ben, "alpha").await.is_empty());
    assert_eq!(titles(&ben, "beta").await, ["second"]);
    update(json!({ "isVisible": false })).await;
    assert!(titles(&ben, "beta").await.is_empty());
    assert_eq!(titles(&admin, "beta").await, ["second"]);
    assert_eq!(titles(&ann, "beta").await, ["second"]);
    ann.mutate("deletePost", json!({ "id": post }), "deletedPostId")
        .await
        .data();
    assert!(titles(&admin, "beta").await.is_empty());
    write(&ann, &board, "third", "gamma").await;
    admin
        .mutate("deleteBoard", json!({ "id": board }), "deletedBoardId")
        .await
        .data();
    assert!(titles(&admin, "gamma").await.is_empty());
    let board = admin.board(any_board()).await;
    write(&ann, &board, "fourth", "delta").await;
    assert!(titles(&admin, "gamma").await.is_empty());
    assert_eq!(titles(&ann, "delta").await, ["fourth"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_stays_within_what_one_may_read_and_where_one_looks() {
    let (_app, admin, ann, ben, board) = yard().await;
    let private =
        json!({ "name": "Private", "information": "i", "isVisible": false, "memberIds": [ann.id] });
    let private = admin.board(private).await;
    write(&ann, &board, "public needle", "c").await;
    write(&ann, &private, "private needle", "c").await;
    write(&ben, &board, "needle by ben", "c").await;

    assert_eq!(
        titles(&ann, "needle").await,
        ["needle by ben", "private needle", "public needle"]
    );
    assert_eq!(
        titles(&ben, "needle").await,
        ["needle by ben", "public needle"]
    );
    let document = "query($b: ID!, $a: ID!) { board(id: $b) { posts(search: \"needle\") { nodes { title } totalCount } } \
                    posts(search: \"needle\", authorId: $a) { nodes { title } } \
                    boards { nodes { name posts(search: \"needle\", first: 1) { nodes { title } pageInfo { hasNextPage } } } } }";
    let answer = ann.run(document, json!({ "b": board, "a": ann.id })).await;
    assert_eq!(
        *answer.data(),
        json!({
            "board": { "posts": { "nodes": [{ "title": "needle by ben" }, { "title": "public needle" }], "totalCount": 2 } },
            "posts": { "nodes": [{ "title": "private needle" }, { "title": "public needle" }] },
            "boards": { "nodes": [
                { "name": "Private", "posts": { "nodes": [{ "title": "private needle" }], "pageInfo": { "hasNextPage": false } } },
                { "name": "Yard", "posts": { "nodes": [{ "title": "needle by ben" }], "pageInfo": { "hasNextPage": true } } },
            ] },
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_walked_by_rank_or_in_an_order() {
    let (_app, _, ann, _, board) = yard().await;
    for n in 0..11 {
        let (title, content) = if n % 3 == 0 {
            ("needle", "c")
        } else {
            ("other", "a needle")
        };
        let post = write(&ann, &board, &format!("{n} {title}"), content).await;
        for _ in 0..n % 4 {
            ann.comment_on(&post, "c").await;
        }
    }
    write(&ann, &board, "hay", "hay").await;
    for (order, first) in [
        ("", "9 needle"),
        (", orderBy: { field: COMMENTS }", "7 other"),
        (
            ", orderBy: { field: CREATED_AT, direction: ASC }",
            "0 needle",
        ),
    ] {
        let all = ann
            .query(&format!(
                "{{ posts(search: \"Needle\" {order}) {{ nodes {{ title }} totalCount }} }}"
            ))
            .await;
        let all = &all.data()["posts"];
        assert_eq!(
            (all["nodes"][0]["title"].as_str(), &all["totalCount"]),
            (Some(first), &json!(11))
        );
        for (count, from, on, more) in [
            ("first", "after", "endCursor", "hasNextPage"),
            ("last", "before", "startCursor", "hasPreviousPage"),
        ] {
            let (mut cursor, mut seen) = (json!(null), Vec::new());
            loop {
                let page = ann.query(&format!("{{ posts(search: \"needle\" {order}, {count}: 4, {from}: {cursor}) {{ nodes {{ title }} pageInfo {{ {on} {more} }} }} }}")).await;
                let page = page.data()["posts"].clone();
                let nodes = page["nodes"].as_array().unwrap().clone();
                let at = if count == "first" { seen.len() } else { 0 };
                seen.splice(at..at, nodes);
                if page["pageInfo"][more] == false {
                    break;
                }
                cursor = page["pageInfo"][on].clone();
            }
            assert_eq!(json!(seen), all["nodes"], "{order} {count}");
        }
    }
    let cursor = ann
        .query("{ posts(search: \"needle\", first: 1) { pageInfo { endCursor } } }")
        .await
        .text("posts.pageInfo.endCursor");
    for (arguments, fits) in [
        ("search: \"NEEDLE!\"", true),
        ("search: \"hay\"", false),
        ("", false),
        ("search: \"needle\", orderBy: { field: CREATED_AT }", false),
    ] {
        let answer = ann
            .query(&format!(
                "{{ posts(after: {cursor:?} {arguments}) {{ nodes {{ id }} }} }}"
            ))
            .await;
        assert_eq!(answer.errors().is_empty(), fits, "{arguments}");
        assert!(fits || answer.violation() == ("after".to_owned(), "CURSOR".to_owned()));
    }
}
