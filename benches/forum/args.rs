//! What the command line asks for.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures madang beside a bare handler, and beside its peers.
#[derive(Parser)]
#[command(name = "forum", bin_name = "cargo bench --bench forum --")]
pub struct Args {
    /// Beside PocketBase and mercurius too; sets them up the first time (Python and npm are needed).
    #[arg(long)]
    pub peers: bool,
    /// The list of ten times the rows too; makes a database of a million posts the first time.
    #[arg(long)]
    pub big: bool,
    /// Writes the results into docs/PERFORMANCE.md and docs/performance.svg.
    #[arg(long)]
    pub write: bool,
    /// Only scenarios whose names begin so, with commas between them: list, deep, post, create, log-in, beside, start.
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,
    /// Measured runs of each figure.
    #[arg(long, default_value_t = 3)]
    pub reps: u32,
    /// Seconds of a measured run.
    #[arg(long, default_value_t = 8)]
    pub seconds: u64,
    /// Seconds of load before the first measured run of a figure.
    #[arg(long, default_value_t = 2)]
    pub warm: u64,
    /// Posts in the database.
    #[arg(long, default_value_t = 100_000)]
    pub posts: u32,
    /// Comments in the database.
    #[arg(long, default_value_t = 300_000)]
    pub comments: u32,
    /// The day to write beside the results; else today.
    #[arg(long)]
    pub date: Option<String>,
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
    /// Serves the bare handlers on a port, from a database of madang.
    #[command(hide = true)]
    Bare { port: u16, database: PathBuf },
}

impl Args {
    /// Whether the scenario of this name is asked for.
    pub fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|name| scenario.starts_with(name.as_str()))
    }
}
