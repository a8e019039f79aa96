//! Uploads that mean no good, or go wrong.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode, header};
use image::ImageFormat;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{encoded, picture, stored, yard, yard_with};
use crate::support::{
    Client, TestApp,
    multipart::{BOUNDARY, Form, POST, content_type},
};

const CREATE: &str = "mutation($i: CreatePostInput!) { createPost(input: $i) { post { id attachments { name contentType url } } } }";

fn variables(board: &str) -> Value {
    json!({ "i": { "boardId": board, "title": "T", "content": "C", "files": [null] } })
}

/// A post with one file, whose part begins with these headers.
async fn with_headers(ann: &Client, board: &str, headers: &[u8]) -> crate::support::Answer {
    let whole = Form::request(
        CREATE,
        &variables(board),
        &[("i.files.0", "NAME", b"content")],
    )
    .end();
    let mark = b"Content-Disposition: form-data; name=\"0\"; filename=\"NAME\"";
    let at = whole.windows(mark.len()).position(|w| w == mark).unwrap();
    let body = [&whole[..at], headers, &whole[at + mark.len()..]].concat();
    ann.post_form(body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_a_name_and_never_a_path() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let long = format!("{}.txt", "가".repeat(300));
    let kept_of_long = format!("{}.txt", "가".repeat(83));
    for (sent, name) in [
        ("../../etc/passwd", "passwd"),
        ("..\\\\..\\\\windows\\\\win.ini", "win.ini"),
        ("/", "file"),
        ("", "file"),
        ("CON.txt", "_CON.txt"),
        ("aux", "_aux"),
        ("ann\u{202e}gnp.exe", "anngnp.exe"),
        ("\u{1106}\u{1161}\u{1103}\u{1161}\u{11bc}.txt", "마당.txt"),
        ("a%22b.txt", "a_b.txt"),
        ("100%25.txt", "100%25.txt"),
        ("%EA%B8%80%2F..%2F%00.txt", "txt"),
        (long.as_str(), kept_of_long.as_str()),
    ] {
        let headers = format!("Content-Disposition: form-data; name=\"0\"; filename=\"{sent}\"");
        let answer = with_headers(&ann, &board, headers.as_bytes()).await;
        assert_eq!(
            answer.text("createPost.post.attachments.0.name"),
            name,
            "{sent}"
        );
        let url = answer.text("createPost.post.attachments.0.url");
        assert_eq!(&*ann.download(&url, &[]).await.bytes, b"content");
    }
    for (headers, name) in [
        (
            "Content-Disposition: form-data; name=0; filename=plain.txt",
            "plain.txt",
        ),
        ("Content-Disposition: form-data; name=\"0\"", "file"),
        (
            "content-disposition: form-data; name=\"0\"; filename*=UTF-8''%EB%A7%88%00%EB%8B%B9%2F..%2Fa.txt",
            "a.txt",
        ),
        (
            "Content-Disposition: form-data; name=\"0\"; filename=\"x.txt\"; filename*=utf-8'ko'%EA%B8%80.txt",
            "글.txt",
        ),
        (
            "Content-Type: text/html\r\nContent-Disposition: form-data; name=\"0\"; filename=\"a\\\"b\"",
            "a_b",
        ),
    ] {
        let answer = with_headers(&ann, &board, headers.as_bytes()).await;
        assert_eq!(
            answer.text("createPost.post.attachments.0.name"),
            name,
            "{headers}"
        );
    }
    // All are stored under names of the server's.
    assert!(
        stored(&app)
            .await
            .iter()
            .all(|path| path.starts_with("file/file_"))
    );
    let before = app.rows().await;
    for headers in [
        &b"Content-Disposition: form-data; name=\"0\"; filename=\"a\0b\""[..],
        b"Content-Disposition: form-data; filename=\"a\"",
        b"Nothing",
        b"\xff\xfe: a",
        b"",
    ] {
        let answer = with_headers(&ann, &board, headers).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "BAD_REQUEST")
        );
    }
    assert_eq!(app.rows().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polyglot_is_served_as_what_it_begins_with_and_no_more() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let script = b"<html><script>alert(1)</script></html>";
    let mut jpeg = encoded(&picture(9, 9), ImageFormat::Jpeg);
    jpeg.extend(script);
    let mut png = encoded(&picture(9, 9), ImageFormat::Png);
    png.extend(b"PK\x03\x04 an archive");
    let gif = b"GIF89a=1/*".to_vec();
    let (_, files) = ann
        .post_with(&board, &[("a.html", &jpeg), ("a.zip", &png)])
        .await;

    for (file, media, tail) in [
        (&files[0], "image/jpeg", &script[..]),
        (&files[1], "image/png", b"PK\x03\x04"),
    ] {
        assert_eq!(file["contentType"], media);
        let got = ann.download(file["url"].as_str().unwrap(), &[]).await;
        assert_eq!(
            (
                got.header("content-type"),
                got.header("x-content-type-options")
            ),
            (media, "nosniff")
        );
        assert!(!got.bytes.windows(tail.len()).any(|window| window == tail));
    }
    let input = json!({ "boardId": board, "title": "T", "content": "C" });
    let refused = ann
        .upload("createPost", input, &[("a.js", &gif)], POST)
        .await;
    assert_eq!(refused.violation(), ("files.0".into(), "DAMAGED".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_only_by_variables_of_mutations() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let before = (app.rows().await, stored(&app).await);
    let literal = format!(
        "mutation {{ createPost(input: {{ boardId: \"{board}\", title: \"T\", content: \"C\", files: [\"#__graphql_file__:0\"] }}) {{ post {{ id }} }} }}"
    );
    let answer = ann.query(&literal).await;
    assert_eq!(answer.code(), "GRAPHQL_VALIDATION_FAILED");
    for index in ["0", "1", "x"] {
        let mut sent = variables(&board);
        sent["i"]["files"] = json!([format!("#__graphql_file__:{index}")]);
        assert_eq!(ann.run(CREATE, sent.clone()).await.code(), "BAD_REQUEST");
    }
    // A document that is refused, a token that is, and no token: not a byte of the file is waited for.
    let endless = |operations: &Value| {
        let form = Form::default()
            .text("operations", &operations.to_string())
            .text("map", r#"{"0": ["variables.i.files.0"]}"#);
        let body = String::from_utf8(form.end()).unwrap();
        let body = body.replace(&format!("--{BOUNDARY}--\r\n"), &format!("--{BOUNDARY}\r\n"));
        let first = stream::iter([Ok::<_, Infallible>(Bytes::from(body))]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let fine = json!({ "query": CREATE, "variables": variables(&board) });
    let unknown = json!({ "query": CREATE.replace("title", "tittle").replace("name ", "nothing "), "variables": variables(&board) });
    let skipped = CREATE.replacen(
        "{ createPost(input: $i)",
        "{ __typename createPost(input: $i) @skip(if: true)",
        1,
    );
    let skipped = json!({ "query": skipped, "variables": variables(&board) });
    let mut forged = ann.clone();
    forged.token = Some("a.b.c".to_owned());
    for (client, operations, status) in [
        (ann.clone(), &unknown, StatusCode::BAD_REQUEST),
        (forged, &fine, StatusCode::UNAUTHORIZED),
        (app.anonymous(), &fine, StatusCode::OK),
        // Nothing that anybody may not do, and yet a file.
        (app.anonymous(), &skipped, StatusCode::UNAUTHORIZED),
    ] {
        let answer = timeout(
            Duration::from_secs(60),
            client.post_form(endless(operations)),
        )
        .await;
        let answer = answer.unwrap();
        assert_eq!(answer.status, status, "{}", answer.body);
        assert_eq!(answer.errors().len(), 1);
    }

    assert_eq!((app.rows().await, stored(&app).await), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_can_send_no_form() {
    let (app, admin, board) = yard_with(&["--cors-origins", "https://friend.example"]).await;
    let body = Form::request(CREATE, &variables(&board), &[("i.files.0", "a", b"a")]).end();
    for (origin, status) in [
        (Some("https://evil.example"), StatusCode::FORBIDDEN),
        (Some("null"), StatusCode::FORBIDDEN),
        (Some("https://friend.example"), StatusCode::OK),
        (Some("http://localhost"), StatusCode::OK),
        (None, StatusCode::OK),
    ] {
        let mut request = Request::post("/graphql").header(header::CONTENT_TYPE, content_type());
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let answer = admin.send(request.body(body.clone().into()).unwrap()).await;
        assert_eq!(answer.status, status, "{origin:?}");
        assert_eq!(answer.errors().is_empty(), status == StatusCode::OK);
    }
    let _ = app;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_while_it_comes() {
    let (app, _, board) = yard_with(&["--max-file-size", "300000"]).await;
    let ann = app.user("ann").await;
    let given = Arc::new(AtomicUsize::new(0));
    // A file without an end.
    let mut first =
        Form::request(CREATE, &variables(&board), &[("i.files.0", "a", b"begin")]).end();
    first.truncate(first.len() - BOUNDARY.len() - 8);
    let counted = Arc::clone(&given);
    let rest = stream::unfold((), move |()| {
        let counted = Arc::clone(&counted);
        async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            counted.fetch_add(1, Ordering::Relaxed);
            Some((Ok::<_, Infallible>(Bytes::from(vec![7; 10_000])), ()))
        }
    });
    let body = Body::from_stream(stream::iter([Ok(first.into())]).chain(rest));

    let answer = timeout(Duration::from_secs(60), ann.post_form(body))
        .await
        .unwrap();

    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE")
    );
    assert!(given.load(Ordering::Relaxed) > 30);
    assert!(stored(&app).await.is_empty());
    // One that is announced is refused before it comes.
    let request = Request::post("/graphql")
        .header(header::CONTENT_TYPE, content_type())
        .header(header::CONTENT_LENGTH, "100000000")
        .body(
            Form::request(CREATE, &variables(&board), &[("i.files.0", "a", b"a")])
                .end()
                .into(),
        )
        .unwrap();
    assert_eq!(ann.send(request).await.code(), "TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_of_a_form_are_bounded_like_a_body() {
    let (app, ..) = yard_with(&["--limit-body", "20000"]).await;
    let ann = app.user("ann").await;
    let long = "x".repeat(20_001);
    let operations =
        json!({ "query": "{ viewer { name } }", "variables": { "a": "x".repeat(10_000) } });
    for form in [
        Form::default().text("operations", &long),
        Form::default()
            .text("operations", &operations.to_string())
            .text("map", &long),
        // Together.
        Form::default()
            .text("operations", &operations.to_string())
            .text("map", &long[..12_000]),
    ] {
        let answer = ann.post_form(form.end()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE")
        );
    }
    // Headers without an end, and a preamble without one.
    for begin in [
        format!("--{BOUNDARY}\r\nContent-Disposition: form-data; x="),
        String::new(),
    ] {
        let rest = stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'x'; 16_000])));
        let body = Body::from_stream(stream::iter([Ok(begin.into())]).chain(rest.take(200)));
        let answer = ann.post_form(body).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, "BAD_REQUEST")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_is_given_up() {
    let (app, _, board) =
        yard_with(&["--limit-read-time", "1s", "--limit-request-time", "2s"]).await;
    let ann = app.user("ann").await;
    let mut first =
        Form::request(CREATE, &variables(&board), &[("i.files.0", "a", b"begin")]).end();
    first.truncate(first.len() - BOUNDARY.len() - 8);
    let trickle = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"drop")), ()))
    });
    let first = move || stream::iter([Ok::<_, Infallible>(Bytes::from(first.clone()))]);

    for body in [
        // A pause, and a trickle that never pauses for as long.
        Body::from_stream(first().chain(stream::pending())),
        Body::from_stream(first().chain(trickle)),
        // Nothing at all.
        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
    ] {
        let answer = timeout(Duration::from_secs(60), ann.post_form(body))
            .await
            .unwrap();
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::REQUEST_TIMEOUT, "TIMEOUT")
        );
    }

    assert!(stored(&app).await.is_empty());
}

