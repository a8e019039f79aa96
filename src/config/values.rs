//! What settings can be, and how they are written.

use std::{fmt, str::FromStr, time::Duration};

use clap::ValueEnum;
use ipnet::IpNet;

/// A setting that does not work, with the reason in one sentence. It never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {sentence}")]
pub struct Fault {
    key: &'static str,
    sentence: String,
}

impl Fault {
    /// `key` is the setting's name in the environment.
    pub fn new(key: &'static str, sentence: impl Into<String>) -> Self {
        Self {
            key,
            sentence: sentence.into(),
        }
    }
}

/// A value that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value. Never print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self(value.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() {
            "unset"
        } else {
            "redacted"
        })
    }
}

/// On or off, also as true or false.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    #[value(alias = "true", alias = "1", alias = "yes")]
    On,
    #[value(alias = "false", alias = "0", alias = "no")]
    Off,
}

impl Switch {
    #[must_use]
    pub fn is_on(self) -> bool {
        self == Self::On
    }
}

/// How the refresh cookie behaves on requests from other sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

/// SQLite's `synchronous`: FULL survives a power failure, NORMAL may lose the last transactions then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub enum Synchronous {
    #[value(alias = "full")]
    Full,
    #[value(alias = "normal")]
    Normal,
}

/// The form of the log on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    Text,
    Json,
}

/// A setting that may be empty. A type of its own, because clap reads `Option` as "the flag may be missing".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Optional<T>(pub Option<T>);

/// A comma-separated setting, which clap sees as one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaSeparated<T>(pub Vec<T>);

pub(super) fn optional_http_url(text: &str) -> Result<Optional<url::Url>, String> {
    if text.is_empty() {
        return Ok(Optional(None));
    }
    let url = url::Url::parse(text).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("not an http or https address".to_owned());
    }
    Ok(Optional(Some(url)))
}

pub(super) fn positive_time(text: &str) -> Result<Duration, String> {
    let time =
        humantime::parse_duration(text).map_err(|e| format!("{e}; write it as in 15m or 30d"))?;
    if time < Duration::from_secs(1) || time > Duration::from_secs(10 * 365 * 86_400) {
        return Err("lies outside 1s to 10 years".to_owned());
    }
    Ok(time)
}

pub(super) fn origins(text: &str) -> Result<CommaSeparated<String>, String> {
    items(text)
        .map(|origin| {
            let url = url::Url::parse(origin).map_err(|e| format!("{origin}: {e}"))?;
            match url.origin() {
                tuple @ url::Origin::Tuple(..) => Ok(tuple.ascii_serialization()),
                url::Origin::Opaque(_) => Err(format!("{origin}: not an origin")),
            }
        })
        .collect::<Result<_, _>>()
        .map(CommaSeparated)
}

pub(super) fn networks(text: &str) -> Result<CommaSeparated<IpNet>, String> {
    items(text)
        .map(|network| {
            network
                .parse::<IpNet>()
                .or_else(|_| network.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{network}: not a network, as in 10.0.0.0/8"))
        })
        .collect::<Result<_, _>>()
        .map(CommaSeparated)
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    if text.is_empty() || text.len() > 100 || !text.chars().all(is_part) {
        return Err("must be 1 to 100 letters, digits, or any of - _ . :".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|e| e.to_string())
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
