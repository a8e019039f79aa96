//! Logs in the schema: questions to AI models, and their answers.

use std::sync::Arc;

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription, Union, Upload};
use futures_util::Stream;

use super::dataset;
use crate::{
    access::{Access, auth},
    accounts::{User, store::users::UserById},
    ai::{
        AiLog, AiModel, Description, MOST_ROWS,
        live::LogState,
        store::{
            answers::{self, Evaluation, PageKey, PageOfReadable},
            logs::{self, LogList, NewLog, ReadableLog},
            models::ReadableModel,
        },
    },
    clock::Timestamp,
    connection::{Connection, PageArgs},
    context::{ContextExt, Listed},
    direct::Direct,
    error::{Error, Result, Rule},
    input::{self, Violations},
    jobs::{Job, store::JobById},
    list::list_size,
    queue::JobState,
};

/// What a user asked an AI model, and the answer.
#[Object]
impl AiLog {
    /// The log's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// The model that was asked; null once it is deleted, or hidden from the viewer.
    async fn model(&self, ctx: &Context<'_>) -> Result<Option<Direct<AiModel>>> {
        match self.model_id {
            Some(id) => Ok(ctx.load::<ReadableModel>(id).await?.map(Direct)),
            None => Ok(None),
        }
    }

    /// Who asked; null once the account is deleted.
    async fn user(&self, ctx: &Context<'_>) -> Result<Option<Direct<User>>> {
        Ok(ctx.load::<UserById>(self.user_id).await?.map(Direct))
    }

    /// What the question is about, 1 to 256 characters.
    async fn description(&self) -> &str {
        self.description.as_str()
    }

    /// How far the answer has come.
    async fn state(&self) -> JobState {
        self.status().state
    }

    /// Whether nothing more happens: it has succeeded, failed, or was cancelled.
    async fn is_finished(&self) -> bool {
        self.status().is_final()
    }

    /// How much is done, from 0 to 1, while it runs; otherwise null.
    async fn progress(&self) -> Option<f64> {
        self.status().progress
    }

    /// The answer; null until it is there.
    async fn result(&self, ctx: &Context<'_>) -> Result<Option<AiResult>> {
        let Some(attempt) = self.result else {
            return Ok(None);
        };
        let first = PageKey {
            log: self.id,
            attempt,
            number: 0,
        };
        let Some(page) = ctx.load::<PageOfReadable>(first).await? else {
            return Ok(None);
        };
        let count = page.count.unwrap_or_default();
        Ok(Some(match page.evaluation {
            Some(evaluation) => AiResult::AiEvaluation(AiEvaluation {
                rows: count,
                evaluation,
            }),
            None => AiResult::AiPredictions(AiPredictions { first, count, page }),
        }))
    }

    /// Why there is no answer, as a sentence that names the line of the data set where it can; otherwise null.
    async fn error(&self) -> Option<&str> {
        self.reason()
    }

    /// When the model was asked.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the description was last edited; null if never.
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// When the answer was there, or that there will be none; null until then.
    async fn finished_at(&self) -> Option<Timestamp> {
        self.status().finished_at
    }

    /// The job that answers, or has answered; null once that is deleted.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn job(&self, ctx: &Context<'_>) -> Result<Option<Direct<Job>>> {
        Ok(ctx.load::<JobById>(self.job_id).await?.map(Direct))
    }
}

/// An answer: predictions or, for a data set with the target, how well the model fits it.
#[derive(Union)]
enum AiResult {
    AiPredictions(AiPredictions),
    AiEvaluation(AiEvaluation),
}

struct AiPredictions {
    first: PageKey,
    count: i64,
    page: Arc<answers::Page>,
}

/// What a model predicts for each row, in the order of the rows.
#[Object]
impl AiPredictions {
    /// How many there are.
    async fn count(&self) -> i64 {
        self.count
    }

