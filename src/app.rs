//! Every port, opened once from the configuration: what the whole program stands on.

use std::{io::Write, sync::Arc, time::Duration};

use crate::{
    access::Rights,
    bus::Bus,
    cache::Cache,
    clock::Clock,
    config::{Config, Fault},
    db::Db,
    error::{Error, Result},
    hashing::Hashing,
};

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
    pub rights: Rights,
    pub hashing: Hashing,
    /// What signs access tokens.
    pub jwt_secret: Vec<u8>,
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
    /// The setting that does not work.
    pub async fn open(config: Config, clock: Clock) -> Result<Self, Fault> {
        config.check()?;
        let jwt_secret = jwt_secret(&config)?;
        let (db, bus) = (Db::open(&config).await?, Bus::in_process());
        Ok(Self(Arc::new(Ports {
            rights: Rights::new(db.clone(), bus.clone(), clock.clone()),
            db,
            cache: Cache::in_process(clock.clone()),
            bus,
            hashing: Hashing::default(),
            jwt_secret,
            config,
            clock,
        })))
    }

    /// Counts an attempt at `what` by `who`, of which `limit` are allowed in `window`. With RATE_LIMITS off, all are.
    ///
    /// # Errors
    /// `RATE_LIMITED` for the surplus.
    pub async fn rate(&self, what: &str, who: &str, limit: u32, window: Duration) -> Result<()> {
        if !self.config.rate_limits.is_on() {
            return Ok(());
        }
        let (count, retry_after) = self
            .cache
            .count(&format!("rate:{what}:{who}"), window)
            .await?;
        if count > u64::from(limit) {
            Err(Error::RateLimited { retry_after })
        } else {
            Ok(())
        }
    }
}

/// The configured secret; on embedded stores, without one, a secret of this folder's own that is made on the first start.
fn jwt_secret(config: &Config) -> Result<Vec<u8>, Fault> {
    let configured = config.jwt_secret.expose();
    if !configured.is_empty() {
        return Ok(configured.as_bytes().to_vec());
    }
    let path = config.volume_dir.join("jwt-secret");
    let fault = |e: std::io::Error| {
        Fault::new(
            "VOLUME_DIR",
            format!("cannot keep a secret in {}: {e}", path.display()),
        )
    };
    std::fs::create_dir_all(&config.volume_dir).map_err(fault)?;
    match std::fs::read(&path) {
        Ok(secret) if secret.len() >= 32 => return Ok(secret),
        Ok(_) => {
            return Err(Fault::new(
                "VOLUME_DIR",
                format!(
                    "{} is damaged: it has fewer than 32 bytes; delete it to have it made anew, which ends all access tokens",
                    path.display()
                ),
            ));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(fault(e)),
    }
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|e| {
        Fault::new(
            "JWT_SECRET",
            format!("the system has no random numbers: {e}"),
        )
    })?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = match options.open(&path) {
        // Another program has just made it, and may still be writing.
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            std::thread::sleep(Duration::from_millis(200));
            return std::fs::read(&path).map_err(fault);
        }
        opened => opened.map_err(fault)?,
    };
    file.write_all(&secret)
        .and_then(|()| file.sync_all())
        .map_err(fault)?;
    Ok(secret)
}
