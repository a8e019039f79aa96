//! AI models: training, asking, and who may.

mod asking;
mod hostile;
mod kill;
mod life;
mod live;
mod servers;
mod training;

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use madang::blobs::Folder;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp};

const MODEL: &str = "aiModel { id name description algorithm features state progress error isVisible isAvailable updatedAt
    finishedAt metrics { rmse r2 intercept coefficients trainRows testRows } job { id kind state attempts error } }";
const LOG: &str = "aiLog { id description state isFinished progress error updatedAt finishedAt model { name } user { name }
    result { __typename ... on AiPredictions { count predictions } ... on AiEvaluation { rows rmse r2 } } }";

/// A server, its admin and a user.
async fn yard() -> (Arc<TestApp>, Client, Client) {
    yard_with(&[]).await
}

async fn yard_with(flags: &[&str]) -> (Arc<TestApp>, Client, Client) {
    let app = TestApp::with(flags).await;
    let (admin, ann) = (app.admin().await, app.user("ann").await);
    (app, admin, ann)
}

/// The answer to a question about a model, of which `MODEL` is selected.
async fn model(client: &Client, id: &str) -> Answer {
    let query = format!(
        "query($i: ID!) {{ node(id: $i) {{ ... on AiModel {{ x: id }} }} {} }}",
        MODEL.replacen("aiModel", "aiModel(id: $i)", 1)
    );
    client.run(&query, json!({ "i": id })).await
}

async fn log(client: &Client, id: &str) -> Answer {
    let query = format!(
        "query($i: ID!) {{ {} }}",
        LOG.replacen("aiLog", "aiLog(id: $i)", 1)
    );
    client.run(&query, json!({ "i": id })).await
}

/// A model to create.
fn any_model() -> Value {
    json!({ "name": "Sums", "description": "Adds up." })
}

/// Creates a model from a data set, trains it, and returns its id.
async fn trained(app: &TestApp, admin: &Client, input: Value, dataset: &str) -> String {
    let id = admin
        .upload_dataset("createAiModel", input, dataset.as_bytes(), MODEL)
        .await
        .text("createAiModel.aiModel.id");
    app.run_jobs().await;
    assert_eq!(model(admin, &id).await.at("aiModel.error"), &Value::Null);
    id
}

/// Asks a model, and returns the log's id.
async fn ask(client: &Client, model: &str, rows: Value) -> String {
    let input = json!({ "modelId": model, "description": "How much?", "rows": rows });
    client
        .mutate("createAiLog", input, LOG)
        .await
        .text("createAiLog.aiLog.id")
}

/// y = 2a - b + 1, in so many rows.
fn lines(rows: u32) -> String {
    let row = |n: u32| {
        let (a, b) = (n % 17, n * 7 % 23);
        format!("{a},{b},{}\n", 2 * i64::from(a) - i64::from(b) + 1)
    };
    "a,b,y\n".to_owned() + &(0..rows).map(row).collect::<String>()
}

/// The names of all bytes in a folder.
async fn stored(app: &TestApp, folder: Folder) -> Vec<String> {
    let all = app.app.blobs.older_than(folder, Duration::ZERO);
    let all: Vec<_> = all
        .map_ok(|stored| stored.path.name().to_owned())
        .try_collect()
        .await
        .unwrap();
    all
}