    /// Some of them.
    #[graphql(directive = list_size::apply(MOST_ROWS as i32))]
    async fn predictions(
        &self,
        ctx: &Context<'_>,
        #[graphql(default = 0, desc = "How many to leave out at the beginning.")] offset: i32,
        #[graphql(default = 1000, desc = "How many to return, 0 to 1000.")] limit: i32,
    ) -> Result<Vec<f64>> {
        let most = MOST_ROWS as i64;
        let (offset, limit) = Violations::check(|v| {
            let within = |value: i32, max: i64| match (0..=max).contains(&value.into()) {
                true => usize::try_from(value).map_err(|_| Rule::OutOfRange { min: 0, max }),
                false => Err(Rule::OutOfRange { min: 0, max }),
            };
            let offset = v.field("offset", within(offset, i32::MAX.into()));
            (offset, v.field("limit", within(limit, most)))
        })?;
        let mut found = Vec::with_capacity(limit);
        let numbers = offset / answers::PAGE..=(offset + limit) / answers::PAGE;
        let pages = numbers.filter(|number| number * answers::PAGE < self.count as usize);
        for number in pages {
            let page = match number {
                0 => Arc::clone(&self.page),
                number => {
                    let key = PageKey {
                        number,
                        ..self.first
                    };
                    let page = ctx.load::<PageOfReadable>(key).await?;
                    page.ok_or(Error::NotFound)?
                }
            };
            let skipped = offset.saturating_sub(number * answers::PAGE);
            let wanted = limit - found.len();
            found.extend(page.predictions.iter().skip(skipped).take(wanted));
        }
        Ok(found)
    }
}

struct AiEvaluation {
    rows: i64,
    evaluation: Evaluation,
}

/// How well a model fits a data set that has the target.
#[Object]
impl AiEvaluation {
    /// How many rows it has.
    async fn rows(&self) -> i64 {
        self.rows
    }

    /// The root of the mean square error.
    async fn rmse(&self) -> f64 {
        self.evaluation.rmse
    }

    /// The coefficient of determination: 1 is perfect.
    async fn r2(&self) -> f64 {
        self.evaluation.r2
    }
}

/// Queries about questions to AI models.
#[derive(Default)]
pub struct AiLogQuery;

#[Object]
impl AiLogQuery {
    /// The log with this id: one's own, or any for an admin.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn ai_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The log's id.")] id: ID,
    ) -> Result<Option<AiLog>> {
        let log = ctx.load::<ReadableLog>(input::id("id", &id)?).await?;
        log.map(Some).ok_or(Error::NotFound)
    }

    /// One's own logs, or all for an admin, newest first.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    async fn ai_logs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only questions to this model.")] model_id: Option<ID>,
        #[graphql(desc = "Only questions of this user.")] user_id: Option<ID>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<AiLog>> {
        let (model, user) = Violations::check(|v| {
            let model = model_id.map_or(Some(None), |id| v.id("modelId", &id).map(Some));
            let user = user_id.map_or(Some(None), |id| v.id("userId", &id).map(Some));
            (model, user)
        })?;
        let page = PageArgs::new(first, after, last, before);
        ctx.list(LogList { model, user }, page).await
    }
}

/// The input of `createAiLog`: rows, or a data set, or neither for AI_test.csv.
#[derive(InputObject)]
struct CreateAiLogInput {
    /// The model to ask.
    model_id: ID,
    /// What the question is about, 1 to 256 characters.
    description: String,
    /// 1 to 1 000 rows, each with a value for each of the model's features, in their order.
    rows: Option<Vec<Vec<f64>>>,
    /// A table of numbers as CSV in UTF-8, with the names of the columns in the first line: all features of the model,
    /// and the target if the model is to be evaluated. Other columns do not matter.
    dataset: Option<Upload>,
}

/// The result of `createAiLog`.
#[derive(SimpleObject)]
struct CreateAiLogPayload {
    /// The new log, which waits for its answer.
    ai_log: AiLog,
}

