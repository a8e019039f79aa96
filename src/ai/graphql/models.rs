//! Models in the schema.

use async_graphql::{
    Context, Enum, ID, InputObject, MaybeUndefined, Object, SimpleObject, Subscription, Upload,
};
use futures_util::Stream;

use super::dataset;
use crate::{
    access::{Access, auth},
    ai::{
        AiModel, Description, Learned, ModelName, Target, TestFraction,
        dataset::MOST_COLUMNS,
        live::ModelState,
        store::models::{self, ModelChanges, ModelList, NewModel, ReadableModel, Retraining},
    },
    clock::Timestamp,
    connection::{Connection, PageArgs},
    context::{ContextExt, Listed},
    direct::Direct,
    error::{Error, Result},
    input::{self, Violations},
    jobs::{Job, store::JobById},
    list::list_size,
    queue::JobState,
};

/// How a model learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
enum AiAlgorithm {
    /// Ordinary least squares.
    LinearRegression,
}

/// The most features: all columns of a data set but the target.
const MOST_FEATURES: i32 = MOST_COLUMNS as i32 - 1;

/// An AI model: trained on a table of numbers, it predicts one column from the others.
#[Object]
impl AiModel {
    /// The model's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// What the model is called, 1 to 64 characters; unique in any case.
    async fn name(&self) -> &str {
        &self.name.text
    }

    /// What the model is for, 1 to 256 characters.
    async fn description(&self) -> &str {
        self.description.as_str()
    }

    /// How it learns.
    async fn algorithm(&self) -> AiAlgorithm {
        AiAlgorithm::LinearRegression
    }

    /// The columns that it predicts from, in the order in which `createAiLog` takes them; null until it is trained.
    #[graphql(directive = list_size::apply(MOST_FEATURES))]
    async fn features(&self) -> Result<Option<Vec<String>>> {
        Ok(self.learned()?.map(|learned| learned.features))
    }

    /// How far its training has come. While it is trained anew, what it has learned before stays in use.
    async fn state(&self) -> JobState {
        self.status().state
    }

    /// How much of the training is done, from 0 to 1, while it runs; otherwise null.
    async fn progress(&self) -> Option<f64> {
        self.status().progress
    }

    /// How well it predicts, and from what; null until it is trained.
    async fn metrics(&self) -> Result<Option<AiMetrics>> {
        Ok(self.learned()?.map(AiMetrics))
    }

    /// When it was created.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn created_at(&self) -> Option<Timestamp> {
        Some(self.created_at)
    }

    /// When it was last edited; null if never. Training is no edit.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// When its training ended; null until then.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn finished_at(&self) -> Option<Timestamp> {
        self.status().finished_at
    }

    /// Whether all users can see it. If not, only admins can see and ask it.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_visible(&self) -> Option<bool> {
        Some(self.is_visible)
    }

    /// Whether it may be asked.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn is_available(&self) -> Option<bool> {
        Some(self.is_available)
    }

    /// The job that trains it, or has trained it; null once that is deleted.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn job(&self, ctx: &Context<'_>) -> Result<Option<Direct<Job>>> {
        Ok(ctx.load::<JobById>(self.job_id).await?.map(Direct))
    }

    /// Why its training failed, as a sentence that names the line of the data set where it can; otherwise null.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn error(&self) -> Option<String> {
        self.status().error
    }
}

/// What a model has learned, and how well it predicts rows that it was not trained on.
struct AiMetrics(Learned);

/// What a model has learned, and how well it predicts rows that it was not trained on.
#[Object]
impl AiMetrics {
    /// The root of the mean square error, on the rows that are kept for testing.
    async fn rmse(&self) -> f64 {
        self.0.rmse
    }

    /// The coefficient of determination, on the rows that are kept for testing: 1 is perfect.
    async fn r2(&self) -> f64 {
        self.0.r2
    }

    /// What it predicts where all features are 0.
    async fn intercept(&self) -> f64 {
        self.0.intercept
    }

    /// By how much the prediction grows with each feature, in the order of `features`.
    #[graphql(directive = list_size::apply(MOST_FEATURES))]
    async fn coefficients(&self) -> &[f64] {
        &self.0.coefficients
    }

