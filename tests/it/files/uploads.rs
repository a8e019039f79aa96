//! Uploading: what a post and a comment carry, and what is refused.

use http::StatusCode;
use serde_json::{Value, json};

use super::{stored, yard, yard_with};
use crate::support::{
    Client,
    multipart::{COMMENT, Form, POST},
};

/// One byte more than `size` is too large.
const KIB: usize = 1 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_post_and_a_comment_carry_files_in_their_order() {
    let (app, _, board) = yard().await;
    let (ann, ben) = app.two_users().await;

    let (post, files) = ann
        .post_with(
            &board,
            &[
                ("one.txt", b"one"),
                ("two.csv", b"a,b\n1,2\n"),
                ("three", b"\0\x01"),
            ],
        )
        .await;
    let input = json!({ "postId": post, "content": "Mine" });
    let answer = ben
        .upload("createComment", input, &[("four.md", b"# four")], COMMENT)
        .await;

    let told: Vec<_> = files
        .iter()
        .map(|f| {
            (
                f["name"].as_str().unwrap(),
                f["contentType"].as_str().unwrap(),
                f["size"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("one.txt", "text/plain", 3),
            ("two.csv", "text/csv", 8),
            ("three", "application/octet-stream", 2)
        ]
    );
    assert!(
        files
            .iter()
            .all(|f| f["width"].is_null() && f["thumbnailUrl"].is_null())
    );
    assert_eq!(
        answer.text("createComment.comment.attachments.0.name"),
        "four.md"
    );
    // Everybody who may read them sees them, in lists, by node and in the batch.
    let query = "query($p: ID!, $f: ID!) {
        post(id: $p) { attachments { name } comments(first: 5) { nodes { attachments { name } } } }
        node(id: $f) { ... on Attachment { name size } }
    }";
    let seen = ben
        .run(query, json!({ "p": post, "f": files[1]["id"] }))
        .await;
    assert_eq!(seen.at("post.attachments").as_array().unwrap().len(), 3);
    assert_eq!(
        seen.text("post.comments.nodes.0.attachments.0.name"),
        "four.md"
    );
    assert_eq!(seen.at("node"), &json!({ "name": "two.csv", "size": 8 }));
    assert_eq!(stored(&app).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_added_and_removed_by_an_edit() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let (post, files) = ann.post_with(&board, &[("a", b"a"), ("b", b"b")]).await;
    let id = |n: usize| files[n]["id"].clone();

    let same = ann
        .mutate(
            "updatePost",
            json!({ "id": post, "removeAttachmentIds": [] }),
            POST,
        )
        .await;
    assert_eq!(same.at("updatePost.post.updatedAt"), &Value::Null);
    let input = json!({ "id": post, "removeAttachmentIds": [id(0), id(0)] });
    let edited = ann
        .upload("updatePost", input, &[("c", b"c"), ("d", b"d")], POST)
        .await;

    edited.data();
    assert!(edited.at("updatePost.post.updatedAt").is_string());
    let names: Vec<_> = (0..3)
        .map(|n| edited.text(&format!("updatePost.post.attachments.{n}.name")))
        .collect();
    assert_eq!(names, ["b", "c", "d"]);
    let gone = ann
        .run(
            "query($f: ID!) { node(id: $f) { id } }",
            json!({ "f": id(0) }),
        )
        .await;
    assert_eq!(gone.at("node"), &Value::Null);
    app.run_jobs().await;
    assert_eq!(stored(&app).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_something_else_cannot_be_removed() {
    let (app, _, board) = yard().await;
    let (ann, ben) = app.two_users().await;
    let (post, files) = ann.post_with(&board, &[("a", b"a")]).await;
    let (other, foreign) = ben.post_with(&board, &[("b", b"b")]).await;
    let nothing = app.id_of_nothing("file");
    let before = app.rows().await;

    let ids = json!([files[0]["id"], foreign[0]["id"], nothing, post]);
    let refused = ann
        .mutate(
            "updatePost",
            json!({ "id": post, "removeAttachmentIds": ids }),
            POST,
        )
        .await;
    assert_eq!(
        refused.violations(),
        [("removeAttachmentIds.3".into(), "ID_TYPE".into())]
    );
    let ids = json!([files[0]["id"], foreign[0]["id"], nothing]);
    let refused = ann
        .mutate(
            "updatePost",
            json!({ "id": post, "removeAttachmentIds": ids }),
            POST,
        )
        .await;
    assert_eq!(
        refused.violations(),
        [
            ("removeAttachmentIds.1".into(), "UNKNOWN".into()),
            ("removeAttachmentIds.2".into(), "UNKNOWN".into())
        ]
    );
    let input = json!({ "id": other, "removeAttachmentIds": [foreign[0]["id"]] });
    let refused = ann.upload("updatePost", input, &[("c", b"c")], POST).await;

    assert_eq!(refused.code(), "FORBIDDEN");
    assert_eq!(app.rows().await, before);
    assert_eq!(stored(&app).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing() {
    let (app, admin, board) =
        yard_with(&["--max-file-size", "1024", "--limit-uploads", "12"]).await;
    let ann = app.user("ann").await;
    let private = admin
        .board(json!({ "name": "Private", "information": "-", "isVisible": false }))
        .await;
    let (post, _) = ann.post_with(&board, &[("kept", b"kept")]).await;
    let before = (app.rows().await, stored(&app).await);
    let create = |board: &str, files: Vec<(&'static str, Vec<u8>)>| {
        let input = json!({ "boardId": board, "title": "T", "content": "C" });
        let ann = ann.clone();
        async move {
            let files: Vec<_> = files
                .iter()
                .map(|(name, content)| (*name, content.as_slice()))
                .collect();
            ann.upload("createPost", input, &files, POST).await
        }
    };
    let many = |n: usize| vec![("x", b"x".to_vec()); n];

    let empty = create(
        &board,
        vec![("a", b"a".to_vec()), ("b", Vec::new()), ("c", Vec::new())],
    )
    .await;
    assert_eq!(
        empty.violations(),
        [
            ("files.1".into(), "EMPTY".into()),
            ("files.2".into(), "EMPTY".into())
        ]
    );
    let large = create(&board, vec![("a", vec![7; KIB + 1])]).await;
    assert_eq!(
        (large.status, large.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE")
    );
    let eleven = create(&board, many(11)).await;
    assert_eq!(
        (eleven.status, eleven.code()),
        (StatusCode::OK, "LIMIT_EXCEEDED")
    );
    let thirteen = create(&board, many(13)).await;
    assert_eq!(
        (thirteen.status, thirteen.code()),
        (StatusCode::BAD_REQUEST, "LIMIT_EXCEEDED")
    );
    let input = json!({ "id": post });
    let ten_more = vec![("x", &b"x"[..]); 10];
    let over = ann.upload("updatePost", input, &ten_more, POST).await;
    assert_eq!(over.code(), "LIMIT_EXCEEDED");
    let six = vec![("x", &b"x"[..]); 6];
    let input = json!({ "postId": post, "content": "C" });
    assert_eq!(
        ann.upload("createComment", input, &six, COMMENT)
            .await
            .code(),
        "LIMIT_EXCEEDED"
    );
    assert_eq!(create(&private, many(1)).await.code(), "NOT_FOUND");
    let nowhere = json!({ "postId": app.id_of_nothing("post"), "content": "C" });
    assert_eq!(
        ann.upload("createComment", nowhere, &[("x", b"x")], COMMENT)
            .await
            .code(),
        "NOT_FOUND"
    );
    let blank = json!({ "boardId": board, "title": "", "content": "C" });
    assert_eq!(
        ann.upload("createPost", blank, &[("x", b"x")], POST)
            .await
            .violation()
            .0,
        "title"
    );
    let input = json!({ "boardId": board, "title": "T", "content": "C" });
    let anonymous = app
        .anonymous()
        .upload("createPost", input, &[("x", b"x")], POST)
        .await;
    assert_eq!(
        (anonymous.status, anonymous.code()),
        (StatusCode::OK, "UNAUTHENTICATED")
    );

    assert_eq!((app.rows().await, stored(&app).await), before);
    // What is just small and few enough is taken.
    create(&board, vec![("a", vec![7; KIB])]).await.data();
    create(&board, many(10)).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_exact_however_many_upload_at_once() {
    let (app, _, board) = yard_with(&["--max-storage-per-user", "10240"]).await;
    let (ann, ben) = app.two_users().await;
    let content = vec![7; KIB];

    let uploads = (0..25).map(|_| {
        let input = json!({ "boardId": board, "title": "T", "content": "C" });
        let files = [("a", content.as_slice())];
        let ann = &ann;
        async move { ann.upload("createPost", input, &files, POST).await }
    });
    let answers = futures_util::future::join_all(uploads).await;

    let (kept, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.errors().is_empty());
    assert_eq!(kept.len(), 10);
    assert!(refused.iter().all(|a| a.code() == "LIMIT_EXCEEDED"));
    assert_eq!(stored(&app).await.len(), 10);
    // Others have quotas of their own.
    ben.post_with(&board, &[("a", &content)]).await;
    // What is removed counts no more, at once; what is deleted with its post, once a job has deleted it.
    let (first, second) = (kept[0], kept[1]);
    let input = json!({
        "id": first.text("createPost.post.id"),
        "removeAttachmentIds": [first.text("createPost.post.attachments.0.id")],
    });
    ann.upload("updatePost", input, &[("b", &content)], POST)
        .await
        .data();
    let input = json!({ "id": second.text("createPost.post.id") });
    ann.mutate("deletePost", input, "deletedPostId")
        .await
        .data();
    app.run_jobs().await;
    ann.post_with(&board, &[("a", &content)]).await;
    let input = json!({ "boardId": board, "title": "T", "content": "C" });
    let over = ann.upload("createPost", input, &[("a", b"a")], POST).await;
    assert_eq!(over.code(), "LIMIT_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_sends_at_once_is_bounded_by_the_quota() {
    let (app, _, board) = yard_with(&["--max-storage-per-user", "10240"]).await;
    let ann = app.user("ann").await;
    let content = vec![7; 6 * KIB];
    let input = json!({ "boardId": board, "title": "T", "content": "C" });

    let both = [("a", content.as_slice()), ("b", content.as_slice())];
    let refused = ann.upload("createPost", input.clone(), &both, POST).await;

    // Before the rest came, and not by the post.
    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::BAD_REQUEST, "LIMIT_EXCEEDED")
    );
    // It counts no more.
    ann.upload("createPost", input, &both[..1], POST)
        .await
        .data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_never_has_more_files_than_it_may_however_many_add_at_once() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let (post, _) = ann.post_with(&board, &[("a", b"a")]).await;

    let edits = (0..8).map(|_| {
        let input = json!({ "id": post });
        let ann = &ann;
        async move {
            ann.upload("updatePost", input, &[("x", b"x"), ("y", b"y")], POST)
                .await
        }
    });
    let answers = futures_util::future::join_all(edits).await;

    assert_eq!(answers.iter().filter(|a| a.errors().is_empty()).count(), 4);
    let files = ann
        .run(
            "query($p: ID!) { post(id: $p) { attachments { id } } }",
            json!({ "p": post }),
        )
        .await;
    assert_eq!(files.at("post.attachments").as_array().unwrap().len(), 9);
    assert_eq!(stored(&app).await.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_twice_is_two_files() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let (post, files) = ann
        .post_with(&board, &[("a", b"same"), ("a", b"same")])
        .await;

    let input = json!({ "id": post, "removeAttachmentIds": [files[0]["id"]] });
    ann.mutate("updatePost", input, POST).await.data();
    app.run_jobs().await;

    let left = ann.download(files[1]["url"].as_str().unwrap(), &[]).await;
    assert_eq!((left.status, &*left.bytes), (StatusCode::OK, &b"same"[..]));
}

/// A request for one file at `variables.i.files.0`, whose map and parts are what `form` adds.
async fn ask(ann: &Client, board: &str, form: impl FnOnce(Form) -> Form) -> (StatusCode, String) {
    let operations = json!({
        "query": "mutation($i: CreatePostInput!) { createPost(input: $i) { post { id } } }",
        "variables": { "i": { "boardId": board, "title": "T", "content": "C", "files": [null] } },
    });
    let form = form(Form::default().text("operations", &operations.to_string()));
    let answer = ann.post_form(form.end()).await;
    let code = match answer.errors() {
        [] => String::new(),
        _ => answer.code().to_owned(),
    };
    (answer.status, code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_form_is_a_bad_request() {
    const MAP: &str = r#"{"0": ["variables.i.files.0"]}"#;
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let before = (app.rows().await, stored(&app).await);
    let bad = (StatusCode::BAD_REQUEST, "BAD_REQUEST".to_owned());

    for map in [
        "",
        "[]",
        "null",
        "{",
        r#"{"0": "variables.i.files.0"}"#,
        r#"{"0": []}"#,
        r#"{"0": [7]}"#,
        // Out of range, not there, not null, no variable, twice.
        r#"{"0": ["variables.i.files.1"]}"#,
        r#"{"0": ["variables.i.files"]}"#,
        r#"{"0": ["variables.i.files.-1"]}"#,
        r#"{"0": ["variables.i.files.x"]}"#,
        r#"{"0": ["variables.i.nothing"]}"#,
        r#"{"0": ["variables.i.title"]}"#,
        r#"{"0": ["variables"]}"#,
        r#"{"0": ["variables."]}"#,
        r#"{"0": ["query"]}"#,
        r#"{"0": [""]}"#,
        r#"{"0": ["0.variables.i.files.0"]}"#,
        r#"{"0": ["variables.i.files.0", "variables.i.files.0"]}"#,
        r#"{"0": ["variables.i.files.0"], "1": ["variables.i.files.0"]}"#,
        r#"{"0": ["variables.i.files.0"], "0": ["variables.i.files.0"]}"#,
    ] {
        let answer = ask(&ann, &board, |f| f.text("map", map).file("0", "a", b"a")).await;
        assert_eq!(answer, bad, "{map}");
    }
    type Change = fn(Form) -> Form;
    let forms: [Change; 9] = [
        // A missing part, another one, one too many, the same twice, none but the operations.
        |f| f.text("map", MAP),
        |f| f.text("map", MAP).file("1", "a", b"a"),
        |f| f.text("map", MAP).file("0", "a", b"a").file("1", "b", b"b"),
        |f| f.text("map", MAP).file("0", "a", b"a").file("0", "b", b"b"),
        |f| f,
        // In another order.
        |f| f.file("0", "a", b"a").text("map", MAP),
        |_| Form::default().text("map", MAP).file("0", "a", b"a"),
        |_| Form::default().file("0", "a", b"a"),
        |_| Form::default().text("operations", "[]").text("map", "{}"),
    ];
    for (n, form) in forms.into_iter().enumerate() {
        assert_eq!(ask(&ann, &board, form).await, bad, "{n}");
    }
    // Cut off at any place, and bytes that are no form at all.
    let whole = Form::request(
        "mutation($i: CreatePostInput!) { createPost(input: $i) { post { id } } }",
        &json!({ "i": { "boardId": board, "title": "T", "content": "C", "files": [null] } }),
        &[("i.files.0", "a", b"content")],
    )
    .end();
    for end in 0..whole.len() - 4 {
        let answer = ann.post_form(whole[..end].to_vec()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            "{end}"
        );
    }
    for bytes in [&b"no form"[..], b"\r\n\r\n\r\n", b"--\r\n--\r\n"] {
        assert_eq!(ann.post_form(bytes.to_vec()).await.code(), "BAD_REQUEST");
    }

    assert_eq!((app.rows().await, stored(&app).await), before);
    ann.post_form(whole).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_of_files_may_come_in_any_order() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let operations = json!({
        "query": "mutation($i: CreatePostInput!) { createPost(input: $i) { post { attachments { name } } } }",
        "variables": { "i": { "boardId": board, "title": "T", "content": "C", "files": [null, null] } },
    });
    let form = Form::default()
        .text("operations", &operations.to_string())
        .text(
            "map",
            r#"{"x": ["variables.i.files.0"], "y": ["variables.i.files.1"]}"#,
        )
        .file("y", "second", b"2")
        .file("x", "first", b"1");

    let answer = ann.post_form(form.end()).await;

    assert_eq!(
        answer.at("createPost.post.attachments"),
        &json!([{ "name": "first" }, { "name": "second" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_without_files_is_an_ordinary_request() {
    let (app, ..) = yard().await;
    let ann = app.user("ann").await;
    let form = Form::request("{ viewer { name } }", &json!({}), &[]);

    let answer = ann.post_form(form.end()).await;

    assert_eq!(answer.text("viewer.name"), "ann");
}
