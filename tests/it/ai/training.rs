//! Training.

use madang::{ai::regression::Split, blobs::Folder};
use serde_json::{Value, json};

use super::{MODEL, any_model, lines, model, stored, trained, yard};
use crate::support::Client;

/// The numbers in a list.
fn numbers(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap();
    list.iter().map(|value| value.as_f64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_formula_of_the_sample_is_found_again() {
    let (app, admin, ann) = yard().await;

    let created = admin.mutate("createAiModel", any_model(), MODEL).await;
    let id = created.text("createAiModel.aiModel.id");
    let waiting = model(&admin, &id).await;
    app.run_jobs().await;
    let found = model(&admin, &id).await;

    assert_eq!(created.text("createAiModel.aiModel.state"), "QUEUED");
    assert_eq!(waiting.text("aiModel.state"), "QUEUED");
    for field in ["features", "metrics", "progress", "error", "finishedAt"] {
        assert_eq!(
            waiting.at(&format!("aiModel.{field}")),
            &Value::Null,
            "{field}"
        );
    }
    assert_eq!(found.text("aiModel.state"), "SUCCEEDED");
    assert_eq!(found.text("aiModel.job.state"), "SUCCEEDED");
    assert!(found.at("aiModel.finishedAt").is_string());
    assert_eq!(found.at("aiModel.updatedAt"), &Value::Null);
    let features = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"];
    assert_eq!(found.at("aiModel.features"), &json!(features));
    let metrics = found.at("aiModel.metrics");
    let coefficients = numbers(&metrics["coefficients"]);
    let formula = [4.0, 5.0, 2.0, 7.0, 0.1, 15.0, 0.05, 1.0];
    let errors = coefficients
        .iter()
        .zip(formula)
        .map(|(found, true_)| (found / true_ - 1.0).abs());
    let worst = errors.fold(0.0, f64::max);
    println!(
        "worst relative error {worst:e}, intercept {}",
        metrics["intercept"]
    );
    assert!(worst < 1e-6);
    assert!(metrics["intercept"].as_f64().unwrap().abs() < 1e-3);
    assert!((metrics["r2"].as_f64().unwrap() - 1.0).abs() < 1e-9);
    assert_eq!(
        (&metrics["trainRows"], &metrics["testRows"]),
        (&json!(7_000), &json!(3_000))
    );
    // Users see it without what is for admins.
    let seen = model(&ann, &id).await;
    assert_eq!(seen.at("aiModel.metrics"), metrics);
    assert_eq!(seen.at("aiModel.isVisible"), &Value::Null);
    let sample = app.app.config.volume_dir.join("staticfile/AI_test.csv");
    assert!(sample.exists());
    assert_eq!(stored(&app, Folder::Models).await, [format!("{id}-1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_learns_the_column_that_it_is_told_from_all_others() {
    let (app, admin, _) = yard().await;
    let input =
        json!({ "name": "Bs", "description": "d", "target": "b", "testFraction": 0.2, "seed": 5 });

    let id = trained(&app, &admin, input, &lines(1_000)).await;

    let found = model(&admin, &id).await;
    assert_eq!(found.at("aiModel.features"), &json!(["a", "y"]));
    let metrics = found.at("aiModel.metrics");
    // b = 2a - y + 1.
    for (found, expected) in numbers(&metrics["coefficients"])
        .into_iter()
        .zip([2.0, -1.0])
    {
        assert!((found - expected).abs() < 1e-12, "{found}");
    }
    assert!((metrics["intercept"].as_f64().unwrap() - 1.0).abs() < 1e-11);
    assert_eq!(metrics["testRows"], 200);
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn quality_is_measured_on_rows_that_were_not_trained_on_and_the_seed_chooses_them() {
    let (app, admin, _) = yard().await;
    // The rows for testing obey another law.
    let mut split = Split::new(0.3, 7);
    let rows: String = (0..200)
        .map(|n| {
            let y = if split.is_test() { -n } else { 2 * n };
            format!("{n},{y}\n")
        })
        .collect();
    let input = |name: &str, seed: i32| json!({ "name": name, "description": "d", "seed": seed });

    let apart = trained(&app, &admin, input("Apart", 7), &format!("x,y\n{rows}")).await;
    let mixed = trained(&app, &admin, input("Mixed", 8), &format!("x,y\n{rows}")).await;

    let apart = model(&admin, &apart).await;
    let coefficient = numbers(apart.at("aiModel.metrics.coefficients"))[0];
    assert!((coefficient - 2.0).abs() < 1e-12);
    assert!(apart.at("aiModel.metrics.r2").as_f64().unwrap() < -1.0);
    let mixed = model(&admin, &mixed).await;
    assert!((numbers(mixed.at("aiModel.metrics.coefficients"))[0] - 2.0).abs() > 0.1);
}

/// How training with this data set ends.
async fn reason(
    app: &crate::support::TestApp,
    admin: &Client,
    name: &str,
    dataset: &[u8],
) -> String {
    let input = json!({ "name": name, "description": "d", "testFraction": 0.25 });
    let id = admin
        .upload_dataset("createAiModel", input, dataset, MODEL)
        .await
        .text("createAiModel.aiModel.id");
    app.run_jobs().await;
    let found = model(admin, &id).await;
    assert_eq!(found.text("aiModel.state"), "FAILED", "{name}");
    assert_eq!(found.at("aiModel.metrics"), &Value::Null);
    assert_eq!(
        found.at("aiModel.job.attempts"),
        &json!(1),
        "{name} was tried again"
    );
    assert!(found.at("aiModel.finishedAt").is_string());
    found.text("aiModel.error")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_data_set_fails_with_its_line_and_the_reason_and_is_not_tried_again() {
    let (app, admin, ann) = yard().await;
    let with = |row: &str| format!("a,b,y\n1,2,3\n2,1,4\n{row}\n9,8,7\n").into_bytes();
    let wide: String = (0..2_000).map(|n| format!("x{n},")).collect();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("text", with("3,many,5"), "line 4: b is not a number: many"),
        ("nan", with("NaN,2,3"), "line 4: a is NaN"),
        ("infinite", with("1,2,inf"), "line 4: y is infinite: inf"),
        ("ragged", with("1,2"), "line 4: has 2 columns instead of 3"),
        ("empty cell", with("1,,3"), "line 4: b is empty"),
        (
            "no header",
            b"1,2,3\n4,5,6\n".to_vec(),
            "line 1: has numbers where the names of the columns belong",
        ),
        (
            "no target",
            b"a,b,z\n1,2,3\n".to_vec(),
            "line 1: there is no column y",
        ),
        (
            "one column",
            b"y\n1\n2\n".to_vec(),
            "line 1: there is no column beside y",
        ),
        (
            "twice",
            b"a,a,y\n1,2,3\n".to_vec(),
            "line 1: two columns are called a",
        ),
        (
            "one row",
            b"a,b,y\n1,2,3\n".to_vec(),
            "1 rows to train with are too few for 3 coefficients, the intercept included",
        ),
        (
            "few rows",
            lines(3).into_bytes(),
            "2 rows to train with are too few for 3 coefficients, the intercept included",
        ),
        (
            "header alone",
            b"a,b,y\n".to_vec(),
            "0 rows to train with are too few for 3 coefficients, the intercept included",
        ),
        (
            "constant",
            b"a,b,y\n1,2,3\n2,2,4\n3,2,4\n4,2,8\n5,2,8\n7,2,7\n".to_vec(),
            "b is the same in all rows to train with, so that its coefficient could be any",
        ),
        (
            "dependent",
            b"a,b,y\n1,2,3\n2,4,4\n3,6,4\n4,8,8\n5,10,8\n7,14,7\n".to_vec(),
            "b is a linear combination of the columns before it, so that its coefficient could be any",
        ),
        (
            "wide",
            format!("{wide}y\n").into_bytes(),
            "line 1: has 2001 columns, and 500 are the most",
        ),
        (
            "utf-16",
            b"\xff\xfea\0,\0y\0\n\0".to_vec(),
            "the file is in UTF-16, or no text at all: save it as CSV in UTF-8",
        ),
        (
            "picture",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(),
            "the file is in UTF-16, or no text at all: save it as CSV in UTF-8",
        ),
        ("blank lines", b"\n\n".to_vec(), "the file has no header"),
    ];

    for (name, dataset, expected) in cases {
        assert_eq!(
            reason(&app, &admin, name, &dataset).await,
            expected,
            "{name}"
        );
    }
    let input = json!({ "name": "Tested on nothing", "description": "d", "testFraction": 0.001 });
    let id = admin
        .upload_dataset("createAiModel", input, lines(100).as_bytes(), MODEL)
        .await
        .text("createAiModel.aiModel.id");
    app.run_jobs().await;
    let reason = model(&admin, &id).await.text("aiModel.error");
    assert_eq!(reason, "no row is left to test with: there are 100 rows");
    // Users see that it failed, and not why.
    let query = "{ aiModels(first: 1) { nodes { state error } } }";
    let seen = ann.query(query).await;
    assert_eq!(
        seen.at("aiModels.nodes.0"),
        &json!({ "state": "FAILED", "error": null })
    );
    assert_eq!(stored(&app, Folder::Models).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn retraining_takes_what_is_new_and_keeps_the_rest() {
    let (app, admin, _) = yard().await;
    let input = json!({ "name": "Sums", "description": "d", "testFraction": 0.5, "seed": 3 });
    let id = trained(&app, &admin, input, &lines(100)).await;
    let before = model(&admin, &id).await;

    let again = admin
        .mutate("retrainAiModel", json!({ "id": id }), MODEL)
        .await;
    assert_eq!(again.text("retrainAiModel.aiModel.state"), "QUEUED");
    assert_eq!(
        again.at("retrainAiModel.aiModel.metrics"),
        before.at("aiModel.metrics")
    );
    let twice = admin
        .mutate("retrainAiModel", json!({ "id": id }), MODEL)
        .await;
    assert_eq!(twice.code(), "CONFLICT");
    assert_eq!(twice.violation(), ("id".to_owned(), "STATE".to_owned()));
    app.run_jobs().await;
    let same = model(&admin, &id).await;
    let input = json!({ "id": id, "target": "b", "testFraction": 0.1 });
    admin
        .upload_dataset("retrainAiModel", input, lines(200).as_bytes(), MODEL)
        .await
        .data();
    app.run_jobs().await;
    let other = model(&admin, &id).await;

    assert_eq!(same.text("aiModel.state"), "SUCCEEDED");
    assert_eq!(same.at("aiModel.metrics"), before.at("aiModel.metrics"));
    assert_eq!(other.at("aiModel.features"), &json!(["a", "y"]));
    assert_eq!(other.at("aiModel.metrics.testRows"), &json!(20));
    assert_eq!(other.at("aiModel.updatedAt"), &Value::Null);
    // One that fails leaves what was learned before.
    let input = json!({ "id": id });
    admin
        .upload_dataset("retrainAiModel", input, b"a,b\nx,y\n", MODEL)
        .await
        .data();
    app.run_jobs().await;
    let failed = model(&admin, &id).await;
    assert_eq!(failed.text("aiModel.state"), "FAILED");
    assert_eq!(failed.text("aiModel.error"), "line 2: a is not a number: x");
    assert_eq!(failed.at("aiModel.metrics"), other.at("aiModel.metrics"));
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_rules_of_a_model_are_told_at_once() {
    let (app, admin, _) = yard().await;
    let before = app.rows().await;
    let input =
        json!({ "name": " ", "description": "x".repeat(257), "target": "", "testFraction": 1.0 });

    let refused = admin.mutate("createAiModel", input, MODEL).await;
    let empty = admin
        .upload_dataset("createAiModel", any_model(), b"", MODEL)
        .await;

    let expected = [
        ("name", "BLANK"),
        ("description", "TOO_LONG"),
        ("target", "BLANK"),
        ("testFraction", "OUT_OF_RANGE"),
    ];
    assert_eq!(
        refused.violations(),
        expected.map(|(f, c)| (f.to_owned(), c.to_owned()))
    );
    assert_eq!(
        empty.violation(),
        ("dataset".to_owned(), "EMPTY".to_owned())
    );
    for fraction in [0.0, -0.5, 1.5] {
        let input = json!({ "name": "n", "description": "d", "testFraction": fraction });
        let refused = admin.mutate("createAiModel", input, MODEL).await;
        assert_eq!(refused.violation().0, "testFraction");
    }
    assert_eq!(app.rows().await, before);
    admin
        .mutate("createAiModel", any_model(), MODEL)
        .await
        .data();
    let input = json!({ "name": " SUMS ", "description": "d" });
    let taken = admin
        .upload_dataset("createAiModel", input, b"a,y\n1,2\n", MODEL)
        .await;
    assert_eq!(taken.code(), "CONFLICT");
    assert_eq!(taken.violation(), ("name".to_owned(), "TAKEN".to_owned()));
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_as_people_have_them() {
    let (app, admin, _) = yard().await;
    let body = lines(50);
    let forms = [
        body.clone(),
        body.trim_end().to_owned(),
        format!("\u{feff}{body}"),
        body.replace('\n', "\r\n"),
        body.replace(',', ";"),
        body.replace(',', "\t"),
        body.replace(',', " , "),
        body.replace("a,b,y", "\"a\",\"b\",\"y\""),
    ];

    for (n, form) in forms.iter().enumerate() {
        let input = json!({ "name": format!("Form {n}"), "description": "d" });
        let id = trained(&app, &admin, input, form).await;
        let found = model(&admin, &id).await;
        assert_eq!(found.at("aiModel.features"), &json!(["a", "b"]), "{n}");
        let worst = numbers(found.at("aiModel.metrics.coefficients"))
            .into_iter()
            .zip([2.0, -1.0])
            .map(|(found, expected): (f64, f64)| (found - expected).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-12, "{n}: {worst}");
    }
}
