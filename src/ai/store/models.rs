//! Models. Only admins see hidden ones.

use std::collections::HashMap;

use diesel::{dsl::auto_type, prelude::*, sql_types::Bool};

use super::{keep, settle};
use crate::{
    access::{Act, Actor, Admin},
    ai::{AiModel, Description, Learned, ModelName, Settings, Target, TestFraction, TrainModel},
    app::App,
    bus::Topic,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn, conflict,
        dialect::{self, Lockable},
        lists::{self, keyset},
        on,
        tables::{ai_models, jobs},
    },
    error::{Error, Result, Rule},
    files::Incoming,
    ids::AiModelId,
    list::{Asked, List},
    loader::Batch,
    queue::JobState,
};

/// The input field for each unique column.
const UNIQUE: [(&str, &str); 1] = [("name_key", "name")];

/// Announces that a model was changed or deleted. What happens to its training is announced as that of a job.
#[must_use]
pub fn changed(model: AiModelId) -> Topic<AiModelId> {
    Topic::of("ai-model-changed", model)
}

/// The condition, for a query on `ai_models`, that the actor may see the model.
#[auto_type]
fn may_see(actor: &Actor) -> _ {
    let is_admin: bool = actor.is_admin();
    is_admin.into_sql::<Bool>().or(ai_models::is_visible)
}

/// The models with their jobs.
#[auto_type]
fn with_jobs() -> _ {
    ai_models::table.left_join(jobs::table.on(jobs::id.eq(ai_models::job_id)))
}

/// Models by id, of those that the actor may see.
pub struct ReadableModel;

impl Batch for ReadableModel {
    type Key = AiModelId;
    type Value = AiModel;

    async fn load(
        app: &App,
        actor: Actor,
        ids: Vec<AiModelId>,
    ) -> Result<HashMap<AiModelId, AiModel>> {
        app.db
            .read(move |conn| {
                let found: Vec<AiModel> = on!(conn, |c| with_jobs()
                    .filter(lists::among(ai_models::id, ids.iter().copied()))
                    .filter(may_see(&actor))
                    .select(AiModel::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|model| (model.id, model)).collect())
            })
            .await
    }
}

/// Loads a model that `actor` may see.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn readable(app: &App, actor: Actor, id: AiModelId) -> Result<AiModel> {
    let mut found = ReadableModel::load(app, actor, vec![id]).await?;
    found.remove(&id).ok_or(Error::NotFound)
}

/// Loads a model, whoever may see it.
pub(in crate::ai) fn find(conn: &mut Conn, id: AiModelId) -> Result<Option<AiModel>> {
    Ok(on!(conn, |c| with_jobs()
        .filter(ai_models::id.eq(id))
        .select(AiModel::as_select())
        .first(c)
        .optional())?)
}

/// Models that the actor may see, newest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ModelList;

impl List for ModelList {
    type Item = AiModel;
    type Key = AiModelId;

    fn cursors(&self) -> Cursors {
        Cursors::AiModels
    }

    fn direction(&self) -> Direction {
        Direction::Desc
    }

    fn key(&self, model: &AiModel) -> AiModelId {
        model.id
    }

    fn read(conn: &mut Conn, actor: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<AiModel>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = with_jobs()
                    .filter(may_see(actor))
                    .select(AiModel::as_select())
                    .into_boxed::<DB>();
                keyset!(query, *page, list.direction(), ai_models::id)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, actor: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists.iter().map(|_| {
                ai_models::table
                    .filter(may_see(actor))
                    .select(ai_models::id)
                    .limit(COUNTED + 1)
                    .into_boxed::<DB>()
            });
            lists::count_each(c, queries.collect())
        })?)
    }
}

/// A model to be.
#[derive(Debug)]
pub struct NewModel {
    pub name: ModelName,
    pub description: Description,
    pub is_visible: bool,
    pub is_available: bool,
    pub target: Target,
    pub test_fraction: TestFraction,
    pub seed: i32,
    /// AI_test.csv if there is none.
    pub dataset: Option<Incoming>,
}

