//! All settings with their defaults. Flags win over the environment, which wins over a `.env` file in the working
//! folder. The name of an environment variable is that of the flag in capitals.

#![allow(
    rustdoc::bare_urls,
    reason = "the text of a setting is also its help on the command line"
)]

mod limits;
mod values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use ipnet::IpNet;

pub use limits::Limits;
pub use values::{
    CommaSeparated, Fault, LogFormat, Optional, SameSite, Secret, Switch, Synchronous,
};
use values::{log_filter, name, networks, optional_http_url, origins, positive_time};

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

    /// mongodb://USER:PASSWORD@HOST:PORT/DATABASE for documents; empty: an SQLite file in VOLUME_DIR/database.
    #[arg(
        long,
        env = "MONGODB_URL",
        default_value = "",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub mongodb_url: Secret,

    /// redis://USER:PASSWORD@HOST:PORT/DATABASE, which several servers share; empty: everything within this process.
    #[arg(
        long,
        env = "REDIS_URL",
        default_value = "",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub redis_url: Secret,

    /// The beginning of all names in Redis, so that several communities can share one.
    #[arg(long, env = "REDIS_PREFIX", default_value = "madang", value_name = "NAME", value_parser = name)]
    pub redis_prefix: String,

    /// s3://KEY:SECRET@BUCKET/PREFIX?endpoint=URL&region=NAME or file:///FOLDER for files, data sets and models; empty:
    /// VOLUME_DIR.
    #[arg(
        long,
        env = "BLOBS_URL",
        default_value = "",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub blobs_url: Secret,

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

    /// Whether anyone may read public boards, or only users who are signed in.
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
    pub cors_origins: CommaSeparated<String>,

    /// Networks of proxies whose X-Forwarded-For counts, with commas between them, as in 10.0.0.0/8.
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "", value_name = "NETWORKS", value_parser = networks)]
    pub trusted_proxies: CommaSeparated<IpNet>,

    /// Whether rates are limited; off lifts nothing else.
    #[arg(
        long,
        env = "RATE_LIMITS",
        default_value = "on",
        value_enum,
        ignore_case = true
    )]
    pub rate_limits: Switch,

    /// Bytes of one file in a post or a comment.
    #[arg(long, env = "MAX_FILE_SIZE", default_value_t = 20 << 20, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=0x7fff_ffff))]
    pub max_file_size: u64,

    /// Bytes of all files of a user.
    #[arg(
        long,
        env = "MAX_STORAGE_PER_USER",
        default_value_t = 1 << 30,
        value_name = "BYTES"
    )]
    pub max_storage_per_user: u64,

    /// Bytes of one data set for an AI model.
    #[arg(long, env = "MAX_DATASET_SIZE", default_value_t = 100 << 20, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=0xffff_ffff_ffff))]
    pub max_dataset_size: u64,

    /// Whether the right to read a file is checked again at each download, or lasts as long as its address.
    #[arg(
        long,
        env = "FILES_STRICT",
        default_value = "off",
        value_enum,
        ignore_case = true
    )]
    pub files_strict: Switch,

    /// Workers that serve runs for background jobs, each with up to 8 jobs at a time; 0: leave them to madang worker.
    #[arg(long, env = "WORKERS", default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(..=64))]
    pub workers: u8,

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

impl Config {
    /// Checks rules that span several keys.
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
        let mongodb = self.mongodb_url.expose();
        let is_mongodb = ["mongodb://", "mongodb+srv://"]
            .iter()
            .any(|s| mongodb.starts_with(s));
        if !mongodb.is_empty() && !is_mongodb {
            return Err(Fault::new(
                "MONGODB_URL",
                "begins neither with mongodb:// nor with mongodb+srv://",
            ));
        }
        let blobs = self.blobs_url.expose();
        let is_blobs = ["s3://", "file:///"].iter().any(|s| blobs.starts_with(s));
        if !blobs.is_empty() && !is_blobs {
            return Err(Fault::new(
                "BLOBS_URL",
                "begins neither with s3:// nor with file:///",
            ));
        }
        let redis = self.redis_url.expose();
        let is_redis = ["redis://", "rediss://"]
            .iter()
            .any(|s| redis.starts_with(s));
        if !redis.is_empty() && !is_redis {
            return Err(Fault::new(
                "REDIS_URL",
                "begins neither with redis:// nor with rediss://",
            ));
        }
        match self.jwt_secret.expose().len() {
            0 if !self.is_embedded() || is_redis => {
                return Err(Fault::new(
                    "JWT_SECRET",
                    "is needed with a mysql:// DATABASE_URL or a REDIS_URL; set at least 32 random bytes",
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
