//! Leases: claiming jobs, holding on to them, and ending them. Only the holder of the current fence changes a job.

use std::time::Duration;

use diesel::{dsl::sql, prelude::*, sql_types::Bool};

use super::{JobState, Queue};
use crate::{
    clock::Timestamp,
    db::{
        Conn,
        dialect::{self, Lockable},
        on,
        tables::jobs,
    },
    error::Result,
    ids::JobId,
};

/// How long a claim lasts unless it is renewed.
pub const LEASE: Duration = Duration::from_secs(30);
/// The pause before the second attempt. It doubles with each attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// The most characters of an error that are kept.
const ERROR_LENGTH: usize = 2_000;

/// A job that this worker may run.
#[derive(Clone, Debug, Queryable, Selectable)]
#[diesel(table_name = jobs)]
pub struct Claimed {
    pub id: JobId,
    pub kind: String,
    /// JSON.
    pub payload: String,
    pub attempts: i32,
    pub max_attempts: i32,
    /// Greater than those of all claims of this job before.
    pub fence: i64,
}

/// When there will be something to claim, unless something is enqueued before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextDue {
    Now,
    In(Duration),
    Never,
}

type Due = (JobId, Timestamp);

impl Queue {
    /// When the first job of these kinds is due. It costs one read.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn next_due(&self, kinds: &'static [&'static str]) -> Result<NextDue> {
        let queue = self.clone();
        self.0
            .db
            .read(move |conn| {
                let first = due(conn, kinds, Timestamp::from_micros(i64::MAX), 1, false)?;
                let Some((_, at)) = first.first() else {
                    return Ok(NextDue::Never);
                };
                let now = dialect::now(conn, &queue.0.clock)?;
                Ok(if *at <= now {
                    NextDue::Now
                } else {
                    NextDue::In(at.since(now))
                })
            })
            .await
    }

    /// Claims up to `limit` jobs of these kinds for [`LEASE`]: those that wait and are due, and those whose lease has
    /// run out.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn claim(
        &self,
        kinds: &'static [&'static str],
        limit: usize,
        worker: &str,
    ) -> Result<Vec<Claimed>> {
        let (queue, worker) = (self.clone(), worker.to_owned());
        let claimed = self
            .0
            .db
            .write(move |conn| {
                let now = dialect::now(conn, &queue.0.clock)?;
                let due = due(conn, kinds, now, limit, true)?;
                let ids: Vec<_> = due.into_iter().map(|(id, _)| id).collect();
                if ids.is_empty() {
                    return Ok(Vec::new());
                }
                let claim = (
                    jobs::state.eq(JobState::Running),
                    jobs::fence.eq(jobs::fence + 1),
                    jobs::attempts.eq(jobs::attempts + 1),
                    jobs::started_at.eq(Some(now)),
                    jobs::due_at.eq(Some(now.after(LEASE))),
                    jobs::progress.eq(None::<f64>),
                    jobs::worker.eq(Some(&worker)),
                );
                on!(conn, |c| diesel::update(
                    jobs::table.filter(jobs::id.eq_any(&ids))
                )
                .set(claim)
                .execute(c))?;
                let mut claimed: Vec<Claimed> = on!(conn, |c| jobs::table
                    .filter(jobs::id.eq_any(&ids))
                    .select(Claimed::as_select())
                    .load(c))?;
                claimed.sort_by_key(|job| ids.iter().position(|id| *id == job.id));
                Ok(claimed)
            })
            .await?;
        claimed.iter().for_each(|job| self.tell(job.id));
        Ok(claimed)
    }

    /// Renews the leases of `held`. Returns those that are lost: cancelled, or claimed by another worker.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn renew(&self, held: Vec<(JobId, i64)>) -> Result<Vec<JobId>> {
        let queue = self.clone();
        self.0
            .db
            .write(move |conn| {
                let until = dialect::now(conn, &queue.0.clock)?.after(LEASE);
                let mut lost = Vec::new();
                for (id, fence) in &held {
                    let renewed = on!(conn, |c| diesel::update(jobs::table.find(id))
                        .filter(jobs::fence.eq(fence))
                        .filter(jobs::state.eq(JobState::Running))
                        .set(jobs::due_at.eq(Some(until)))
                        .execute(c))?;
                    if renewed == 0 {
                        lost.push(*id);
                    }
                }
                Ok(lost)
            })
            .await
    }

    /// Whether the claim is current. Locks the job until the transaction ends, so that what is written in it has been
    /// written under the lease.
    ///
    /// # Errors
    /// Those of the database.
    pub fn is_held(conn: &mut Conn, job: &Claimed) -> Result<bool> {
        dialect::lock(conn, Lockable::Jobs, job.id)?;
        let held: Option<i64> = on!(conn, |c| jobs::table
            .find(job.id)
            .filter(jobs::state.eq(JobState::Running))
            .select(jobs::fence)
            .get_result(c)
            .optional())?;
        Ok(held == Some(job.fence))
    }

    /// Notes how much of the job is done, from 0 to 1. False when the claim is no longer current.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn note_progress(&self, job: &Claimed, share: f64) -> Result<bool> {
        let job = job.clone();
        let id = job.id;
        let noted = self
            .0
            .db
            .write(move |conn| {
                Ok(on!(conn, |c| diesel::update(jobs::table.find(job.id))
                    .filter(jobs::fence.eq(job.fence))
                    .set(jobs::progress.eq(Some(share)))
                    .execute(c))?)
            })
            .await?;
        self.tell(id);
        Ok(noted > 0)
    }

    /// Marks the job as done, in the transaction of `conn`; one that repeats waits for its next time, in `again`.
    /// Call [`Queue::is_held`] first.
    ///
    /// # Errors
    /// Those of the database.
    pub fn finish(&self, conn: &mut Conn, job: &Claimed, again: Option<Duration>) -> Result<()> {
        let now = dialect::now(conn, &self.0.clock)?;
        let (state, attempts) = match again {
            None => (JobState::Succeeded, job.attempts),
            Some(_) => (JobState::Queued, 0),
        };
        self.end(
            conn,
            job,
            (state, attempts),
            again.map(|again| now.after(again)),
            None,
        )
    }

    /// Marks an attempt as failed. The job waits for its next attempt, or has failed for good if there is none left or
    /// `is_final`. One that repeats tries again at its next time at the latest.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn fail(
        &self,
        job: &Claimed,
        error: &str,
        is_final: bool,
        again: Option<Duration>,
    ) -> Result<()> {
        let (queue, job) = (self.clone(), job.clone());
        let error: String = error.chars().take(ERROR_LENGTH).collect();
        let id = job.id;
        self.0
            .db
            .write(move |conn| {
                if !Self::is_held(conn, &job)? {
                    return Ok(());
                }
                let now = dialect::now(conn, &queue.0.clock)?;
                let is_last = is_final || job.attempts >= job.max_attempts;
                let (end, pause) = match again {
                    None if is_last => ((JobState::Failed, job.attempts), None),
                    Some(again) if is_last => ((JobState::Queued, 0), Some(again)),
                    _ => ((JobState::Queued, job.attempts), Some(pause(job.attempts))),
                };
                let due = pause.map(|pause| now.after(pause));
                queue.end(conn, &job, end, due, Some(&error))
            })
            .await?;
        self.tell(id);
        Ok(())
    }

    /// Gives claims back, as if they had not been made. The next worker may begin at once.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn hand_back(&self, held: Vec<Claimed>) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let queue = self.clone();
        self.0
            .db
            .write(move |conn| {
                let now = dialect::now(conn, &queue.0.clock)?;
                for job in &held {
                    if Self::is_held(conn, job)? {
                        let end = (JobState::Queued, job.attempts - 1);
                        queue.end(conn, job, end, Some(now), None)?;
                    }
                }
                Ok(())
            })
            .await?;
        self.announce(super::Waiting(()));
        Ok(())
    }

    fn end(
        &self,
        conn: &mut Conn,
        job: &Claimed,
        (state, attempts): (JobState, i32),
        due: Option<Timestamp>,
        error: Option<&str>,
    ) -> Result<()> {
        let finished = due.is_none().then(|| self.0.clock.now());
        // It may be large, and is of no more use.
        let payload = (state == JobState::Succeeded).then(|| jobs::payload.eq("{}"));
        let changes = (
            payload,
            jobs::state.eq(state),
            jobs::attempts.eq(attempts),
            // So that nobody who still runs it can write.
            jobs::fence.eq(job.fence + 1),
            jobs::due_at.eq(due),
            jobs::finished_at.eq(finished),
            jobs::error.eq(error),
            jobs::worker.eq(None::<String>),
        );
        on!(conn, |c| diesel::update(jobs::table.find(job.id))
            .set(changes)
            .execute(c))?;
        Ok(())
    }
}