    /// How many rows it was trained on.
    async fn train_rows(&self) -> i64 {
        i64::try_from(self.0.train_rows).unwrap_or(i64::MAX)
    }

    /// How many rows it was tested on.
    async fn test_rows(&self) -> i64 {
        i64::try_from(self.0.test_rows).unwrap_or(i64::MAX)
    }
}

/// Queries about AI models.
#[derive(Default)]
pub struct AiModelQuery;

#[Object]
impl AiModelQuery {
    /// The AI model with this id.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn ai_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model's id.")] id: ID,
    ) -> Result<Option<AiModel>> {
        let model = ctx.load::<ReadableModel>(input::id("id", &id)?).await?;
        model.map(Some).ok_or(Error::NotFound)
    }

    /// The AI models that the viewer can see, newest first.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn ai_models(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<AiModel>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(ModelList, page).await
    }
}

/// The input of `createAiModel`.
#[derive(InputObject)]
struct CreateAiModelInput {
    /// 1 to 64 characters; unique in any case.
    name: String,
    /// What the model is for, 1 to 256 characters.
    description: String,
    /// How it learns.
    #[graphql(default_with = "AiAlgorithm::LinearRegression")]
    algorithm: AiAlgorithm,
    /// Whether all users can see it. If not, only admins can see and ask it.
    #[graphql(default = true)]
    is_visible: bool,
    /// Whether it may be asked.
    #[graphql(default = true)]
    is_available: bool,
    /// A table of numbers as CSV in UTF-8, with the names of the columns in the first line. If there is none,
    /// AI_test.csv is used.
    dataset: Option<Upload>,
    /// The column that it learns to predict from all others.
    #[graphql(default = "y")]
    target: String,
    /// The share of rows that it is tested on, and not trained: more than 0 and less than 1.
    #[graphql(default = 0.3)]
    test_fraction: f64,
    /// Chooses these rows. The same seed chooses the same ones.
    #[graphql(default = 0)]
    seed: i32,
}

/// The result of `createAiModel`.
#[derive(SimpleObject)]
struct CreateAiModelPayload {
    /// The new model, which waits to be trained.
    ai_model: AiModel,
}

/// The input of `retrainAiModel`. Fields that are left out stay as they were.
#[derive(InputObject)]
struct RetrainAiModelInput {
    /// The model to train.
    id: ID,
    /// A table of numbers as CSV in UTF-8, with the names of the columns in the first line.
    dataset: Option<Upload>,
    /// The column that it learns to predict from all others.
    target: MaybeUndefined<String>,
    /// The share of rows that it is tested on, and not trained: more than 0 and less than 1.
    test_fraction: MaybeUndefined<f64>,
    /// Chooses these rows. The same seed chooses the same ones.
    seed: MaybeUndefined<i32>,
}

/// The result of `retrainAiModel`.
#[derive(SimpleObject)]
struct RetrainAiModelPayload {
    /// The model, which waits to be trained.
    ai_model: AiModel,
}

/// The input of `updateAiModel`. Fields that are left out stay as they are.
#[derive(InputObject)]
struct UpdateAiModelInput {
    /// The model to change.
    id: ID,
    /// 1 to 64 characters; unique in any case.
    name: MaybeUndefined<String>,
    /// What the model is for, 1 to 256 characters.
    description: MaybeUndefined<String>,
    /// Whether all users can see it. If not, only admins can see and ask it.
    is_visible: MaybeUndefined<bool>,
    /// Whether it may be asked.
    is_available: MaybeUndefined<bool>,
}

/// The result of `updateAiModel`.
#[derive(SimpleObject)]
struct UpdateAiModelPayload {
    /// The changed model.
    ai_model: AiModel,
}

/// The input of `deleteAiModel`.
#[derive(InputObject)]
struct DeleteAiModelInput {
    /// The model to delete.
    id: ID,
}

/// The result of `deleteAiModel`.
#[derive(SimpleObject)]
struct DeleteAiModelPayload {
    /// The id of the deleted model.
    deleted_ai_model_id: ID,
}

