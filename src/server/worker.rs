//! The worker: claims jobs, runs several at a time, holds on to their leases, and gives them back when it stops.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    bus::{Heard, Listener, Message, Topic},
    error::{Error, Result},
    ids::JobId,
    queue::{CANCELLED, Claimed, LEASE, NextDue, WAITING},
    work::{Failure, Kinds, Place, Run},
};

/// The jobs that one worker runs at a time.
pub const JOBS_AT_ONCE: usize = 8;
/// How often an idle worker looks for jobs that it was not told of.
const POLL: Duration = Duration::from_secs(10);
/// The same while the bus is down, or the database.
const POLL_UNTOLD: Duration = Duration::from_secs(1);
/// How long running jobs may go on when the worker stops. Then they are given back.
const FAREWELL: Duration = Duration::from_secs(10);

/// A worker of this process.
pub struct Worker {
    app: App,
    kinds: Arc<Kinds>,
    names: &'static [&'static str],
    /// Those of them that do not take long.
    short: &'static [&'static str],
    slots: usize,
    name: String,
    running: Running,
}

/// What runs, and how to stop it. Whoever runs a job removes it when it has ended.
type Running = Arc<Mutex<HashMap<JobId, (Claimed, CancellationToken)>>>;

impl Worker {
    /// A worker for the kinds in these places that runs up to `slots` jobs at a time.
    #[must_use]
    pub fn new(
        app: App,
        kinds: Arc<Kinds>,
        is_wanted: impl Fn(Place) -> bool,
        slots: usize,
    ) -> Self {
        // Once for each worker of a process, which lives as long as the process does.
        let names: &[_] = Vec::leak(kinds.names(is_wanted));
        let short = names.iter().copied().filter(|kind| !kinds.is_long(kind));
        let short = Vec::leak(short.collect());
        let process = std::process::id();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
        let host = host.map_or_else(|_| "localhost".to_owned(), |host| host.trim().to_owned());
        let number = app.clock.id::<crate::ids::JobKind>().uuid().as_u128() as u16;
        Self {
            app,
            kinds,
            names,
            short,
            slots,
            name: format!(
                "{}-{process}-{number:04x}",
                host.chars().take(80).collect::<String>()
            ),
            running: Running::default(),
        }
    }

    /// Works until it is told to stop; then gives back what does not end in time.
    pub async fn run(self, stop: CancellationToken) {
        let listening = async {
            let waiting = listen(&self.app, WAITING).await;
            (waiting, listen(&self.app, CANCELLED).await)
        };
        let Some((mut waiting, cancelled)) = stop.run_until_cancelled(listening).await else {
            return;
        };
        let ended = CancellationToken::new();
        let holding = ended.run_until_cancelled(self.hold_leases()).map(drop);
        let letting_go = ended.run_until_cancelled(self.let_go(cancelled)).map(drop);
        let working = async {
            let mut runs = JoinSet::new();
            stop.run_until_cancelled(self.work(&mut runs, &mut waiting, &stop))
                .await;
            self.stop(runs).await;
            ended.cancel();
        };
        tokio::join!(working, holding, letting_go);
    }