/// The jobs that are due at `now`, first come first. With `claiming`, jobs that another worker is claiming at the same
/// time are skipped, and the others are locked until the transaction ends.
fn due(
    conn: &mut Conn,
    kinds: &'static [&'static str],
    now: Timestamp,
    limit: usize,
    claiming: bool,
) -> Result<Vec<Due>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due = |kind: &str| {
        // Names are constants of the program without quotes: see `Payload::KIND`.
        let is_ours = sql::<Bool>(&format!("{kind} IN ('{}')", kinds.join("', '")));
        jobs::table
            .filter(jobs::due_at.le(now).and(is_ours))
            .order((jobs::due_at.asc(), jobs::id.asc()))
            .select((jobs::id, jobs::due_at.assume_not_null()))
            .limit(limit)
    };
    Ok(match conn {
        // With the plus, SQLite does not go by the index of kinds, and then have to sort.
        Conn::Sqlite(c) => due("+kind").load(c)?,
        Conn::Mysql(c) if claiming => due("kind").for_update().skip_locked().load(c)?,
        Conn::Mysql(c) => due("kind").load(c)?,
    })
}

/// The pause after so many attempts.
fn pause(attempts: i32) -> Duration {
    let doubled = u32::try_from(attempts - 1).unwrap_or(0).min(16);
    FIRST_PAUSE.saturating_mul(1 << doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = (1..=10).map(|n| pause(n).as_secs()).collect();

        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 128, 256, 512, 600]);
        assert_eq!(pause(i32::MAX), LONGEST_PAUSE);
    }
}
