//! Tidying up: what deleted accounts and logs leave behind, and bytes that no row names.

use std::{collections::HashMap, time::Duration};

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    accounts::UserDeleted,
    ai::{
        DeleteAnswer,
        store::{self, answers, discard, logs, models},
    },
    app::App,
    blobs::{BlobPath, Folder, Stored},
    error::Result,
    ids::{AiModelId, DatasetId, UserId},
    queue::Payload,
    work::{Done, Failure, Run, Work},
};

/// Rows in one transaction.
const BATCH: i64 = 100;
/// How old bytes without a row must be to be deleted: much older than a request can be that will still write the row.
const LEFT_OVER: Duration = Duration::from_secs(3_600);

impl Work for DeleteAnswer {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        answers::delete(&run.app, self.log).await?;
        Ok(run.done())
    }
}

/// Deletes the logs of a deleted account, in batches.
#[derive(Serialize, Deserialize)]
pub struct DeleteLogs {
    user: UserId,
}

impl From<UserDeleted> for DeleteLogs {
    fn from(UserDeleted { user }: UserDeleted) -> Self {
        Self { user }
    }
}

impl Payload for DeleteLogs {
    const KIND: &'static str = "delete_ai_logs";
}

impl Work for DeleteLogs {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let user = self.user;
        loop {
            let some = run
                .app
                .db
                .read(move |conn| logs::some_of(conn, user, BATCH))
                .await?;
            if some.is_empty() {
                return Ok(run.done());
            }
            for (log, dataset) in &some {
                answers::delete(&run.app, *log).await?;
                if let Some(dataset) = dataset {
                    discard(&run.app, *dataset).await;
                }
            }
            let ids: Vec<_> = some.into_iter().map(|(log, _)| log).collect();
            run.write(move |conn| logs::delete_rows(conn, &ids)).await?;
        }
    }
}

/// Notes how jobs have ended before they are deleted, and deletes bytes that no row names: those of deleted models and of
/// former trainings, and what requests leave that were broken off or refused.
#[derive(Default, Serialize, Deserialize)]
pub struct SweepAi {}

impl Payload for SweepAi {
    const KIND: &'static str = "sweep_ai";
}

impl Work for SweepAi {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        let now = run.app.clock.now();
        while run
            .write(move |conn| store::note_ends(conn, now, BATCH))
            .await?
            > 0
        {}
        for folder in [Folder::Datasets, Folder::Models] {
            let blobs = &run.app.blobs;
            blobs.delete_unfinished(folder, LEFT_OVER).await?;
            let mut batches = blobs
                .older_than(folder, LEFT_OVER)
                .try_chunks(BATCH as usize);
            while let Some(batch) = batches.try_next().await.map_err(|e| e.1)? {
                let useless = match folder {
                    Folder::Datasets => useless_datasets(&run.app, batch).await?,
                    _ => useless_models(&run.app, batch).await?,
                };
                for path in useless {
                    run.app.blobs.delete(&path).await?;
                    tracing::info!(%path, "bytes without a row were deleted");
                }
            }
        }
        Ok(run.done())
    }
}

/// Those of these data sets that no row names. What has another name is not ours.
async fn useless_datasets(app: &App, batch: Vec<Stored>) -> Result<Vec<BlobPath>> {
    let named = batch.into_iter().filter_map(|stored| {
        let id = DatasetId::parse(stored.path.name()).ok()?;
        Some((id, stored.path))
    });
    let mut named: HashMap<_, _> = named.collect();
    let ids: Vec<_> = named.keys().copied().collect();
    let known = app.db.read(move |conn| store::known_datasets(conn, &ids));
    for id in known.await? {
        named.remove(&id);
    }
    Ok(named.into_values().collect())
}

/// Those of these models that are not in use.
async fn useless_models(app: &App, batch: Vec<Stored>) -> Result<Vec<BlobPath>> {
    let named = batch.into_iter().filter_map(|stored| {
        let (id, training) = stored.path.name().rsplit_once('-')?;
        let key = (AiModelId::parse(id).ok()?, training.parse::<i32>().ok()?);
        Some((key, stored.path))
    });
    let named: Vec<_> = named.collect();
    let ids: Vec<_> = named.iter().map(|((id, _), _)| *id).collect();
    let known = app
        .db
        .read(move |conn| models::trainings(conn, &ids))
        .await?;
    let useless = named.into_iter().filter(|((id, training), _)| {
        // A training that is not over yet may have written its model.
        let in_use = known.get(id);
        in_use.is_none_or(|(trained, latest)| *trained != Some(*training) && training != latest)
    });
    Ok(useless.map(|(_, path)| path).collect())
}
