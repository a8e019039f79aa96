//! `cargo bench --bench ai`: how long training takes beside pandas and scikit-learn on the same file, what memory it takes, and
//! how many questions are answered. docs/PERFORMANCE.md says what came of it.

#[path = "../forum/http.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod http;
#[path = "../files/load.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod load;
#[path = "../forum/process.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod process;
#[path = "../files/targets.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod targets;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use chrono::DateTime;
use clap::Parser;
use madang::random::Random;
use serde_json::{Value, json};

use crate::targets::Madang;

/// Measures AI models.
#[derive(Parser)]
#[command(name = "ai", bin_name = "cargo bench --bench ai --")]
pub struct Args {
    /// How often each file is trained on, by turns.
    #[arg(long, default_value_t = 3)]
    pub reps: u32,
    /// Questions to answer.
    #[arg(long, default_value_t = 4_000)]
    pub questions: usize,
    /// Connections that ask.
    #[arg(long, default_value_t = 8)]
    pub connections: usize,
    /// Beside scikit-learn, which it installs from PyPI the first time.
    #[arg(long)]
    pub peers: bool,
    /// Another program to measure than the one that cargo built for this bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_madang"))]
    pub madang: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    pub bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench ai`.");
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-ai");
    fs::create_dir_all(&folder)?;
    let cores = thread::available_parallelism()?;
    println!("{cores} cores; each file is trained on {} times", args.reps);
    for rows in [10_000, 1_000_000] {
        training(&args, &folder, rows)?;
    }
    memory(&args, &folder)?;
    questions(&args, &folder)
}

/// A table like AI_test.csv, of any number of rows and with noise.
fn table(rows: usize) -> String {
    const FORMULA: [f64; 8] = [4.0, 5.0, 2.0, 7.0, 0.1, 15.0, 0.05, 1.0];
    let mut random = Random::new(1, "bench");
    let mut text = "x0,x1,x2,x3,x4,x5,x6,x7,y\n".to_owned();
    for _ in 0..rows {
        let mut y = random.below(1_000) as f64 / 10.0;
        for coefficient in FORMULA {
            let x = random.below(100_000_001) as f64 / 1e3;
            y += coefficient * x;
            _ = write!(text, "{x:.3},");
        }
        _ = writeln!(text, "{y:.5}");
    }
    text
}

/// A model that is trained, by its document.
fn wait(madang: &Madang, id: &str) -> anyhow::Result<Value> {
    const MODEL: &str = "query ($i: ID!) { aiModel(id: $i) { state error metrics { r2 coefficients } job { startedAt finishedAt } } }";
    loop {
        let model = madang.run(MODEL, &json!({ "i": id }))?["aiModel"].clone();
        match model["state"].as_str() {
            Some("SUCCEEDED") => return Ok(model),
            Some("QUEUED" | "RUNNING") => thread::sleep(Duration::from_millis(20)),
            _ => anyhow::bail!("{model}"),
        }
    }
}

fn create(madang: &Madang, name: &str, table: &[u8]) -> anyhow::Result<String> {
    let request = madang.training(name, table);
    let answer: Value = serde_json::from_slice(&request.once(madang.server.port)?)?;
    let id = answer.pointer("/data/createAiModel/aiModel/id");
    let id = id.and_then(Value::as_str);
    Ok(id.with_context(|| answer.to_string())?.to_owned())
}

/// Seconds between two instants.
fn between(from: &Value, to: &Value) -> anyhow::Result<f64> {
    let at = |value: &Value| DateTime::parse_from_rfc3339(value.as_str().unwrap_or_default());
    let time = at(to)? - at(from)?;
    Ok(time.as_seconds_f64())
}

fn training(args: &Args, folder: &Path, rows: usize) -> anyhow::Result<()> {
    let file = folder.join("table.csv");
    let table = table(rows);
    fs::write(&file, &table)?;
    let madang = Madang::start(&args.madang, folder)?;
    let (mut ratios, mut ours) = (Vec::new(), Vec::new());
    for n in 0..args.reps {
        let cpu = madang.server.cpu();
        let id = create(&madang, &format!("Model {n}"), table.as_bytes())?;
        let model = wait(&madang, &id)?;
        let job = &model["job"];
        // From the claim by a worker to the end: reading, fitting, testing, and the file of the model.
        let time = between(&job["startedAt"], &job["finishedAt"])?;
        ours.push(time);
        println!(
            "{rows} x 8, madang: {time:.3} s; {:.3} CPU s with the upload; r2 {}",
            madang.server.cpu() - cpu,
            model["metrics"]["r2"]
        );
        if args.peers {
            let theirs = scikit(folder, &file)?;
            let seconds = |name: &str| theirs[name].as_f64().unwrap_or(f64::NAN);
            let total = seconds("total");
            println!(
                "{rows} x 8, pandas and scikit-learn: {total:.3} s, {:.3} of them reading; {:.0} MiB at most; r2 {}",
                seconds("read"),
                seconds("peak"),
                theirs["r2"]
            );
            ratios.push(total / time);
        }
    }
    println!("{rows} x 8, madang: {:.3} s", median(ours));
    if args.peers {
        println!("{rows} x 8: {:.1} times as fast", median(ratios));
    }
    Ok(())
}

fn scikit(folder: &Path, file: &Path) -> anyhow::Result<Value> {
    const PACKAGES: [&str; 2] = ["scikit-learn==1.9.1", "pandas==3.1.1"];
    let venv = folder.join("venv");
    let run = |command: &mut Command| -> anyhow::Result<Vec<u8>> {
        let done = command.output()?;
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        anyhow::ensure!(done.status.success(), error);
        Ok(done.stdout)
    };
    if !venv.join("done").exists() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        run(pip.args(["install", "--quiet"]).args(PACKAGES))?;
        fs::write(venv.join("done"), "")?;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/scikit.py");
    let mut python = Command::new(venv.join("bin/python"));
    Ok(serde_json::from_slice(&run(python.arg(script).arg(file))?)?)
}

fn memory(args: &Args, folder: &Path) -> anyhow::Result<()> {
    for rows in [1_000_000, 5_000_000] {
        let madang = Madang::start(&args.madang, folder)?;
        let id = create(&madang, "Small", table(10_000).as_bytes())?;
        wait(&madang, &id)?;
        let table = table(rows);
        let before = madang.server.forget_peak()?;
        let id = create(&madang, "Large", table.as_bytes())?;
        let size = table.len() >> 20;
        drop(table);
        let model = wait(&madang, &id)?;
        let job = &model["job"];
        println!(
            "memory, {rows} x 8 ({size} MiB), upload and training: {:+.1} MiB over {before:.1}; {:.2} s of training",
            madang.server.peak() - before,
            between(&job["startedAt"], &job["finishedAt"])?
        );
    }
    Ok(())
}

fn questions(args: &Args, folder: &Path) -> anyhow::Result<()> {
    const ASK: &str =
        "mutation ($i: CreateAiLogInput!) { createAiLog(input: $i) { aiLog { id } } }";
    const LEFT: &str = r#"{ queued: jobs(kind: "ask_model", state: QUEUED, first: 1) { totalCount }
        running: jobs(kind: "ask_model", state: RUNNING, first: 1) { totalCount } }"#;
    let madang = Madang::start(&args.madang, folder)?;
    let id = create(&madang, "Small", table(10_000).as_bytes())?;
    wait(&madang, &id)?;
    let input =
        json!({ "i": { "modelId": id, "description": "d", "rows": [[1, 2, 3, 4, 5, 6, 7, 8]] } });
    // One after the other, first.
    for _ in 0..100 {
        madang.run(ASK, &input)?;
        thread::sleep(Duration::from_millis(20));
    }
    let logs = madang.run(
        "{ aiLogs(first: 100) { nodes { createdAt finishedAt } } }",
        &json!({}),
    )?;
    let logs = logs["aiLogs"]["nodes"].as_array().context("no logs")?;
    let times = logs
        .iter()
        .map(|log| between(&log["createdAt"], &log["finishedAt"]));
    let times = times.collect::<anyhow::Result<Vec<_>>>()?;
    println!(
        "a question alone is answered within {:.1} ms",
        median(times) * 1e3
    );
    let began = Instant::now();
    let cpu = madang.server.cpu();
    thread::scope(|scope| -> anyhow::Result<()> {
        let ask = || -> anyhow::Result<()> {
            for _ in 0..args.questions / args.connections {
                madang.run(ASK, &input)?;
            }
            Ok(())
        };
        let asking: Vec<_> = (0..args.connections).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().try_for_each(|asking| {
            asking
                .join()
                .unwrap_or_else(|_| Err(anyhow::anyhow!("a thread panicked")))
        })
    })?;
    let asked = began.elapsed().as_secs_f64();
    loop {
        let left = madang.run(LEFT, &json!({}))?;
        let none = |name: &str| left[name]["totalCount"] == 0;
        if none("queued") && none("running") {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let answered = began.elapsed().as_secs_f64();
    let cpu = madang.server.cpu() - cpu;
    let count = args.questions as f64;
    println!(
        "{count} questions over {} connections: {:.0} asked a second, {:.0} answered; {:.2} CPU ms each",
        args.connections,
        count / asked,
        count / answered,
        cpu * 1e3 / count
    );
    Ok(())
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}
