//! Everything that can be set, with its default: flags win over the environment, the environment over a `.env` file in
//! the working folder. Keys of the environment are the flags in capitals.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use ipnet::IpNet;

/// A setting that does not work, and why, in one sentence that never holds a secret.
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
    /// The value itself: hand it on, never print it.
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

/// The whole configuration.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address and port to listen on.
    #[arg(
        long,
        env = "BIND",
        default_value = "127.0.0.1:8000",
        value_name = "ADDRESS:PORT"
    )]
    pub bind: SocketAddr,

    /// Folder of the embedded stores, of files and of the secret that is made on the first start.
    #[arg(long, env = "VOLUME_DIR", default_value = "volume", value_name = "DIR")]
    pub volume_dir: PathBuf,

    /// Where people reach this server, as in https://forum.example.org: issuer of tokens, and whether cookies are Secure.
    #[arg(long, env = "PUBLIC_URL", default_value = "", value_name = "URL", value_parser = optional_http_url)]
    pub public_url: Optional<url::Url>,

    /// sqlite://PATH or mysql://USER:PASSWORD@HOST/DATABASE; empty: sqlite in VOLUME_DIR/database.
    #[arg(
        long,
        env = "DATABASE_URL",
        default_value = "",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub database_url: Secret,

    /// Durability of SQLite's commits.
    #[arg(
        long,
        env = "SQLITE_SYNCHRONOUS",
        default_value = "FULL",
        value_enum,
        ignore_case = true
    )]
    pub sqlite_synchronous: Synchronous,

    /// At least 32 bytes that sign access tokens; empty on embedded stores: made once and kept in VOLUME_DIR.
    #[arg(
        long,
        env = "JWT_SECRET",
        default_value = "",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    pub jwt_secret: Secret,

    /// How long an access token lives.
    #[arg(long, env = "ACCESS_TOKEN_TTL", default_value = "15m", value_name = "TIME", value_parser = positive_time)]
    pub access_token_ttl: Duration,

    /// How long an unused refresh token lives.
    #[arg(long, env = "REFRESH_TOKEN_TTL", default_value = "30d", value_name = "TIME", value_parser = positive_time)]
    pub refresh_token_ttl: Duration,

    /// SameSite of the refresh cookie; none asks for an https PUBLIC_URL.
    #[arg(
        long,
        env = "COOKIE_SAMESITE",
        default_value = "lax",
        value_enum,
        ignore_case = true
    )]
    pub cookie_samesite: SameSite,

    /// Whether anyone may read public boards, or only who is signed in.
    #[arg(
        long,
        env = "PUBLIC_READ",
        default_value = "off",
        value_enum,
        ignore_case = true
    )]
    pub public_read: Switch,

    /// Whether clients may ask for the schema.
    #[arg(
        long,
        env = "INTROSPECTION",
        default_value = "on",
        value_enum,
        ignore_case = true
    )]
    pub introspection: Switch,

    /// Whether GraphiQL is served at /graphiql.
    #[arg(
        long,
        env = "GRAPHIQL",
        default_value = "on",
        value_enum,
        ignore_case = true
    )]
    pub graphiql: Switch,

    /// Origins of browsers that may call, with commas between them, as in https://app.example.org.
    #[arg(long, env = "CORS_ORIGINS", default_value = "", value_name = "ORIGINS", value_parser = origins)]
    pub cors_origins: List<String>,

    /// Networks of proxies whose X-Forwarded-For counts, with commas between them, as in 10.0.0.0/8.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "", value_name = "NETWORKS", value_parser = networks)]
    pub trusted_proxies: List<IpNet>,

    /// Whether rates are limited; off lifts nothing else.
    #[arg(
        long,
        env = "RATE_LIMITS",
        default_value = "on",
        value_enum,
        ignore_case = true
    )]
    pub rate_limits: Switch,

    /// What is logged, as a filter of tracing: info, madang=debug,warn …
    #[arg(long, env = "LOG", default_value = "info", value_name = "FILTER", value_parser = log_filter)]
    pub log: String,

    /// Form of the log; auto: text on a terminal, else JSON.
    #[arg(
        long,
        env = "LOG_FORMAT",
        default_value = "auto",
        value_enum,
        ignore_case = true
    )]
    pub log_format: LogFormat,

    #[command(flatten)]
    pub limits: Limits,
}