/// Changes of AI models.
#[derive(Default)]
pub struct AiModelMutation;

#[Object]
impl AiModelMutation {
    /// Creates an AI model. It answers at once; a job trains the model: follow `aiModelUpdated`.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn create_ai_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model to create.")] input: CreateAiModelInput,
    ) -> Result<Option<CreateAiModelPayload>> {
        let dataset = dataset(ctx, input.dataset)?;
        let texts = Violations::check(|v| {
            let texts = (
                v.field("name", ModelName::parse(&input.name)),
                v.field("description", Description::parse(&input.description)),
            );
            let target = v.field("target", Target::parse(&input.target));
            let fraction = TestFraction::parse(input.test_fraction);
            let fraction = v.field("testFraction", fraction);
            (texts.0.zip(texts.1), target.zip(fraction))
        })?;
        let ((name, description), (target, test_fraction)) = texts;
        let new = NewModel {
            name,
            description,
            is_visible: input.is_visible,
            is_available: input.is_available,
            target,
            test_fraction,
            seed: input.seed,
            dataset,
        };
        let ai_model = models::insert(ctx.app(), &ctx.act(ctx.admin()?), new).await?;
        Ok(Some(CreateAiModelPayload { ai_model }))
    }

    /// Has an AI model trained anew, on the data set that it was trained on or on another. Until that has succeeded,
    /// what it has learned before stays in use.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn retrain_ai_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model, and what is different this time.")] input: RetrainAiModelInput,
    ) -> Result<Option<RetrainAiModelPayload>> {
        let dataset = dataset(ctx, input.dataset)?;
        let (id, new) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let target = v.new_text("target", input.target, Target::parse);
            let fraction = v.change("testFraction", input.test_fraction);
            let fraction = fraction
                .and_then(|fraction| v.field("testFraction", TestFraction::parse(fraction)));
            let new = Retraining {
                dataset,
                target,
                test_fraction: fraction,
                seed: v.change("seed", input.seed),
            };
            (id, Some(new))
        })?;
        let ai_model = models::retrain(ctx.app(), &ctx.act(ctx.admin()?), id, new).await?;
        Ok(Some(RetrainAiModelPayload { ai_model }))
    }

    /// Changes an AI model.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn update_ai_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model and the changes.")] input: UpdateAiModelInput,
    ) -> Result<Option<UpdateAiModelPayload>> {
        let (id, changes) = Violations::check(|v| {
            let id = v.id("id", &input.id);
            let changes = ModelChanges {
                name: v.new_text("name", input.name, ModelName::parse),
                description: v.new_text("description", input.description, Description::parse),
                is_visible: v.change("isVisible", input.is_visible),
                is_available: v.change("isAvailable", input.is_available),
            };
            (id, Some(changes))
        })?;
        let ai_model = models::update(ctx.app(), &ctx.act(ctx.admin()?), id, changes).await?;
        Ok(Some(UpdateAiModelPayload { ai_model }))
    }

    /// Deletes an AI model. Its logs stay; questions that wait for it fail.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn delete_ai_model(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model to delete.")] input: DeleteAiModelInput,
    ) -> Result<Option<DeleteAiModelPayload>> {
        let id = input::id("id", &input.id)?;
        models::delete(ctx.app(), &ctx.act(ctx.admin()?), id).await?;
        Ok(Some(DeleteAiModelPayload {
            deleted_ai_model_id: id.into(),
        }))
    }
}

/// What happens to AI models.
#[derive(Default)]
pub struct AiModelSubscription;

#[Subscription]
impl AiModelSubscription {
    /// An AI model: its present state at once, then whenever it changes. Completes when its training has ended.
    #[graphql(directive = auth::apply(Access::SignedIn))]
    async fn ai_model_updated(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The model to watch.")] id: ID,
    ) -> Result<impl Stream<Item = Result<AiModel>> + use<>> {
        let id = input::id("id", &id)?;
        let state = ModelState::of(ctx.app(), ctx.actor(), id).await?;
        ctx.follow_state(state).await
    }
}
