//! What jobs do: a kind of job is a [`Work`], which a feature defines in its `jobs.rs` and [`Kinds`] brings to the worker.
//! Work may run more than once, when a worker dies in the middle: write through [`Run::write`], so that a worker whose
//! lease has run out cannot, and finish with [`Run::finish`], so that the last effect and the end are one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    db::Conn,
    error::{Error, Result},
    queue::{Claimed, Payload, Queue},
};

/// A kind of job.
pub trait Work: Payload {
    /// Does it. See the module for what to write through.
    ///
    /// # Errors
    /// [`Failure::Again`] for what may succeed later, [`Failure::Final`] for what never will.
    fn run(self, run: &Run) -> impl Future<Output = Result<Done, Failure>> + Send;
}

/// That the work is done. The end is written with the last effect, or after it.
#[derive(Debug)]
pub struct Done {
    is_written: bool,
}

/// Why an attempt failed.
#[derive(Debug)]
pub enum Failure {
    /// It is tried again, as often as the kind allows.
    Again(Error),
    /// Trying again is no use. The sentence is for admins.
    Final(String),
    /// The job was cancelled, or is another worker's: nothing is written.
    Lost,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Again(error)
    }
}

/// The least time between two notes of progress.
const BETWEEN_NOTES: Duration = Duration::from_millis(500);

/// One attempt at a job.
pub struct Run {
    pub app: App,
    job: Claimed,
    /// When it repeats: after this time.
    again: Option<Duration>,
    noted: Mutex<Option<Instant>>,
    stopping: CancellationToken,
}

impl Run {
    /// An attempt at `job`.
    #[must_use]
    pub fn new(
        app: App,
        job: Claimed,
        again: Option<Duration>,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            app,
            job,
            again,
            noted: Mutex::new(None),
            stopping,
        }
    }

    /// Runs `work` in a transaction, as [`Db::write`](crate::db::Db::write), if the job is still this worker's.
    ///
    /// # Errors
    /// [`Failure::Lost`] when it is not; what `work` fails with.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Conn) -> Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let job = self.job.clone();
        let written = self.app.db.write(move |conn| {
            if Queue::is_held(conn, &job)? {
                work(conn).map(Some)
            } else {
                Ok(None)
            }
        });
        written.await?.ok_or(Failure::Lost)
    }

    /// Runs `work` and marks the job as done in one transaction: both happen, once, or neither.
    ///
    /// # Errors
    /// As [`Run::write`].
    pub async fn finish(
        &self,
        work: impl Fn(&mut Conn) -> Result<()> + Send + 'static,
    ) -> Result<Done, Failure> {
        let (queue, job, again) = (self.app.queue.clone(), self.job.clone(), self.again);
        self.write(move |conn| {
            work(conn)?;
            queue.finish(conn, &job, again)
        })
        .await?;
        self.app.queue.tell(self.job.id);
        Ok(Done { is_written: true })
    }

    /// All effects are written already.
    #[must_use]
    pub fn done(&self) -> Done {
        Done { is_written: false }
    }

    /// Tells how much is done, from 0 to 1. Call it as often as you like: it is written twice a second at most. If it
    /// cannot be written, the work goes on.
    ///
    /// # Errors
    /// [`Failure::Lost`] when the job is no longer this worker's, as when it was cancelled.
    pub async fn progress(&self, share: f64) -> Result<(), Failure> {
        {
            let mut noted = self.noted.lock();
            if noted.is_some_and(|at| at.elapsed() < BETWEEN_NOTES) {
                return Ok(());
            }
            *noted = Some(Instant::now());
        }
        let share = share.clamp(0.0, 1.0);
        match self.app.queue.note_progress(&self.job, share).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::Lost),
            Err(error) => {
                tracing::warn!(%error, job = %self.job.id, "progress could not be noted");
                Ok(())
            }
        }
    }

    /// A number of this attempt, greater than those of earlier attempts at this job.
    #[must_use]
    pub fn attempt(&self) -> i64 {
        self.job.fence
    }

    /// Ends when the server stops. Long work may leave off then: whatever it has not finished within seconds is given
    /// back, and another worker begins anew.
    pub async fn stopping(&self) {
        self.stopping.cancelled().await;
    }

    /// Does the work and writes how it ended.
    async fn carry_out<W: Work>(&self) -> Result<(), Failure> {
        let payload: W = serde_json::from_str(&self.job.payload)
            .map_err(|e| Failure::Final(format!("the payload cannot be read: {e}")))?;
        let done = payload.run(self).await?;
        if !done.is_written {
            self.finish(|_| Ok(())).await?;
        }
        Ok(())
    }
}

