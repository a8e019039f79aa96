//! Through the sockets of real servers: what a worker does is seen on every server.

use std::{process::Command, time::Duration};

use madang::{access::Role, queue::JobState};
use serde_json::{Value, json};

use super::{MODEL, any_model, model, yard};
use crate::support::{
    Backends, Process, Said, Servers, Socket, WorkerProcess, call, insert_user, log_in,
};

/// What a subscription brings until it completes.
async fn all(server: &Process, token: &str, query: &str, id: &str) -> Vec<Value> {
    let mut socket = Socket::open(&server.address(), token).await.unwrap();
    socket.subscribe(query, json!({ "i": id })).await.unwrap();
    let mut found = Vec::new();
    loop {
        let said = tokio::time::timeout(Duration::from_secs(30), socket.next());
        match said.await.expect("nothing comes").unwrap() {
            Said::Message(said) if said["type"] == "complete" => return found,
            Said::Message(said) => found.push(said["payload"]["data"].clone()),
            closed => panic!("{closed:?}"),
        }
    }
}

/// Uploads a data set and has a model trained on it, whose id it returns.
fn train(server: &Process, token: &str, dataset: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dataset.csv");
    std::fs::write(&file, dataset).unwrap();
    let query =
        "mutation ($i: CreateAiModelInput!) { createAiModel(input: $i) { aiModel { id } } }";
    let input = json!({ "name": "Sums", "description": "d", "dataset": null });
    let operations = json!({ "query": query, "variables": { "i": input } });
    let done = Command::new("curl")
        .args(["-s", "-H", &format!("Authorization: Bearer {token}")])
        .args(["-H", "GraphQL-Require-Preflight: 1"])
        .args(["-F", &format!("operations={operations}")])
        .args(["-F", r#"map={"0":["variables.i.dataset"]}"#])
        .args(["-F", &format!("0=@{}", file.display())])
        .arg(format!("http://{}/graphql", server.address()))
        .output()
        .expect("./test.sh installs curl");
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let id = answer["data"]["createAiModel"]["aiModel"]["id"].as_str();
    id.unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_and_an_answer_are_followed_on_every_server() {
    let is_one = Backends::of_this_run() == Backends::Embedded;
    // On engines a worker in a process of its own trains.
    let servers = Servers::new(&["--workers", if is_one { "1" } else { "0" }]).await;
    insert_user(&servers.app().await, "admin", Role::Admin).await;
    servers.user("ann").await;
    let running: Vec<_> = (0..servers.count()).map(|_| servers.start()).collect();
    let _worker = (!is_one).then(|| servers.start_worker());
    let (here, there) = (&running[0], running.last().unwrap());
    let (admin, _) = log_in(here, "admin").await;
    let (ann, _) = log_in(there, "ann").await;
    let follow = "subscription ($i: ID!) { aiModelUpdated(id: $i) { state progress } }";

    // So large that it takes a while.
    let large: String = (0..300_000)
        .map(|n| format!("{n},{},{}\n", n % 7, 2 * n + n % 7))
        .collect();
    let id = train(here, &admin, &format!("a,b,y\n{large}"));
    let id = id.as_str();
    let (on_one, on_other) =
        tokio::join!(all(here, &admin, follow, id), all(there, &ann, follow, id));
    let input = json!({ "modelId": id, "description": "d", "rows": [[10, 3]] });
    let asked = call(there, &ann, "createAiLog", input, "aiLog { id }").await;
    let log = asked["aiLog"]["id"].as_str().unwrap();
    let follow = "subscription ($i: ID!) { aiLogUpdated(id: $i) { state result { ... on AiPredictions { predictions } } } }";
    let (by_admin, by_ann) = tokio::join!(
        all(here, &admin, follow, log),
        all(there, &ann, follow, log)
    );

    for states in [on_one, on_other] {
        let last = &states.last().unwrap()["aiModelUpdated"];
        assert_eq!(last["state"], "SUCCEEDED");
        let progress = states
            .iter()
            .map(|state| &state["aiModelUpdated"]["progress"]);
        let some = progress.filter_map(Value::as_f64).find(|some| *some > 0.0);
        assert!(some.is_some_and(|some| some < 1.0), "{states:?}");
    }
    for answers in [by_admin, by_ann] {
        let last = &answers.last().unwrap()["aiLogUpdated"];
        assert_eq!(last["state"], "SUCCEEDED");
        let prediction = last["result"]["predictions"][0].as_f64().unwrap();
        assert!((prediction - 23.0).abs() < 1e-6, "{prediction}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_in_a_process_of_its_own_does_is_seen_without_redis_too() {
    let (app, admin, ann) = yard().await;
    let created = admin.mutate("createAiModel", any_model(), MODEL).await;
    let id = created.text("createAiModel.aiModel.id");
    let mut seen = super::live::follow_model(&app, &ann, &id).await.unwrap();
    let worker = WorkerProcess::start(&app);

    let mut last = None;
    while let Some(model) = super::live::next(&mut seen).await {
        last = Some(model.unwrap().status().state);
    }

    assert_eq!(last, Some(JobState::Succeeded));
    assert_eq!(worker.stop(), Some(0));
    assert_eq!(model(&ann, &id).await.text("aiModel.state"), "SUCCEEDED");
}
