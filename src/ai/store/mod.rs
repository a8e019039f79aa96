//! The store of AI models: owns `ai_models` and `ai_logs`, and the documents with answers.

pub mod answers;
pub mod logs;
pub mod models;

use std::time::Duration;

use diesel::{expression::SqlLiteral, prelude::*, sql_types::Bool};

use super::dataset_path;
use crate::{
    app::App,
    blobs::stream_part,
    clock::Timestamp,
    db::{
        Conn, on,
        tables::{ai_logs, ai_models, jobs},
    },
    error::{Error, Result, Rule},
    files::Incoming,
    ids::{AiLogId, AiModelId, DatasetId, JobId},
    queue::JobState,
};

/// A data set whose bytes are safe.
#[derive(Clone, Copy, Debug)]
pub struct KeptDataset {
    pub id: DatasetId,
    /// In bytes.
    pub size: u64,
}

/// Brings the bytes of a data set to safety, before any row names it.
///
/// # Errors
/// `INVALID` at `dataset` when it is empty; `TOO_LARGE`; `UNAVAILABLE` when the store of bytes is.
async fn keep(app: &App, dataset: Option<Incoming>) -> Result<Option<KeptDataset>> {
    let Some(Incoming { content, size, .. }) = dataset else {
        return Ok(None);
    };
    if size == 0 {
        return Err(Error::invalid("dataset", Rule::Empty));
    }
    let limit = app.config.max_dataset_size;
    if size > limit {
        return Err(Error::TooLarge { limit });
    }
    let id = app.clock.id();
    let content =
        futures_util::TryStreamExt::map_err(stream_part(content, 0..size), Error::internal);
    app.blobs.write(&dataset_path(id), content, limit).await?;
    Ok(Some(KeptDataset { id, size }))
}

/// What was written of the row of a data set. If it failed, the bytes are deleted, unless it is not certain that there is no
/// row: then the sweep will see.
async fn settle<T>(app: &App, kept: Option<KeptDataset>, written: Result<T>) -> Result<T> {
    if let (Err(error), Some(kept)) = (&written, kept)
        && error.is_certain()
    {
        discard(app, kept.id).await;
    }
    written
}

/// Deletes a data set that no row names any more. What fails is left to the sweep.
pub(super) async fn discard(app: &App, id: DatasetId) {
    if let Err(error) = app.blobs.delete(&dataset_path(id)).await {
        tracing::info!(%error, dataset = %id, "a data set is left to the sweep");
    }
}

/// Which of these data sets rows name.
pub(super) fn known_datasets(conn: &mut Conn, ids: &[DatasetId]) -> Result<Vec<DatasetId>> {
    let mut known: Vec<Option<DatasetId>> = on!(conn, |c| ai_models::table
        .filter(ai_models::dataset_id.eq_any(ids))
        .select(ai_models::dataset_id)
        .load(c))?;
    known.extend::<Vec<Option<DatasetId>>>(on!(conn, |c| ai_logs::table
        .filter(ai_logs::dataset_id.eq_any(ids))
        .select(ai_logs::dataset_id)
        .load(c))?);
    Ok(known.into_iter().flatten().collect())
}

type Ended<I> = (I, JobState, Option<String>, Option<Timestamp>);

/// How far back ends are looked for, by the age of the jobs: much less than they are kept.
const NOTED: Duration = Duration::from_secs(7 * 86_400);

/// The least id of a job that is not older than `at`.
fn first_since(at: Timestamp) -> JobId {
    let millis = u64::try_from(at.micros() / 1_000).unwrap_or_default();
    let first = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]);
    JobId::from_uuid(first.into_uuid())
}

/// Notes how up to `limit` jobs have ended, before they are deleted. Returns how many.
pub(super) fn note_ends(conn: &mut Conn, now: Timestamp, limit: i64) -> Result<usize> {
    let since = first_since(now.before(NOTED));
    const ENDED: [JobState; 2] = [JobState::Failed, JobState::Cancelled];
    let is_new = |table: &str| -> SqlLiteral<Bool> {
        diesel::dsl::sql(&format!(
            "({table}.state IS NULL OR {table}.state <> jobs.state)"
        ))
    };
    let models: Vec<Ended<AiModelId>> = on!(conn, |c| jobs::table
        .inner_join(ai_models::table.on(ai_models::job_id.eq(jobs::id)))
        .filter(jobs::state.eq_any(ENDED).and(jobs::id.ge(since)))
        .filter(is_new("ai_models"))
        .select((ai_models::id, jobs::state, jobs::error, jobs::finished_at))
        .limit(limit)
        .load(c))?;
    let logs: Vec<Ended<AiLogId>> = on!(conn, |c| jobs::table
        .inner_join(ai_logs::table.on(ai_logs::job_id.eq(jobs::id)))
        .filter(jobs::state.eq_any(ENDED).and(jobs::id.ge(since)))
        .filter(is_new("ai_logs"))
        .select((ai_logs::id, jobs::state, jobs::error, jobs::finished_at))
        .limit(limit)
        .load(c))?;
    for (id, state, error, at) in &models {
        let end = (
            ai_models::state.eq(Some(*state)),
            ai_models::error.eq(error.as_ref()),
            ai_models::finished_at.eq(*at),
        );
        on!(conn, |c| diesel::update(ai_models::table.find(id))
            .set(end)
            .execute(c))?;
    }
    for (id, state, _, at) in &logs {
        // The error of a log is for its owner, and is there already.
        let end = (
            ai_logs::state.eq(Some(*state)),
            ai_logs::finished_at.eq(*at),
        );
        on!(conn, |c| diesel::update(ai_logs::table.find(id))
            .set(end)
            .execute(c))?;
    }
    Ok(models.len() + logs.len())
}
