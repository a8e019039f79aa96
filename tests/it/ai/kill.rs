//! Workers that are killed while they train and answer: no job is lost, and none has its effect twice.
//!
//! `AI_KILL_SECONDS` makes it longer than a usual run: 60 is what docs/PERFORMANCE.md tells of.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use diesel::RunQueryDsl;
use madang::{
    ai::store::answers::{BY_LOG, Page},
    db::on,
    documents::Range,
};
use serde_json::{Value, json};

use super::{LOG, MODEL, any_model, lines, trained, yard_with};
use crate::support::{Client, TestApp, WorkerProcess};

/// Rows of a large data set: seconds of work for a test build.
const LARGE: u32 = 2_000_000;
/// Between two kills.
const PAUSE: Duration = Duration::from_secs(3);

/// As if all leases had run out: those of killed workers, and those of workers that go on and have to notice.
async fn end_leases(app: &TestApp) {
    let end = |conn: &mut madang::db::Conn| {
        let ended = diesel::sql_query("UPDATE jobs SET due_at = 1 WHERE state = 1");
        on!(conn, |c| ended.execute(c))?;
        Ok(())
    };
    app.app.db.write(end).await.unwrap();
}

/// The processes of workers that are in the middle of a job.
async fn busy_workers(admin: &Client) -> Vec<u32> {
    let running = admin
        .query("{ jobs(first: 100, state: RUNNING) { nodes { worker } } }")
        .await;
    let running = running.at("jobs.nodes").as_array().unwrap().clone();
    // A worker's name ends with its process and a number.
    let pid = |job: &Value| job["worker"].as_str()?.rsplit('-').nth(1)?.parse().ok();
    running.iter().filter_map(pid).collect()
}

/// All logs or models, by id.
async fn all(client: &Client, list: &str, fields: &str) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let mut after = Value::Null;
    loop {
        let query = format!(
            "query($a: String) {{ {list}(first: 100, after: $a) {{ nodes {{ id {fields} }} pageInfo {{ endCursor hasNextPage }} }} }}"
        );
        let answer = client.run(&query, json!({ "a": after })).await;
        for node in answer.at(&format!("{list}.nodes")).as_array().unwrap() {
            all.insert(node["id"].as_str().unwrap().to_owned(), node.clone());
        }
        after = answer.at(&format!("{list}.pageInfo.endCursor")).clone();
        if answer.at(&format!("{list}.pageInfo.hasNextPage")) == &json!(false) {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_workers_lose_no_job_and_no_job_has_its_effect_twice() {
    let seconds = std::env::var("AI_KILL_SECONDS").map_or(12, |value| value.parse().unwrap());
    let (app, admin, ann) = yard_with(&["--limit-waiting-ai-logs", "1000"]).await;
    let sums = trained(&app, &admin, any_model(), &lines(100)).await;
    let large = lines(LARGE);
    let mut workers = [WorkerProcess::start(&app), WorkerProcess::start(&app)].map(Some);
    let mut asked = BTreeMap::new();
    let (mut models, mut kills) = (Vec::new(), 0);

    let began = Instant::now();
    let mut killed = Instant::now();
    for n in 0_u32.. {
        if began.elapsed() > Duration::from_secs(seconds) {
            break;
        }
        let input = json!({ "modelId": sums, "description": "d", "rows": [[n, 1]] });
        let log = ann.mutate("createAiLog", input, LOG).await;
        asked.insert(log.text("createAiLog.aiLog.id"), f64::from(n));
        if killed.elapsed() > PAUSE {
            let input = json!({ "name": format!("Model {n}"), "description": "d" });
            let model = admin
                .upload_dataset("createAiModel", input, large.as_bytes(), MODEL)
                .await;
            models.push(model.text("createAiModel.aiModel.id"));
            let input = json!({ "modelId": sums, "description": "large" });
            let log = ann
                .upload_dataset(
                    "createAiLog",
                    input,
                    large.replace(",y", ",z").as_bytes(),
                    LOG,
                )
                .await;
            asked.insert(log.text("createAiLog.aiLog.id"), f64::NAN);
            // A worker that begins looks for jobs at once, and is in the middle of these when its turn comes.
            let busy = busy_workers(&admin).await;
            let is_busy = |worker: &Option<WorkerProcess>| {
                let pid = worker.as_ref().map(WorkerProcess::pid);
                pid.is_some_and(|pid| busy.contains(&pid))
            };
            let at = workers.iter().position(is_busy).unwrap_or(kills % 2);
            let worker = &mut workers[at];
            worker.take().unwrap().kill();
            end_leases(&app).await;
            *worker = Some(WorkerProcess::start(&app));
            (kills, killed) = (kills + 1, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ended = "state isFinished error job { attempts }";
    for round in 0.. {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (logs, trained) = (
            all(&admin, "aiLogs", ended).await,
            all(&admin, "aiModels", "state job { state attempts }").await,
        );
        let waiting = logs
            .values()
            .filter(|log| log["isFinished"] == false)
            .count();
        let training = trained
            .values()
            .filter(|model| ["QUEUED", "RUNNING"].contains(&model["state"].as_str().unwrap()))
            .count();
        if waiting + training == 0 {
            break;
        }
        assert!(round < 600, "{waiting} and {training} do not end");
    }
    for worker in workers.into_iter().flatten() {
        assert_eq!(worker.stop(), Some(0));
    }

    let logs = all(
        &admin,
        "aiLogs",
        &format!("{ended} result {{ ... on AiPredictions {{ count predictions(limit: 1) }} }}"),
    )
    .await;
    assert_eq!(logs.len(), asked.len());
    let (mut again, mut left_over) = (0, 0);
    let pages = app.app.documents.collection::<Page>().await.unwrap();
    for (id, n) in &asked {
        let log = &logs[id];
        assert_eq!(
            (&log["state"], &log["error"]),
            (&json!("SUCCEEDED"), &Value::Null),
            "{id}"
        );
        let (count, expected) = match n.is_nan() {
            true => (i64::from(LARGE), 1.0),
            false => (1, 2.0 * n),
        };
        assert_eq!(log["result"]["count"], count);
        let found = log["result"]["predictions"][0].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        again += usize::from(log["job"]["attempts"] != 1);
        let there = pages
            .find(Range::of(BY_LOG, 100_000).equal(id.as_str()))
            .await
            .unwrap();
        left_over += there.len() - (count as usize).div_ceil(1_000);
    }
    for id in &models {
        let model = super::model(&admin, id).await;
        assert_eq!(model.text("aiModel.state"), "SUCCEEDED");
        again += usize::from(model.at("aiModel.job.attempts") != &json!(1));
        assert_eq!(
            model.at("aiModel.metrics.trainRows"),
            &json!(LARGE / 10 * 7)
        );
    }
    println!(
        "{kills} kills: {} questions and {} trainings, {again} of them tried again; {left_over} pages of attempts that do not count",
        asked.len(),
        models.len()
    );
    assert!(kills > 1 && again > 0);
}
