//! The store of jobs: reads them for admins, and asks the queue to change them.

use std::collections::HashMap;

use diesel::prelude::*;

use super::Job;
use crate::{
    access::{Act, Actor, Admin},
    app::App,
    connection::{COUNTED, Cursors, Direction},
    db::{
        Conn,
        lists::{self, keyset},
        on,
        tables::jobs,
    },
    error::{Error, Result},
    ids::JobId,
    list::{Asked, List},
    loader::Batch,
    queue::JobState,
};

/// Jobs by id, for admins.
pub struct JobById;

impl Batch for JobById {
    type Key = JobId;
    type Value = Job;

    async fn load(app: &App, actor: Actor, ids: Vec<JobId>) -> Result<HashMap<JobId, Job>> {
        if !actor.is_admin() {
            return Ok(HashMap::new());
        }
        app.db
            .read(move |conn| {
                let found: Vec<Job> = on!(conn, |c| jobs::table
                    .filter(lists::among(jobs::id, ids.iter().copied()))
                    .select(Job::as_select())
                    .load(c))?;
                Ok(found.into_iter().map(|job| (job.id, job)).collect())
            })
            .await
    }
}

/// The job with this id.
///
/// # Errors
/// `NOT_FOUND` when there is none, or for callers who are not admins.
pub async fn readable(app: &App, actor: Actor, id: JobId) -> Result<Job> {
    let found = JobById::load(app, actor, vec![id]).await?;
    found.into_values().next().ok_or(Error::NotFound)
}

/// Jobs, newest first. The caller has checked that the actor is an admin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JobList {
    pub state: Option<JobState>,
    pub kind: Option<String>,
}

/// The query of the jobs in a list, for the backend `$db`.
macro_rules! jobs_of {
    ($db:ty, $list:expr) => {{
        let mut query = jobs::table.into_boxed::<$db>();
        if let Some(state) = $list.state {
            query = query.filter(jobs::state.eq(state));
        }
        if let Some(kind) = &$list.kind {
            query = query.filter(jobs::kind.eq(kind));
        }
        query
    }};
}

impl List for JobList {
    type Item = Job;
    type Key = JobId;

    fn cursors(&self) -> Cursors {
        Cursors::Jobs
    }

    fn direction(&self) -> Direction {
        Direction::Desc
    }

    fn key(&self, job: &Job) -> JobId {
        job.id
    }

    fn read(conn: &mut Conn, _: &Actor, asked: &[Asked<Self>]) -> Result<Vec<Vec<Job>>> {
        Ok(on!(conn, |c| {
            let queries = asked.iter().map(|(list, page)| {
                let query = jobs_of!(DB, list).select(Job::as_select());
                keyset!(query, *page, list.direction(), jobs::id)
            });
            lists::load_each(c, queries.collect())
        })?)
    }

    fn count(conn: &mut Conn, _: &Actor, lists: &[Self]) -> Result<Vec<i64>> {
        Ok(on!(conn, |c| {
            let queries = lists
                .iter()
                .map(|list| jobs_of!(DB, list).select(jobs::id).limit(COUNTED + 1));
            lists::count_each(c, queries.collect())
        })?)
    }
}

/// Gives a job that has failed or was cancelled all its attempts again.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` in any other state.
pub async fn retry(app: &App, act: &Act<'_, Admin>, id: JobId) -> Result<Job> {
    app.queue.retry(id).await?;
    readable(app, Actor::SignedIn(*act.actor), id).await
}

/// Cancels a job that waits or runs.
///
/// # Errors
/// `NOT_FOUND`; `CONFLICT` when it has ended already.
pub async fn cancel(app: &App, act: &Act<'_, Admin>, id: JobId) -> Result<Job> {
    app.queue.cancel(id).await?;
    readable(app, Actor::SignedIn(*act.actor), id).await
}
