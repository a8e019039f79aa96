//! Connections to Redis, shared by the ports that use it.

use std::time::Duration;

use fred::{
    interfaces::ClientLike,
    prelude::{Builder, Client, ClientState, ReconnectPolicy},
    types::{InfoKind, config::Config as FredConfig},
};

use crate::{
    config::{Config, Fault},
    error::{Error, Result},
};

/// How long a command may take.
const COMMAND_TIME: Duration = Duration::from_secs(2);
/// A connection on which something was not answered for this long is closed and made anew.
const SILENCE: Duration = Duration::from_secs(2);
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Pauses between attempts to connect again, in milliseconds.
const PAUSES: (u32, u32) = (50, 1_000);
/// The most messages that wait to be delivered to the listeners of this process.
const WAITING_MESSAGES: usize = 16 << 10;

/// The error while there is no connection.
pub const UNAVAILABLE: Error = Error::Unavailable { backend: "redis" };

/// Two connections: one for commands, which all callers share, and one that subscribes. Both are established again
/// after they are lost. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    pub commands: Client,
    pub subscriber: Client,
    prefix: String,
}

impl Redis {
    /// Connects as `config` says, if it names a Redis.
    ///
    /// # Errors
    /// A sentence about `REDIS_URL` when it cannot be reached.
    pub async fn open(config: &Config) -> Result<Option<Self>, Fault> {
        let url = config.redis_url.expose();
        if url.is_empty() {
            return Ok(None);
        }
        // The library's message might repeat the URL.
        let parsed = FredConfig::from_url(url).map_err(|_| {
            Fault::new(
                "REDIS_URL",
                "is not of the form redis://USER:PASSWORD@HOST:PORT/DATABASE",
            )
        })?;
        let connect = || connect(parsed.clone());
        let fault = |e: fred::error::Error| Fault::new("REDIS_URL", sentence(&e));
        let redis = Self {
            commands: connect().await.map_err(fault)?,
            subscriber: connect().await.map_err(fault)?,
            prefix: config.redis_prefix.clone(),
        };
        // A connection counts as made before Redis has asked for a password.
        redis.commands.ping::<()>(None).await.map_err(fault)?;
        Ok(Some(redis))
    }

    /// The name of a key or a channel.
    #[must_use]
    pub fn name(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// Fails at once while there is no connection, instead of waiting for one.
    ///
    /// # Errors
    /// `UNAVAILABLE`.
    pub fn connected(&self) -> Result<&Client> {
        if self.commands.state() == ClientState::Connected {
            Ok(&self.commands)
        } else {
            Err(UNAVAILABLE)
        }
    }

    /// # Errors
    /// `UNAVAILABLE` when it does not answer.
    pub async fn ping(&self) -> Result<()> {
        self.connected()?.ping::<()>(None).await.map_err(away)
    }

    /// What is not as it should be, in sentences.
    ///
    /// # Errors
    /// That of the command that asks.
    pub async fn warnings(&self) -> Result<Vec<String>, fred::error::Error> {
        let memory: String = self.commands.info(Some(InfoKind::Memory)).await?;
        let value = |key: &str| {
            let mut lines = memory.lines().filter_map(|line| line.split_once(':'));
            lines.find(|(k, _)| *k == key).map(|(_, v)| v.trim())
        };
        let policy = value("maxmemory_policy").unwrap_or("noeviction");
        Ok(if policy == "noeviction" {
            Vec::new()
        } else {
            vec![format!(
                "evicts keys when its memory is full (maxmemory-policy {policy}), which forgets rates, locks and views; \
                 set it to noeviction"
            )]
        })
    }
}

async fn connect(config: FredConfig) -> Result<Client, fred::error::Error> {
    let client = Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = CONNECT_TIME;
            connection.internal_command_timeout = COMMAND_TIME;
            connection.unresponsive.max_timeout = Some(SILENCE);
            connection.unresponsive.interval = SILENCE / 4;
            // A command that was sent twice might count twice.
            connection.max_command_attempts = 1;
            connection.auto_client_setname = false;
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = COMMAND_TIME;
            performance.broadcast_channel_capacity = WAITING_MESSAGES;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, PAUSES.0, PAUSES.1, 2))
        .build()?;
    client.init().await?;
    Ok(client)
}

/// Why Redis cannot be used, and what helps.
fn sentence(error: &fred::error::Error) -> String {
    let details = error.details();
    let is_refused = ["WRONGPASS", "NOAUTH", "NOPERM", "AUTH", "password"];
    if is_refused.iter().any(|sign| details.contains(sign)) {
        "refuses the user or the password".to_owned()
    } else {
        format!("cannot be reached: is the server running, and is the address right? ({details})")
    }
}

/// The error for a command that failed, whose cause is logged.
pub fn away(error: fred::error::Error) -> Error {
    tracing::warn!(%error, "a command of Redis failed");
    UNAVAILABLE
}
