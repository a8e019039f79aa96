//! Logs: what users asked models. They are their owner's and admins'.

use std::collections::HashMap;

use diesel::{dsl::auto_type, prelude::*, sql_types::Bool};

use super::{keep, models, settle};
use crate::{
    access::{Act, Actor, SignedIn},
    ai::{AiLog, AiModel, AskModel, Asked as Question, DeleteAnswer, Description},
    app::App,
    bus::Topic,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        dialect::{self, Lockable},
        gone,
        lists::{self, keyset},
        on,
        tables::{ai_logs, jobs},
    },
    error::{Error, Result, Rule, Violation},
    files::Incoming,
    ids::{AiLogId, AiModelId, DatasetId, UserId},
    list::{Asked, List},
    loader::Batch,
    queue::JobState,
};

/// Announces that a log was changed or deleted. What happens to its answer is announced as that of a job.
#[must_use]
pub fn changed(log: AiLogId) -> Topic<AiLogId> {
    Topic::of("ai-log-changed", log)
}

/// The condition, for a query on `ai_logs`, that the actor may see the log.
#[auto_type]
fn may_see(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    let user: UserId = actor.id_or_nil();
    is_admin.into_sql::<Bool>().or(ai_logs::user_id.eq(user))
}

/// The logs with their jobs.
#[auto_type]
fn with_jobs() -> _ {
    ai_logs::table.left_join(jobs::table.on(jobs::id.eq(ai_logs::job_id)))
}

/// Logs by id, of those that the actor may see.
pub struct ReadableLog;

impl Batch for ReadableLog {
    type Key = AiLogId;
    type Value = AiLog;

    async fn load(app: &App, actor: Actor, ids: Vec<AiLogId>) -> Result<HashMap<AiLogId, AiLog>> {
        app.db
            .read(move |conn| {
                let found: Vec<AiLog> = on!(conn, |c| with_jobs()
                    .filter(lists::among(ai_logs::id, ids.iter().copied()))
                    .filter(may_see(&actor))
                    .select(AiLog::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|log| (log.id, log)).collect())
            })
            .await
    }
}

/// Loads a log that `actor` may see.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn readable(app: &App, actor: Actor, id: AiLogId) -> Result<AiLog> {
    let mut found = ReadableLog::load(app, actor, vec![id]).await?;
    found.remove(&id).ok_or(Error::NotFound)
}

/// Loads a log, whoever may see it.
pub(in crate::ai) fn find(conn: &mut Conn, id: AiLogId) -> Result<Option<AiLog>> {
    Ok(on!(conn, |c| with_jobs()
        .filter(ai_logs::id.eq(id))
        .select(AiLog::as_select())
        .first(c)
        .optional())?)
}

/// Logs that the actor may see, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogList {
    pub model: Option<AiModelId>,
    pub user: Option<UserId>,
}

/// The query of the logs in a list, for the backend `$db`.
macro_rules! logs_of {
    ($db:ty, $actor:expr, $list:expr, $from:expr, $select:expr) => {{
        let mut query = $from
            .filter(may_see($actor))
            .select($select)
            .into_boxed::<$db>();
        if let Some(model) = $list.model {
            query = query.filter(ai_logs::model_id.eq(model));
        }
        // Their own, for others than admins, so that it is found by an index.
        let own = (!$actor.is_admin()).then(|| $actor.id_or_nil());
        if let Some(user) = own {
            query = query.filter(ai_logs::user_id.eq(user));
        }
        if let Some(user) = $list.user {
            query = query.filter(ai_logs::user_id.eq(user));
        }
        query
    }};
}

impl List for LogList {
    type Item = AiLog;
    type Key = AiLogId;

    fn cursors(&self) -> Cursors {
        Cursors::AiLogs
    }

    fn direction(&self) -> Direction {
        Direction::Desc
    }