/// The input of `updateAiLog`.
#[derive(InputObject)]
struct UpdateAiLogInput {
    /// The log to change.
    id: ID,
    /// What the question is about, 1 to 256 characters.
    description: String,
}

/// The result of `updateAiLog`.
#[derive(SimpleObject)]
struct UpdateAiLogPayload {
    /// The changed log.
    ai_log: AiLog,
}

/// The input of `deleteAiLog`.
#[derive(InputObject)]
struct DeleteAiLogInput {
    /// The log to delete.
    id: ID,
}

/// The result of `deleteAiLog`.
#[derive(SimpleObject)]
struct DeleteAiLogPayload {
    /// The id of the deleted log.
    deleted_ai_log_id: ID,
}

/// Questions to AI models.
#[derive(Default)]
pub struct AiLogMutation;

#[Object]
impl AiLogMutation {
    /// Asks an AI model. It answers at once; the answer itself comes from a job: follow `aiLogUpdated`.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn create_ai_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The question.")] input: CreateAiLogInput,
    ) -> Result<Option<CreateAiLogPayload>> {
        let dataset = dataset(ctx, input.dataset)?;
        let rows = input.rows;
        if rows.as_ref().is_some_and(|rows| rows.len() > MOST_ROWS) {
            return Err(Error::LimitExceeded {
                what: "rows",
                limit: MOST_ROWS as u64,
            });
        }
        let (model, description) = Violations::check(|v| {
            let model = v.id("modelId", &input.model_id);
            let description = v.field("description", Description::parse(&input.description));
            if rows.is_some() && dataset.is_some() {
                v.push(Rule::Exclusive { other: "rows" }.at("dataset"));
            }
            if rows.as_ref().is_some_and(Vec::is_empty) {
                v.push(Rule::Required.at("rows"));
            }
            for (n, row) in rows.iter().flatten().enumerate() {
                if row.iter().any(|value| !value.is_finite()) {
                    v.push(Rule::Infinite.at(format!("rows.{n}")));
                }
            }
            (model, description)
        })?;
        let new = NewLog {
            model,
            description,
            rows,
            dataset,
        };
        let ai_log = logs::insert(ctx.app(), &ctx.signed_in()?, new).await?;
        Ok(Some(CreateAiLogPayload { ai_log }))
    }

    /// Changes the description of a log.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn update_ai_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The log and its new description.")] input: UpdateAiLogInput,
    ) -> Result<Option<UpdateAiLogPayload>> {
        let (id, description) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            (
                id,
                v.field("description", Description::parse(&input.description)),
            )
        })?;
        let ai_log = logs::update(ctx.app(), &ctx.signed_in()?, id, description).await?;
        Ok(Some(UpdateAiLogPayload { ai_log }))
    }

    /// Deletes a log with its answer.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn delete_ai_log(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The log to delete.")] input: DeleteAiLogInput,
    ) -> Result<Option<DeleteAiLogPayload>> {
        let id = input::id("id", &input.id)?;
        logs::delete(ctx.app(), &ctx.act(ctx.signed_in()?), id).await?;
        Ok(Some(DeleteAiLogPayload {
            deleted_ai_log_id: id.into(),
        }))
    }
}

/// What happens to questions.
#[derive(Default)]
pub struct AiLogSubscription;

#[Subscription]
impl AiLogSubscription {
    /// A log: its present state at once, then whenever it changes. Completes when the answer is there, or that there will
    /// be none.
    #[graphql(directive = auth::apply(Access::OwnerOrAdmin))]
    async fn ai_log_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The log to watch.")] id: ID,
    ) -> Result<impl Stream<Item = Result<AiLog>> + use<>> {
        let id = input::id("id", &id)?;
        let state = LogState::of(ctx.app(), ctx.actor(), id).await?;
        ctx.follow_state(state).await
    }
}
