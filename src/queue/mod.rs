//! Durable jobs: rows of the relational database, inserted in the transaction of what they are for. A worker claims a job
//! under a lease with a fence, and every effect of the job checks the fence: a worker that was thought dead can no
//! longer write. The bus only wakes workers; a message that is lost delays a job until the next poll.

mod lease;

use std::{sync::Arc, time::Duration};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    mysql::Mysql,
    prelude::*,
    serialize::{self, Output, ToSql},
    sql_types::SmallInt,
    sqlite::Sqlite,
};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use self::lease::{Claimed, LEASE, NextDue};
use crate::{
    bus::{Bus, Topic},
    clock::Clock,
    db::{
        Conn, Db,
        dialect::{self, Lockable},
        on,
        tables::jobs,
    },
    error::{Error, Result, Rule},
    ids::JobId,
};

/// Wakes idle workers.
pub const WAITING: Topic<Uuid> = Topic::only("jobs-waiting");
/// Announces jobs that a worker has to let go, since they are cancelled.
pub const CANCELLED: Topic<JobId> = Topic::only("jobs-cancelled");

/// Announces every change of a job.
#[must_use]
pub fn changed(job: JobId) -> Topic<JobId> {
    Topic::of("job-changed", job)
}

/// How far a job has come.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, AsExpression, FromSqlRow, async_graphql::Enum,
)]
#[diesel(sql_type = SmallInt)]
pub enum JobState {
    /// It waits for a worker, or for its next attempt.
    Queued,
    /// A worker is at it.
    Running,
    /// It is done.
    Succeeded,
    /// All attempts have failed, or it cannot ever succeed.
    Failed,
    /// An admin has cancelled it.
    Cancelled,
}

impl JobState {
    const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    fn number(self) -> i16 {
        match self {
            Self::Queued => 0,
            Self::Running => 1,
            Self::Succeeded => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }
}

impl ToSql<SmallInt, Sqlite> for JobState {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(i32::from(self.number()));
        Ok(serialize::IsNull::No)
    }
}

impl ToSql<SmallInt, Mysql> for JobState {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        <i16 as ToSql<SmallInt, Mysql>>::to_sql(&self.number(), &mut out.reborrow())
    }
}

impl<DB: Backend> FromSql<SmallInt, DB> for JobState
where
    i16: FromSql<SmallInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let number = i16::from_sql(value)?;
        let known = Self::ALL.into_iter().find(|state| state.number() == number);
        known.ok_or_else(|| format!("there is no job state {number}").into())
    }
}

/// What a job of one kind is given. It is kept as JSON.
pub trait Payload: Serialize + DeserializeOwned + Send + 'static {
    /// The name of the kind, which never changes: at most 64 characters of a-z, 0-9 and _.
    const KIND: &'static str;
    /// How often it is tried. Between attempts it waits ever longer, at most ten minutes: ten attempts take about half
    /// an hour.
    const MAX_ATTEMPTS: i32 = 10;
}

/// That jobs wait. Hand it to [`Queue::announce`] once the transaction is committed.
#[must_use = "announce it after the commit, or the job starts late"]
#[derive(Debug)]
pub struct Waiting(());

/// The port. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Ports>);

struct Ports {
    db: Db,
    bus: Bus,
    clock: Clock,
}

impl Queue {
    /// The queue in `db`.
    #[must_use]
    pub fn new(db: Db, bus: Bus, clock: Clock) -> Self {
        Self(Arc::new(Ports { db, bus, clock }))
    }

    /// Inserts a job, in the transaction of `conn`.
    ///
    /// # Errors
    /// Those of the database.
    pub fn enqueue<P: Payload>(&self, conn: &mut Conn, payload: &P) -> Result<Waiting> {
        self.enqueue_with_id(conn, payload)
            .map(|(_, waiting)| waiting)
    }

    /// As [`Queue::enqueue`], for a row that refers to its job.
    ///
    /// # Errors
    /// Those of the database.
    pub fn enqueue_with_id<P: Payload>(
        &self,
        conn: &mut Conn,
        payload: &P,
    ) -> Result<(JobId, Waiting)> {
        let id = self.insert(conn, payload, None)?;
        Ok((id, Waiting(())))
    }

    fn insert<P: Payload>(
        &self,
        conn: &mut Conn,
        payload: &P,
        single_key: Option<&str>,
    ) -> Result<JobId> {
        let now = self.0.clock.now();
        let id: JobId = self.0.clock.id();
        let payload = serde_json::to_string(payload).map_err(|error| Error::internal(error))?;
        let row = (
            (
                jobs::id.eq(id),
                jobs::kind.eq(P::KIND),
                jobs::payload.eq(payload),
                jobs::state.eq(JobState::Queued),
                jobs::attempts.eq(0),
                jobs::max_attempts.eq(P::MAX_ATTEMPTS),
                jobs::fence.eq(0),
            ),
            (
                jobs::created_at.eq(now),
                jobs::due_at.eq(Some(now)),
                jobs::single_key.eq(single_key),
            ),
        );
        on!(conn, |c| diesel::insert_or_ignore_into(jobs::table)
            .values(row)
            .execute(c))?;
        Ok(id)
    }

