//! The live fields of AI models and logs.

use uuid::Uuid;

use super::{
    AiLog, AiModel,
    store::{logs, models},
};
use crate::{
    access::Actor,
    app::App,
    bus::Topic,
    error::Result,
    ids::{AiLogId, AiModelId, JobId},
    queue,
    watch::State,
};

/// A model, until its training is over.
pub struct ModelState {
    id: AiModelId,
    job: JobId,
}

impl ModelState {
    /// The state of a model.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see it.
    pub async fn of(app: &App, actor: Actor, id: AiModelId) -> Result<Self> {
        let job = models::readable(app, actor, id).await?.job_id;
        Ok(Self { id, job })
    }
}

impl State for ModelState {
    type Item = AiModel;

    fn topics(&self) -> Vec<Topic<Uuid>> {
        vec![
            models::changed(self.id).untyped(),
            queue::changed(self.job).untyped(),
        ]
    }

    async fn read(&self, app: &App, actor: Actor) -> Result<AiModel> {
        models::readable(app, actor, self.id).await
    }

    fn is_last(&self, model: &AiModel) -> bool {
        model.status().is_final()
    }
}

/// A log, until its answer is there.
pub struct LogState {
    id: AiLogId,
    job: JobId,
}

impl LogState {
    /// The state of a log.
    ///
    /// # Errors
    /// `NOT_FOUND` for who may not see it.
    pub async fn of(app: &App, actor: Actor, id: AiLogId) -> Result<Self> {
        let job = logs::readable(app, actor, id).await?.job_id;
        Ok(Self { id, job })
    }
}

impl State for LogState {
    type Item = AiLog;

    fn topics(&self) -> Vec<Topic<Uuid>> {
        vec![
            logs::changed(self.id).untyped(),
            queue::changed(self.job).untyped(),
        ]
    }

    async fn read(&self, app: &App, actor: Actor) -> Result<AiLog> {
        logs::readable(app, actor, self.id).await
    }

    fn is_last(&self, log: &AiLog) -> bool {
        log.status().is_final()
    }
}