    async fn work(
        &self,
        runs: &mut JoinSet<()>,
        waiting: &mut Listener<uuid::Uuid>,
        stop: &CancellationToken,
    ) {
        while let Err(error) = self.kinds.ensure(&self.app.queue).await {
            tracing::warn!(%error, "jobs that repeat could not be entered");
            tokio::time::sleep(POLL_UNTOLD).await;
        }
        loop {
            while runs.try_join_next().is_some() {}
            let free = self.slots - runs.len();
            let pause = if free == 0 {
                POLL
            } else {
                match self.start(free, runs, stop).await {
                    Ok(pause) => pause,
                    Err(error) => {
                        tracing::warn!(%error, "no jobs can be claimed");
                        POLL_UNTOLD
                    }
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = waiting.next() => {}
                Some(_) = runs.join_next() => {}
            }
        }
    }

    /// Starts what is due. Returns when to look again.
    async fn start(
        &self,
        free: usize,
        runs: &mut JoinSet<()>,
        stop: &CancellationToken,
    ) -> Result<Duration> {
        let poll = if self.app.bus.health().is_ok() {
            POLL
        } else {
            POLL_UNTOLD
        };
        let (names, most) = match self.room_for_long() {
            0 => (self.short, free),
            room => (self.names, free.min(room)),
        };
        match self.app.queue.next_due(names).await? {
            NextDue::Now => {}
            NextDue::In(pause) => return Ok(pause.min(poll)),
            NextDue::Never => return Ok(poll),
        }
        let claimed = self.app.queue.claim(names, most, &self.name).await?;
        // Nothing: others were faster.
        let is_all = claimed.len() < most;
        for job in claimed {
            let lost = CancellationToken::new();
            self.running
                .lock()
                .insert(job.id, (job.clone(), lost.clone()));
            let again = self.kinds.repeats(&job.kind);
            let run = Run::new(self.app.clone(), job.clone(), again, stop.clone());
            runs.spawn(attempt(
                Arc::clone(&self.kinds),
                run,
                job,
                Arc::clone(&self.running),
                lost,
            ));
        }
        Ok(if is_all {
            Duration::from_millis(20)
        } else {
            Duration::ZERO
        })
    }

    /// How many more jobs may run that take long: a quarter of the slots is for others.
    fn room_for_long(&self) -> usize {
        let running = self.running.lock();
        let long = running.values();
        let long = long
            .filter(|(job, _)| self.kinds.is_long(&job.kind))
            .count();
        (self.slots - self.slots / 4).saturating_sub(long)
    }

    /// Renews the leases of what runs, and stops what is no longer this worker's.
    async fn hold_leases(&self) {
        loop {
            tokio::time::sleep(LEASE / 3).await;
            let held: Vec<_> = {
                let running = self.running.lock();
                running
                    .values()
                    .map(|(job, _)| (job.id, job.fence))
                    .collect()
            };
            if held.is_empty() {
                continue;
            }
            match self.app.queue.renew(held).await {
                Ok(lost) => lost.into_iter().for_each(|id| self.lose(id)),
                Err(error) => tracing::warn!(%error, "leases could not be renewed"),
            }
        }
    }

    /// Stops what is cancelled.
    async fn let_go(&self, mut cancelled: Listener<JobId>) {
        loop {
            // What is missed is noticed when its lease is to be renewed.
            if let Heard::News(news) = cancelled.next().await {
                self.lose(news.about);
            }
        }
    }

    fn lose(&self, id: JobId) {
        if let Some((_, lost)) = self.running.lock().get(&id) {
            lost.cancel();
        }
    }

    /// Waits for what runs, and gives back what takes too long.
    async fn stop(&self, mut runs: JoinSet<()>) {
        let ending = async { while runs.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, ending).await.is_ok() {
            return;
        }
        runs.shutdown().await;
        let held: Vec<_> = {
            let mut running = self.running.lock();
            running.drain().map(|(_, (job, _))| job).collect()
        };
        tracing::info!(jobs = held.len(), "jobs that still run are given back");
        if let Err(error) = self.app.queue.hand_back(held).await {
            tracing::warn!(%error, "jobs could not be given back; they run when their leases end");
        }
    }
}

/// Listens to a topic as soon as the bus works.
async fn listen<M: Message>(app: &App, topic: Topic<M>) -> Listener<M> {
    loop {
        match app.bus.listen(&[topic]).await {
            Ok(listener) => return listener,
            Err(error) => tracing::warn!(%error, "a worker cannot start yet"),
        }
        tokio::time::sleep(POLL_UNTOLD).await;
    }
}

/// One attempt, to its end.
async fn attempt(
    kinds: Arc<Kinds>,
    run: Run,
    job: Claimed,
    running: Running,
    lost: CancellationToken,
) {
    let (id, app) = (job.id, run.app.clone());
    tracing::debug!(job = %id, kind = job.kind, attempt = job.attempts, "a job begins");
    let work = std::panic::AssertUnwindSafe(kinds.carry_out(&run)).catch_unwind();
    let outcome = match lost.run_until_cancelled(work).await {
        None => Err(Failure::Lost),
        Some(Ok(outcome)) => outcome,
        Some(Err(_)) => Err(Failure::Again(Error::internal("it panicked"))),
    };
    let failed = match outcome {
        Ok(()) => None,
        Err(Failure::Lost) => {
            tracing::info!(job = %id, kind = job.kind, "a job was cancelled, or is another worker's");
            None
        }
        Err(Failure::Again(error)) => Some((describe(&error), false)),
        Err(Failure::Final(reason)) => Some((reason, true)),
    };
    if let Some((reason, is_final)) = failed {
        tracing::warn!(job = %id, kind = job.kind, attempt = job.attempts, reason, "a job has failed");
        let again = kinds.repeats(&job.kind);
        if let Err(error) = app.queue.fail(&job, &reason, is_final, again).await {
            tracing::warn!(%error, job = %id, "a failure could not be written; the job runs again when its lease ends");
        }
    }
    running.lock().remove(&id);
}

/// For admins, who see causes.
fn describe(error: &Error) -> String {
    match error {
        Error::Internal(cause) => cause.sentence(),
        error => error.to_string(),
    }
}
