//! What badly made requests get: each its documented code and status.

use axum::body::Body;
use http::{Method, Request, header};
use serde_json::json;

use crate::support::{TestApp, any_board};

async fn post(app: &std::sync::Arc<TestApp>, body: impl Into<Body>) -> (u16, String) {
    let answer = app.anonymous().post(body).await;
    (answer.status.as_u16(), answer.code().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_is_told_so() {
    let app = TestApp::start().await;
    let query = |document: &str| json!({ "query": document }).to_string();
    for (body, status, code) in [
        ("{".to_owned(), 400, "BAD_REQUEST"),
        ("[]".to_owned(), 400, "BAD_REQUEST"),
        ("null".to_owned(), 400, "BAD_REQUEST"),
        ("{}".to_owned(), 400, "BAD_REQUEST"),
        (json!([{ "query": "{ viewer { id } }" }]).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": 1 }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "{ viewer { id } }", "variables": [] }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "{ viewer { id } }", "operationName": 1 }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "query A { viewer { id } } query B { viewer { id } }" }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "query A { viewer { id } }", "operationName": "B" }).to_string(), 400, "BAD_REQUEST"),
        (query("{"), 400, "GRAPHQL_PARSE_FAILED"),
        (query(""), 400, "GRAPHQL_PARSE_FAILED"),
        (query("{ nothing }"), 400, "GRAPHQL_VALIDATION_FAILED"),
        (query("{ viewer }"), 400, "GRAPHQL_VALIDATION_FAILED"),
        (query("{ user { id } }"), 400, "GRAPHQL_VALIDATION_FAILED"),
        (query("query($i: ID!) { user(id: $i) { id } }"), 400, "BAD_REQUEST"),
        (json!({ "query": "query($i: ID!) { user(id: $i) { id } }", "variables": { "i": null } }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "query($n: Int) { posts(first: $n) { nodes { id } } }", "variables": { "n": "x" } }).to_string(), 400, "BAD_REQUEST"),
        (json!({ "query": "query($n: Int) { posts(first: $n) { nodes { id } } }", "variables": { "n": 3_000_000_000_i64 } }).to_string(), 400, "BAD_REQUEST"),
    ] {
        assert_eq!(post(&app, body.clone()).await, (status, code.to_owned()), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_beyond_the_limits_are_refused() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let deep = |levels: usize| {
        format!(
            "{{ posts {{ nodes {{ {} id {} }} }} }}",
            "board { lastPost { ".repeat(levels),
            "} } ".repeat(levels)
        )
    };
    let wide = |n: usize| {
        format!(
            "{{ {} }}",
            (0..n)
                .map(|n| format!("a{n}: viewer {{ id }} "))
                .collect::<String>()
        )
    };
    let many_fields = format!("{{ {} }}", "__typename ".repeat(5_001));

    assert!(admin.query(&deep(5)).await.errors().is_empty());
    for (document, what) in [
        (deep(8), "deep"),
        (wide(21), "root fields"),
        (
            format!(
                "{{ viewer {{ {} }} }}",
                (0..31).map(|n| format!("a{n}: name ")).collect::<String>()
            ),
            "aliases",
        ),
        (many_fields, "tokens"),
        (
            "{ boards(first: 100) { nodes { posts(first: 100) { nodes { author { name } } } } } }"
                .to_owned(),
            "complex",
        ),
        (
            format!("{{ viewer {{ {} }} }}", "name @skip(if: false) ".repeat(21)),
            "directives",
        ),
    ] {
        let answer = admin.query(&document).await;
        assert_eq!(
            (answer.code(), answer.status.as_u16()),
            ("LIMIT_EXCEEDED", 400),
            "{what}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_a_hundred_megabytes_is_too_large_announced_or_not() {
    let app = TestApp::start().await;
    let chunks =
        (0..1_600).map(|_| Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b' '; 65_536])));

    let streamed = post(&app, Body::from_stream(futures_util::stream::iter(chunks))).await;
    assert_eq!(streamed, (413, "TOO_LARGE".to_owned()));
    let just_too_large = post(&app, vec![b' '; (1 << 20) + 1]).await;
    assert_eq!(just_too_large, (413, "TOO_LARGE".to_owned()));
    let query = r#"{"query":"{ __typename }"}"#;
    let largest = format!("{query}{}", " ".repeat((1 << 20) - query.len()));
    assert_eq!(
        app.anonymous().post(largest).await.at("__typename"),
        "Query"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_of_another_kind_is_told_by_its_place() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = admin.board(any_board()).await;

    for (document, field) in [
        (format!("{{ user(id: {board:?}) {{ id }} }}"), "id"),
        (format!("{{ post(id: {board:?}) {{ id }} }}"), "id"),
        ("{ board(id: \"board_x\") { id } }".to_owned(), "id"),
        (
            format!("{{ posts(authorId: {board:?}) {{ nodes {{ id }} }} }}"),
            "authorId",
        ),
        ("{ node(id: \"nothing\") { id } }".to_owned(), "id"),
        (
            format!("mutation {{ banUser(input: {{ id: {board:?} }}) {{ user {{ id }} }} }}"),
            "id",
        ),
    ] {
        let answer = admin.query(&document).await;

        assert_eq!(
            (answer.code(), answer.violation()),
            ("INVALID", (field.to_owned(), "ID_TYPE".to_owned())),
            "{document}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_fail_leave_their_siblings_alone() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let board = |name: &str| {
        format!(
            "createBoard(input: {{ name: {name:?}, information: \"i\" }}) {{ board {{ name }} }}"
        )
    };

    let document = format!(
        "mutation {{ a: {} b: {} c: {} }}",
        board("one"),
        board("ONE"),
        board("two")
    );
    let answer = admin.query(&document).await;

    assert_eq!(answer.at("a.board.name"), "one");
    assert!(answer.at("b").is_null());
    assert_eq!(answer.at("c.board.name"), "two");
    assert_eq!(
        (answer.code(), &answer.errors()[0]["path"]),
        ("CONFLICT", &json!(["b"]))
    );
    let read = admin
        .query("{ a: viewer { name } b: post(id: \"x\") { id } c: boards { nodes { name } } }")
        .await;
    assert_eq!(
        (read.at("a.name"), read.at("c.nodes.1.name")),
        (&json!("admin"), &json!("two"))
    );
    assert_eq!(&read.errors()[0]["path"], &json!(["b"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_mutation_twice_in_a_document_runs_once() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let create = "createBoard(input: { name: \"once\", information: \"i\" })";

    let answer = admin
        .query(&format!(
            "mutation {{ {create} {{ board {{ name }} }} {create} {{ board {{ postCount }} }} }}"
        ))
        .await;

    assert_eq!(
        answer.data()["createBoard"]["board"],
        json!({ "name": "once", "postCount": 0 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_fragments_of_components_are_one_selection() {
    let app = TestApp::start().await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    ann.post_on(&board, "one").await;
    ann.post_on(&board, "two").await;

    let document = "
        query { posts(first: 2) { nodes { ...Title ...Byline } ...Paging } posts(first: 2) { nodes { id board { name } } } }
        fragment Title on Post { title author { id } }
        fragment Byline on Post { author { name ...Who } ... on Node { id } }
        fragment Who on User { name email }
        fragment Paging on PostConnection { pageInfo { hasNextPage } nodes { commentCount } }";
    let before = app.app.db.statements();
    let answer = ann.query(document).await;

    assert_eq!(
        app.app.db.statements() - before,
        3,
        "posts, authors and boards, once each"
    );
    let nodes = answer.data()["posts"]["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    for node in nodes {
        let keys: Vec<_> = node
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let mut sorted = ["title", "author", "id", "commentCount", "board"];
        sorted.sort_unstable();
        let mut keys_sorted = keys.clone();
        keys_sorted.sort_unstable();
        assert_eq!(keys_sorted, sorted);
        assert_eq!(
            node["author"],
            json!({ "id": ann.id, "name": "ann", "email": "ann@example.org" })
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_introspection_the_schema_stays_unknown() {
    let app = TestApp::with(&["--introspection", "off"]).await;
    let client = app.anonymous();

    for document in [
        "{ __schema { types { name } } }",
        "{ __type(name: \"User\") { name } }",
    ] {
        let answer = client.query(document).await;
        assert_eq!((answer.code(), answer.status.as_u16()), ("FORBIDDEN", 400));
    }
    assert_eq!(
        client.query("{ __typename }").await.at("__typename"),
        "Query"
    );
    let misspelt = client.query("{ viewr { id } }").await;
    assert!(
        !misspelt.body.to_string().contains("viewer"),
        "{}",
        misspelt.body
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_introspection_the_text_of_the_schema_is_not_served_either() {
    let app = TestApp::with(&["--introspection", "off"]).await;
    let get = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        app.anonymous().send(request).await
    };

    let refused = get("/schema.graphql").await;

    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (404, "NOT_FOUND")
    );
    assert!(!get("/").await.body.to_string().contains("schema.graphql"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operation_that_runs_may_not_introspect() {
    let app = TestApp::with(&["--introspection", "off"]).await;
    let query = "query A { __typename } query B { __schema { queryType { name } } }";
    let run = async |name: &str| {
        let body = json!({ "query": query, "operationName": name }).to_string();
        app.anonymous().post(body).await
    };

    assert_eq!(run("A").await.at("__typename"), "Query");
    assert_eq!(run("B").await.code(), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_headers_count_as_none() {
    let app = TestApp::with(&["--public-read", "on"]).await;
    for (accept, authorization) in [("", ""), (" ", " ")] {
        let request = Request::post("/graphql")
            .header("content-type", "application/json")
            .header("accept", accept)
            .header("authorization", authorization)
            .body(Body::from(
                r#"{"query":"{ viewer { id } boards { totalCount } }"}"#,
            ))
            .unwrap();

        let answer = app.anonymous().send(request).await;

        assert_eq!(answer.status, 200);
        assert_eq!(*answer.at("viewer"), serde_json::Value::Null);
        assert_eq!(*answer.at("boards.totalCount"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn null_for_an_input_field_with_a_default_names_it_in_the_language_of_the_caller() {
    let app = TestApp::start().await;
    let mut admin = app.admin().await;
    admin.language = Some("ko");
    let input = json!({ "name": "Yard", "information": "i", "isVisible": null });

    let answer = admin.mutate("createBoard", input, "board { id }").await;

    assert_eq!(answer.code(), "INVALID");
    let violations = &answer.errors()[0]["extensions"]["violations"];
    let expected =
        json!([{ "field": "isVisible", "code": "NULL", "message": "null일 수 없습니다." }]);
    assert_eq!(*violations, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_health_are_served() {
    let app = TestApp::start().await;
    let get = async |path: &str| {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        app.anonymous().send(request).await
    };

    assert_eq!(get("/healthz").await.status, 200);
    let ready = get("/readyz").await;
    assert_eq!(ready.status, 200);
    assert!(
        ready.body.to_string().contains("database"),
        "{}",
        ready.body
    );
    assert_eq!(
        get("/schema.graphql").await.body.as_str().unwrap(),
        madang::server::sdl()
    );
    assert_eq!(get("/graphiql").await.status, 200);
    assert_eq!(get("/nothing").await.status, 404);
    let without = TestApp::with(&["--graphiql", "off"]).await;
    let request = Request::get("/graphiql").body(Body::empty()).unwrap();
    assert_eq!(without.anonymous().send(request).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_bears_a_request_id() {
    let app = TestApp::start().await;
    let send = async |id: &str| {
        let request = Request::post("/graphql")
            .header(header::CONTENT_TYPE, "application/json")
            .header("x-request-id", id)
            .body(Body::from(r#"{"query":"{ __typename }"}"#))
            .unwrap();
        app.anonymous()
            .send(request)
            .await
            .header("x-request-id")
            .unwrap()
            .to_owned()
    };

    assert_eq!(send("mine-1").await, "mine-1");
    let made = send("no good; at all").await;
    assert!(made.len() >= 16 && made != "no good; at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_so_much_text_and_no_more() {
    let app = TestApp::with(&["--limit-answer", "1000"]).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    let board = admin.board(any_board()).await;
    let mut posts = Vec::new();
    for n in 0..3 {
        let input =
            json!({ "boardId": board, "title": format!("{n}"), "content": "c".repeat(400) });
        posts.push(
            ann.mutate("createPost", input, "post { id }")
                .await
                .text("createPost.post.id"),
        );
    }
    ann.comment_on(&posts[0], &"c".repeat(700)).await;

    assert!(
        ann.query("{ posts(first: 2) { nodes { content } } }")
            .await
            .errors()
            .is_empty()
    );
    let twice =
        "{ a: posts(first: 2) { nodes { content } } b: posts(first: 2) { nodes { content } } }";
    assert!(
        ann.query(twice)
            .await
            .errors()
            .iter()
            .all(|e| e["extensions"]["code"] == "LIMIT_EXCEEDED")
    );
    assert!(!ann.query(twice).await.errors().is_empty());
    assert_eq!(
        ann.query("{ posts(first: 3) { nodes { content } } }")
            .await
            .errors()[0]["extensions"]["code"],
        "LIMIT_EXCEEDED"
    );
    let document = "query($i: ID!) { post(id: $i) { content comments { nodes { content } } } }";
    assert_eq!(
        ann.run(document, json!({ "i": posts[0] })).await.errors()[0]["extensions"]["code"],
        "LIMIT_EXCEEDED"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_any_length_is_refused_before_it_costs_anything() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;
    let long = "\u{fdfa}".repeat(200_000);

    for list in ["users", "boards"] {
        let answer = ann
            .run(
                &format!("query($s: String) {{ {list}(search: $s) {{ nodes {{ id }} }} }}"),
                json!({ "s": long }),
            )
            .await;
        assert_eq!(
            (answer.code(), answer.violation()),
            ("INVALID", ("search".into(), "TOO_LONG".into()))
        );
    }
    let named = ann
        .run(
            "query($s: String!) { userByName(name: $s) { id } }",
            json!({ "s": long }),
        )
        .await;
    assert_eq!(named.code(), "NOT_FOUND");
}
