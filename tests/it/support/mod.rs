//! What the tests stand on: a server of their own in this process, in a folder of its own, with a clock that they move.

mod client;
mod cut;
pub mod database;
mod engines;
mod line;
pub mod log;
pub mod multipart;
mod process;
mod servers;
mod socket;

use std::{path::Path, sync::Arc, time::Duration};

use clap::Parser;
use diesel::prelude::*;
use madang::{
    access::{Operator, Role},
    accounts::{
        Email, Name, User,
        passwords::Password,
        store::users::{self, NewUser},
    },
    app::App,
    bus::Heard,
    clock::Clock,
    config::Config,
    db::{Conn, dialect, on, tables::jobs},
    queue::JobState,
    server::{Server, kinds::kinds, worker::Worker},
    work::Kinds,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub use client::{Answer, Client};
pub use cut::{Cut, proxy};
pub use database::{Backends, Database, SharedRedis, blobs_url, mongodb_url, tables};
pub use engines::OwnServer;
pub use line::{Line, State};
pub use process::{Process, WorkerProcess, address_of, ask, exchange_over, mutate};
pub use servers::{Servers, call, log_in};
pub use socket::{Said, Socket};

/// What the servers of the tests sign with.
pub const JWT_SECRET: &str = "a secret of thirty-two bytes, at least";

/// A password that nobody else has.
pub const PASSWORD: &str = "correct horse battery";

#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    config: Config,
}

/// The configuration of a test: defaults, a volume of its own, rates off, and what `flags` say.
pub fn config(volume: &Path, flags: &[&str]) -> Config {
    let volume = volume.to_str().unwrap();
    let mut arguments = vec!["test", "--volume-dir", volume];
    if !flags.contains(&"--rate-limits") {
        arguments.extend(["--rate-limits", "off"]);
    }
    arguments.extend(flags);
    Settings::try_parse_from(arguments).unwrap().config
}

/// A server.
pub struct TestApp {
    pub app: App,
    pub clock: Clock,
    pub server: Server,
    /// The shared Redis that it uses, if it does.
    pub redis: Option<SharedRedis>,
    // The order matters: the folder goes last.
    _database: database::Database,
    pub volume: TempDir,
}

impl TestApp {
    pub async fn start() -> Arc<Self> {
        Self::with(&[]).await
    }

    /// Starts with flags beside the defaults.
    pub async fn with(flags: &[&str]) -> Arc<Self> {
        Self::on(Backends::of_this_run(), flags).await
    }

    /// Starts on these backends, whatever the others run on.
    pub async fn on(backends: Backends, flags: &[&str]) -> Arc<Self> {
        log::start();
        let volume = tempfile::tempdir().unwrap();
        let database = database::Database::make(backends, volume.path()).await;
        let is_free = |setting: &str| !flags.contains(&setting);
        let redis = SharedRedis::of(backends).filter(|_| is_free("--redis-url"));
        let of_redis: Vec<_> = redis.iter().flat_map(SharedRedis::flags).collect();
        let mongodb = database::mongodb_url(backends).filter(|_| is_free("--mongodb-url"));
        let blobs = database::blobs_url(backends).filter(|_| is_free("--blobs-url"));
        let mut flags = flags.to_vec();
        for (setting, url) in [("--mongodb-url", &mongodb), ("--blobs-url", &blobs)] {
            flags.extend(url.iter().flat_map(|url| [setting, url]));
        }
        flags.extend(of_redis.iter().map(String::as_str));
        flags.extend(["--database-url", &database.url, "--jwt-secret", JWT_SECRET]);
        let clock = Clock::system();
        let app = App::open(config(volume.path(), &flags), clock.clone())
            .await
            .unwrap();
        let server = Server::new(app.clone()).await.unwrap();
        Arc::new(Self {
            app,
            clock,
            server,
            redis,
            _database: database,
            volume,
        })
    }

    /// Somebody who is not signed in.
    pub fn anonymous(self: &Arc<Self>) -> Client {
        Client::new(Arc::clone(self))
    }

    /// Makes the account `name` and signs it in.
    pub async fn user(self: &Arc<Self>, name: &str) -> Client {
        self.account(name, Role::User).await
    }

    /// Makes an admin's account and signs it in.
    pub async fn admin(self: &Arc<Self>) -> Client {
        self.account("admin", Role::Admin).await
    }

    pub async fn two_users(self: &Arc<Self>) -> (Client, Client) {
        (self.user("ann").await, self.user("ben").await)
    }

    async fn account(self: &Arc<Self>, name: &str, role: Role) -> Client {
        let user = self.insert_user(name, role).await;
        let mut client = self.anonymous();
        client.log_in(name, PASSWORD).await;
        client.id = user.id.to_string();
        client
    }

    pub async fn insert_user(&self, name: &str, role: Role) -> User {
        insert_user(&self.app, name, role).await
    }

    /// An id of this kind that leads nowhere.
    pub fn id_of_nothing(&self, prefix: &str) -> String {
        let id = self.clock.id::<madang::ids::UserKind>();
        madang::ids::encode(prefix, id.uuid())
    }

    /// Moves the clock of the server.
    pub fn advance(&self, seconds: u64) {
        if let Some(redis) = &self.redis {
            redis.advance(seconds);
        }
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Runs jobs with a worker of the program until none is due.
    pub async fn run_jobs(&self) {
        self.run_jobs_of(kinds()).await;
    }

    /// As [`TestApp::run_jobs`], with these kinds.
    pub async fn run_jobs_of(&self, kinds: Kinds) {
        let stop = CancellationToken::new();
        let names: &'static [&'static str] = Vec::leak(kinds.names(|_| true));
        let worker = Worker::new(self.app.clone(), Arc::new(kinds), |_| true, 4);
        let working = tokio::spawn(worker.run(stop.clone()));
        for round in 0.. {
            tokio::time::sleep(Duration::from_millis(25)).await;
            // In one statement, or a job could be claimed between a look for those that wait and one for those that run.
            let clock = self.clock.clone();
            let left = move |conn: &mut Conn| {
                let now = dialect::now(conn, &clock)?;
                let (running, queued) = (JobState::Running, JobState::Queued);
                let is_left = jobs::state.eq(running).or(jobs::state
                    .eq(queued)
                    .and(jobs::due_at.assume_not_null().le(now)));
                Ok(on!(conn, |c| jobs::table
                    .filter(jobs::kind.eq_any(names))
                    .filter(is_left)
                    .count()
                    .get_result::<i64>(c))?)
            };
            if self.app.db.read(left).await.unwrap() == 0 {
                break;
            }
            assert!(round < 1_200, "the jobs do not end");
        }
        stop.cancel();
        working.await.unwrap();
    }

    /// Nothing that was read before is known any more.
    pub async fn forget(&self) {
        self.app.rights.forget(Heard::Missed);
        self.app.db.write(|_| Ok(())).await.unwrap();
    }

    /// All rows of all tables, to see that nothing has changed.
    pub async fn rows(&self) -> Vec<String> {
        database::rows(&self.app).await
    }
}

/// A board of a test.
pub fn any_board() -> Value {
    json!({ "name": "Yard", "information": "Where a village meets." })
}

/// Makes the account `name`, with [`PASSWORD`].
pub async fn insert_user(app: &App, name: &str, role: Role) -> User {
    let email = format!("{name}@example.org");
    let password = Password::parse(PASSWORD.to_owned(), name, &email).unwrap();
    let new = NewUser {
        name: Name::parse(name).unwrap(),
        email: Email::parse(&email).unwrap(),
        password,
    };
    users::insert(app, Operator, new, role).await.unwrap()
}
