//! `madang tables`.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use madang::db::describe;

use super::Usage;

#[derive(Args)]
pub struct Tables {
    /// The file to write to.
    #[arg(default_value = "README.md")]
    file: PathBuf,
}

impl Tables {
    pub fn run(self) -> anyhow::Result<()> {
        let name = || self.file.display().to_string();
        let text = std::fs::read_to_string(&self.file).with_context(name)?;
        let text = describe::between_marks(&text).map_err(Usage)?;
        std::fs::write(&self.file, text).with_context(name)
    }
}