/// How much is too much.
#[derive(Args, Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    #[arg(long = "limit-body", env = "LIMIT_BODY", default_value_t = 1 << 20, value_name = "BYTES")]
    pub body: usize,
    /// Bytes of posts' and comments' contents in one answer.
    #[arg(long = "limit-answer", env = "LIMIT_ANSWER", default_value_t = 8 << 20, value_name = "BYTES")]
    pub answer: usize,
    /// Bytes of answers that one connection has not read yet.
    #[arg(
        long = "limit-unread-connection",
        env = "LIMIT_UNREAD_CONNECTION",
        default_value_t = 16 << 20,
        value_name = "BYTES"
    )]
    pub unread_connection: usize,
    /// Bytes of answers that the connections of one address have not read yet.
    #[arg(
        long = "limit-unread-address",
        env = "LIMIT_UNREAD_ADDRESS",
        default_value_t = 64 << 20,
        value_name = "BYTES"
    )]
    pub unread_address: usize,
    /// Bytes of answers that all connections have not read yet.
    #[arg(
        long = "limit-unread",
        env = "LIMIT_UNREAD",
        default_value_t = 256 << 20,
        value_name = "BYTES"
    )]
    pub unread: usize,
    /// How long a client may take to read 16 KiB, or the rest of an answer.
    #[arg(long = "limit-read-time", env = "LIMIT_READ_TIME", default_value = "10s", value_name = "TIME", value_parser = positive_time)]
    pub read_time: Duration,
    /// How long a client may take to send the headers of a request, and a connection may be idle.
    #[arg(long = "limit-header-time", env = "LIMIT_HEADER_TIME", default_value = "10s", value_name = "TIME", value_parser = positive_time)]
    pub header_time: Duration,
    /// Levels of a document; introspection is counted apart.
    #[arg(
        long = "limit-depth",
        env = "LIMIT_DEPTH",
        default_value_t = 15,
        value_name = "N"
    )]
    pub depth: usize,
    /// Objects that a document may ask for.
    #[arg(
        long = "limit-complexity",
        env = "LIMIT_COMPLEXITY",
        default_value_t = 5_000,
        value_name = "N"
    )]
    pub complexity: u64,
    /// Aliases in a document.
    #[arg(
        long = "limit-aliases",
        env = "LIMIT_ALIASES",
        default_value_t = 30,
        value_name = "N"
    )]
    pub aliases: usize,
    /// Root fields in an operation.
    #[arg(
        long = "limit-root-fields",
        env = "LIMIT_ROOT_FIELDS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub root_fields: usize,
    /// Directives in a document.
    #[arg(
        long = "limit-directives",
        env = "LIMIT_DIRECTIVES",
        default_value_t = 20,
        value_name = "N"
    )]
    pub directives: usize,
    /// Lexical tokens of a document.
    #[arg(
        long = "limit-tokens",
        env = "LIMIT_TOKENS",
        default_value_t = 5_000,
        value_name = "N"
    )]
    pub tokens: usize,
    /// Items of a page: the most that first and last may ask for.
    #[arg(
        long = "limit-page",
        env = "LIMIT_PAGE",
        default_value_t = 100,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub page: u32,
    /// Ids in one list.
    #[arg(
        long = "limit-ids",
        env = "LIMIT_IDS",
        default_value_t = 100,
        value_name = "N"
    )]
    pub ids: usize,
    /// How long a request may take.
    #[arg(long = "limit-request-time", env = "LIMIT_REQUEST_TIME", default_value = "15s", value_name = "TIME", value_parser = positive_time)]
    pub request_time: Duration,
    /// Bytes of a WebSocket message.
    #[arg(long = "limit-frame", env = "LIMIT_FRAME", default_value_t = 64 << 10, value_name = "BYTES")]
    pub frame: usize,
    /// Operations that run at once on one WebSocket.
    #[arg(
        long = "limit-subscriptions",
        env = "LIMIT_SUBSCRIPTIONS",
        default_value_t = 50,
        value_name = "N"
    )]
    pub subscriptions: usize,
    /// WebSockets of one user, on each server.
    #[arg(
        long = "limit-sockets",
        env = "LIMIT_SOCKETS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub sockets: usize,
    /// WebSockets without a sign-in from one address, on each server.
    #[arg(
        long = "limit-anonymous-sockets",
        env = "LIMIT_ANONYMOUS_SOCKETS",
        default_value_t = 64,
        value_name = "N"
    )]
    pub anonymous_sockets: usize,
    /// How long a WebSocket may wait with its connection_init.
    #[arg(long = "limit-init-time", env = "LIMIT_INIT_TIME", default_value = "3s", value_name = "TIME", value_parser = positive_time)]
    pub init_time: Duration,
    /// Log-ins a minute per account and address together.
    #[arg(
        long = "limit-login",
        env = "LIMIT_LOGIN",
        default_value_t = 5,
        value_name = "N"
    )]
    pub login: u32,
    /// Log-ins a minute per address.
    #[arg(
        long = "limit-login-address",
        env = "LIMIT_LOGIN_ADDRESS",
        default_value_t = 20,
        value_name = "N"
    )]
    pub login_address: u32,
    /// Log-ins an hour per account.
    #[arg(
        long = "limit-login-account",
        env = "LIMIT_LOGIN_ACCOUNT",
        default_value_t = 100,
        value_name = "N"
    )]
    pub login_account: u32,
    /// Refreshes of access tokens a minute per sign-in session.
    #[arg(
        long = "limit-refresh",
        env = "LIMIT_REFRESH",
        default_value_t = 10,
        value_name = "N"
    )]
    pub refresh: u32,
    /// Sign-in sessions of a user; a new one ends the oldest.
    #[arg(
        long = "limit-sign-ins",
        env = "LIMIT_SIGN_INS",
        default_value_t = 100,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub sign_ins: u32,
    /// Sign-ups an hour per address.
    #[arg(
        long = "limit-sign-up",
        env = "LIMIT_SIGN_UP",
        default_value_t = 10,
        value_name = "N"
    )]
    pub sign_up: u32,
    /// Mutations a minute per user.
    #[arg(
        long = "limit-writes",
        env = "LIMIT_WRITES",
        default_value_t = 60,
        value_name = "N"
    )]
    pub writes: u32,
}

