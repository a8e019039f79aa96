//! Downloading: who may, and what HTTP asks of it.

use http::StatusCode;
use serde_json::{Value, json};

use super::{yard, yard_with};
use crate::support::{Client, multipart::COMMENT};

const OK: StatusCode = StatusCode::OK;
const NOT_FOUND: StatusCode = StatusCode::NOT_FOUND;

fn url(file: &Value) -> String {
    file["url"].as_str().unwrap().to_owned()
}

fn path(file: &Value) -> String {
    format!("/files/{}", file["id"].as_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_sent_as_it_came_with_what_browsers_need_to_know() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let content: Vec<u8> = (0..300_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let (_, files) = ann
        .post_with(
            &board,
            &[("마당 \"100%\".bin", &content), ("a.txt", "글".as_bytes())],
        )
        .await;

    let got = app.anonymous().download(&url(&files[0]), &[]).await;

    assert_eq!(got.status, OK);
    assert!(got.bytes == content);
    for (header, value) in [
        ("content-type", "application/octet-stream"),
        ("content-length", "300000"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        (
            "content-security-policy",
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
        ("content-encoding", ""),
        (
            "content-disposition",
            "attachment; filename=\"__ _100__.bin\"; filename*=UTF-8''%EB%A7%88%EB%8B%B9%20_100%25_.bin",
        ),
    ] {
        assert_eq!(got.header(header), value, "{header}");
    }
    let age = got
        .header("cache-control")
        .strip_prefix("private, max-age=")
        .unwrap();
    assert!((1..=1_800).contains(&age.parse::<u32>().unwrap()));
    let text = app
        .anonymous()
        .download(&url(&files[1]), &[("accept-encoding", "gzip")])
        .await;
    assert_eq!(text.header("content-type"), "text/plain; charset=utf-8");
    assert!(
        text.header("content-disposition")
            .starts_with("inline; filename=\"a.txt\"")
    );

    let head = app
        .anonymous()
        .download_by("HEAD", &url(&files[0]), &[])
        .await;
    assert_eq!(
        (head.status, head.header("content-length"), head.bytes.len()),
        (OK, "300000", 0)
    );
    let post = app
        .anonymous()
        .download_by("POST", &url(&files[0]), &[])
        .await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_is_sent_and_what_a_cache_has_is_not() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let content: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let (_, files) = ann.post_with(&board, &[("a.bin", &content)]).await;
    let address = url(&files[0]);
    let whole = ann.download(&address, &[]).await;
    let (etag, modified) = (whole.header("etag"), whole.header("last-modified"));
    let size = content.len();

    for (range, expected) in [
        ("bytes=0-0", Some(0..1)),
        ("bytes=10-99", Some(10..100)),
        ("bytes=199990-", Some(199_990..size)),
        ("bytes=199990-999999999", Some(199_990..size)),
        ("bytes=-7", Some(size - 7..size)),
        // Invalid, of another unit, or several: all of it.
        ("bytes=9-3", None),
        ("bytes=x", None),
        ("lines=1-2", None),
        ("bytes=0-1,5-6", None),
    ] {
        let got = ann.download(&address, &[("range", range)]).await;
        match expected {
            Some(part) => {
                assert_eq!(got.status, StatusCode::PARTIAL_CONTENT, "{range}");
                assert!(got.bytes == content[part.clone()], "{range}");
                let told = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                assert_eq!(got.header("content-range"), told);
            }
            None => assert_eq!((got.status, got.bytes.len()), (OK, size), "{range}"),
        }
    }
    for range in ["bytes=200000-", "bytes=200000-200001"] {
        let got = ann.download(&address, &[("range", range)]).await;
        assert_eq!(got.status, StatusCode::RANGE_NOT_SATISFIABLE, "{range}");
        assert_eq!(got.header("content-range"), "bytes */200000");
        assert!(got.bytes.is_empty());
    }
    for (headers, status) in [
        (&[("if-none-match", etag)][..], StatusCode::NOT_MODIFIED),
        (
            &[("if-none-match", &*format!("\"x\", {etag}"))],
            StatusCode::NOT_MODIFIED,
        ),
        (&[("if-none-match", "\"x\"")], OK),
        (&[("if-modified-since", modified)], StatusCode::NOT_MODIFIED),
        (
            &[("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            OK,
        ),
        (
            &[("if-none-match", "\"x\""), ("if-modified-since", modified)],
            OK,
        ),
        (&[("if-match", "\"x\"")], StatusCode::PRECONDITION_FAILED),
        (&[("if-match", etag)], OK),
        (
            &[("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT")],
            StatusCode::PRECONDITION_FAILED,
        ),
        (
            &[("range", "bytes=0-9"), ("if-range", etag)],
            StatusCode::PARTIAL_CONTENT,
        ),
        (&[("range", "bytes=0-9"), ("if-range", "\"x\"")], OK),
        (
            &[("range", "bytes=0-9"), ("if-range", modified)],
            StatusCode::PARTIAL_CONTENT,
        ),
        (
            &[("range", "bytes=0-9"), ("if-none-match", etag)],
            StatusCode::NOT_MODIFIED,
        ),
    ] {
        let got = ann.download(&address, headers).await;
        assert_eq!(got.status, status, "{headers:?}");
        if status == StatusCode::NOT_MODIFIED {
            assert!(got.bytes.is_empty() && got.header("etag") == etag);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_could_run_is_only_saved() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let files: [(&str, &[u8]); 7] = [
        ("a.png", b"<html><script>alert(1)</script>"),
        (
            "a.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        ),
        ("a.xml", b"<?xml version='1.0'?><x/>"),
        ("a.js", b"alert(1)"),
        ("a.pdf", b"%PDF-1.4\n"),
        ("a.txt", b"alert(1)"),
        ("a.htm", b"hello"),
    ];
    let (_, attachments) = ann.post_with(&board, &files).await;

    for (file, expected) in attachments.iter().zip([
        "attachment",
        "attachment",
        "attachment",
        "attachment",
        "attachment",
        "inline",
        "attachment",
    ]) {
        let got = ann.download(&url(file), &[]).await;
        let kind = got.header("content-disposition").split(';').next().unwrap();
        assert_eq!(kind, expected, "{file}");
        assert_eq!(got.header("x-content-type-options"), "nosniff");
        assert!(got.header("content-security-policy").contains("sandbox"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_ends_at_a_mark_and_cannot_be_changed() {
    let (app, _, board) = yard().await;
    let (ann, ben) = app.two_users().await;
    let (_, files) = ann.post_with(&board, &[("a", b"a"), ("b", b"b")]).await;
    let address = async |client: &Client| {
        let query = "query($f: ID!) { node(id: $f) { ... on Attachment { url } } }";
        client
            .run(query, json!({ "f": files[0]["id"] }))
            .await
            .text("node.url")
    };
    let ours = address(&ben).await;

    assert_eq!(ben.download(&ours, &[]).await.status, OK);
    let (before, query) = ours.split_once('?').unwrap();
    let other = ours.replace(before, &path(&files[1]));
    let later = ours.replace("expires=1", "expires=2");
    let session = query.split(['=', '&']).nth(1).unwrap();
    let foreign = ours.replace(session, &app.id_of_nothing("signin"));
    let without = ours.replace(&format!("viewer={session}&"), "");
    let small = format!("{before}?size=32&{query}");
    let nobody = app.anonymous();
    for forged in [
        &other,
        &later,
        &foreign,
        &without,
        &small,
        &ours[..ours.len() - 1],
        &format!("{ours}A"),
        &ours.replace("signature=", "signature=A"),
        &format!("{before}?size=x&{query}"),
        before,
        &format!("{before}?"),
        "/files/x",
        "/files/%ff",
        "/files/%2e%2e",
        &format!("/files/{}", app.id_of_nothing("file")),
        &path(&json!({ "id": app.id_of_nothing("post") })),
    ] {
        let got = nobody.download(forged, &[]).await;
        assert_eq!(got.status, NOT_FOUND, "{forged}");
        assert!(got.bytes.len() < 40, "{forged}");
    }
    // Between two marks it is the same, and it lasts from 15 to 30 minutes.
    let until = |address: &str| {
        address
            .split("expires=")
            .nth(1)
            .unwrap()
            .split('&')
            .next()
            .unwrap()
            .parse::<i64>()
            .unwrap()
    };
    let now = app.clock.now().seconds();
    assert!((900..=1_800).contains(&(until(&ours) - now)) && until(&ours) % 900 == 0);
    app.advance(u64::try_from(until(&ours) - now).unwrap() - 5);
    assert_eq!(nobody.download(&ours, &[]).await.status, OK);
    let again = address(&ben.again("ben").await).await;
    assert!(until(&again) > until(&ours));
    app.advance(10);
    assert_eq!(nobody.download(&ours, &[]).await.status, NOT_FOUND);
    assert_eq!(nobody.download(&again, &[]).await.status, OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_token_the_id_is_enough() {
    let (app, admin, board) = yard().await;
    let (ann, ben) = app.two_users().await;
    let private = admin
        .board(json!({ "name": "Private", "information": "-", "isVisible": false }))
        .await;
    let (_, open) = ann.post_with(&board, &[("a", b"open")]).await;
    let (_, closed) = admin.post_with(&private, &[("a", b"closed")]).await;

    assert_eq!(ben.download(&path(&open[0]), &[]).await.status, OK);
    assert_eq!(
        app.anonymous().download(&path(&open[0]), &[]).await.status,
        NOT_FOUND
    );
    assert_eq!(ben.download(&path(&closed[0]), &[]).await.status, NOT_FOUND);
    let got = admin.download(&path(&closed[0]), &[]).await;
    assert_eq!(
        (got.status, got.header("cache-control")),
        (OK, "private, no-cache")
    );
    let mut forged = ben.clone();
    forged.token = Some("a.b.c".to_owned());
    assert_eq!(
        forged.download(&path(&open[0]), &[]).await.status,
        NOT_FOUND
    );
    // A bad token does not spoil a good address.
    assert_eq!(forged.download(&url(&open[0]), &[]).await.status, OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_without_a_sign_in_read_what_is_public() {
    let (app, admin, board) = yard_with(&["--public-read", "on", "--files-strict", "on"]).await;
    let (_, files) = admin.post_with(&board, &[("a", b"open")]).await;
    let nobody = app.anonymous();
    let query = "query($f: ID!) { node(id: $f) { ... on Attachment { url } } }";
    let address = nobody
        .run(query, json!({ "f": files[0]["id"] }))
        .await
        .text("node.url");

    assert!(!address.contains("viewer="));
    assert_eq!(nobody.download(&address, &[]).await.status, OK);
    assert_eq!(nobody.download(&path(&files[0]), &[]).await.status, OK);
    let input = json!({ "id": board, "isVisible": false });
    admin
        .mutate("updateBoard", input, "board { id }")
        .await
        .data();
    assert_eq!(nobody.download(&address, &[]).await.status, NOT_FOUND);
    assert_eq!(
        nobody.download(&path(&files[0]), &[]).await.status,
        NOT_FOUND
    );
    assert_eq!(admin.download(&path(&files[0]), &[]).await.status, OK);
}

/// What ends the right to read a file, with the address that ben had before.
async fn ended(strict: &str, act: usize) -> StatusCode {
    let (app, admin, _) = yard_with(&["--files-strict", strict]).await;
    let (ann, ben) = app.two_users().await;
    let private = json!({ "name": "P", "information": "-", "isVisible": false, "memberIds": [ann.id, ben.id] });
    let board = admin.board(private).await;
    let (post, _) = ann.post_with(&board, &[]).await;
    let input = json!({ "postId": post, "content": "C" });
    let comment = ann
        .upload("createComment", input, &[("a", b"a")], COMMENT)
        .await;
    let (comment, file) = (
        comment.text("createComment.comment.id"),
        comment.at("createComment.comment.attachments.0.id").clone(),
    );
    let query = "query($f: ID!) { node(id: $f) { ... on Attachment { url } } }";
    let address = ben.run(query, json!({ "f": file })).await.text("node.url");
    assert_eq!(ben.download(&address, &[]).await.status, OK);

    let answer = match act {
        0 => {
            ann.mutate(
                "updatePost",
                json!({ "id": post, "isVisible": false }),
                "post { id }",
            )
            .await
        }
        1 => {
            ann.mutate(
                "updateComment",
                json!({ "id": comment, "isVisible": false }),
                "comment { id }",
            )
            .await
        }
        2 => {
            admin
                .mutate(
                    "updateBoard",
                    json!({ "id": board, "removeMemberIds": [ben.id] }),
                    "board { id }",
                )
                .await
        }
        3 => {
            admin
                .mutate(
                    "banUser",
                    json!({ "id": ben.id, "reason": "R" }),
                    "user { id }",
                )
                .await
        }
        4 => ben.query("mutation { logout { success } }").await,
        5 => {
            ann.mutate(
                "deleteComment",
                json!({ "id": comment }),
                "deletedCommentId",
            )
            .await
        }
        6 => {
            ann.mutate("deletePost", json!({ "id": post }), "deletedPostId")
                .await
        }
        7 => {
            admin
                .mutate("deleteBoard", json!({ "id": board }), "deletedBoardId")
                .await
        }
        _ => {
            ann.mutate(
                "updateComment",
                json!({ "id": comment, "removeAttachmentIds": [file] }),
                "comment { id }",
            )
            .await
        }
    };
    answer.data();
    // Before any job has run.
    let status = ben.download(&address, &[]).await.status;
    // Asked anew, it is refused whatever the setting.
    assert_eq!(
        ben.download(&format!("/files/{}", file.as_str().unwrap()), &[])
            .await
            .status,
        NOT_FOUND
    );
    status
}

#[tokio::test(flavor = "multi_thread")]
async fn with_files_strict_a_right_that_ends_ends_its_addresses() {
    for act in 0..9 {
        assert_eq!(ended("on", act).await, NOT_FOUND, "{act}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn otherwise_an_address_lasts_as_long_as_its_signature_or_the_file() {
    for act in 0..9 {
        let expected = if act < 5 { OK } else { NOT_FOUND };
        assert_eq!(ended("off", act).await, expected, "{act}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_begins_with_the_public_url() {
    let (_app, admin, board) = yard_with(&["--public-url", "https://example.org/yard/"]).await;

    let (_, files) = admin.post_with(&board, &[("a", b"a")]).await;

    assert!(
        url(&files[0]).starts_with("https://example.org/yard/files/file_"),
        "{}",
        files[0]
    );
}