/// Where a kind may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Anywhere,
    /// Where the cache is: in the server's own process, unless the cache is a Redis.
    AtTheCache,
}

type CarryOut = for<'a> fn(&'a Run) -> BoxFuture<'a, Result<(), Failure>>;
type Ensure = for<'a> fn(&'a Queue) -> BoxFuture<'a, Result<()>>;
type Follow = fn(&Queue, &mut Conn, &str) -> Result<()>;

struct Entry {
    carry_out: CarryOut,
    place: Place,
    is_long: bool,
    repeats: Option<(Duration, Ensure)>,
}

/// All kinds of jobs.
#[derive(Default)]
pub struct Kinds {
    entries: BTreeMap<&'static str, Entry>,
    events: BTreeMap<&'static str, Vec<Follow>>,
}

impl Kinds {
    /// Adds a kind.
    #[must_use]
    pub fn with<W: Work>(mut self) -> Self {
        self.insert::<W>(Place::Anywhere, None);
        self
    }

    /// Adds a kind that may take minutes. However many of these wait, a worker keeps some slots for others.
    #[must_use]
    pub fn with_long<W: Work>(mut self) -> Self {
        self.insert::<W>(Place::Anywhere, None);
        if let Some(entry) = self.entries.get_mut(W::KIND) {
            entry.is_long = true;
        }
        self
    }

    /// Adds a kind of which there is one job for all servers. It runs again `every` so often, whether it succeeds or
    /// not.
    #[must_use]
    pub fn repeating<W: Work + Default>(mut self, every: Duration, place: Place) -> Self {
        self.insert::<W>(place, Some((every, |queue| queue.ensure::<W>().boxed())));
        self
    }

    fn insert<W: Work>(&mut self, place: Place, repeats: Option<(Duration, Ensure)>) {
        let entry = Entry {
            carry_out: |run| run.carry_out::<W>().boxed(),
            place,
            is_long: false,
            repeats,
        };
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(
            W::KIND.chars().all(is_name),
            "{} is not the name of a kind",
            W::KIND
        );
        self.entries.insert(W::KIND, entry);
    }

    /// Adds a kind that follows from an event: each event of `E` enqueues one `W`. The feature that announces the event
    /// does not know who follows it.
    #[must_use]
    pub fn following<E: Payload, W: Work + From<E>>(mut self) -> Self {
        self.events.entry(E::KIND).or_default().push(follow::<E, W>);
        self.with::<W>()
    }

    /// Whether a kind may take minutes.
    #[must_use]
    pub fn is_long(&self, kind: &str) -> bool {
        self.entries.get(kind).is_some_and(|entry| entry.is_long)
    }

    /// The kinds that a worker runs: all, or only those of one [`Place`].
    #[must_use]
    pub fn names(&self, is_wanted: impl Fn(Place) -> bool) -> Vec<&'static str> {
        let kinds = self.entries.iter();
        let kinds = kinds.filter_map(|(name, entry)| is_wanted(entry.place).then_some(*name));
        let events = is_wanted(Place::Anywhere).then_some(self.events.keys().copied());
        kinds.chain(events.into_iter().flatten()).collect()
    }

    /// How often a kind repeats.
    #[must_use]
    pub fn repeats(&self, kind: &str) -> Option<Duration> {
        let entry = self.entries.get(kind)?;
        entry.repeats.map(|(every, _)| every)
    }

    /// Makes sure that the jobs that repeat are there.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn ensure(&self, queue: &Queue) -> Result<()> {
        for (_, ensure) in self.entries.values().filter_map(|entry| entry.repeats) {
            ensure(queue).await?;
        }
        Ok(())
    }

    /// Does what `run` is about, and writes how it ended.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn carry_out(&self, run: &Run) -> Result<(), Failure> {
        let kind = run.job.kind.as_str();
        if let Some(entry) = self.entries.get(kind) {
            return (entry.carry_out)(run).await;
        }
        let Some(followers) = self.events.get(kind) else {
            return Err(Failure::Final(format!("there is no kind {kind}")));
        };
        let (queue, event) = (run.app.queue.clone(), run.job.payload.clone());
        let followers = followers.clone();
        run.finish(move |conn| {
            followers
                .iter()
                .try_for_each(|follow| follow(&queue, conn, &event))
        })
        .await?;
        Ok(())
    }
}

/// Enqueues what follows from an event. The worker looks for it right after the event.
fn follow<E: Payload, W: Work + From<E>>(
    queue: &Queue,
    conn: &mut Conn,
    event: &str,
) -> Result<()> {
    let event: E = serde_json::from_str(event).map_err(|error| Error::internal(error))?;
    queue.enqueue(conn, &W::from(event)).map(drop)
}
