//! `madang serve`.

use clap::Args;
use madang::{clock::Clock, config::Config, logging, server};

use super::runtime;

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    config: Config,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<()> {
        logging::start(&self.config);
        let serving = server::serve(self.config, Clock::system());
        Ok(runtime()?.block_on(serving)?)
    }
}
