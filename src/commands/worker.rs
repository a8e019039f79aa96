//! `madang worker`.

use clap::Args;
use madang::{clock::Clock, config::Config, logging, server};

use super::runtime;

#[derive(Args)]
pub struct Worker {
    #[command(flatten)]
    config: Config,
}

impl Worker {
    pub fn run(self) -> anyhow::Result<()> {
        logging::start(&self.config);
        let working = server::work(self.config, Clock::system());
        Ok(runtime()?.block_on(working)?)
    }
}
