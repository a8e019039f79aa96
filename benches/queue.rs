//! `cargo bench --bench queue`: how many jobs a second one worker runs, beside the commits that the same database does on
//! the same machine; and what a poll costs that finds nothing. On SQLite, and on the database of --database-url.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Parser;
use futures_util::future::try_join_all;
use madang::{
    app::App,
    clock::Clock,
    config::Config,
    error::{Error, Result},
    queue::{NextDue, Payload},
    server::worker::Worker,
    work::{Done, Failure, Kinds, Run, Work},
};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// Measures the queue.
#[derive(Parser)]
#[command(name = "queue", bin_name = "cargo bench --bench queue --")]
struct Args {
    /// Jobs of a measured run.
    #[arg(long, default_value_t = 5_000)]
    jobs: usize,
    /// Measured runs, of jobs and commits in turns.
    #[arg(long, default_value_t = 5)]
    reps: usize,
    /// An empty database, as in mysql://USER:PASSWORD@HOST/DATABASE; SQLite in a temporary folder without it.
    #[arg(long, default_value = "")]
    database_url: String,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    config: Config,
}

/// Does nothing but end.
#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Payload for Nothing {
    const KIND: &'static str = "nothing";
}

impl Work for Nothing {
    async fn run(self, run: &Run) -> Result<Done, Failure> {
        run.finish(|_| Ok(())).await
    }
}

const KINDS: &[&str] = &[Nothing::KIND];
/// What waits for the database at once, as a worker's jobs do.
const AT_ONCE: usize = madang::server::worker::JOBS_AT_ONCE;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench queue`.");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let threads = madang::db::readers() + 1;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()?;
    runtime.block_on(measure(&args, folder.path()))
}

async fn measure(args: &Args, volume: &Path) -> anyhow::Result<()> {
    let volume = volume.to_string_lossy();
    let flags = [
        "queue",
        "--volume-dir",
        &volume,
        "--database-url",
        &args.database_url,
        "--jwt-secret",
        "a secret of thirty-two bytes, at least",
    ];
    let config = Settings::try_parse_from(flags)?.config;
    let app = App::open(config, Clock::system()).await?;
    let (mut jobs, mut commits) = (Vec::new(), Vec::new());
    for _ in 0..args.reps {
        commits.push(commits_a_second(&app, args.jobs).await.map_err(told)?);
        jobs.push(jobs_a_second(&app, args.jobs).await.map_err(told)?);
    }
    let (jobs, commits) = (median(jobs), median(commits));
    println!("jobs      {jobs:8.0} a second, each with its end in a commit of its own");
    println!(
        "commits   {commits:8.0} a second beside them, {AT_ONCE} at once: {:.2} jobs a commit",
        jobs / commits
    );
    let polls = 2_000;
    let began = Instant::now();
    for _ in 0..polls {
        let due = app.queue.next_due(KINDS).await.map_err(told)?;
        anyhow::ensure!(due == NextDue::Never, "a job is left");
    }
    let each = began.elapsed() / polls;
    println!("empty poll {each:?}, one statement, at most every 10 s");
    Ok(())
}

fn told(error: Error) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn rate(number: usize, time: Duration) -> f64 {
    number as f64 / time.as_secs_f64()
}

/// Transactions that change one row.
async fn commits_a_second(app: &App, number: usize) -> Result<f64> {
    let began = Instant::now();
    let one_after_the_other = (0..AT_ONCE).map(|_| async {
        for _ in 0..number / AT_ONCE {
            let queue = app.queue.clone();
            let insert = app.db.write(move |conn| queue.enqueue(conn, &Nothing {}));
            app.queue.announce(insert.await?);
        }
        Ok::<_, Error>(())
    });
    try_join_all(one_after_the_other).await?;
    Ok(rate(number / AT_ONCE * AT_ONCE, began.elapsed()))
}

/// Has a worker run what [`commits_a_second`] has enqueued.
async fn jobs_a_second(app: &App, number: usize) -> Result<f64> {
    let kinds = Arc::new(Kinds::default().with::<Nothing>());
    let worker = Worker::new(app.clone(), kinds, |_| true, AT_ONCE);
    let stop = CancellationToken::new();
    let began = Instant::now();
    let until_done = async {
        while app.queue.next_due(KINDS).await? != NextDue::Never {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
        Ok(rate(number / AT_ONCE * AT_ONCE, began.elapsed()))
    };
    let (rate, ()) = tokio::join!(until_done, worker.run(stop.clone()));
    rate
}
