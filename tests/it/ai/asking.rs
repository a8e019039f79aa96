//! Asking.

use madang::blobs::Folder;
use serde_json::{Value, json};

use super::{LOG, any_model, ask, lines, log, model, stored, trained, yard, yard_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_of_rows_is_answered_in_their_order() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;

    let input = json!({ "modelId": id, "description": "How much?", "rows": [[1, 2], [10, 0.5], [-1e6, 0]] });
    let asked = ann.mutate("createAiLog", input, LOG).await;
    let log_id = asked.text("createAiLog.aiLog.id");
    app.run_jobs().await;
    let answered = log(&ann, &log_id).await;

    let waiting = asked.at("createAiLog.aiLog");
    assert_eq!(waiting["state"], "QUEUED");
    assert_eq!(
        (&waiting["isFinished"], &waiting["result"]),
        (&json!(false), &Value::Null)
    );
    let found = answered.at("aiLog");
    assert_eq!(
        (&found["state"], &found["isFinished"]),
        (&json!("SUCCEEDED"), &json!(true))
    );
    assert_eq!(
        (&found["model"]["name"], &found["user"]["name"]),
        (&json!("Sums"), &json!("ann"))
    );
    assert!(
        found["finishedAt"].is_string() && found["updatedAt"].is_null() && found["error"].is_null()
    );
    assert_eq!(found["result"]["__typename"], "AiPredictions");
    assert_eq!(found["result"]["count"], 3);
    let predictions = found["result"]["predictions"].as_array().unwrap();
    for (found, expected) in predictions.iter().zip([1.0, 20.5, -1_999_999.0]) {
        assert!(
            (found.as_f64().unwrap() - expected).abs() < 1e-8 * expected.abs(),
            "{found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_evaluates_a_model_that_was_trained_on_it() {
    let (app, admin, ann) = yard().await;
    let id = admin
        .mutate("createAiModel", any_model(), "aiModel { id }")
        .await
        .text("createAiModel.aiModel.id");
    app.run_jobs().await;

    let log_id = ask(&ann, &id, Value::Null).await;
    app.run_jobs().await;

    let result = log(&ann, &log_id).await.at("aiLog.result").clone();
    assert_eq!(result["__typename"], "AiEvaluation");
    assert_eq!(result["rows"], 10_000);
    assert!(result["rmse"].as_f64().unwrap() < 1e-3);
    assert!((result["r2"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_evaluated_with_the_target_and_predicted_without() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let input = json!({ "modelId": id, "description": "d" });
    // Columns in another order, one that does not matter, and an error of 3 in one row of four.
    let with = b"id,b,y,a\none,1,4,2\ntwo,2,1,1\nthree,0,1,0\nfour,5,-4,0\n";
    let without: String = "b,name,a\n".to_owned()
        + &(0..2_500)
            .map(|n| format!("{n},n{n},1\n"))
            .collect::<String>();

    let first = ann
        .upload_dataset("createAiLog", input.clone(), with, LOG)
        .await
        .text("createAiLog.aiLog.id");
    let second = ann
        .upload_dataset("createAiLog", input, without.as_bytes(), LOG)
        .await
        .text("createAiLog.aiLog.id");
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 3);
    app.run_jobs().await;

    let evaluation = log(&ann, &first).await.at("aiLog.result").clone();
    assert_eq!(evaluation["rows"], 4);
    // Residuals 0, 0, 0 and 0; then one of them is wrong: see below.
    assert!(evaluation["rmse"].as_f64().unwrap() < 1e-9, "{evaluation}");
    let query = "query($i: ID!) { aiLog(id: $i) { result { ... on AiPredictions { count
        all: predictions last: predictions(offset: 2490) middle: predictions(offset: 995, limit: 10)
        none: predictions(offset: 99999) few: predictions(limit: 0) } } } }";
    let read = ann.run(query, json!({ "i": second })).await;
    let result = read.at("aiLog.result");
    assert_eq!(result["count"], 2_500);
    let expect = |name: &str, from: usize, count: usize| {
        let list = result[name].as_array().unwrap();
        assert_eq!(list.len(), count, "{name}");
        for (n, value) in list.iter().enumerate() {
            // 2a - b + 1, with a = 1.
            let expected = 3.0 - (from + n) as f64;
            assert!(
                (value.as_f64().unwrap() - expected).abs() < 1e-9,
                "{name} {n}: {value}"
            );
        }
    };
    expect("all", 0, 1_000);
    expect("last", 2_490, 10);
    expect("middle", 995, 10);
    expect("none", 0, 0);
    expect("few", 0, 0);
    for (argument, field) in [
        ("offset: -1", "offset"),
        ("limit: 1001", "limit"),
        ("limit: -1", "limit"),
    ] {
        let query = format!(
            "query($i: ID!) {{ aiLog(id: $i) {{ result {{ ... on AiPredictions {{ predictions({argument}) }} }} }} }}"
        );
        let refused = ann.run(&query, json!({ "i": second })).await;
        assert_eq!(
            refused.violation(),
            (field.to_owned(), "OUT_OF_RANGE".to_owned())
        );
    }
    // Once they are answered, only the model's own data set is kept.
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_that_does_not_fit_fails_with_the_reason_for_its_owner() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let cases: [(&[u8], &str); 6] = [
        (b"a,y\n1,2\n", "line 1: there is no column b"),
        (b"a,b\n1,2\n1,x\n", "line 3: b is not a number: x"),
        (b"a,b,c\n1,2\n", "line 2: has 2 columns instead of 3"),
        (b"a,b\n", "the data set has no rows"),
        (b"a,b,y\n", "the data set has no rows"),
        (
            b"a,b\n1,1\n1e308,-1e308\n",
            "row 2: the prediction is beyond the range of numbers",
        ),
    ];

    for (dataset, reason) in cases {
        let input = json!({ "modelId": id, "description": "d" });
        let log_id = ann
            .upload_dataset("createAiLog", input, dataset, LOG)
            .await
            .text("createAiLog.aiLog.id");
        app.run_jobs().await;
        let failed = log(&ann, &log_id).await;
        assert_eq!(failed.text("aiLog.state"), "FAILED", "{reason}");
        assert_eq!(failed.text("aiLog.error"), reason);
        assert_eq!(failed.at("aiLog.result"), &Value::Null);
        assert_eq!(failed.at("aiLog.isFinished"), &json!(true));
    }
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_asked_is_refused_at_once() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let untrained = admin
        .mutate(
            "createAiModel",
            json!({ "name": "New", "description": "d" }),
            "aiModel { id }",
        )
        .await
        .text("createAiModel.aiModel.id");
    let before = app.rows().await;
    let asked = async |rows: Value| {
        let input = json!({ "modelId": id, "description": "d", "rows": rows });
        ann.mutate("createAiLog", input, LOG).await
    };

    let wrong = asked(json!([[1, 2], [1], [1, 2, 3], []])).await;
    let expected = ["rows.1", "rows.2", "rows.3"].map(|f| (f.to_owned(), "WIDTH".to_owned()));
    assert_eq!(
        (wrong.code(), wrong.violations()),
        ("INVALID", expected.to_vec())
    );
    assert_eq!(
        asked(json!([])).await.violation(),
        ("rows".to_owned(), "REQUIRED".to_owned())
    );
    let many: Vec<_> = (0..1_001).map(|_| [1, 2]).collect();
    assert_eq!(asked(json!(many)).await.code(), "LIMIT_EXCEEDED");
    let infinite = format!(
        r#"{{"query":"mutation {{ createAiLog(input: {{ modelId: \"{id}\", description: \"d\", rows: [[1, 1e999]] }}) {{ aiLog {{ id }} }} }}"}}"#
    );
    let infinite = ann.post(infinite).await;
    assert!(
        ["INVALID", "BAD_REQUEST", "GRAPHQL_PARSE_FAILED"].contains(&infinite.code()),
        "{}",
        infinite.body
    );
    let input = json!({ "modelId": id, "description": "d", "rows": [[1, 2]] });
    let both = ann
        .upload_dataset("createAiLog", input, b"a,b\n1,2\n", LOG)
        .await;
    assert_eq!(
        both.violation(),
        ("dataset".to_owned(), "EXCLUSIVE".to_owned())
    );
    let input = json!({ "modelId": untrained, "description": "d", "rows": [[1, 2]] });
    let refused = ann.mutate("createAiLog", input, LOG).await;
    assert_eq!(
        (refused.code(), refused.violation().0),
        ("CONFLICT", "modelId".to_owned())
    );
    for nothing in [app.id_of_nothing("aimodel")] {
        let input = json!({ "modelId": nothing, "description": "d" });
        assert_eq!(
            ann.mutate("createAiLog", input, LOG).await.code(),
            "NOT_FOUND"
        );
    }
    let input = json!({ "modelId": ann.id, "description": "\u{7}" });
    let invalid = ann.mutate("createAiLog", input, LOG).await;
    let expected = [("modelId", "ID_TYPE"), ("description", "CONTROL_CHARACTER")];
    assert_eq!(
        invalid.violations(),
        expected.map(|(f, c)| (f.to_owned(), c.to_owned()))
    );
    assert_eq!(app.rows().await, before);

    let off = json!({ "id": id, "isAvailable": false });
    admin
        .mutate("updateAiModel", off, "aiModel { id }")
        .await
        .data();
    let refused = asked(json!([[1, 2]])).await;
    assert_eq!(
        refused.violation(),
        ("modelId".to_owned(), "STATE".to_owned())
    );
    let hidden = json!({ "id": id, "isAvailable": true, "isVisible": false });
    admin
        .mutate("updateAiModel", hidden, "aiModel { id }")
        .await
        .data();
    assert_eq!(asked(json!([[1, 2]])).await.code(), "NOT_FOUND");
    assert_eq!(model(&ann, &id).await.code(), "NOT_FOUND");
    // Admins try out what they hide.
    let log_id = ask(&admin, &id, json!([[1, 2]])).await;
    app.run_jobs().await;
    assert_eq!(log(&admin, &log_id).await.text("aiLog.state"), "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_questions_of_one_user_may_wait_and_no_more() {
    let (app, admin, ann) = yard_with(&[
        "--limit-waiting-ai-logs",
        "5",
        "--max-storage-per-user",
        "1000",
    ])
    .await;
    let id = trained(&app, &admin, any_model(), &lines(30)).await;
    let question = || async {
        let input = json!({ "modelId": id, "description": "d", "rows": [[1, 2]] });
        ann.mutate("createAiLog", input, LOG).await
    };

    let asked = futures_util::future::join_all((0..20).map(|_| question())).await;

    let refused: Vec<_> = asked
        .iter()
        .filter(|answer| !answer.errors().is_empty())
        .collect();
    assert_eq!(refused.len(), 15);
    assert!(
        refused
            .iter()
            .all(|answer| answer.code() == "LIMIT_EXCEEDED")
    );
    // Others are not held up, and what is answered does not wait.
    ask(&admin, &id, json!([[1, 2]])).await;
    app.run_jobs().await;
    question().await.data();
    app.run_jobs().await;
    let input = json!({ "modelId": id, "description": "d" });
    let dataset = "a,b\n".to_owned() + &"1,2\n".repeat(150);
    let upload = || ann.upload_dataset("createAiLog", input.clone(), dataset.as_bytes(), LOG);
    upload().await.data();
    assert_eq!(upload().await.code(), "LIMIT_EXCEEDED");
    app.run_jobs().await;
    upload().await.data();
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 2);
}
