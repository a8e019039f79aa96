//! Every port, opened once from the configuration: what the whole program stands on.

use std::sync::Arc;

use crate::{bus::Bus, cache::Cache, clock::Clock, config::Config, db::Db};

/// All ports. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Ports>);

/// What an [`App`] holds.
pub struct Ports {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub cache: Cache,
    pub bus: Bus,
}

impl std::ops::Deref for App {
    type Target = Ports;

    fn deref(&self) -> &Ports {
        &self.0
    }
}

impl App {
    /// Opens every port that the configuration names, and brings the database up to date.
    ///
    /// # Errors
    /// A sentence about the setting that does not work.
    pub async fn open(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let db = Db::open(&config).await?;
        let cache = Cache::in_process(clock.clone());
        let bus = Bus::in_process();
        Ok(Self(Arc::new(Ports {
            config,
            clock,
            db,
            cache,
            bus,
        })))
    }
}
