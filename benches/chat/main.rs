//! `cargo bench --bench chat`: what it costs to bring chats to many subscribers, beside a bare WebSocket server that sends
//! the same bytes. The load runs in a process of its own, which opens the sockets, sends the chats and looks at every
//! message that comes. docs/PERFORMANCE.md says what came of it.

mod bare;
mod frames;
#[path = "../forum/http.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod http;
mod load;
#[path = "../forum/process.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod process;
mod report;
mod target;
mod yard;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command as Program, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context;
use clap::{Parser, Subcommand};

use crate::{
    load::{Connected, Load, Measured},
    report::Figures,
    target::Target,
};

/// Measures live chat beside a bare WebSocket server.
#[derive(Parser)]
#[command(name = "chat", bin_name = "cargo bench --bench chat --")]
pub struct Args {
    /// Subscribers.
    #[arg(long, short = 'n', default_value_t = 10_000)]
    pub subscribers: usize,
    /// Chat sessions that they are spread over.
    #[arg(long, default_value_t = 1)]
    pub sessions: usize,
    /// Chats a second, in all sessions together. 0: the subscribers are idle.
    #[arg(long, default_value_t = 5.0)]
    pub rate: f64,
    /// Seconds of the load.
    #[arg(long, default_value_t = 30)]
    pub seconds: u64,
    /// How often; the servers are measured in turns.
    #[arg(long, default_value_t = 1)]
    pub reps: u32,
    /// Beside graphql-yoga too; sets it up the first time (npm is needed).
    #[arg(long)]
    pub peers: bool,
    /// Without the servers that madang is compared with.
    #[arg(long)]
    pub alone: bool,
    /// Another program to measure than the one that cargo built for this bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_madang"))]
    pub madang: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    pub bench: bool,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Subcommand)]
pub enum Command {
    /// Serves the bare broadcast on a port.
    #[command(hide = true)]
    Bare { port: u16 },
    /// Runs the load that a file describes.
    #[command(hide = true)]
    Load { plan: PathBuf },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.command {
        Some(Command::Bare { port }) => return bare::serve(*port),
        Some(Command::Load { plan }) => return load::run(plan),
        None => {}
    }
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench chat`.");
        return Ok(());
    }
    let most = rlimit::increase_nofile_limit(u64::MAX)?;
    let needed = args.subscribers as u64 + 200;
    anyhow::ensure!(
        most >= needed,
        "{needed} open files are needed, and the limit is {most}"
    );
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-chat");
    fs::create_dir_all(&folder)?;
    let mut kinds = vec![Target::Madang];
    if !args.alone {
        kinds.push(Target::Bare);
        if args.peers {
            kinds.push(Target::Yoga);
        }
    }
    println!("{}", report::conditions(&args));
    let mut all = Vec::new();
    for _ in 0..args.reps {
        for kind in &kinds {
            let figures = measure(&args, &folder, *kind)?;
            println!("{}", report::line(kind.name(), &figures));
            all.push((kind.name(), figures));
        }
    }
    if args.reps > 1 || kinds.len() > 1 {
        println!("{}", report::summary(&all));
    }
    Ok(())
}

/// Starts a server, and measures it under the load.
fn measure(args: &Args, folder: &Path, target: Target) -> anyhow::Result<Figures> {
    let (server, plan) = target.start(args, folder)?;
    thread::sleep(Duration::from_secs(1));
    let empty = server.rss();
    let mut load = Loading::start(folder, &plan)?;
    let connected: Connected = load.said()?;
    thread::sleep(Duration::from_secs(3));
    let (rss, cpu) = (server.rss(), server.cpu());
    load.go()?;
    let measured: Measured = load.said()?;
    let spent = server.cpu() - cpu;
    let highest = server.rss();
    load.end()?;
    Ok(Figures {
        connects: connected.per_second,
        idle_kib: (rss - empty) * 1024.0 / args.subscribers as f64,
        highest_mib: highest,
        cpu: spent,
        measured,
    })
}

/// The process of the load.
struct Loading {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Loading {
    fn start(folder: &Path, plan: &Load) -> anyhow::Result<Self> {
        let file = folder.join("plan.json");
        fs::write(&file, serde_json::to_vec(plan)?)?;
        let mut child = Program::new(std::env::current_exe()?)
            .arg("load")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().context("no output")?;
        Ok(Self {
            child,
            said: BufReader::new(said),
        })
    }

    /// The next line that it says.
    fn said<T: serde::de::DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("the load said {line:?}"))
    }

    fn go(&mut self) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("no input")?;
        Ok(stdin.write_all(b"go\n")?)
    }

    fn end(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the load ended with {status}");
        Ok(())
    }
}
