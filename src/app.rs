//! Every port, opened once from the configuration. The whole program is built on it.

use std::{sync::Arc, time::Duration};

use crate::{
    access::Rights,
    blobs::Blobs,
    bus::Bus,
    by_type::ByType,
    cache::Cache,
    clock::Clock,
    config::{Config, Fault},
    cpu::Cpu,
    db::Db,
    documents::Documents,
    error::{Error, Result},
    keys::Keys,
    queue::Queue,
    redis::Redis,
};

/// All ports. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Ports>);

/// What an [`App`] holds.
pub struct Ports {
    pub config: Config,
    pub clock: Clock,
    pub db: Db,
    pub documents: Documents,
    pub blobs: Blobs,
    pub cache: Cache,
    pub bus: Bus,
    redis: Option<Redis>,
    /// Counts while the cache cannot be reached.
    alone: Cache,
    pub queue: Queue,
    pub rights: Rights,
    pub cpu: Cpu,
    pub keys: Keys,
    /// What features remember while the server runs: one value of each type.
    pub memory: ByType,
}

/// Whether one backend answers.
pub struct Backend {
    /// As in the log and in `extensions`: `database`, `redis` …
    pub name: &'static str,
    pub is_up: bool,
}

impl std::ops::Deref for App {
    type Target = Ports;

    fn deref(&self) -> &Ports {
        &self.0
    }
}

impl App {
    /// Opens every port that the configuration names, and runs the migrations.
    ///
    /// # Errors
    /// The setting that does not work.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, Fault> {
        config.check()?;
        // Uploads pass through it, whatever the stores are.
        std::fs::create_dir_all(&config.volume_dir)
            .map_err(|e| Fault::new("VOLUME_DIR", format!("cannot be made: {e}")))?;
        let keys = Keys::open(&config)?;
        let db = Db::open(&config).await?;
        let redis = Redis::open(&config).await?;
        let alone = Cache::in_process(clock.clone(), db.clone());
        let (cache, bus) = match &redis {
            None => (alone.clone(), Bus::in_process()),
            Some(redis) => {
                let bus = Bus::through(redis).await;
                let refused = |_| Fault::new("REDIS_URL", "does not let this user subscribe");
                (Cache::through(redis), bus.map_err(refused)?)
            }
        };
        Ok(Self(Arc::new(Ports {
            queue: Queue::new(db.clone(), bus.clone(), clock.clone()),
            rights: Rights::new(db.clone(), bus.clone(), clock.clone()),
            db,
            documents: Documents::open(&config).await?,
            blobs: Blobs::open(&config, clock.clone()).await?,
            cache,
            alone,
            bus,
            redis,
            cpu: Cpu::default(),
            keys,
            memory: ByType::default(),
            config,
            clock,
        })))
    }

    /// What works, but not as an operator may expect, in sentences that begin with the setting.
    pub async fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(redis) = &self.redis {
            let found = redis.warnings().await.unwrap_or_default();
            warnings.extend(
                found
                    .into_iter()
                    .map(|warning| format!("REDIS_URL: {warning}")),
            );
        }
        let is_embedded = self.config.is_embedded();
        if !is_embedded && self.redis.is_none() {
            warnings.push(
                "REDIS_URL: is empty, so that only one server may use this database".to_owned(),
            );
        }
        let is_shared = !is_embedded || self.redis.is_some();
        if is_shared && self.blobs.is_local() {
            warnings.push(
                "BLOBS_URL: names a folder, which all servers must share, as on a network drive"
                    .to_owned(),
            );
        }
        warnings
    }

    /// Asks every backend whether it works.
    pub async fn backends(&self) -> Vec<Backend> {
        let redis = async {
            match &self.redis {
                Some(redis) => Some(redis.ping().await.is_ok() && self.bus.health().is_ok()),
                None => None,
            }
        };
        let (database, documents, blobs, redis) = tokio::join!(
            answers(self.db.ping()),
            answers(self.documents.ping()),
            answers(self.blobs.ping()),
            redis
        );
        let mut backends = vec![
            Backend {
                name: "database",
                is_up: database,
            },
            Backend {
                name: self.documents.name(),
                is_up: documents,
            },
            Backend {
                name: "blobs",
                is_up: blobs,
            },
        ];
        backends.extend(redis.map(|is_up| Backend {
            name: "redis",
            is_up,
        }));
        backends
    }

    /// Counts an attempt at `what` by `who`. `limit` attempts are allowed in `window`, on all servers together; with
    /// RATE_LIMITS off, any number. While Redis is away, each server counts by itself.
    ///
    /// # Errors
    /// `RATE_LIMITED` for attempts over the limit.
    pub async fn rate(&self, what: &str, who: &str, limit: u32, window: Duration) -> Result<()> {
        if !self.config.rate_limits.is_on() {
            return Ok(());
        }
        let key = format!("rate:{what}:{who}");
        let (count, retry_after) = match self.cache.count(&key, window).await {
            Err(Error::Unavailable { .. }) => self.alone.count(&key, window).await?,
            counted => counted?,
        };
        if count > u64::from(limit) {
            Err(Error::RateLimited { retry_after })
        } else {
            Ok(())
        }
    }
}

/// How long a backend may take to show that it works.
const PING_TIME: Duration = Duration::from_secs(3);

/// Whether a backend answers in time.
async fn answers(ping: impl Future<Output = Result<()>>) -> bool {
    matches!(tokio::time::timeout(PING_TIME, ping).await, Ok(Ok(())))
}