/// Creates a model, which a job trains.
///
/// # Errors
/// `CONFLICT` when the name is taken; `INVALID` for an empty data set; `TOO_LARGE`.
pub async fn insert(app: &App, _: &Act<'_, Admin>, new: NewModel) -> Result<AiModel> {
    let kept = keep(app, new.dataset).await?;
    let id: AiModelId = app.clock.id();
    let now = app.clock.now();
    let settings = Settings {
        dataset_id: kept.map(|kept| kept.id),
        target: new.target,
        test_fraction: new.test_fraction,
        seed: new.seed,
    };
    let (name, description) = (new.name, new.description);
    let queue = app.queue.clone();
    let written = app.db.write(move |conn| {
        let training = 1;
        let job = TrainModel {
            model: id,
            training,
        };
        let (job, waiting) = queue.enqueue_with_id(conn, &job)?;
        let row = (
            (
                ai_models::id.eq(id),
                &name,
                ai_models::description.eq(&description),
                ai_models::is_visible.eq(new.is_visible),
                ai_models::is_available.eq(new.is_available),
                ai_models::created_at.eq(now),
            ),
            &settings,
            ai_models::training.eq(training),
            ai_models::job_id.eq(job),
        );
        on!(conn, |c| diesel::insert_into(ai_models::table)
            .values(row)
            .execute(c))
        .map_err(|error| conflict(error, &UNIQUE))?;
        let model = find(conn, id)?.ok_or(Error::NotFound)?;
        Ok((model, waiting))
    });
    let (model, waiting) = settle(app, kept, written.await).await?;
    app.queue.announce(waiting);
    Ok(model)
}

/// A change of a model. Absent fields stay unchanged.
#[derive(Clone, Debug, Default)]
pub struct ModelChanges {
    pub name: Option<ModelName>,
    pub description: Option<Description>,
    pub is_visible: Option<bool>,
    pub is_available: Option<bool>,
}

impl ModelChanges {
    fn change(&self, model: &AiModel) -> bool {
        let name = self.name.as_ref();
        let description = self.description.as_ref();
        name.is_some_and(|name| *name != model.name)
            || description.is_some_and(|description| *description != model.description)
            || self.is_visible.is_some_and(|v| v != model.is_visible)
            || self.is_available.is_some_and(|a| a != model.is_available)
    }
}

/// Changes a model. A change without effect leaves its `updated_at` as it is.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` when the name is taken.
pub async fn update(
    app: &App,
    _: &Act<'_, Admin>,
    id: AiModelId,
    changes: ModelChanges,
) -> Result<AiModel> {
    let now = app.clock.now();
    let model = app
        .db
        .write(move |conn| {
            dialect::lock(conn, Lockable::AiModels, id)?;
            let model = find(conn, id)?.ok_or(Error::NotFound)?;
            if !changes.change(&model) {
                return Ok(model);
            }
            let row = (
                changes.name.as_ref(),
                changes
                    .description
                    .as_ref()
                    .map(|d| ai_models::description.eq(d)),
                changes.is_visible.map(|v| ai_models::is_visible.eq(v)),
                changes.is_available.map(|a| ai_models::is_available.eq(a)),
                ai_models::updated_at.eq(now),
            );
            on!(conn, |c| diesel::update(ai_models::table.find(id))
                .set(row)
                .execute(c))
            .map_err(|error| conflict(error, &UNIQUE))?;
            find(conn, id)?.ok_or(Error::NotFound)
        })
        .await?;
    app.bus.publish(&changed(id), id);
    Ok(model)
}

/// What is different in the next training. Absent fields stay as they are.
#[derive(Debug, Default)]
pub struct Retraining {
    pub dataset: Option<Incoming>,
    pub target: Option<Target>,
    pub test_fraction: Option<TestFraction>,
    pub seed: Option<i32>,
}

