//! Posts: writing, reading, changing, deleting; pages, counters, and how few statements a list takes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::{Value, json};

use crate::support::{Client, TestApp, any_board};

async fn yard() -> (Arc<TestApp>, Client, Client, Client, String) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    (app, admin, ann, ben, board)
}

async fn titles(client: &Client, arguments: &str) -> Vec<String> {
    let answer = client
        .query(&format!("{{ posts{arguments} {{ nodes {{ title }} }} }}"))
        .await;
    let nodes = answer.data()["posts"]["nodes"].as_array().unwrap().clone();
    nodes
        .iter()
        .map(|n| n["title"].as_str().unwrap().to_owned())
        .collect()
}

async fn post_count(client: &Client, board: &str) -> Value {
    let answer = client
        .run(
            "query($i: ID!) { board(id: $i) { postCount } }",
            json!({ "i": board }),
        )
        .await;
    answer.at("board.postCount").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_comes_back_as_it_was_written() {
    let (_app, _, ann, _, board) = yard().await;
    let content = "첫 글입니다. 👋\n\n\tquoted ' \" \\ %\r\nend ";

    let input = json!({ "boardId": board, "title": " 안녕 👋 ", "content": content });
    let fields = "post { id title content createdAt updatedAt commentCount isVisible viewerCanEdit author { name } board { id postCount } comments { nodes { id } } }";
    let answer = ann.mutate("createPost", input, fields).await;

    let post = &answer.data()["createPost"]["post"];
    assert_eq!(
        (&post["title"], &post["content"]),
        (&json!("안녕 👋"), &json!(content.replace("\r\n", "\n")))
    );
    assert_eq!(
        (&post["author"]["name"], &post["board"]["postCount"]),
        (&json!("ann"), &json!(1))
    );
    assert_eq!(
        (
            &post["isVisible"],
            &post["viewerCanEdit"],
            &post["updatedAt"]
        ),
        (&json!(true), &json!(true), &json!(null))
    );
    assert!(post["createdAt"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_wrong_with_a_post_is_told_at_once() {
    let (app, _, ann, _, board) = yard().await;
    let before = app.rows().await;

    let input = json!({ "boardId": ann.id, "title": "\u{7}", "content": " \n " });
    let answer = ann.mutate("createPost", input, "post { id }").await;

    let expected = [
        ("boardId", "ID_TYPE"),
        ("title", "CONTROL_CHARACTER"),
        ("content", "BLANK"),
    ];
    assert_eq!(
        answer.violations(),
        expected.map(|(f, c)| (f.to_owned(), c.to_owned()))
    );
    for (title, content, field) in [
        ("t".repeat(129), "c".to_owned(), "title"),
        ("t".to_owned(), "글".repeat(50_001), "content"),
    ] {
        let answer = ann
            .mutate(
                "createPost",
                json!({ "boardId": board, "title": title, "content": content }),
                "post { id }",
            )
            .await;
        assert_eq!(
            answer.violation(),
            (field.to_owned(), "TOO_LONG".to_owned())
        );
    }
    assert_eq!(app.rows().await, before);
    let longest =
        json!({ "boardId": board, "title": "제".repeat(128), "content": "글".repeat(50_000) });
    assert!(
        ann.mutate("createPost", longest, "post { id }")
            .await
            .errors()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_post_exists_for_its_author_and_admins_only() {
    let (app, admin, ann, ben, board) = yard().await;
    let input = json!({ "boardId": board, "title": "hidden", "content": "c", "isVisible": false });
    let post = ann
        .mutate("createPost", input, "post { id }")
        .await
        .text("createPost.post.id");
    let document = "query($i: ID!) { post(id: $i) { title isVisible } }";

    for client in [&ann, &admin] {
        let seen = client.run(document, json!({ "i": post })).await;
        assert_eq!(
            seen.data()["post"],
            json!({ "title": "hidden", "isVisible": false })
        );
        assert_eq!(titles(client, "").await, ["hidden"]);
    }
    let hidden = ben.run(document, json!({ "i": post })).await;
    assert_eq!(
        hidden.body,
        ben.run(document, json!({ "i": app.id_of_nothing("post") }))
            .await
            .body
    );
    assert!(titles(&ben, "").await.is_empty());
    assert_eq!(post_count(&ben, &board).await, 0);
    for (name, input, fields) in [
        (
            "updatePost",
            json!({ "id": post, "title": "x" }),
            "post { id }",
        ),
        ("deletePost", json!({ "id": post }), "deletedPostId"),
        (
            "createComment",
            json!({ "postId": post, "content": "x" }),
            "comment { id }",
        ),
    ] {
        assert_eq!(
            ben.mutate(name, input, fields).await.code(),
            "NOT_FOUND",
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn author_and_admins_change_a_post_and_strangers_do_not() {
    let (_app, admin, ann, ben, board) = yard().await;
    let post = ann.post_on(&board, "first").await;

    let changed = ann
        .mutate(
            "updatePost",
            json!({ "id": post, "title": "second" }),
            "post { title content updatedAt }",
        )
        .await;
    let changed = &changed.data()["updatePost"]["post"];
    assert_eq!(
        (&changed["title"], &changed["content"]),
        (&json!("second"), &json!("first: content"))
    );
    assert!(changed["updatedAt"].is_string());
    let by_admin = admin
        .mutate(
            "updatePost",
            json!({ "id": post, "content": "moderated" }),
            "post { title content }",
        )
        .await;
    assert_eq!(
        by_admin.data()["updatePost"]["post"],
        json!({ "title": "second", "content": "moderated" })
    );
    assert_eq!(
        ben.mutate(
            "updatePost",
            json!({ "id": post, "title": "x" }),
            "post { id }"
        )
        .await
        .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        ben.mutate("deletePost", json!({ "id": post }), "deletedPostId")
            .await
            .code(),
        "FORBIDDEN"
    );
    let null = json!({ "id": post, "title": null, "content": null, "isVisible": null });
    let codes: Vec<_> = ann
        .mutate("updatePost", null, "post { id }")
        .await
        .violations()
        .into_iter()
        .map(|v| v.1)
        .collect();
    assert_eq!(codes, ["NULL", "NULL", "NULL"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_posts_follows_hiding_showing_and_deleting() {
    let (_app, admin, ann, _, board) = yard().await;
    let (one, two) = (
        ann.post_on(&board, "one").await,
        ann.post_on(&board, "two").await,
    );
    assert_eq!(post_count(&ann, &board).await, 2);

    for (visible, count) in [(false, 1), (false, 1), (true, 2), (true, 2), (false, 1)] {
        ann.mutate(
            "updatePost",
            json!({ "id": one, "isVisible": visible }),
            "post { id }",
        )
        .await
        .data();
        assert_eq!(post_count(&ann, &board).await, count);
    }
    ann.mutate("deletePost", json!({ "id": one }), "deletedPostId")
        .await
        .data();
    assert_eq!(post_count(&ann, &board).await, 1);
    admin
        .mutate("deletePost", json!({ "id": two }), "deletedPostId")
        .await
        .data();
    assert_eq!(post_count(&ann, &board).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_are_exact_when_many_write_at_once() {
    let (_app, admin, ann, ben, board) = yard().await;
    let mut posts = Vec::new();
    for n in 0..10 {
        posts.push(ann.post_on(&board, &format!("post {n}")).await);
    }
    let works = (0..40).map(|n| {
        let (client, board, post) = (
            if n % 2 == 0 { &ann } else { &admin },
            &board,
            &posts[n % 10],
        );
        let ben = &ben;
        async move {
            match n % 4 {
                0 => drop(client.post_on(board, "more").await),
                1 => drop(
                    ben.mutate(
                        "createComment",
                        json!({ "postId": post, "content": "c" }),
                        "comment { id }",
                    )
                    .await,
                ),
                2 => drop(
                    client
                        .mutate(
                            "updatePost",
                            json!({ "id": post, "isVisible": n % 8 == 2 }),
                            "post { id }",
                        )
                        .await,
                ),
                _ => drop(
                    client
                        .mutate("deletePost", json!({ "id": post }), "deletedPostId")
                        .await,
                ),
            }
        }
    });

    futures_util::future::join_all(works).await;

    let all = admin.query("{ posts(first: 50) { nodes { isVisible commentCount comments(first: 50) { nodes { isVisible } } } } }").await;
    let posts = all.data()["posts"]["nodes"].as_array().unwrap().clone();
    let visible = posts.iter().filter(|p| p["isVisible"] == true).count();
    assert_eq!(post_count(&admin, &board).await, visible);
    for post in posts {
        assert_eq!(
            post["commentCount"],
            post["comments"]["nodes"].as_array().unwrap().len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_are_listed_newest_first_by_board_and_by_author() {
    let (_app, admin, ann, ben, board) = yard().await;
    let other = admin
        .board(json!({ "name": "Other", "information": "i" }))
        .await;
    for (client, board, title) in [
        (&ann, &board, "1"),
        (&ben, &board, "2"),
        (&ann, &other, "3"),
        (&ben, &other, "4"),
    ] {
        client.post_on(board, title).await;
    }

    assert_eq!(titles(&ann, "").await, ["4", "3", "2", "1"]);
    assert_eq!(
        titles(&ann, &format!("(boardId: {board:?})")).await,
        ["2", "1"]
    );
    assert_eq!(
        titles(&ann, &format!("(authorId: {:?})", ann.id)).await,
        ["3", "1"]
    );
    assert_eq!(
        titles(
            &ann,
            &format!("(boardId: {other:?}, authorId: {:?})", ben.id)
        )
        .await,
        ["4"]
    );
    let wrong = ann
        .query(&format!(
            "{{ posts(boardId: {:?}, authorId: {board:?}) {{ nodes {{ id }} }} }}",
            ann.id
        ))
        .await;
    let fields: Vec<_> = wrong.violations().into_iter().map(|v| v.0).collect();
    assert_eq!(fields, ["boardId", "authorId"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn walking_posts_page_by_page_both_ways_shows_each_once() {
    let (_app, _, ann, ben, board) = yard().await;
    for n in 0..11 {
        let input = json!({ "boardId": board, "title": format!("{n}"), "content": "c", "isVisible": n % 3 != 0 });
        ann.mutate("createPost", input, "post { id }").await.data();
    }
    for client in [&ann, &ben] {
        let all = titles(client, "(first: 100)").await;
        for size in [1, 3, 4, 11, 50] {
            assert_eq!(walk(client, size, false).await, all, "{size} forwards");
            assert_eq!(walk(client, size, true).await, all, "{size} backwards");
        }
    }
}

async fn walk(client: &Client, size: usize, backwards: bool) -> Vec<String> {
    let (count, from, on, more) = if backwards {
        ("last", "before", "startCursor", "hasPreviousPage")
    } else {
        ("first", "after", "endCursor", "hasNextPage")
    };
    let document = format!(
        "query($c: String) {{ posts({count}: {size}, {from}: $c) {{ nodes {{ title }} edges {{ cursor }} pageInfo {{ {on} {more} }} }} }}"
    );
    let (mut cursor, mut seen) = (json!(null), Vec::<String>::new());
    for _ in 0..20 {
        let answer = client.run(&document, json!({ "c": cursor })).await;
        let posts = &answer.data()["posts"];
        let page = posts["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["title"].as_str().unwrap().to_owned());
        if backwards {
            seen.splice(0..0, page);
        } else {
            seen.extend(page);
        }
        if posts["pageInfo"][more] == false {
            return seen;
        }
        let edges = posts["edges"].as_array().unwrap();
        let last = if backwards {
            edges.first()
        } else {
            edges.last()
        };
        assert_eq!(posts["pageInfo"][on], last.unwrap()["cursor"]);
        cursor = posts["pageInfo"][on].clone();
    }
    panic!("the walk does not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_cursors_lies_what_lies_between() {
    let (_app, _, ann, _, board) = yard().await;
    for n in 0..6 {
        ann.post_on(&board, &format!("{n}")).await;
    }
    let all = ann.query("{ posts { edges { cursor } } }").await;
    let cursor = |n: usize| {
        all.at(&format!("posts.edges.{n}.cursor"))
            .as_str()
            .unwrap()
            .to_owned()
    };

    let between = titles(
        &ann,
        &format!(
            "(first: 2, after: {:?}, before: {:?})",
            cursor(0),
            cursor(4)
        ),
    )
    .await;
    assert_eq!(between, ["4", "3"]);
    let between = titles(
        &ann,
        &format!("(last: 2, after: {:?}, before: {:?})", cursor(0), cursor(4)),
    )
    .await;
    assert_eq!(between, ["3", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_makes_no_sense_is_refused() {
    let (_app, _, ann, _, board) = yard().await;
    ann.post_on(&board, "one").await;
    let foreign = ann
        .query("{ users { pageInfo { endCursor } } }")
        .await
        .text("users.pageInfo.endCursor");

    for (arguments, field, code) in [
        ("first: 0".to_owned(), "first", "OUT_OF_RANGE"),
        ("first: 101".to_owned(), "first", "OUT_OF_RANGE"),
        ("first: -1".to_owned(), "first", "OUT_OF_RANGE"),
        ("last: 101".to_owned(), "last", "OUT_OF_RANGE"),
        ("first: 1, last: 1".to_owned(), "first", "EXCLUSIVE"),
        (format!("after: {foreign:?}"), "after", "CURSOR"),
        ("before: \"!\"".to_owned(), "before", "CURSOR"),
        ("after: \"\"".to_owned(), "after", "CURSOR"),
    ] {
        let answer = ann
            .query(&format!("{{ posts({arguments}) {{ nodes {{ id }} }} }}"))
            .await;

        assert_eq!(
            (answer.code(), answer.status.as_u16()),
            ("INVALID", 200),
            "{arguments}"
        );
        assert_eq!(
            answer.violation(),
            (field.to_owned(), code.to_owned()),
            "{arguments}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_takes_the_same_few_statements_at_any_length() {
    let (app, admin, ann, ben, board) = yard().await;
    let other = admin
        .board(json!({ "name": "Other", "information": "i" }))
        .await;
    for n in 0..100 {
        let (client, board) = (
            if n % 2 == 0 { &ann } else { &ben },
            if n % 3 == 0 { &board } else { &other },
        );
        client.post_on(board, &format!("{n}")).await;
    }
    for size in [1, 20, 100] {
        let document = format!(
            "{{ posts(first: {size}) {{ nodes {{ id title author {{ name }} board {{ name }} commentCount }} \
             pageInfo {{ hasNextPage endCursor }} }} }}"
        );
        app.forget().await;
        let before = app.app.db.statements();

        let answer = ann.query(&document).await;

        assert_eq!(
            answer.data()["posts"]["nodes"].as_array().unwrap().len(),
            size
        );
        assert_eq!(app.app.db.statements() - before, 4, "page of {size}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contents_and_last_posts_of_a_list_take_a_statement_each() {
    let (app, admin, ann, _, board) = yard().await;
    for n in 0..10 {
        let board = if n % 2 == 0 {
            board.clone()
        } else {
            admin
                .board(json!({ "name": format!("b{n}"), "information": "i" }))
                .await
        };
        ann.post_on(&board, &format!("{n}")).await;
    }
    let count = async |document: &str| {
        app.forget().await;
        let before = app.app.db.statements();
        ann.query(document).await.data();
        app.app.db.statements() - before
    };

    assert_eq!(count("{ posts { nodes { content } } }").await, 3);
    assert_eq!(
        count("{ boards { nodes { lastPost { title author { name } } } } }").await,
        5
    );
}

/// Authors are kept between requests until something is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_author_is_seen_by_whoever_asks_after_the_answer() {
    let (_app, admin, ann, ben, board) = yard().await;
    let post = ann.post_on(&board, "post").await;
    let names = format!("{{ post(id: \"{post}\") {{ author {{ name }} board {{ name }} }} }}");
    let is_over = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let (ben, names, is_over) = (ben.clone(), names.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                while !is_over.load(Ordering::SeqCst) {
                    ben.query(&names).await.text("post.author.name");
                }
            })
        })
        .collect();

    for n in 0..40 {
        let name = format!("ann{n}");
        let input = json!({ "id": ann.id, "name": name });
        ann.mutate("updateUser", input, "user { name }")
            .await
            .data();
        assert_eq!(ben.query(&names).await.text("post.author.name"), name);

        let input = json!({ "id": board, "name": name });
        admin
            .mutate("updateBoard", input, "board { name }")
            .await
            .data();
        assert_eq!(ann.query(&names).await.text("post.board.name"), name);
    }

    is_over.store(true, Ordering::SeqCst);
    for reader in readers {
        reader.await.unwrap();
    }
}