    /// Makes sure that the job that repeats is there: one for all servers.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ensure<P: Payload + Default>(&self) -> Result<()> {
        let queue = self.clone();
        let is_there = self
            .0
            .db
            .read(move |conn| {
                let one: Option<JobId> = on!(conn, |c| jobs::table
                    .filter(jobs::single_key.eq(P::KIND))
                    .select(jobs::id)
                    .first(c)
                    .optional())?;
                Ok(one.is_some())
            })
            .await?;
        if is_there {
            return Ok(());
        }
        let insert = move |conn: &mut Conn| {
            let inserted = queue.insert(conn, &P::default(), Some(P::KIND));
            inserted.map(drop)
        };
        self.0.db.write(insert).await
    }

    /// Wakes a worker. Call it when the transaction that enqueued is committed.
    pub fn announce(&self, waiting: Waiting) {
        let Waiting(()) = waiting;
        self.0.bus.publish(&WAITING, Uuid::nil());
    }

    /// [`Queue::announce`], if any of these is.
    pub fn announce_any(&self, waiting: impl IntoIterator<Item = Option<Waiting>>) {
        if let Some(waiting) = waiting.into_iter().flatten().last() {
            self.announce(waiting);
        }
    }

    /// Tells subscribers that the job has changed.
    pub fn tell(&self, job: JobId) {
        self.0.bus.publish(&changed(job), job);
    }

    /// Gives a job that has failed or was cancelled all its attempts again.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` in any other state.
    pub async fn retry(&self, id: JobId) -> Result<()> {
        let now = self.0.clock.now();
        self.change(id, move |conn, state| {
            if !matches!(state, JobState::Failed | JobState::Cancelled) {
                return Err(Error::conflict("id", Rule::State));
            }
            let changes = (
                jobs::state.eq(JobState::Queued),
                jobs::attempts.eq(0),
                jobs::error.eq(None::<String>),
                jobs::finished_at.eq(None::<crate::clock::Timestamp>),
                jobs::due_at.eq(Some(now)),
            );
            on!(conn, |c| diesel::update(jobs::table.find(id))
                .set(changes)
                .execute(c))?;
            Ok(())
        })
        .await?;
        self.announce(Waiting(()));
        Ok(())
    }

    /// Cancels a job that waits or runs. The effects that it has had stay; it has no more.
    ///
    /// # Errors
    /// `NOT_FOUND`; `CONFLICT` when it has ended already.
    pub async fn cancel(&self, id: JobId) -> Result<()> {
        let now = self.0.clock.now();
        self.change(id, move |conn, state| {
            if !matches!(state, JobState::Queued | JobState::Running) {
                return Err(Error::conflict("id", Rule::State));
            }
            let changes = (
                jobs::state.eq(JobState::Cancelled),
                // Whoever runs it can write no more.
                jobs::fence.eq(jobs::fence + 1),
                jobs::finished_at.eq(Some(now)),
                jobs::due_at.eq(None::<crate::clock::Timestamp>),
                jobs::worker.eq(None::<String>),
            );
            on!(conn, |c| diesel::update(jobs::table.find(id))
                .set(changes)
                .execute(c))?;
            Ok(())
        })
        .await?;
        self.0.bus.publish(&CANCELLED, id);
        Ok(())
    }

    async fn change(
        &self,
        id: JobId,
        work: impl Fn(&mut Conn, JobState) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        self.0
            .db
            .write(move |conn| {
                dialect::lock(conn, Lockable::Jobs, id)?;
                let state: JobState = on!(conn, |c| jobs::table
                    .find(id)
                    .select(jobs::state)
                    .get_result(c))?;
                work(conn, state)
            })
            .await?;
        self.tell(id);
        Ok(())
    }

    /// Deletes jobs that ended long ago, at most `limit`, and returns how many: succeeded ones after `kept`, others
    /// after ten times that.
    ///
    /// # Errors
    /// Those of the database.
    pub fn delete_ended(&self, conn: &mut Conn, kept: Duration, limit: i64) -> Result<usize> {
        let now = self.0.clock.now();
        let is_old = jobs::finished_at.lt(now.before(kept)).and(
            jobs::state
                .eq(JobState::Succeeded)
                .or(jobs::finished_at.lt(now.before(kept * 10))),
        );
        let old: Vec<JobId> = on!(conn, |c| jobs::table
            .filter(is_old)
            // Those that repeat are there for good.
            .filter(jobs::single_key.is_null())
            .select(jobs::id)
            .limit(limit)
            .load(c))?;
        Ok(on!(conn, |c| diesel::delete(
            jobs::table.filter(jobs::id.eq_any(&old))
        )
        .execute(c))?)
    }
}
