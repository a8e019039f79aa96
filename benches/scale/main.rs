//! `cargo bench --bench scale`: what a request, a chat and the end of a right cost on MariaDB, MongoDB and Redis, and whether
//! two servers do twice what one does. docs/SCALING.md says what came of it.

mod chats;
mod ends;
mod fleet;
#[path = "../chat/frames.rs"]
mod frames;
#[path = "../forum/http.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod http;
#[path = "../chat/load.rs"]
mod load;
#[path = "../forum/process.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod process;
mod requests;
mod trips;
#[path = "../forum/wrk.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod wrk;

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Parser, Subcommand};

/// Measures several servers on engines that are running already; ./test.sh shows how to start them.
#[derive(Parser)]
#[command(name = "scale", bin_name = "cargo bench --bench scale --")]
pub struct Args {
    /// MariaDB or MySQL, where a database may be made: mysql://USER:PASSWORD@HOST:PORT
    #[arg(long, env = "TEST_MYSQL_URL", hide_env_values = true)]
    pub mysql_url: Option<String>,
    /// A server that speaks MongoDB's protocol: mongodb://HOST:PORT
    #[arg(long, env = "TEST_MONGODB_URL", hide_env_values = true)]
    pub mongodb_url: Option<String>,
    /// redis://HOST:PORT
    #[arg(long, env = "TEST_REDIS_URL", hide_env_values = true)]
    pub redis_url: Option<String>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// How often; one and two servers are measured in turns.
    #[arg(long, default_value_t = 3)]
    pub reps: u32,
    /// Who follow a chat session.
    #[arg(long, default_value_t = 2_000)]
    pub subscribers: usize,
    /// Rights that end.
    #[arg(long, default_value_t = 50)]
    pub ends: u32,
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
    /// Runs the load that a file describes.
    #[command(hide = true)]
    Load { plan: PathBuf },
}

fn main() -> anyhow::Result<()> {
    let mut args = Args::parse();
    if let Some(Command::Load { plan }) = &args.command {
        return load::run(plan);
    }
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench scale`.");
        return Ok(());
    }
    wrk::require()?;
    // The servers run in a folder of their own.
    args.madang = args.madang.canonicalize()?;
    rlimit::increase_nofile_limit(u64::MAX)?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench-scale");
    fs::create_dir_all(&folder)?;
    let fleet = fleet::Fleet::open(&args, &folder)?;
    trips::measure(&fleet)?;
    requests::measure(&args, &fleet)?;
    ends::measure(&args, &fleet)?;
    chats::measure(&args, &fleet)?;
    fleet.end()
}
