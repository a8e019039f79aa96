//! Real servers that share everything: in processes of their own, on the backends of this run.

use madang::{access::Role, app::App, clock::Clock};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Backends, Database, JWT_SECRET, OwnServer, PASSWORD, Process, WorkerProcess, config,
    insert_user, mongodb_url,
};

pub struct Servers {
    volume: TempDir,
    /// A Redis of their own; on engines only.
    pub redis: Option<OwnServer>,
    backends: Vec<String>,
    flags: Vec<String>,
    _database: Option<Database>,
}

impl Servers {
    /// What servers with these flags need. None has started yet.
    pub async fn new(flags: &[&str]) -> Self {
        let backends = Backends::of_this_run();
        let volume = tempfile::tempdir().unwrap();
        let database = Database::make(backends, volume.path()).await;
        let redis = match backends {
            Backends::Embedded => None,
            Backends::Engines => Some(OwnServer::redis().await),
        };
        let mut urls = vec!["--database-url".to_owned(), database.url.clone()];
        if let (Some(mongodb), Some(redis)) = (mongodb_url(backends), &redis) {
            urls.extend(["--mongodb-url".to_owned(), mongodb]);
            urls.extend(["--redis-url".to_owned(), redis.url()]);
        }
        Self {
            volume,
            redis,
            backends: urls,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            _database: Some(database),
        }
    }

    /// What servers with these flags need that share these engines.
    pub fn sharing(engines: &[(&str, &str)], flags: &[&str]) -> Self {
        let urls = engines.iter().flat_map(|(flag, url)| [*flag, *url]);
        Self {
            volume: tempfile::tempdir().unwrap(),
            redis: None,
            backends: urls.map(str::to_owned).collect(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            _database: None,
        }
    }

    /// How many may run at the same time.
    pub fn count(&self) -> usize {
        if self.redis.is_some() { 2 } else { 1 }
    }

    /// What the servers share, in this process. On embedded backends no server may write at the same time.
    pub async fn app(&self) -> App {
        let secret = ["--jwt-secret", JWT_SECRET];
        let flags = self.backends.iter().map(String::as_str).chain(secret);
        let flags: Vec<_> = flags.collect();
        let config = config(self.volume.path(), &flags);
        App::open(config, Clock::system()).await.unwrap()
    }

    /// Adds a user to them, of whom no server knows anything yet.
    pub async fn user(&self, name: &str) {
        insert_user(&self.app().await, name, Role::User).await;
    }

    /// Where their tables are.
    pub fn database_url(&self) -> &str {
        &self.backends[1]
    }

    pub fn start(&self) -> Process {
        let flags = self.backends.iter().chain(&self.flags);
        let flags: Vec<_> = flags.map(String::as_str).collect();
        Process::start(&[], self.volume.path(), &flags)
    }

    /// A worker beside the servers.
    pub fn start_worker(&self) -> WorkerProcess {
        let flags: Vec<_> = self.backends.iter().map(String::as_str).collect();
        WorkerProcess::with(self.volume.path(), &flags)
    }

    /// Exit code and standard error of a server that must not start.
    pub fn refusal(&self) -> (Option<i32>, String) {
        let flags: Vec<_> = self.backends.iter().map(String::as_str).collect();
        Process::refusal(self.volume.path(), &flags)
    }
}

/// The data of a mutation that must succeed.
pub async fn call(server: &Process, token: &str, name: &str, input: Value, fields: &str) -> Value {
    let answer = server.mutate(token, name, input, fields).await.unwrap();
    assert!(answer["errors"].is_null(), "{answer}");
    answer["data"][name].clone()
}

/// A token of the user, and the user's id.
pub async fn log_in(server: &Process, name: &str) -> (String, String) {
    let input = json!({ "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" });
    let login = call(server, "", "login", input, "accessToken user { id }").await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&login["accessToken"]), text(&login["user"]["id"]))
}