    fn key(&self, log: &AiLog) -> AiLogId {
        log.id
    }

    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<AiLog>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = logs_of!(DB, actor, list, with_jobs(), AiLog::as_select());
                keyset!(query, *page, list.direction(), ai_logs::id)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|list| {
                logs_of!(DB, actor, list, ai_logs::table, ai_logs::id).limit(COUNTED + 1)
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}

/// A question to be.
#[derive(Debug)]
pub struct NewLog {
    pub model: AiModelId,
    pub description: Description,
    pub rows: Option<Vec<Vec<f64>>>,
    pub dataset: Option<Incoming>,
}

/// Asks a model. A job answers.
///
/// # Errors
/// `NOT_FOUND` for a model that the actor may not see; `CONFLICT` at `modelId` when it is not available or not trained;
/// `INVALID` at `rows.N` for rows of the wrong width, and for an empty data set; `LIMIT_EXCEEDED` when too many questions
/// wait; `TOO_LARGE`.
pub async fn insert(app: &App, actor: &SignedIn, new: NewLog) -> Result<AiLog> {
    let reader = Actor::SignedIn(*actor);
    let model = models::readable(app, reader, new.model).await?;
    // Before the bytes are written.
    refuse(&model, new.rows.as_deref())?;
    let user = actor.id;
    let new_bytes = new.dataset.as_ref().map_or(0, |dataset| dataset.size);
    let ports = app.clone();
    app.db
        .read(move |conn| check_waiting(conn, &ports, user, new_bytes))
        .await?;
    let kept = keep(app, new.dataset).await?;
    let question = match (new.rows, kept) {
        (Some(rows), _) => Question::Rows(rows),
        (None, Some(kept)) => Question::Dataset(kept.id),
        (None, None) => Question::Sample,
    };
    let id: AiLogId = app.clock.id();
    let now = app.clock.now();
    let job = AskModel {
        log: id,
        question,
        as_admin: reader.is_admin(),
    };
    let size = kept.and_then(|kept| i64::try_from(kept.size).ok());
    let ports = app.clone();
    let description = new.description;
    let written = app.db.write(move |conn| {
        // One after the other, so that the limit holds.
        dialect::lock(conn, Lockable::Users, user)?;
        check_waiting(conn, &ports, user, new_bytes)?;
        let (job, waiting) = ports.queue.enqueue_with_id(conn, &job)?;
        let row = (
            (
                ai_logs::id.eq(id),
                ai_logs::model_id.eq(Some(new.model)),
                ai_logs::user_id.eq(user),
                ai_logs::description.eq(&description),
                ai_logs::created_at.eq(now),
            ),
            ai_logs::dataset_id.eq(kept.map(|kept| kept.id)),
            ai_logs::dataset_size.eq(size),
            ai_logs::job_id.eq(job),
        );
        // The model may be deleted meanwhile.
        on!(conn, |c| diesel::insert_into(ai_logs::table)
            .values(row)
            .execute(c))
        .map_err(gone)?;
        let log = find(conn, id)?.ok_or(Error::NotFound)?;
        Ok((log, waiting))
    });
    let (log, waiting) = settle(app, kept, written.await).await?;
    app.queue.announce(waiting);
    Ok(log)
}

/// Refuses what the model cannot answer now.
fn refuse(model: &AiModel, rows: Option<&[Vec<f64>]>) -> Result<()> {
    let learned = model.learned()?.filter(|_| model.is_available);
    let learned = learned.ok_or_else(|| Error::conflict("modelId", Rule::State))?;
    let expected = learned.features.len();
    let wrong = rows.unwrap_or_default().iter().enumerate();
    let wrong = wrong.filter(|(_, row)| row.len() != expected);
    let wrong: Vec<Violation> = wrong
        .map(|(n, _)| Rule::Width { expected }.at(format!("rows.{n}")))
        .collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::Invalid(wrong)),
    }
}

/// Whether one more question, with a data set of so many bytes, may wait.
fn check_waiting(conn: &mut Conn, app: &App, user: UserId, new_bytes: u64) -> Result<()> {
    const WAITING: [JobState; 2] = [JobState::Queued, JobState::Running];
    let most = app.config.limits.waiting_ai_logs;
    let waiting: Vec<Option<i64>> = on!(conn, |c| ai_logs::table
        .inner_join(jobs::table.on(jobs::id.eq(ai_logs::job_id)))
        .filter(ai_logs::state.is_null().and(ai_logs::user_id.eq(user)))
        .filter(jobs::state.eq_any(WAITING))
        .select(ai_logs::dataset_size)
        .limit(most.into())
        .load(c))?;
    if waiting.len() >= most as usize {
        return Err(Error::LimitExceeded {
            what: "questions that wait",
            limit: most.into(),
        });
    }
    let sizes = waiting.into_iter().flatten();
    let bytes: u64 = sizes.filter_map(|size| u64::try_from(size).ok()).sum();
    let limit = app.config.max_storage_per_user;
    match bytes + new_bytes > limit {
        true => Err(Error::LimitExceeded {
            what: "bytes of data sets",
            limit,
        }),
        false => Ok(()),
    }
}

