//! `madang create-admin`: asks on the terminal for what is not given.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;
use madang::{
    access::{Operator, Role},
    accounts::{
        Email, Name,
        passwords::Password,
        store::users::{self, NewUser},
    },
    app::App,
    clock::Clock,
    config::Config,
    error::{Error, Language, Rule},
};

use super::{Usage, runtime, told};

#[derive(Args)]
pub struct CreateAdmin {
    #[command(flatten)]
    config: Config,
    /// What the admin is called.
    #[arg(long)]
    name: Option<String>,
    /// The admin's e-mail address.
    #[arg(long)]
    email: Option<String>,
    /// Reads the password, one line, from standard input.
    #[arg(long)]
    password_stdin: bool,
}

impl CreateAdmin {
    pub fn run(self) -> anyhow::Result<()> {
        let name = given_or_asked(self.name, "Name")?;
        let email = given_or_asked(self.email, "E-mail address")?;
        let password = if self.password_stdin {
            read_line()?
        } else {
            ask_for_password()?
        };
        let new = new_user(&name, &email, password)?;
        runtime()?.block_on(insert(self.config, new))
    }
}

fn new_user(name: &str, email: &str, password: String) -> Result<NewUser, Usage> {
    let unfit = |what: &str, rule: Rule| Usage(format!("{what}: {}", rule.message(Language::En)));
    let password = Password::parse(password, name, email);
    Ok(NewUser {
        password: password.map_err(|rule| unfit("password", rule))?,
        name: Name::parse(name).map_err(|rule| unfit("name", rule))?,
        email: Email::parse(email).map_err(|rule| unfit("email", rule))?,
    })
}

async fn insert(config: Config, new: NewUser) -> anyhow::Result<()> {
    let app = App::open(config, Clock::system()).await?;
    match users::insert(&app, Operator, new, Role::Admin).await {
        Ok(user) => {
            let name = user.name.text;
            println!("{name} is an admin now, with the id {}.", user.id);
            Ok(())
        }
        Err(Error::Conflict(violations)) => {
            let taken: Vec<_> = violations.into_iter().map(|v| v.field).collect();
            anyhow::bail!("{} is taken by another account", taken.join(" and "))
        }
        Err(error) => Err(told(error)),
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
