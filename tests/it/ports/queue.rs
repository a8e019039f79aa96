//! The queue, on both databases: jobs run once their transaction is committed, under leases and fences.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};
use futures_util::StreamExt;
use madang::{
    access::Actor,
    app::App,
    connection::Page,
    db::Conn,
    error::{Error, Result},
    ids::JobId,
    jobs::{Job, live::ChangesOf, store::JobList},
    list::List,
    queue::{Claimed, JobState, LEASE, NextDue, Payload},
    server::{kinds::kinds, worker::Worker},
    watch,
    work::{Done, Failure, Kinds, Place, Run, Work},
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::support::{TestApp, any_board};

const NOTES: &[&str] = &["note"];

/// Notes its text in the table of boards, which no other test of these uses.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Note {
    text: String,
    /// `fail`, `panic`, `final`, `hang`.
    how: String,
}

impl Payload for Note {
    const KIND: &'static str = "note";
    const MAX_ATTEMPTS: i32 = 3;
}

impl Work for Note {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        match self.how.as_str() {
            "fail" => return Err(Error::internal("it is broken").into()),
            "panic" => panic!("as a test wants it"),
            "final" => return Err(Failure::Final("line 7 is broken".to_owned())),
            "hang" => {
                run.progress(0.25).await?;
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        let id = run.app.clock.id();
        run.finish(move |conn| crate::db::insert(conn, id, &self.text))
            .await
    }
}

fn note(text: &str) -> Note {
    Note {
        text: text.to_owned(),
        how: String::new(),
    }
}

/// It tells of its progress and never ends.
fn hanging(text: &str) -> Note {
    Note {
        how: "hang".to_owned(),
        ..note(text)
    }
}

fn noted() -> Kinds {
    Kinds::default().with::<Note>()
}

async fn enqueue(app: &App, payload: impl Payload + Sync + Clone) {
    let queue = app.queue.clone();
    let waiting = app
        .db
        .write(move |conn| queue.enqueue(conn, &payload))
        .await;
    app.queue.announce(waiting.unwrap());
}

async fn jobs(app: &App) -> Vec<Job> {
    let page = Page {
        limit: 100,
        backwards: false,
        after: None,
        before: None,
    };
    let read = move |conn: &mut Conn| {
        JobList::read(
            conn,
            &Actor::Anonymous,
            &[(JobList::default(), page.clone())],
        )
    };
    let mut jobs = app.db.read(read).await.unwrap().remove(0);
    jobs.sort_by_key(|job| job.id);
    jobs
}

async fn only_job(app: &App) -> Job {
    let mut jobs = jobs(app).await;
    assert_eq!(jobs.len(), 1, "{jobs:?}");
    jobs.remove(0)
}

async fn claim(app: &App) -> Option<Claimed> {
    let mut claimed = app.queue.claim(NOTES, 1, "test").await.unwrap();
    claimed.pop()
}

async fn until(what: impl AsyncFn() -> bool) {
    for _ in 0..400 {
        if what().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it does not happen");
}

/// A worker that runs until the token is cancelled.
fn worker(app: &App, kinds: Kinds) -> (CancellationToken, tokio::task::JoinHandle<()>) {
    let stop = CancellationToken::new();
    let worker = Worker::new(app.clone(), Arc::new(kinds), |_| true, 4);
    (stop.clone(), tokio::spawn(worker.run(stop)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_there_with_its_transaction_and_not_without_it() {
    let app = TestApp::start().await;
    let queue = app.app.queue.clone();

    let failed: Result<()> = app
        .app
        .db
        .write(move |conn| {
            let _never = queue.enqueue(conn, &note("a"))?;
            Err(Error::Forbidden)
        })
        .await;

    assert!(failed.is_err() && jobs(&app.app).await.is_empty());
    enqueue(&app.app, note("a")).await;
    app.run_jobs_of(noted()).await;
    assert_eq!(crate::db::keys(&app.app).await, ["a"]);
    let job = only_job(&app.app).await;
    assert_eq!((job.state, job.attempts), (JobState::Succeeded, 1));
    assert!(job.finished_at.is_some() && job.due_at.is_none() && job.worker.is_none());
    // What it was given may be large, and nobody can run it again.
    let emptied = "SELECT payload AS detail FROM jobs";
    let payload = move |conn: &mut Conn| {
        let found: Vec<Plan> = madang::db::on!(conn, |c| diesel::sql_query(emptied).load(c))?;
        Ok(found)
    };
    assert_eq!(app.app.db.read(payload).await.unwrap()[0].detail, "{}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_run_each_job_once() {
    let app = TestApp::start().await;
    for n in 0..60 {
        enqueue(&app.app, note(&format!("{n:02}"))).await;
    }

    let workers: Vec<_> = (0..3).map(|_| worker(&app.app, noted())).collect();
    until(async || crate::db::keys(&app.app).await.len() == 60).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (stop, ended) in workers {
        stop.cancel();
        ended.await.unwrap();
    }

    assert_eq!(crate::db::keys(&app.app).await.len(), 60);
    let jobs = jobs(&app.app).await;
    assert!(
        jobs.iter()
            .all(|job| job.state == JobState::Succeeded && job.attempts == 1),
        "{jobs:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_starts_at_once() {
    let app = TestApp::start().await;
    let (stop, ended) = worker(&app.app, noted());
    tokio::time::sleep(Duration::from_millis(300)).await;
    let statements = app.app.db.statements();
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    // It does not poll meanwhile.
    assert_eq!(app.app.db.statements(), statements);

    enqueue(&app.app, note("a")).await;

    // Long before its next poll, which is the only thing that is certain on a busy machine.
    let began = Instant::now();
    until(async || crate::db::keys(&app.app).await == ["a"]).await;
    assert!(began.elapsed() < Duration::from_secs(5));
    stop.cancel();
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_belongs_to_one_until_its_lease_runs_out() {
    let app = TestApp::start().await;
    enqueue(&app.app, note("a")).await;
    let first = claim(&app.app).await.unwrap();
    assert!(claim(&app.app).await.is_none());

    app.advance(20);
    let held = vec![(first.id, first.fence)];
    assert!(app.app.queue.renew(held.clone()).await.unwrap().is_empty());
    app.advance(20);
    assert!(claim(&app.app).await.is_none(), "it was renewed");
    app.clock.advance(LEASE);
    let second = claim(&app.app).await.unwrap();

    assert!(second.id == first.id && second.fence > first.fence && second.attempts == 2);
    assert_eq!(app.app.queue.renew(held).await.unwrap(), [first.id]);
    // The first holder writes nothing any more, whatever it tries.
    let of = |claimed: Claimed| Run::new(app.app.clone(), claimed, None, CancellationToken::new());
    let (run, id) = (of(first.clone()), app.clock.id());
    let late = run
        .write(move |conn| crate::db::insert(conn, id, "late"))
        .await;
    assert!(matches!(late, Err(Failure::Lost)), "{late:?}");
    assert!(matches!(run.finish(|_| Ok(())).await, Err(Failure::Lost)));
    app.app
        .queue
        .fail(&first, "late", true, None)
        .await
        .unwrap();
    app.app.queue.note_progress(&first, 0.9).await.unwrap();
    app.app.queue.hand_back(vec![first]).await.unwrap();
    assert!(crate::db::keys(&app.app).await.is_empty());
    let job = only_job(&app.app).await;
    assert!(job.state == JobState::Running && job.error.is_none() && job.progress.is_none());
    let (run, id) = (of(second), app.clock.id());
    run.finish(move |conn| crate::db::insert(conn, id, "a"))
        .await
        .unwrap();
    assert_eq!(crate::db::keys(&app.app).await, ["a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_job_waits_ever_longer_and_is_dead_after_its_attempts() {
    let app = TestApp::start().await;
    enqueue(
        &app.app,
        Note {
            how: "fail".to_owned(),
            ..note("a")
        },
    )
    .await;

    app.run_jobs_of(noted()).await;
    let job = only_job(&app.app).await;
    assert_eq!((job.state, job.attempts), (JobState::Queued, 1));
    assert_eq!(job.error.as_deref(), Some("it is broken"));
    let due = app.app.queue.next_due(NOTES).await.unwrap();
    assert!(
        matches!(due, NextDue::In(pause) if pause <= Duration::from_secs(2)),
        "{due:?}"
    );
    app.run_jobs_of(noted()).await;
    assert_eq!(only_job(&app.app).await.attempts, 1, "not before its time");
    for (pause, attempts) in [(2, 2), (4, 3)] {
        app.advance(pause);
        app.run_jobs_of(noted()).await;
        assert_eq!(only_job(&app.app).await.attempts, attempts);
    }

    let job = only_job(&app.app).await;
    assert!(job.state == JobState::Failed && job.finished_at.is_some());
    app.advance(100_000);
    assert_eq!(app.app.queue.next_due(NOTES).await.unwrap(), NextDue::Never);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_succeed_is_dead_at_once_with_the_reason() {
    let app = TestApp::start().await;
    enqueue(
        &app.app,
        Note {
            how: "final".to_owned(),
            ..note("a")
        },
    )
    .await;
    app.run_jobs_of(noted()).await;
    let job = only_job(&app.app).await;
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    assert_eq!(job.error.as_deref(), Some("line 7 is broken"));

    // As after an update that no longer knows the old form.
    #[derive(Clone, Serialize, Deserialize)]
    struct Other {
        number: u32,
    }
    impl Payload for Other {
        const KIND: &'static str = Note::KIND;
    }
    enqueue(&app.app, Other { number: 1 }).await;
    app.run_jobs_of(noted()).await;

    let job = jobs(&app.app).await.pop().unwrap();
    assert_eq!((job.state, job.attempts), (JobState::Failed, 1));
    assert!(
        job.error
            .unwrap()
            .starts_with("the payload cannot be read: ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    let app = TestApp::start().await;
    let (stop, ended) = worker(&app.app, noted());
    enqueue(
        &app.app,
        Note {
            how: "panic".to_owned(),
            ..note("a")
        },
    )
    .await;
    until(async || jobs(&app.app).await[0].error.is_some()).await;

    enqueue(&app.app, note("b")).await;
    until(async || crate::db::keys(&app.app).await == ["b"]).await;

    stop.cancel();
    ended.await.unwrap();
    assert_eq!(
        jobs(&app.app).await[0].error.as_deref(),
        Some("it panicked")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_an_unknown_kind_waits_for_a_worker_that_knows_it() {
    let app = TestApp::start().await;
    enqueue(&app.app, note("a")).await;

    app.run_jobs().await;

    let waiting = jobs(&app.app)
        .await
        .into_iter()
        .find(|job| job.kind == "note")
        .unwrap();
    assert_eq!((waiting.state, waiting.attempts), (JobState::Queued, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_gives_back_what_it_cannot_end() {
    let app = TestApp::start().await;
    let (stop, ended) = worker(&app.app, noted());
    enqueue(&app.app, hanging("a")).await;
    until(async || only_job(&app.app).await.progress == Some(0.25)).await;
    assert_eq!(only_job(&app.app).await.state, JobState::Running);

    stop.cancel();
    ended.await.unwrap();

    // As if it had never been tried, and without waiting for the lease.
    let job = only_job(&app.app).await;
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0));
    assert_eq!(app.app.queue.next_due(NOTES).await.unwrap(), NextDue::Now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_and_can_be_retried() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let (stop, ended) = worker(&app.app, noted());
    enqueue(&app.app, hanging("a")).await;
    until(async || only_job(&app.app).await.progress.is_some()).await;
    let id = only_job(&app.app).await.id;

    let change = async |name: &str| {
        admin
            .mutate(
                name,
                json!({ "id": id.to_string() }),
                "job { state attempts progress nextAttemptAt worker }",
            )
            .await
    };
    assert_eq!(
        change("retryJob").await.violation(),
        ("id".to_owned(), "STATE".to_owned())
    );
    let cancelled = change("cancelJob").await;

    assert_eq!(
        cancelled.data()["cancelJob"]["job"],
        json!({ "state": "CANCELLED", "attempts": 1, "progress": null, "nextAttemptAt": null, "worker": null })
    );
    assert_eq!(change("cancelJob").await.code(), "CONFLICT");
    // Its place is free again: the worker has let it go.
    for n in 0..4 {
        enqueue(&app.app, hanging(&format!("{n}"))).await;
    }
    until(async || {
        jobs(&app.app).await[1..]
            .iter()
            .all(|job| job.state == JobState::Running)
    })
    .await;
    assert_eq!(only_cancelled(&app.app).await, id);
    assert_eq!(
        change("retryJob").await.text("retryJob.job.state"),
        "QUEUED"
    );
    stop.cancel();
    ended.await.unwrap();
}

async fn only_cancelled(app: &App) -> JobId {
    let jobs = jobs(app).await;
    let mut cancelled = jobs.iter().filter(|job| job.state == JobState::Cancelled);
    let id = cancelled.next().unwrap().id;
    assert!(cancelled.next().is_none());
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_a_job_sees_it_run_and_what_others_do_with_it() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    enqueue(&app.app, hanging("a")).await;
    let job = only_job(&app.app).await.id;
    let seen = watch::follow(app.app.clone(), admin.caller().await, ChangesOf(job)).await;
    let mut seen = Box::pin(seen.unwrap());
    // News are hints: what is read may be newer, and the same job may come twice.
    let mut until = async |is_right: fn(&Job) -> bool| {
        let mut states = Vec::new();
        loop {
            let next = timeout(Duration::from_secs(20), seen.next()).await;
            let seen = next.expect("news").expect("no end").unwrap();
            assert_eq!(seen.id, job);
            states.push(seen.state);
            if is_right(&seen) {
                return states;
            }
        }
    };
    let input = json!({ "id": job.to_string() });

    let (stop, ended) = worker(&app.app, noted());
    until(|job| job.state == JobState::Running && job.progress == Some(0.25)).await;
    admin
        .mutate("cancelJob", input.clone(), "job { id }")
        .await
        .data();
    until(|job| job.state == JobState::Cancelled).await;
    // It does not hear of others.
    enqueue(&app.app, note("b")).await;
    admin.mutate("retryJob", input, "job { id }").await.data();
    until(|job| job.state == JobState::Running && job.attempts == 1).await;
    stop.cancel();
    ended.await.unwrap();

    // The worker that stopped has handed it back.
    let states = until(|job| job.state == JobState::Queued).await;
    assert!(!states.contains(&JobState::Succeeded));
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_written_twice_a_second_at_most() {
    let app = TestApp::start().await;
    enqueue(&app.app, note("a")).await;
    let job = claim(&app.app).await.unwrap();
    let run = Run::new(app.app.clone(), job, None, CancellationToken::new());
    let before = app.app.db.statements();

    for n in 0..1_000 {
        run.progress(f64::from(n) / 1_000.0).await.unwrap();
    }

    // A busy machine may take longer than half a second for them.
    assert!(app.app.db.statements() - before < 100);
    assert_eq!(only_job(&app.app).await.progress, Some(0.0));
}

/// Counts its runs.
#[derive(Default, Serialize, Deserialize)]
struct Tick {}

static TICKS: AtomicUsize = AtomicUsize::new(0);

impl Payload for Tick {
    const KIND: &'static str = "tick";
    const MAX_ATTEMPTS: i32 = 2;
}

impl Work for Tick {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        if TICKS.fetch_add(1, Ordering::SeqCst) < 2 {
            Ok(run.done())
        } else {
            Err(Error::internal("broken from now on").into())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_repeats_is_one_and_never_dies() {
    let app = TestApp::start().await;
    let every = Duration::from_secs(60);
    let ticks = || Kinds::default().repeating::<Tick>(every, Place::Anywhere);
    let workers: Vec<_> = (0..3).map(|_| worker(&app.app, ticks())).collect();
    until(async || TICKS.load(Ordering::SeqCst) == 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    for (stop, ended) in workers {
        stop.cancel();
        ended.await.unwrap();
    }
    let job = only_job(&app.app).await;
    assert_eq!((job.state, job.attempts), (JobState::Queued, 0));

    for expected in 2..8 {
        app.advance(60);
        app.run_jobs_of(ticks()).await;
        assert_eq!(TICKS.load(Ordering::SeqCst), expected);
    }

    let job = only_job(&app.app).await;
    assert_eq!(job.state, JobState::Queued);
    assert_eq!(job.error.as_deref(), Some("broken from now on"));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_all_who_follow_them_and_nobody_else() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Happened {
        text: String,
    }
    impl Payload for Happened {
        const KIND: &'static str = "happened";
    }
    impl From<Happened> for Note {
        fn from(Happened { text }: Happened) -> Self {
            note(&text)
        }
    }
    #[derive(Serialize, Deserialize)]
    struct AlsoNote(Note);
    impl Payload for AlsoNote {
        const KIND: &'static str = "also_note";
    }
    impl From<Happened> for AlsoNote {
        fn from(Happened { text }: Happened) -> Self {
            Self(note(&format!("{text} too")))
        }
    }
    impl Work for AlsoNote {
        async fn run(self, run: &Run) -> Result<Done, Failure> {
            self.0.run(run).await
        }
    }
    let app = TestApp::start().await;
    enqueue(
        &app.app,
        Happened {
            text: "a".to_owned(),
        },
    )
    .await;

    let kinds = Kinds::default()
        .following::<Happened, Note>()
        .following::<Happened, AlsoNote>();
    app.run_jobs_of(kinds).await;

    assert_eq!(crate::db::keys(&app.app).await, ["a", "a too"]);
    let states = jobs(&app.app)
        .await
        .into_iter()
        .map(|job| (job.kind, job.state));
    let states: BTreeMap<_, _> = states.collect();
    assert!(states.len() == 3 && states.values().all(|state| *state == JobState::Succeeded));
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_are_forgotten_after_a_while_and_dead_ones_later() {
    let app = TestApp::start().await;
    enqueue(&app.app, note("a")).await;
    enqueue(
        &app.app,
        Note {
            how: "final".to_owned(),
            ..note("b")
        },
    )
    .await;
    app.run_jobs_of(noted()).await;
    enqueue(&app.app, note("waits")).await;
    let kinds_left = async || -> Vec<_> {
        app.run_jobs().await;
        let jobs = jobs(&app.app).await;
        jobs.into_iter()
            .filter(|job| job.kind == "note")
            .map(|job| job.state)
            .collect()
    };
    assert_eq!(
        kinds_left().await,
        [JobState::Succeeded, JobState::Failed, JobState::Queued]
    );

    app.advance(3 * 86_400 + 3_600);
    assert_eq!(kinds_left().await, [JobState::Failed, JobState::Queued]);
    app.advance(27 * 86_400);

    assert_eq!(kinds_left().await, [JobState::Queued]);
}

#[derive(QueryableByName, Debug)]
struct Plan {
    #[diesel(sql_type = Text)]
    detail: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn with_ten_thousand_jobs_that_wait_a_claim_reads_a_few_by_index() {
    let app = TestApp::start().await;
    let queue = app.app.queue.clone();
    app.app
        .db
        .write(move |conn| {
            for n in 0..10_000 {
                let _announced_later = queue.enqueue(conn, &note(&format!("{n}")))?;
            }
            Ok(())
        })
        .await
        .unwrap();

    let plan = app
        .app
        .db
        .read(|conn| {
            let kind = match conn {
                Conn::Sqlite(_) => "+kind",
                Conn::Mysql(_) => "kind",
            };
            let query = format!("FROM jobs WHERE due_at <= 9000000000000000 AND {kind} IN ('note', 'tick') ORDER BY due_at, id LIMIT 8");
            Ok(match conn {
                Conn::Sqlite(c) => {
                    let explain = format!("EXPLAIN QUERY PLAN SELECT id, due_at {query}");
                    let plans: Vec<Plan> = diesel::sql_query(explain).load(c)?;
                    plans.into_iter().map(|plan| plan.detail).collect::<String>()
                }
                Conn::Mysql(c) => {
                    #[derive(QueryableByName)]
                    struct Explained {
                        #[diesel(sql_type = diesel::sql_types::Nullable<Text>)]
                        key: Option<String>,
                        #[diesel(sql_type = diesel::sql_types::Nullable<Text>, column_name = "Extra")]
                        extra: Option<String>,
                    }
                    let explain = format!("EXPLAIN SELECT id, due_at {query}");
                    let plans: Vec<Explained> = diesel::sql_query(explain).load(c)?;
                    let plans = plans.into_iter();
                    plans.map(|p| format!("{} {}", p.key.unwrap_or_default(), p.extra.unwrap_or_default())).collect()
                }
            })
        })
        .await
        .unwrap();
    assert!(plan.contains("jobs_due_at_idx"), "{plan}");
    assert!(
        !plan.contains("TEMP B-TREE") && !plan.contains("filesort"),
        "{plan}"
    );
    let claimed = app.app.queue.claim(NOTES, 8, "test").await.unwrap();
    let texts: Vec<_> = claimed
        .iter()
        .map(|job| serde_json::from_str::<Note>(&job.payload).unwrap().text)
        .collect();
    assert_eq!(texts, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_see_jobs_and_nobody_else_does() {
    let app = TestApp::start().await;
    let (admin, user) = (app.admin().await, app.user("ann").await);
    for n in 0..3 {
        enqueue(&app.app, note(&format!("{n}"))).await;
    }
    enqueue(
        &app.app,
        Note {
            how: "final".to_owned(),
            ..note("x")
        },
    )
    .await;
    app.run_jobs_of(noted()).await;
    enqueue(&app.app, note("waits")).await;

    let all = admin
        .query(r#"{ jobs(first: 2) { totalCount pageInfo { hasNextPage endCursor } nodes { id kind state attempts maxAttempts error nextAttemptAt finishedAt worker } }
                    failed: jobs(state: FAILED) { totalCount } notes: jobs(kind: "note", state: SUCCEEDED) { totalCount } none: jobs(kind: "x") { totalCount } }"#)
        .await;
    let data = all.data();
    assert_eq!(data["jobs"]["totalCount"], 5);
    assert_eq!(data["jobs"]["nodes"][0]["state"], "QUEUED");
    assert!(data["jobs"]["nodes"][0]["nextAttemptAt"].is_string());
    assert_eq!(data["jobs"]["nodes"][1]["error"], "line 7 is broken");
    assert_eq!(
        (&data["failed"]["totalCount"], &data["notes"]["totalCount"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(data["none"]["totalCount"], 0);
    let id = data["jobs"]["nodes"][0]["id"].as_str().unwrap();
    let node = "query($i: ID!) { node(id: $i) { ... on Job { kind } } }";
    assert_eq!(
        admin.run(node, json!({ "i": id })).await.text("node.kind"),
        "note"
    );
    assert_eq!(
        user.run(node, json!({ "i": id })).await.data()["node"],
        json!(null)
    );
    assert_eq!(
        user.query("{ jobs { totalCount } }").await.code(),
        "FORBIDDEN"
    );
    assert_eq!(
        user.mutate("cancelJob", json!({ "id": id }), "job { id }")
            .await
            .code(),
        "FORBIDDEN"
    );
    assert_eq!(
        app.anonymous()
            .query("{ jobs { totalCount } }")
            .await
            .code(),
        "UNAUTHENTICATED"
    );
    let nothing = json!({ "id": app.id_of_nothing("job") });
    assert_eq!(
        admin
            .mutate("cancelJob", nothing, "job { id }")
            .await
            .code(),
        "NOT_FOUND"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_likes_of_a_deleted_account_are_taken_back_once_even_by_workers_that_are_cut_off() {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    let board = admin.board(any_board()).await;
    let post = ann.post_on(&board, "post").await;
    for client in [&ann, &ben] {
        client
            .mutate("likePost", json!({ "id": post }), "post { likeCount }")
            .await
            .data();
    }
    let input = json!({ "id": ben.id, "currentPassword": crate::support::PASSWORD });
    ben.mutate("deleteUser", input, "deletedUserId")
        .await
        .data();

    // A worker claims the event and dies; the next one claims what follows from it, and dies.
    let kinds = kinds();
    let names: &[&str] = Vec::leak(kinds.names(|_| true));
    assert_eq!(
        app.app.queue.claim(names, 8, "dead").await.unwrap().len(),
        1
    );
    app.clock.advance(LEASE);
    let event = app
        .app
        .queue
        .claim(names, 8, "next")
        .await
        .unwrap()
        .remove(0);
    let run = Run::new(app.app.clone(), event, None, CancellationToken::new());
    kinds.carry_out(&run).await.unwrap();
    let follows = app.app.queue.claim(names, 8, "dead").await.unwrap();
    assert_eq!(follows[0].kind, "take_back_likes");
    app.clock.advance(LEASE);
    app.run_jobs().await;

    let answer = ann
        .run(
            "query($i: ID!) { post(id: $i) { likeCount } }",
            json!({ "i": post }),
        )
        .await;
    assert_eq!(answer.at("post.likeCount"), 1);
    let jobs = jobs(&app.app).await;
    let follows: Vec<_> = jobs
        .iter()
        .filter(|job| job.kind == "take_back_likes")
        .collect();
    assert!(
        follows.len() == 1 && follows[0].state == JobState::Succeeded,
        "{follows:?}"
    );
}

/// As a note, of a kind that may take minutes.
#[derive(Clone, Serialize, Deserialize)]
struct LongNote(Note);

impl Payload for LongNote {
    const KIND: &'static str = "long_note";
}

impl Work for LongNote {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        self.0.run(run).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_many_long_jobs_wait_others_find_a_slot() {
    let app = TestApp::start().await;
    for _ in 0..10 {
        enqueue(&app.app, LongNote(hanging("long"))).await;
    }
    let (stop, ended) = worker(&app.app, noted().with_long::<LongNote>());
    let running = async || {
        let jobs = jobs(&app.app).await;
        jobs.iter()
            .filter(|job| job.state == JobState::Running)
            .count()
    };
    until(async || running().await == 3).await;

    for n in 0..20 {
        enqueue(&app.app, note(&n.to_string())).await;
    }

    until(async || {
        let jobs = jobs(&app.app).await;
        jobs.iter()
            .filter(|job| job.state == JobState::Succeeded)
            .count()
            == 20
    })
    .await;
    // Three of the four slots, and never the last one.
    assert_eq!(running().await, 3);
    stop.cancel();
    ended.await.unwrap();
}
