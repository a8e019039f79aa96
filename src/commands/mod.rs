//! The commands: one file each. This one reads the command line.

mod create_admin;
mod demo;
mod doctor;
mod health;
mod migrate;
mod schema;
mod serve;
mod tables;
mod worker;

use clap::{Parser, Subcommand, error::ErrorKind};
use madang::{config::Config, db, error::Error};

use crate::heap;

/// A community backend in one binary: accounts, boards, posts and comments behind one GraphQL schema.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves GraphQL; what runs when no command is given.
    Serve(serve::Serve),
    /// Runs background jobs, beside servers on the same MySQL and Redis.
    Worker(worker::Worker),
    /// Applies the migrations of the database, as serve does; or takes the last one back, or lists them.
    Migrate(migrate::Migrate),
    /// Checks the configuration and every backend, and says what is wrong.
    Doctor(doctor::Doctor),
    /// Succeeds if the server of this machine answers, as the health check of a container.
    Health(health::Health),
    /// Makes an admin's account; asks for what is not given.
    CreateAdmin(create_admin::CreateAdmin),
    /// Fills an empty database with a small community to look at, or a big one to measure by.
    Demo(demo::Demo),
    /// Prints the GraphQL schema.
    Schema,
    /// Writes the description of the tables between the marks in a README.
    Tables(tables::Tables),
}

impl Command {
    fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Serve(serve) => serve.run(),
            Self::Worker(worker) => worker.run(),
            Self::Migrate(migrate) => migrate.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Health(health) => health.run(),
            Self::CreateAdmin(create_admin) => create_admin.run(),
            Self::Demo(demo) => demo.run(),
            Self::Schema => {
                schema::run();
                Ok(())
            }
            Self::Tables(tables) => tables.run(),
        }
    }
}

/// What is wrong with the command line or the environment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

/// Runs the command that the command line names.
///
/// # Errors
/// What does not work.
pub fn run() -> anyhow::Result<()> {
    match dotenvy::from_path(".env") {
        Err(dotenvy::Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
        read => read.map_err(|e| Usage(format!(".env: {e}")))?,
    }
    warn_of_unknown_keys();
    let mut arguments: Vec<_> = std::env::args_os().collect();
    // `madang --bind …` means `madang serve --bind …`.
    let is_option = |a: &std::ffi::OsString| a.to_string_lossy().starts_with("--");
    let is_about = |a: &std::ffi::OsString| a == "--help" || a == "--version";
    if arguments
        .get(1)
        .is_none_or(|first| is_option(first) && !is_about(first))
    {
        arguments.insert(1, "serve".into());
    }
    match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command.run(),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(e.print()?)
        }
        Err(e) => Err(usage(&e).into()),
    }
}

/// Says which keys of the `.env` file are no settings: a typing error would otherwise go unnoticed.
fn warn_of_unknown_keys() {
    let known = Config::keys();
    let keys = dotenvy::from_path_iter(".env").into_iter().flatten();
    for (key, _) in keys.flatten() {
        if !known.iter().any(|(name, _, _)| *name == key) {
            eprintln!("madang: .env: {key} is not a setting; see .env-example");
        }
    }
}

/// clap's message in one line that begins with the key.
fn usage(error: &clap::Error) -> Usage {
    use clap::error::ContextKind;
    let context = |kind| error.get(kind).map(ToString::to_string);
    let cause = std::error::Error::source(error).map(ToString::to_string);
    Usage(
        match (
            context(ContextKind::InvalidArg),
            context(ContextKind::InvalidValue),
        ) {
            (Some(argument), Some(value)) => {
                let flag = argument
                    .split(' ')
                    .next()
                    .unwrap_or_default()
                    .trim_start_matches("--");
                let key = flag.to_uppercase().replace('-', "_");
                let known = context(ContextKind::ValidValue)
                    .map(|values| format!("one of {values} is needed"));
                let why = cause.or(known).unwrap_or_else(|| "is not valid".to_owned());
                format!("{key}: {value:?}: {why}")
            }
            _ => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                format!("{} (see madang --help)", line.trim_start_matches("error: "))
            }
        },
    )
}

/// With one thread more than may read from SQLite at once, so that one is always free for other work.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(db::readers() + 1)
        .on_thread_park(heap::give_back)
        .enable_all()
        .build()?;
    // It also wakes threads of an idle server, so that they give memory back, too.
    runtime.spawn(async {
        loop {
            tokio::time::sleep(heap::PAUSE).await;
            heap::give_back_of_libraries();
        }
    });
    Ok(runtime)
}

/// An error for the operator's terminal, with its internal cause.
fn told(error: Error) -> anyhow::Error {
    match error {
        Error::Internal(cause) => anyhow::anyhow!("{cause}"),
        error => anyhow::anyhow!("{error}"),
    }
}
