//! `madang demo`.

use clap::Args;
use madang::{app::App, clock::Clock, config::Config, demo, error::Error};

use super::{runtime, told};

#[derive(Args)]
pub struct Demo {
    #[command(flatten)]
    config: Config,
    #[command(flatten)]
    options: demo::Options,
}

impl Demo {
    pub fn run(self) -> anyhow::Result<()> {
        runtime()?.block_on(async {
            let app = App::open(self.config, Clock::system()).await?;
            match demo::fill(&app, &self.options).await {
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
                Err(error) => Err(told(error)),
            }
        })
    }
}
