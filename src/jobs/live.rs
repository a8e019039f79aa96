//! The live field of jobs.

use uuid::Uuid;

use super::{Job, store};
use crate::{access::Actor, app::App, bus::Topic, error::Result, ids::JobId, queue, watch::Live};

/// A job whenever it changes.
pub struct ChangesOf(pub JobId);

impl Live for ChangesOf {
    type Item = Job;
    type Id = JobId;

    fn news(&self) -> Topic<JobId> {
        queue::changed(self.0)
    }

    async fn check(&self, app: &App, actor: Actor) -> Result<Vec<Topic<Uuid>>> {
        store::readable(app, actor, self.0).await?;
        Ok(Vec::new())
    }

    async fn read(&self, app: &App, actor: Actor, id: JobId) -> Result<Job> {
        store::readable(app, actor, id).await
    }
}
