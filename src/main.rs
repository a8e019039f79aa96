//! The command line: reads the configuration, starts what is asked for, and says in one line what does not work.

use std::{
    io::{BufRead, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand, error::ErrorKind};
use madang::{
    access::{Operator, Role},
    accounts::{
        Email, Name,
        passwords::Password,
        store::users::{self, NewUser},
    },
    app::App,
    clock::Clock,
    config::{Config, Fault},
    db::{self, describe},
    demo,
    error::{Error, Language, Rule},
    logging, server,
};

/// A request makes some hundred small allocations: with glibc's it takes a quarter more CPU, and what password hashes took
/// stays with each thread that ever made one.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    Serve {
        #[command(flatten)]
        config: Box<Config>,
    },
    /// Makes an admin's account; asks for what is not given.
    CreateAdmin {
        #[command(flatten)]
        config: Box<Config>,
        /// What the admin is called.
        #[arg(long)]
        name: Option<String>,
        /// The admin's e-mail address.
        #[arg(long)]
        email: Option<String>,
        /// Reads the password, one line, from standard input.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Fills an empty database with a small community to look at, or a big one to measure by.
    Demo {
        #[command(flatten)]
        config: Box<Config>,
        #[command(flatten)]
        options: demo::Options,
    },
    /// Prints the GraphQL schema.
    Schema,
    /// Writes the description of the tables between the marks in a README.
    Tables {
        /// The file to write to.
        #[arg(default_value = "README.md")]
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("madang: {error:#}");
            ExitCode::from(if error.is::<Fault>() || error.is::<Usage>() {
                2
            } else {
                1
            })
        }
    }
}

/// What is wrong with the command line or the environment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

fn run() -> anyhow::Result<()> {
    match dotenvy::from_path(".env") {
        Err(dotenvy::Error::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
        read => read.map_err(|e| Usage(format!(".env: {e}")))?,
    }
    let mut arguments: Vec<_> = std::env::args_os().collect();
    // Serving is what one does with it, so `madang --bind …` does.
    let is_option = |a: &std::ffi::OsString| a.to_string_lossy().starts_with("--");
    let is_about = |a: &std::ffi::OsString| a == "--help" || a == "--version";
    if arguments
        .get(1)
        .is_none_or(|first| is_option(first) && !is_about(first))
    {
        arguments.insert(1, "serve".into());
    }
    match Cli::try_parse_from(arguments) {
        Ok(cli) => execute(cli.command),
        Err(e) if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(e.print()?)
        }
        Err(e) => Err(usage(&e).into()),
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { config } => {
            logging::start(&config);
            Ok(runtime()?.block_on(server::serve(*config, Clock::system()))?)
        }
        Command::CreateAdmin {
            config,
            name,
            email,
            password_stdin,
        } => {
            let name = given_or_asked(name, "Name")?;
            let email = given_or_asked(email, "E-mail address")?;
            let password = if password_stdin {
                read_line()?
            } else {
                ask_for_password()?
            };
            runtime()?.block_on(create_admin(*config, &name, &email, password))
        }
        Command::Demo { config, options } => runtime()?.block_on(fill_demo(*config, &options)),
        Command::Schema => {
            print!("{}", server::sdl());
            Ok(())
        }
        Command::Tables { file } => {
            let text =
                std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
            let text = describe::between_marks(&text).map_err(Usage)?;
            std::fs::write(&file, text).with_context(|| file.display().to_string())
        }
    }
}

/// With more threads than those that may read from SQLite, so that one is left for everything else.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(db::readers() + 1)
        .enable_all()
        .build()?)
}

/// clap's many lines as one that begins with the key.
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
                let why = cause.or(known).unwrap_or_else(|| "does not fit".to_owned());
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

async fn create_admin(
    config: Config,
    name: &str,
    email: &str,
    password: String,
) -> anyhow::Result<()> {
    let unfit = |what: &str, rule: Rule| Usage(format!("{what}: {}", rule.message(Language::En)));
    let password =
        Password::parse(password, name, email).map_err(|rule| unfit("password", rule))?;
    let name = Name::parse(name).map_err(|rule| unfit("name", rule))?;
    let email = Email::parse(email).map_err(|rule| unfit("email", rule))?;
    let new = NewUser {
        name,
        email,
        password,
    };
    let app = App::open(config, Clock::system()).await?;
    match users::insert(&app, Operator, new, Role::Admin).await {
        Ok(user) => {
            println!(
                "{} is an admin now, with the id {}.",
                user.name.text, user.id
            );
            Ok(())
        }
        Err(Error::Conflict(violations)) => {
            let taken: Vec<_> = violations.into_iter().map(|v| v.field).collect();
            anyhow::bail!("{} is taken by another account", taken.join(" and "))
        }
        Err(Error::Internal(cause)) => anyhow::bail!("{cause}"),
        Err(error) => anyhow::bail!("{error}"),
    }
}

async fn fill_demo(config: Config, options: &demo::Options) -> anyhow::Result<()> {
    let app = App::open(config, Clock::system()).await?;
    match demo::fill(&app, options).await {
        Ok(keys) => {
            println!(
                "The demo is ready. Log in as {} with the password {}, which is not shown again.",
                keys.admin, keys.password
            );
            Ok(())
        }
        Err(Error::Conflict(_)) => {
            anyhow::bail!("the database is not empty: the demo fills an empty one only")
        }
        Err(Error::Internal(cause)) => anyhow::bail!("{cause}"),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn given_or_asked(given: Option<String>, what: &str) -> anyhow::Result<String> {
    match given {
        Some(value) => Ok(value),
        None if std::io::stdin().is_terminal() => {
            print!("{what}: ");
            std::io::stdout().flush()?;
            read_line()
        }
        None => {
            let flag = if what == "Name" { "--name" } else { "--email" };
            Err(Usage(format!("{flag} is needed where nobody can be asked")).into())
        }
    }
}

fn ask_for_password() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Usage("--password-stdin is needed where nobody can be asked".to_owned()).into(),
        );
    }
    let password = rpassword::prompt_password("Password: ")?;
    if rpassword::prompt_password("Once more: ")? != password {
        return Err(Usage("the two passwords differ".to_owned()).into());
    }
    Ok(password)
}

fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
