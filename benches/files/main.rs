//! `cargo bench --bench files`: uploads and downloads, beside a bare server of files and PocketBase, and what memory they
//! take. docs/PERFORMANCE.md says what came of it.

mod bare;
#[path = "../forum/http.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod http;
mod load;
#[path = "../forum/process.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod process;
#[allow(dead_code, reason = "shared with another bench")]
mod targets;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Parser, Subcommand};

use crate::{
    load::Load,
    targets::{Madang, PocketBase},
};

const MIB: usize = 1 << 20;
/// Bytes of the file that is uploaded again and again.
const SMALL: usize = 100 << 10;
/// Bytes of the file whose memory is measured: just below what a file may have.
const LARGE: usize = 20 * MIB - 1;

/// Measures uploads and downloads.
#[derive(Parser)]
#[command(name = "files", bin_name = "cargo bench --bench files --")]
pub struct Args {
    /// Connections at a time.
    #[arg(long, short, default_value_t = 8)]
    pub connections: usize,
    /// Seconds of each load.
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,
    /// How often; the servers are measured in turns.
    #[arg(long, default_value_t = 3)]
    pub reps: u32,
    /// Beside PocketBase too; sets it up the first time.
    #[arg(long)]
    pub peers: bool,
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
    /// Serves the files of a folder on a port.
    #[command(hide = true)]
    Bare { port: u16, folder: PathBuf },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Command::Bare { port, folder }) = &args.command {
        return bare::serve(*port, folder);
    }
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench files`.");
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-files");
    fs::create_dir_all(&folder)?;
    println!(
        "{} connections, {} s each, {} times in turns; {} cores, shared with the load",
        args.connections,
        args.seconds,
        args.reps,
        std::thread::available_parallelism()?
    );
    memory(&args, &folder)?;
    downloads(&args, &folder)?;
    uploads(&args, &folder)
}

fn for_seconds(args: &Args) -> Load {
    Load {
        connections: args.connections,
        time: Duration::from_secs(args.seconds),
        requests: usize::MAX,
    }
}

fn memory(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let madang = Madang::start(&args.madang, folder)?;
    let small = madang.upload(&load::bytes(SMALL))?;
    madang.download(&small);
    let (server, content) = (&madang.server, load::bytes(LARGE));
    let each =
        |name: &str, count: usize, request: &load::Sent, answer: usize| -> anyhow::Result<()> {
            let before = server.forget_peak()?;
            let load = Load {
                connections: count,
                time: Duration::from_secs(600),
                requests: 1,
            };
            let done = load.run(server.port, request)?;
            anyhow::ensure!(
                done.answers == count && done.bytes >= answer * count,
                "{name}: {done:?}"
            );
            println!(
                "memory, {count} x 20 MiB {name}: {:+.1} MiB over {before:.1}",
                server.peak() - before
            );
            Ok(())
        };
    let url = madang.upload(&content)?;
    for count in [1, 10] {
        each("up", count, &madang.uploading(&content), 100)?;
        each("down", count, &madang.downloading(&url), LARGE)?;
    }
    Ok(())
}

fn downloads(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let load = for_seconds(args);
    for size in [SMALL, LARGE] {
        let content = load::bytes(size);
        let files = folder.join("bare");
        fs::create_dir_all(&files)?;
        fs::write(files.join("file.bin"), &content)?;
        let madang = Madang::start(&args.madang, folder)?;
        let url = madang.upload(&content)?;
        let bare = bare::start(&files, folder)?;
        let mut ratios = Vec::new();
        for _ in 0..args.reps {
            let ours = load.measure(&madang.server, &madang.downloading(&url))?;
            let theirs = load.measure(&bare, &load::Sent::get("/file.bin"))?;
            for (name, measured) in [("madang", &ours), ("ServeFile", &theirs)] {
                println!(
                    "download of {} KiB, {name}: {:.0} MiB/s, {:.0}/s, {:.3} CPU s a GiB",
                    size >> 10,
                    measured.mib_per_second(),
                    measured.per_second(),
                    measured.cpu_per_gib()
                );
            }
            ratios.push([
                ours.mib_per_second() / theirs.mib_per_second(),
                theirs.cpu_per_gib() / ours.cpu_per_gib(),
            ]);
        }
        summary(
            &format!("download of {} KiB beside ServeFile", size >> 10),
            &ratios,
        );
    }
    Ok(())
}

fn uploads(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let load = for_seconds(args);
    let content = load::bytes(SMALL);
    let mut ratios = Vec::new();
    for _ in 0..args.reps {
        let madang = Madang::start(&args.madang, folder)?;
        let ours = load.measure(&madang.server, &madang.uploading(&content))?;
        drop(madang);
        let line = |name: &str, measured: &load::Measured| {
            println!(
                "upload of 100 KiB, {name}: {:.0}/s, {:.2} CPU ms each",
                measured.per_second(),
                measured.cpu * 1e3 / measured.done.answers as f64
            );
        };
        line("madang", &ours);
        if args.peers {
            let pocketbase = PocketBase::start(folder)?;
            let theirs = load.measure(&pocketbase.server, &pocketbase.uploading(&content))?;
            line("PocketBase", &theirs);
            let cpu = |measured: &load::Measured| measured.cpu / measured.done.answers as f64;
            ratios.push([
                ours.per_second() / theirs.per_second(),
                cpu(&theirs) / cpu(&ours),
            ]);
        }
    }
    if args.peers {
        summary("upload of 100 KiB beside PocketBase", &ratios);
    }
    Ok(())
}

/// Medians of ratios of rates, and of what an answer costs.
fn summary(what: &str, ratios: &[[f64; 2]]) {
    let median = |n: usize| {
        let mut all: Vec<_> = ratios.iter().map(|ratios| ratios[n]).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    println!(
        "{what}: {:.2} times the rate, by CPU {:.2}",
        median(0),
        median(1)
    );
}
