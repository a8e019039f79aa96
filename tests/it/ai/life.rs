//! Who sees and changes models and logs, and what becomes of them.

use std::time::Duration;

use futures_util::{TryStreamExt, stream};
use madang::{
    ai::{TrainModel, model_path, store::answers},
    blobs::Folder,
    documents::Range,
    ids::AiModelId,
    jobs::jobs::SweepJobs,
    work::{Kinds, Place},
};
use serde_json::{Value, json};

use super::{LOG, MODEL, any_model, ask, lines, log, model, stored, trained, yard};
use crate::support::Client;

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_their_owner_s_and_admins() {
    let (app, admin, ann) = yard().await;
    let ben = app.user("ben").await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let other = trained(
        &app,
        &admin,
        json!({ "name": "Other", "description": "d" }),
        &lines(50),
    )
    .await;
    let first = ask(&ann, &id, json!([[1, 2]])).await;
    let second = ask(&ann, &other, json!([[1, 2]])).await;
    let third = ask(&ben, &id, json!([[1, 2]])).await;
    app.run_jobs().await;

    for refused in [
        log(&ben, &first).await,
        log(&app.user("eve").await, &first).await,
    ] {
        assert_eq!(refused.code(), "NOT_FOUND");
    }
    let listed = async |client: &Client, filter: &str| {
        let answer = client
            .query(&format!(
                "{{ aiLogs{filter} {{ nodes {{ id }} totalCount }} }}"
            ))
            .await;
        let nodes = answer.at("aiLogs.nodes").as_array().unwrap().clone();
        let total = answer.at("aiLogs.totalCount").as_u64().unwrap();
        assert!(filter.contains("first") || total == nodes.len() as u64);
        nodes
            .into_iter()
            .map(|node| node["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&ann, "").await, [second.clone(), first.clone()]);
    assert_eq!(
        listed(&ann, &format!("(modelId: \"{id}\")")).await,
        std::slice::from_ref(&first)
    );
    assert_eq!(
        listed(&ann, &format!("(userId: \"{}\")", ben.id)).await,
        [""; 0]
    );
    assert_eq!(
        listed(&admin, "").await,
        [third.clone(), second.clone(), first.clone()]
    );
    assert_eq!(
        listed(
            &admin,
            &format!("(userId: \"{}\", modelId: \"{id}\")", ann.id)
        )
        .await,
        std::slice::from_ref(&first)
    );
    let page = ann
        .query("{ aiLogs(first: 1) { nodes { id } pageInfo { endCursor hasNextPage } } }")
        .await;
    let cursor = page.text("aiLogs.pageInfo.endCursor");
    assert_eq!(
        listed(&admin, &format!("(first: 1, after: \"{cursor}\")"))
            .await
            .len(),
        1
    );

    let edit = json!({ "id": first, "description": " Changed " });
    assert_eq!(
        ben.mutate("updateAiLog", edit.clone(), LOG).await.code(),
        "NOT_FOUND"
    );
    let edited = ann.mutate("updateAiLog", edit.clone(), LOG).await;
    assert_eq!(edited.text("updateAiLog.aiLog.description"), "Changed");
    let at = edited.text("updateAiLog.aiLog.updatedAt");
    app.advance(5);
    let same = admin.mutate("updateAiLog", edit, LOG).await;
    assert_eq!(same.text("updateAiLog.aiLog.updatedAt"), at);
    let delete = json!({ "id": first });
    assert_eq!(
        ben.mutate("deleteAiLog", delete.clone(), "deletedAiLogId")
            .await
            .code(),
        "NOT_FOUND"
    );
    ann.mutate("deleteAiLog", delete.clone(), "deletedAiLogId")
        .await
        .data();
    assert_eq!(
        ann.mutate("deleteAiLog", delete, "deletedAiLogId")
            .await
            .code(),
        "NOT_FOUND"
    );
    assert_eq!(log(&ann, &first).await.code(), "NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_changed_hidden_and_deleted_by_admins() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let answered = ask(&ann, &id, json!([[1, 2]])).await;
    app.run_jobs().await;
    app.advance(5);

    let same = json!({ "id": id, "name": "Sums", "isVisible": true });
    let same = admin.mutate("updateAiModel", same, MODEL).await;
    assert_eq!(same.at("updateAiModel.aiModel.updatedAt"), &Value::Null);
    let null = json!({ "id": id, "name": null });
    assert_eq!(
        admin
            .mutate("updateAiModel", null, MODEL)
            .await
            .violation()
            .1,
        "NULL"
    );
    let hidden = json!({ "id": id, "name": "Totals", "description": "New", "isVisible": false });
    let hidden = admin.mutate("updateAiModel", hidden, MODEL).await;
    assert!(hidden.at("updateAiModel.aiModel.updatedAt").is_string());
    assert_eq!(hidden.text("updateAiModel.aiModel.name"), "Totals");
    assert_eq!(
        ann.query("{ aiModels { nodes { id } totalCount } }")
            .await
            .at("aiModels"),
        &json!({ "nodes": [], "totalCount": 0 })
    );
    // The log stays, without the model for who may not see it.
    assert_eq!(log(&ann, &answered).await.at("aiLog.model"), &Value::Null);
    assert_eq!(
        log(&admin, &answered).await.text("aiLog.model.name"),
        "Totals"
    );
    assert_eq!(
        log(&ann, &answered).await.at("aiLog.result.count"),
        &json!(1)
    );

    admin
        .mutate("deleteAiModel", json!({ "id": id }), "deletedAiModelId")
        .await
        .data();
    assert_eq!(model(&admin, &id).await.code(), "NOT_FOUND");
    assert_eq!(log(&admin, &answered).await.at("aiLog.model"), &Value::Null);
    assert_eq!(
        log(&ann, &answered).await.at("aiLog.result.count"),
        &json!(1)
    );
    app.advance(2 * 3_600);
    app.run_jobs().await;
    assert_eq!(stored(&app, Folder::Models).await.len(), 0);
    assert_eq!(stored(&app, Folder::Datasets).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_is_deleted_or_hidden_while_a_question_waits_ends_it_with_the_reason() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;

    let first = ask(&ann, &id, json!([[1, 2]])).await;
    let by_admin = ask(&admin, &id, json!([[1, 2]])).await;
    admin
        .mutate(
            "updateAiModel",
            json!({ "id": id, "isVisible": false }),
            MODEL,
        )
        .await
        .data();
    app.run_jobs().await;
    admin
        .mutate(
            "updateAiModel",
            json!({ "id": id, "isVisible": true }),
            MODEL,
        )
        .await
        .data();
    let second = ask(&ann, &id, json!([[1, 2]])).await;
    let third = ask(&ann, &id, json!([[1, 2]])).await;
    admin
        .upload_dataset(
            "retrainAiModel",
            json!({ "id": id, "target": "b" }),
            b"a,b\n1,2\n2,3\n3,4\n4,5\n5,6\n",
            MODEL,
        )
        .await
        .data();
    let only_train = Kinds::default().with::<TrainModel>();
    app.run_jobs_of(only_train).await;
    app.run_jobs().await;
    let fourth = ask(&ann, &id, json!([[1]])).await;
    admin
        .mutate("deleteAiModel", json!({ "id": id }), "deletedAiModelId")
        .await
        .data();
    app.run_jobs().await;

    let ended = async |id: &str| {
        let found = log(&admin, id).await;
        (
            found.text("aiLog.state"),
            found
                .at("aiLog.error")
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        )
    };
    let failed = |reason: &str| ("FAILED".to_owned(), reason.to_owned());
    assert_eq!(ended(&first).await, failed("the model was hidden"));
    assert_eq!(ended(&by_admin).await.0, "SUCCEEDED");
    let narrower = "the model was trained anew meanwhile, and takes 1 column now";
    assert_eq!(ended(&second).await, failed(narrower));
    assert_eq!(ended(&third).await, failed(narrower));
    assert_eq!(ended(&fourth).await, failed("the model was deleted"));
    // A training of a deleted model.
    let other = admin.mutate("createAiModel", any_model(), MODEL).await;
    let job = other.text("createAiModel.aiModel.job.id");
    admin
        .mutate(
            "deleteAiModel",
            json!({ "id": other.text("createAiModel.aiModel.id") }),
            "deletedAiModelId",
        )
        .await
        .data();
    app.run_jobs().await;
    let query = "query($i: ID!) { node(id: $i) { ... on Job { state error attempts } } }";
    let job = admin.run(query, json!({ "i": job })).await;
    assert_eq!(
        job.at("node"),
        &json!({ "state": "FAILED", "error": "the model was deleted", "attempts": 1 })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_model_file_is_a_clear_failure() {
    let (app, admin, ann) = yard().await;
    let damaged = trained(&app, &admin, any_model(), &lines(100)).await;
    let missing = trained(
        &app,
        &admin,
        json!({ "name": "Gone", "description": "d" }),
        &lines(100),
    )
    .await;
    let blobs = &app.app.blobs;
    let path = |id: &str| model_path(AiModelId::parse(id).unwrap(), 1);
    let file = blobs.read(&path(&damaged), None).await.unwrap();
    let bytes = file
        .content
        .map_ok(|bytes| bytes.to_vec())
        .try_concat()
        .await
        .unwrap();
    let changed = String::from_utf8(bytes)
        .unwrap()
        .replace("intercept\":", "intercept\":1");
    let content = stream::iter([Ok(changed.into())]);
    blobs.write(&path(&damaged), content, 10_000).await.unwrap();
    blobs.delete(&path(&missing)).await.unwrap();

    let first = ask(&ann, &damaged, json!([[1, 2]])).await;
    let second = ask(&ann, &missing, json!([[1, 2]])).await;
    app.run_jobs().await;

    assert_eq!(
        log(&ann, &first).await.text("aiLog.error"),
        "the model's file is damaged: it has to be trained again"
    );
    assert_eq!(
        log(&ann, &second).await.text("aiLog.error"),
        "the model's file is missing: it has to be trained again"
    );
    admin
        .mutate("retrainAiModel", json!({ "id": damaged }), MODEL)
        .await
        .data();
    app.run_jobs().await;
    let again = ask(&ann, &damaged, json!([[1, 2]])).await;
    app.run_jobs().await;
    assert_eq!(log(&ann, &again).await.text("aiLog.state"), "SUCCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_a_deleted_account_are_deleted_with_their_answers() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let answered = ask(&ann, &id, json!([[1, 2]])).await;
    app.run_jobs().await;
    let waiting = ask(&ann, &id, json!([[1, 2]])).await;

    admin
        .mutate("deleteUser", json!({ "id": ann.id }), "deletedUserId")
        .await
        .data();
    let seen = log(&admin, &answered).await;
    assert_eq!(seen.at("aiLog.user"), &Value::Null);
    app.run_jobs().await;

    for id in [answered, waiting] {
        assert_eq!(log(&admin, &id).await.code(), "NOT_FOUND");
    }
    let pages = app
        .app
        .documents
        .collection::<answers::Page>()
        .await
        .unwrap();
    let all = Range::of(answers::BY_LOG, 10);
    assert!(pages.find(all).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn how_jobs_ended_is_known_after_they_are_deleted() {
    let (app, admin, ann) = yard().await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let bad = admin
        .upload_dataset(
            "createAiModel",
            json!({ "name": "Bad", "description": "d" }),
            b"a\nx\n",
            MODEL,
        )
        .await
        .text("createAiModel.aiModel.id");
    let answered = ask(&ann, &id, json!([[1, 2]])).await;
    let failed = ann
        .upload_dataset(
            "createAiLog",
            json!({ "modelId": id, "description": "d" }),
            b"a\n1\n",
            LOG,
        )
        .await
        .text("createAiLog.aiLog.id");
    app.run_jobs().await;
    let cancelled = ask(&ann, &id, json!([[1, 2]])).await;
    let jobs = admin
        .query("{ jobs(first: 1, kind: \"ask_model\") { nodes { id } } }")
        .await;
    admin
        .mutate(
            "cancelJob",
            json!({ "id": jobs.text("jobs.nodes.0.id") }),
            "job { id }",
        )
        .await
        .data();
    let ends = async |admin: &Client, ann: &Client| {
        let mut ends = Vec::new();
        for id in [&id, &bad] {
            let found = model(admin, id).await;
            ends.push(json!([
                found.at("aiModel.state"),
                found.at("aiModel.error"),
                found.at("aiModel.finishedAt")
            ]));
        }
        for id in [&answered, &failed, &cancelled] {
            ends.push(log(ann, id).await.at("aiLog").clone());
        }
        ends
    };
    let before = ends(&admin, &ann).await;
    assert_eq!(before[4]["state"], "CANCELLED");
    assert_eq!(before[4]["error"], "It was cancelled.");

    app.advance(3_700);
    app.run_jobs().await;
    app.advance(31 * 86_400);
    let only_sweep =
        Kinds::default().repeating::<SweepJobs>(Duration::from_secs(3_600), Place::Anywhere);
    app.run_jobs_of(only_sweep).await;
    let admin = admin.again("admin").await;
    let ann = ann.again("ann").await;

    let left = admin
        .query("{ jobs(first: 100) { nodes { kind state } } }")
        .await;
    assert!(
        left.at("jobs.nodes")
            .as_array()
            .unwrap()
            .iter()
            .all(|job| job["state"] == "QUEUED"),
        "{}",
        left.body
    );
    let after = ends(&admin, &ann).await;
    assert_eq!(after, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_and_retraining_a_model_that_is_being_deleted_ends_in_one_of_the_two() {
    let (app, admin, ann) = yard().await;
    for n in 0..5 {
        let input = json!({ "name": format!("Model {n}"), "description": "d" });
        let id = trained(&app, &admin, input, &lines(50)).await;
        let question = json!({ "modelId": id, "description": "d", "rows": [[1, 2]] });
        let asking = (0..8).map(|_| ann.mutate("createAiLog", question.clone(), LOG));
        let asking = futures_util::future::join_all(asking);
        let again = json!({ "id": id });
        let retraining = admin.mutate("retrainAiModel", again.clone(), MODEL);
        let deleting = admin.mutate("deleteAiModel", again.clone(), "deletedAiModelId");

        let (asked, retrained, deleted) = tokio::join!(asking, retraining, deleting);

        deleted.data();
        for answer in asked.iter().chain([&retrained]) {
            let is_fine = answer.errors().is_empty() || answer.code() == "NOT_FOUND";
            assert!(is_fine, "{}", answer.body);
        }
        app.run_jobs().await;
    }
    let left = ann
        .query("{ aiLogs(first: 100) { nodes { isFinished } } }")
        .await;
    let left = left.at("aiLogs.nodes").as_array().unwrap().clone();
    assert!(left.iter().all(|log| log["isFinished"] == true));
}
