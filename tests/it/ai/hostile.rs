//! Data sets that would hurt.

use http::StatusCode;
use madang::blobs::Folder;
use serde_json::{Value, json};

use super::{LOG, MODEL, any_model, lines, model, stored, trained, yard, yard_with};
use crate::support::{any_board, multipart::Form};

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_may_be_larger_than_a_file_and_has_its_own_limit() {
    let (app, admin, ann) =
        yard_with(&["--max-file-size", "1000", "--max-dataset-size", "5000"]).await;
    let board = admin.board(any_board()).await;
    let dataset = lines(500);
    assert!((1_000..5_000).contains(&dataset.len()), "{}", dataset.len());

    let id = trained(&app, &admin, any_model(), &dataset).await;
    let more = json!({ "name": "More", "description": "d" });
    let refused = admin
        .upload_dataset("createAiModel", more, &vec![b'1'; 5_001], MODEL)
        .await;

    assert_eq!(
        (refused.status, refused.code()),
        (StatusCode::PAYLOAD_TOO_LARGE, "TOO_LARGE")
    );
    // A request with both has no way around the limit of files.
    let document = "mutation($l: CreateAiLogInput!, $p: CreatePostInput!) {
        createAiLog(input: $l) { aiLog { id } } createPost(input: $p) { post { id } } }";
    let variables = json!({
        "l": { "modelId": id, "description": "d", "dataset": null },
        "p": { "boardId": board, "title": "t", "content": "c", "files": [null] },
    });
    let large = vec![b'x'; 1_001];
    let files: [(&str, &str, &[u8]); 2] = [
        ("l.dataset", "a.csv", b"a,b\n1,2\n"),
        ("p.files.0", "b.txt", &large),
    ];
    let both = ann
        .post_form(Form::request(document, &variables, &files).end())
        .await;
    assert_eq!(both.code(), "TOO_LARGE");
    assert_eq!(both.body["data"]["createPost"], Value::Null);
    assert!(both.body["data"]["createAiLog"].is_object());
    assert_eq!(stored(&app, Folder::Files).await.len(), 0);
    // Users send no data sets for what only admins do.
    let refused = ann
        .upload_dataset("createAiModel", any_model(), b"a,y\n1,2\n", MODEL)
        .await;
    assert_eq!(refused.code(), "FORBIDDEN");
    let refused = app
        .anonymous()
        .upload_dataset(
            "createAiLog",
            json!({ "modelId": id, "description": "d" }),
            b"a,y\n",
            LOG,
        )
        .await;
    assert_eq!(refused.code(), "UNAUTHENTICATED");
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_holds_only_so_many_predictions() {
    let (app, admin, ann) = yard_with(&["--limit-answer", "100000"]).await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let dataset = "a,b\n".to_owned() + &"1,2\n".repeat(30_000);
    let input = json!({ "modelId": id, "description": "d" });
    let log_id = ann
        .upload_dataset("createAiLog", input, dataset.as_bytes(), LOG)
        .await
        .text("createAiLog.aiLog.id");
    app.run_jobs().await;
    let ask = async |pages: usize| {
        let pages: String = (0..pages)
            .map(|n| format!("p{n}: predictions(offset: {}) ", n * 1_000))
            .collect();
        let query = format!(
            "query($i: ID!) {{ aiLog(id: $i) {{ result {{ ... on AiPredictions {{ {pages} }} }} }} }}"
        );
        ann.run(&query, json!({ "i": log_id })).await
    };

    let few = ask(3).await;
    assert_eq!(few.at("aiLog.result.p2").as_array().unwrap().len(), 1_000);
    assert_eq!(ask(28).await.code(), "LIMIT_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_an_end_is_given_up() {
    let (app, admin, _) = yard().await;
    let endless = [b"a,y\n1,2\n".to_vec(), vec![b'1'; 30 << 20]].concat();

    let id = admin
        .upload_dataset("createAiModel", any_model(), &endless, MODEL)
        .await
        .text("createAiModel.aiModel.id");
    app.run_jobs().await;

    let failed = model(&admin, &id).await;
    assert_eq!(
        failed.text("aiModel.error"),
        "line 3: does not end within 1048576 bytes; is a quote not closed?"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_columns_are_data_and_nothing_else() {
    let (app, admin, _) = yard().await;
    let names = [
        "'; DROP TABLE ai_models; --",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "열 🦀",
    ];
    let header: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let rows: String = (0..40)
        .map(|n: u64| format!("{},{},{},{},{}\n", n, n * n, n * n % 7, n * 5 % 11, n * 3))
        .collect();

    let id = trained(
        &app,
        &admin,
        any_model(),
        &format!("{},y\n{rows}", header.join(",")),
    )
    .await;

    assert_eq!(
        model(&admin, &id).await.at("aiModel.features"),
        &json!(names)
    );
}
