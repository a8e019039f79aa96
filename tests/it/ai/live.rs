//! Following models and logs.

use std::time::Duration;

use futures_util::{Stream, StreamExt};
use madang::{
    ai::{
        AiLog, AiModel,
        live::{LogState, ModelState},
    },
    error::{Error, Result},
    ids::{AiLogId, AiModelId},
    queue::JobState,
    watch,
};
use serde_json::json;

use super::{MODEL, any_model, ask, lines, trained, yard};
use crate::support::{Client, TestApp};

pub async fn follow_model(
    app: &TestApp,
    client: &Client,
    id: &str,
) -> Result<impl Stream<Item = Result<AiModel>> + Unpin> {
    let caller = client.caller().await;
    let state = ModelState::of(&app.app, caller.actor(), AiModelId::parse(id).unwrap()).await?;
    Ok(Box::pin(
        watch::follow_state(app.app.clone(), caller, state).await?,
    ))
}

async fn follow_log(
    app: &TestApp,
    client: &Client,
    id: &str,
) -> Result<impl Stream<Item = Result<AiLog>> + Unpin> {
    let caller = client.caller().await;
    let state = LogState::of(&app.app, caller.actor(), AiLogId::parse(id).unwrap()).await?;
    Ok(Box::pin(
        watch::follow_state(app.app.clone(), caller, state).await?,
    ))
}

pub async fn next<T>(stream: &mut (impl Stream<Item = Result<T>> + Unpin)) -> Option<Result<T>> {
    tokio::time::timeout(Duration::from_secs(10), stream.next())
        .await
        .expect("nothing comes")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_followed_from_its_present_state_to_the_last() {
    let (app, admin, ann) = yard().await;
    let id = admin
        .mutate("createAiModel", any_model(), MODEL)
        .await
        .text("createAiModel.aiModel.id");
    let mut seen = follow_model(&app, &ann, &id).await.unwrap();

    let first = next(&mut seen).await.unwrap().unwrap();
    assert_eq!(first.status().state, JobState::Queued);
    let edit = json!({ "id": id, "description": "Other" });
    admin.mutate("updateAiModel", edit, MODEL).await.data();
    assert_eq!(
        next(&mut seen).await.unwrap().unwrap().description.as_str(),
        "Other"
    );
    app.run_jobs().await;
    let mut states = Vec::new();
    while let Some(model) = next(&mut seen).await {
        let status = model.unwrap().status();
        assert_eq!(status.progress.is_some(), status.state == JobState::Running);
        states.push(status.state);
    }
    assert_eq!(states.last(), Some(&JobState::Succeeded));
    // One that is over comes once.
    let mut again = follow_model(&app, &ann, &id).await.unwrap();
    assert!(
        next(&mut again)
            .await
            .unwrap()
            .unwrap()
            .learned()
            .unwrap()
            .is_some()
    );
    assert!(next(&mut again).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_followed_by_its_owner_and_admins_until_the_answer_is_there() {
    let (app, admin, ann) = yard().await;
    let ben = app.user("ben").await;
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let log = ask(&ann, &id, json!([[1, 2]])).await;
    assert!(matches!(
        follow_log(&app, &ben, &log).await.err(),
        Some(Error::NotFound)
    ));
    let mut seen = [
        follow_log(&app, &ann, &log).await.unwrap(),
        follow_log(&app, &admin, &log).await.unwrap(),
    ];

    for seen in &mut seen {
        assert_eq!(
            next(seen).await.unwrap().unwrap().status().state,
            JobState::Queued
        );
    }
    app.run_jobs().await;

    for seen in &mut seen {
        let mut last = None;
        while let Some(log) = next(seen).await {
            last = Some(log.unwrap());
        }
        let last = last.unwrap();
        assert_eq!(last.status().state, JobState::Succeeded);
        assert!(last.result.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_the_right_or_the_thing_itself_hears_of_it() {
    let (app, admin, ann) = yard().await;
    let id = admin
        .mutate("createAiModel", any_model(), MODEL)
        .await
        .text("createAiModel.aiModel.id");
    let mut hidden = follow_model(&app, &ann, &id).await.unwrap();
    let mut deleted = follow_model(&app, &admin, &id).await.unwrap();
    next(&mut hidden).await.unwrap().unwrap();
    next(&mut deleted).await.unwrap().unwrap();

    admin
        .mutate(
            "updateAiModel",
            json!({ "id": id, "isVisible": false }),
            MODEL,
        )
        .await
        .data();
    assert!(matches!(
        next(&mut hidden).await,
        Some(Err(Error::NotFound))
    ));
    assert!(next(&mut hidden).await.is_none());
    next(&mut deleted).await.unwrap().unwrap();
    admin
        .mutate("deleteAiModel", json!({ "id": id }), "deletedAiModelId")
        .await
        .data();
    assert!(matches!(
        next(&mut deleted).await,
        Some(Err(Error::NotFound))
    ));
    let id = trained(&app, &admin, any_model(), &lines(100)).await;
    let log = ask(&ann, &id, json!([[1, 2]])).await;
    let mut banned = follow_log(&app, &ann, &log).await.unwrap();
    next(&mut banned).await.unwrap().unwrap();
    admin
        .mutate("banUser", json!({ "id": ann.id }), "user { id }")
        .await
        .data();
    assert!(matches!(
        next(&mut banned).await,
        Some(Err(Error::Banned { .. }))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_training_tells_how_far_it_has_come_and_stops_within_a_second_of_being_cancelled() {
    let (app, admin, ann) = yard().await;
    // Many seconds of work in a test build.
    let dataset = lines(3_000_000);
    let answer = admin
        .upload_dataset("createAiModel", any_model(), dataset.as_bytes(), MODEL)
        .await;
    let (id, job) = (
        answer.text("createAiModel.aiModel.id"),
        answer.text("createAiModel.aiModel.job.id"),
    );
    let mut seen = follow_model(&app, &ann, &id).await.unwrap();
    let working = {
        let app = app.clone();
        tokio::spawn(async move { app.run_jobs().await })
    };

    let mut notes = Vec::new();
    let mut times = Vec::new();
    while notes.len() < 4 {
        let status = next(&mut seen).await.unwrap().unwrap().status();
        if let Some(progress) = status.progress.filter(|progress| *progress > 0.0) {
            notes.push(progress);
            times.push(std::time::Instant::now());
        }
    }
    admin
        .mutate("cancelJob", json!({ "id": job }), "job { id }")
        .await
        .data();
    let cancelled = std::time::Instant::now();
    working.await.unwrap();
    let stopped = cancelled.elapsed();

    assert!(notes.windows(2).all(|pair| pair[0] < pair[1]), "{notes:?}");
    assert!(notes.iter().all(|progress| *progress < 1.0));
    // Twice a second at most: four notes take a second and a half.
    assert!(times[3] - times[0] > Duration::from_millis(1_200));
    let mut last = None;
    while let Some(model) = next(&mut seen).await {
        last = Some(model.unwrap().status());
    }
    assert_eq!(last.unwrap().state, JobState::Cancelled);
    println!("stopped after {stopped:?}");
    // The worker's own end is waited for too, so that this is generous.
    assert!(stopped < Duration::from_secs(5), "{stopped:?}");
}
