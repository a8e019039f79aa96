//! Jobs, as admins see them. The queue itself is a port; what jobs do is in each feature's `jobs.rs`.

pub mod graphql;
#[expect(
    clippy::module_inception,
    reason = "every feature has its background work in jobs.rs"
)]
pub mod jobs;
pub mod live;
pub mod store;

use diesel::prelude::*;

use crate::{clock::Timestamp, db::tables, ids::JobId, queue::JobState};

/// A piece of background work.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = tables::jobs)]
pub struct Job {
    pub id: JobId,
    pub kind: String,
    pub state: JobState,
    pub attempts: i32,
    pub max_attempts: i32,
    pub progress: Option<f64>,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub due_at: Option<Timestamp>,
    pub worker: Option<String>,
}