/// The name of each file, by its bytes, of all that the posts on `board` have; each is downloaded.
async fn all_files(ann: &Client, board: &str) -> usize {
    let query = "query($b: ID!) { board(id: $b) { posts(first: 100) { nodes { attachments { url size } } } } }";
    let answer = ann.run(query, json!({ "b": board })).await;
    answer.data();
    let mut count = 0;
    for post in answer.at("board.posts.nodes").as_array().unwrap() {
        for file in post["attachments"].as_array().unwrap() {
            let got = ann.download(file["url"].as_str().unwrap(), &[]).await;
            assert_eq!(got.status, StatusCode::OK);
            assert_eq!(file["size"].as_u64(), Some(got.bytes.len() as u64));
            count += 1;
        }
    }
    count
}

async fn served(app: &Arc<TestApp>) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(app.server.clone().run(listener));
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_at_any_byte_leaves_a_whole_post_or_nothing() {
    let (app, _, board) = yard().await;
    let ann = app.user("ann").await;
    let address = served(&app).await;
    let content: Vec<u8> = (0..40_000_u32)
        .map(|n| (n.wrapping_mul(n) >> 7) as u8)
        .collect();
    let body = Form::request(CREATE, &variables(&board), &[("i.files.0", "a", &content)]).end();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n",
        ann.token.as_ref().unwrap(),
        content_type(),
        body.len(),
    );
    let whole = [head.as_bytes(), &body].concat();
    let near_ends = (0..40).flat_map(|n| [head.len() + n * 17, whole.len() - n * 3]);
    let cuts: Vec<_> = (0..whole.len()).step_by(997).chain(near_ends).collect();

    for cut in &cuts {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&whole[..*cut]).await.unwrap();
        // Sent, or just about to be received.
        if cut % 2 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stream);
    }
    // Whatever runs on after its client has gone ends by then.
    let mut before = usize::MAX;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = app.rows().await.len() + stored(&app).await.len();
        if now == before {
            break;
        }
        before = now;
    }
    app.advance(2 * 3_600);
    app.run_jobs().await;
    let ann = ann.again("ann").await;

    let files = all_files(&ann, &board).await;
    assert!(files <= cuts.len() / 4, "{files}");
    assert_eq!(stored(&app).await.len(), files);
    let posts = ann
        .run(
            "query($b: ID!) { board(id: $b) { postCount } }",
            json!({ "b": board }),
        )
        .await;
    assert_eq!(posts.at("board.postCount").as_u64(), Some(files as u64));
    // And the server still serves.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let token = ann.token.as_ref().unwrap();
    let whole = String::from_utf8_lossy(head.as_bytes()).replace(
        head.split("Bearer ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap(),
        token,
    );
    stream.write_all(whole.as_bytes()).await.unwrap();
    stream.write_all(&body).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}
