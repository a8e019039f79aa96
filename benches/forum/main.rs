//! `cargo bench --bench forum`: how fast madang is, beside a bare handler that does the least for the same answers, and with
//! `--peers` beside PocketBase and mercurius. docs/PERFORMANCE.md says what is measured and what came of it.

mod args;
mod bare;
mod community;
mod http;
mod machine;
mod measure;
mod peers;
mod plot;
#[allow(dead_code, reason = "shared with another bench")]
mod process;
mod reads;
mod report;
mod results;
mod sign_in;
mod start;
mod targets;
mod writes;
mod wrk;

use std::{fs, path::Path};

use clap::Parser;

use crate::{
    args::{Args, Command},
    community::Community,
    measure::Bench,
    peers::Peer,
    results::Results,
};

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Command::Bare { port, database }) = &args.command {
        return bare::serve(*port, database);
    }
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench forum`.");
        return Ok(());
    }
    wrk::require()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    fs::create_dir_all(&folder)?;
    let small = Community::of(&args.madang, &folder, args.posts, args.comments)?;
    let mut bench = Bench {
        results: Results::begin(&folder.join("results.jsonl"))?,
        args,
        folder,
    };
    let mut peers = Peer::all(&bench, &small)?;
    reads::measure(&mut bench, &small, &mut peers)?;
    if bench.args.big {
        let (posts, comments) = (bench.args.posts * 10, bench.args.comments * 10);
        // The demo makes a million of either at most.
        let [posts, comments] = [posts, comments].map(|n| n.min(1_000_000));
        let big = Community::of(&bench.args.madang, &bench.folder, posts, comments)?;
        reads::measure_big(&mut bench, &small, &big)?;
    }
    writes::measure(&mut bench, &small, &mut peers)?;
    sign_in::measure(&mut bench, &small, &mut peers)?;
    sign_in::measure_beside(&mut bench, &small)?;
    start::measure(&mut bench, &small, &mut peers)?;
    println!("{}", report::tables(&bench.results));
    if bench.args.write {
        report::write(&bench.args, &bench.results)?;
    }
    Ok(())
}