/// A setting that may be left empty. A type of its own because clap reads `Option` as "the flag may be missing".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Optional<T>(pub Option<T>);

/// A comma-separated setting, for clap's eyes one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

impl Config {
    /// Rules that span several keys.
    ///
    /// # Errors
    /// The first setting that does not fit the others.
    pub fn check(&self) -> Result<(), Fault> {
        let database = self.database_url.expose();
        if !self.is_embedded() && !database.starts_with("mysql:") {
            return Err(Fault::new(
                "DATABASE_URL",
                "begins neither with sqlite:// nor with mysql://",
            ));
        }
        match self.jwt_secret.expose().len() {
            0 if !self.is_embedded() => {
                return Err(Fault::new(
                    "JWT_SECRET",
                    "is needed with a mysql:// DATABASE_URL; set at least 32 random bytes",
                ));
            }
            1..32 => return Err(Fault::new("JWT_SECRET", "has fewer than 32 bytes")),
            _ => {}
        }
        if self.cookie_samesite == SameSite::None && !self.is_public_https() {
            return Err(Fault::new(
                "COOKIE_SAMESITE",
                "none asks for an https PUBLIC_URL, since browsers refuse it otherwise",
            ));
        }
        Ok(())
    }

    /// Whether the database lives in this process.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        let database = self.database_url.expose();
        database.is_empty() || database.starts_with("sqlite:")
    }

    /// Whether people reach this server by https.
    #[must_use]
    pub fn is_public_https(&self) -> bool {
        self.public_url
            .0
            .as_ref()
            .is_some_and(|url| url.scheme() == "https")
    }

    /// Every key with its default and what it is for, as `.env-example` lists them.
    #[must_use]
    pub fn keys() -> Vec<(String, String, String)> {
        let command = <Self as Args>::augment_args(clap::Command::new("madang"));
        command
            .get_arguments()
            .filter_map(|arg| {
                let key = arg.get_env()?.to_string_lossy().into_owned();
                let default = arg
                    .get_default_values()
                    .iter()
                    .map(|v| v.to_string_lossy())
                    .collect::<Vec<_>>()
                    .join(",");
                Some((key, default, arg.get_help()?.to_string()))
            })
            .collect()
    }
}

fn optional_http_url(text: &str) -> Result<Optional<url::Url>, String> {
    if text.is_empty() {
        return Ok(Optional(None));
    }
    let url = url::Url::parse(text).map_err(|e| e.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("not an http or https address".to_owned());
    }
    Ok(Optional(Some(url)))
}

fn positive_time(text: &str) -> Result<Duration, String> {
    let time =
        humantime::parse_duration(text).map_err(|e| format!("{e}; write it as in 15m or 30d"))?;
    if time < Duration::from_secs(1) || time > Duration::from_secs(10 * 365 * 86_400) {
        return Err("lies outside 1s to 10 years".to_owned());
    }
    Ok(time)
}

fn origins(text: &str) -> Result<List<String>, String> {
    items(text)
        .map(|origin| {
            let url = url::Url::parse(origin).map_err(|e| format!("{origin}: {e}"))?;
            match url.origin() {
                tuple @ url::Origin::Tuple(..) => Ok(tuple.ascii_serialization()),
                url::Origin::Opaque(_) => Err(format!("{origin}: not an origin")),
            }
        })
        .collect::<Result<_, _>>()
        .map(List)
}

fn networks(text: &str) -> Result<List<IpNet>, String> {
    items(text)
        .map(|network| {
            network
                .parse::<IpNet>()
                .or_else(|_| network.parse::<std::net::IpAddr>().map(IpNet::from))
                .map_err(|_| format!("{network}: not a network, as in 10.0.0.0/8"))
        })
        .collect::<Result<_, _>>()
        .map(List)
}

fn log_filter(text: &str) -> Result<String, String> {
    tracing_subscriber::EnvFilter::try_new(text)
        .map(|_| text.to_owned())
        .map_err(|e| e.to_string())
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
}