/// Changes the description of a log. A change without effect leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND` for callers who are neither its owner nor admins.
pub async fn update(
    app: &App,
    actor: &SignedIn,
    id: AiLogId,
    description: Description,
) -> Result<AiLog> {
    let (actor, now) = (Actor::SignedIn(*actor), app.clock.now());
    let log = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::AiLogs, id)?;
            let log = editable(conn, &actor, id)?;
            if log.description == description {
                return Ok(log);
            }
            let row = (
                ai_logs::description.eq(&description),
                ai_logs::updated_at.eq(Some(now)),
            );
            on!(conn, |c| diesel::update(ai_logs::table.find(id))
                .set(row)
                .execute(c))?;
            editable(conn, &actor, id)
        })
        .await?;
    app.bus.publish(&changed(id), id);
    Ok(log)
}

/// Deletes a log. Its answer is deleted by a job.
///
/// # Errors
/// `NOT_FOUND` for callers who are neither its owner nor admins.
pub async fn delete(app: &App, act: &Act<'_, SignedIn>, id: AiLogId) -> Result<()> {
    let actor = Actor::SignedIn(act.actor);
    let queue = app.queue.clone();
    let (waiting, dataset) = app
        .db
        .write(move |conn| {
            let log = editable(conn, &actor, id)?;
            on!(conn, |c| diesel::delete(ai_logs::table.find(id)).execute(c))?;
            let waiting = queue.enqueue(conn, &DeleteAnswer { log: id })?;
            Ok((waiting, log.dataset_id))
        })
        .await?;
    app.queue.announce(waiting);
    app.bus.publish(&changed(id), id);
    if let Some(dataset) = dataset {
        super::discard(app, dataset).await;
    }
    Ok(())
}

fn editable(conn: &mut Conn, actor: &Actor, id: AiLogId) -> Result<AiLog> {
    let log = find(conn, id)?.filter(|log| actor.owns(Some(log.user_id)));
    log.ok_or(Error::NotFound)
}

/// Notes that the documents of an attempt are the answer. False when the log was deleted.
pub(in crate::ai) fn note_answered(
    conn: &mut Conn,
    app: &App,
    id: AiLogId,
    attempt: i64,
) -> Result<bool> {
    let row = (
        ai_logs::result.eq(Some(attempt)),
        ai_logs::dataset_id.eq(None::<DatasetId>),
        ai_logs::state.eq(Some(JobState::Succeeded)),
        ai_logs::error.eq(None::<String>),
        ai_logs::finished_at.eq(Some(app.clock.now())),
    );
    let noted = on!(conn, |c| diesel::update(ai_logs::table.find(id))
        .set(row)
        .execute(c))?;
    Ok(noted > 0)
}

/// Notes why there will be no answer. The data set is of no more use.
pub(in crate::ai) fn note_reason(conn: &mut Conn, id: AiLogId, reason: &str) -> Result<()> {
    let row = (
        ai_logs::error.eq(Some(reason)),
        ai_logs::dataset_id.eq(None::<DatasetId>),
    );
    on!(conn, |c| diesel::update(ai_logs::table.find(id))
        .set(row)
        .execute(c))?;
    Ok(())
}

/// Notes that there may be an answer after all.
pub(in crate::ai) fn forget_reason(conn: &mut Conn, id: AiLogId) -> Result<()> {
    on!(conn, |c| diesel::update(ai_logs::table.find(id))
        .set(ai_logs::error.eq(None::<String>))
        .execute(c))?;
    Ok(())
}

/// Some logs of a user, and their data sets.
pub(in crate::ai) fn some_of(
    conn: &mut Conn,
    user: UserId,
    limit: i64,
) -> Result<Vec<(AiLogId, Option<DatasetId>)>> {
    Ok(on!(conn, |c| ai_logs::table
        .filter(ai_logs::user_id.eq(user))
        .select((ai_logs::id, ai_logs::dataset_id))
        .limit(limit)
        .load(c))?)
}

/// Deletes the rows of logs whose documents are deleted.
pub(in crate::ai) fn delete_rows(conn: &mut Conn, ids: &[AiLogId]) -> Result<()> {
    on!(conn, |c| diesel::delete(
        ai_logs::table.filter(ai_logs::id.eq_any(ids))
    )
    .execute(c))?;
    Ok(())
}
