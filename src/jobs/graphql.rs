//! Jobs in the schema.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject, Subscription};
use futures_util::Stream;

use super::{
    Job,
    live::ChangesOf,
    store::{self, JobList},
};
use crate::{
    access::{Access, auth},
    clock::Timestamp,
    connection::{Connection, PageArgs},
    context::{ContextExt, Listed},
    error::Result,
    input,
    queue::JobState,
};

/// A piece of background work.
#[Object]
impl Job {
    /// The job's id.
    pub async fn id(&self) -> ID {
        self.id.into()
    }

    /// What it does, as in take_back_likes.
    async fn kind(&self) -> &str {
        &self.kind
    }

    /// How far it has come. A job that repeats is never done.
    async fn state(&self) -> JobState {
        self.state
    }

    /// How often it was tried.
    async fn attempts(&self) -> i32 {
        self.attempts
    }

    /// How often it is tried before it has failed.
    async fn max_attempts(&self) -> i32 {
        self.max_attempts
    }

    /// How much is done, from 0 to 1, if the job tells while it runs; otherwise null.
    async fn progress(&self) -> Option<f64> {
        self.progress.filter(|_| self.state == JobState::Running)
    }

    /// Why the last attempt failed.
    async fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// When it was enqueued.
    async fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the last attempt began.
    async fn started_at(&self) -> Option<Timestamp> {
        self.started_at
    }

    /// When it ended, whether it succeeded or not.
    async fn finished_at(&self) -> Option<Timestamp> {
        self.finished_at
    }

    /// From when it may be tried, while it waits.
    async fn next_attempt_at(&self) -> Option<Timestamp> {
        self.due_at.filter(|_| self.state == JobState::Queued)
    }

    /// The worker that runs it.
    async fn worker(&self) -> Option<&str> {
        self.worker.as_deref()
    }
}

/// Queries for jobs.
#[derive(Default)]
pub struct JobQuery;

#[Object]
impl JobQuery {
    /// Background work, newest first. Jobs that have succeeded are kept for 3 days, others for 30.
    #[graphql(directive = auth::apply(Access::Admin))]
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the arguments of the schema"
    )]
    async fn jobs(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Only jobs in this state.")] state: Option<JobState>,
        #[graphql(desc = "Only jobs of this kind.")] kind: Option<String>,
        #[graphql(desc = "Returns the first n items, 1 to 100.")] first: Option<i32>,
        #[graphql(desc = "Returns items after this cursor.")] after: Option<String>,
        #[graphql(desc = "Returns the last n items, 1 to 100.")] last: Option<i32>,
        #[graphql(desc = "Returns items before this cursor.")] before: Option<String>,
    ) -> Listed<Connection<Job>> {
        let page = PageArgs::new(first, after, last, before);
        ctx.list(JobList { state, kind }, page).await
    }
}

/// The input of `retryJob`.
#[derive(InputObject)]
struct RetryJobInput {
    /// A job that has failed or was cancelled.
    id: ID,
}

/// The result of `retryJob`.
#[derive(SimpleObject)]
struct RetryJobPayload {
    /// The job, which waits for a worker.
    job: Job,
}

/// The input of `cancelJob`.
#[derive(InputObject)]
struct CancelJobInput {
    /// A job that waits or runs.
    id: ID,
}

/// The result of `cancelJob`.
#[derive(SimpleObject)]
struct CancelJobPayload {
    /// The cancelled job.
    job: Job,
}

/// Changes of jobs.
#[derive(Default)]
pub struct JobMutation;

#[Object]
impl JobMutation {
    /// Gives a job that has failed or was cancelled all its attempts again.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn retry_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job.")] input: RetryJobInput,
    ) -> Result<Option<RetryJobPayload>> {
        let id = input::id("id", &input.id)?;
        let job = store::retry(ctx.app(), &ctx.act(ctx.admin()?), id).await?;
        Ok(Some(RetryJobPayload { job }))
    }

    /// Cancels a job that waits or runs. Effects that it has had stay. A job that repeats stays cancelled until it is
    /// retried.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn cancel_job(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job.")] input: CancelJobInput,
    ) -> Result<Option<CancelJobPayload>> {
        let id = input::id("id", &input.id)?;
        let job = store::cancel(ctx.app(), &ctx.act(ctx.admin()?), id).await?;
        Ok(Some(CancelJobPayload { job }))
    }
}

/// What happens to jobs.
#[derive(Default)]
pub struct JobSubscription;

#[Subscription]
impl JobSubscription {
    /// A job whenever it changes: its state, its attempts, its progress. Not replayed: refetch after a reconnect.
    #[graphql(directive = auth::apply(Access::Admin))]
    async fn job_changed(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The job to watch.")] id: ID,
    ) -> Result<impl Stream<Item = Result<Job>> + use<>> {
        let id = input::id("id", &id)?;
        ctx.follow(ChangesOf(id)).await
    }
}
