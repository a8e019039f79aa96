//! `madang migrate`.

use clap::{Args, ValueEnum};
use madang::{
    config::Config,
    db::{Action, Db},
};

use super::runtime;

#[derive(Args)]
pub struct Migrate {
    /// up applies all that are missing, down takes the last one back with its data, status only looks.
    #[arg(value_enum, default_value = "up")]
    what: What,
    #[command(flatten)]
    config: Config,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    Up,
    Down,
    Status,
}

impl Migrate {
    pub fn run(self) -> anyhow::Result<()> {
        self.config.check()?;
        let action = match self.what {
            What::Up => Action::Up,
            What::Down => Action::Down,
            What::Status => Action::Look,
        };
        let migrations = runtime()?.block_on(Db::migrate(&self.config, action))?;
        for migration in migrations {
            let state = if migration.is_applied {
                "applied"
            } else {
                "missing"
            };
            println!("{state}  {}", migration.name);
        }
        Ok(())
    }
}