/// Has a model trained anew. Until that has succeeded, what it has learned before stays in use.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` while it is being trained; `INVALID` for an empty data set; `TOO_LARGE`.
pub async fn retrain(
    app: &App,
    act: &Act<'_, Admin>,
    id: AiModelId,
    new: Retraining,
) -> Result<AiModel> {
    let actor = Actor::SignedIn(*act.actor);
    // Before the bytes are written.
    refuse_unfinished(&readable(app, actor, id).await?)?;
    let kept = keep(app, new.dataset).await?;
    let (target, test_fraction, seed) = (new.target, new.test_fraction, new.seed);
    let queue = app.queue.clone();
    let written = app.db.write(move |conn| {
        dialect::lock(conn, Lockable::AiModels, id)?;
        let before = find(conn, id)?.ok_or(Error::NotFound)?;
        refuse_unfinished(&before)?;
        let training = before.training + 1;
        let job = TrainModel {
            model: id,
            training,
        };
        let (job, waiting) = queue.enqueue_with_id(conn, &job)?;
        let old = before.settings;
        let settings = Settings {
            dataset_id: kept.map(|kept| kept.id).or(old.dataset_id),
            target: target.clone().unwrap_or(old.target),
            test_fraction: test_fraction.unwrap_or(old.test_fraction),
            seed: seed.unwrap_or(old.seed),
        };
        let row = (
            &settings,
            ai_models::training.eq(training),
            ai_models::job_id.eq(job),
            ai_models::state.eq(None::<JobState>),
            ai_models::error.eq(None::<String>),
            ai_models::finished_at.eq(None::<crate::clock::Timestamp>),
        );
        on!(conn, |c| diesel::update(ai_models::table.find(id))
            .set(row)
            .execute(c))?;
        let model = find(conn, id)?.ok_or(Error::NotFound)?;
        Ok((model, waiting))
    });
    let (model, waiting) = settle(app, kept, written.await).await?;
    app.queue.announce(waiting);
    app.bus.publish(&changed(id), id);
    Ok(model)
}

fn refuse_unfinished(model: &AiModel) -> Result<()> {
    match model.status().is_final() {
        true => Ok(()),
        false => Err(Error::conflict("id", Rule::State)),
    }
}

/// Deletes a model. What it was asked stays; its bytes are swept.
///
/// # Errors
/// `NOT_FOUND`.
pub async fn delete(app: &App, _: &Act<'_, Admin>, id: AiModelId) -> Result<()> {
    app.db
        .write(move |conn| {
            let deleted = on!(conn, |c| diesel::delete(ai_models::table.find(id))
                .execute(c))?;
            match deleted {
                0 => Err(Error::NotFound),
                _ => Ok(()),
            }
        })
        .await?;
    app.bus.publish(&changed(id), id);
    Ok(())
}

/// Puts what a training has learned into use.
///
/// # Errors
/// `NOT_FOUND` when the model was deleted, or another training was begun.
pub(in crate::ai) fn note_trained(
    conn: &mut Conn,
    app: &App,
    id: AiModelId,
    training: i32,
    learned: &Learned,
) -> Result<()> {
    let learned = serde_json::to_string(learned).map_err(|error| Error::internal(error))?;
    let row = (
        ai_models::trained.eq(Some(training)),
        ai_models::learned.eq(Some(learned)),
        ai_models::state.eq(Some(JobState::Succeeded)),
        ai_models::error.eq(None::<String>),
        ai_models::finished_at.eq(Some(app.clock.now())),
    );
    let one = ai_models::table
        .find(id)
        .filter(ai_models::training.eq(training));
    match on!(conn, |c| diesel::update(one).set(row).execute(c))? {
        0 => Err(Error::NotFound),
        _ => Ok(()),
    }
}

/// The trainings in use, and those begun last, of those of these models that exist.
pub(in crate::ai) fn trainings(
    conn: &mut Conn,
    ids: &[AiModelId],
) -> Result<HashMap<AiModelId, (Option<i32>, i32)>> {
    let found: Vec<(AiModelId, (Option<i32>, i32))> = on!(conn, |c| ai_models::table
        .filter(ai_models::id.eq_any(ids))
        .select((ai_models::id, (ai_models::trained, ai_models::training)))
        .load(c))?;
    Ok(found.into_iter().collect())
}
