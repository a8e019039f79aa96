//! The contracts of the ports: the same tests for every backend. `TEST_BACKENDS` chooses the backends of a run.

mod blobs;
mod bus;
mod cache;
mod database;
mod documents;
mod queue;
mod start;
mod worker;

use madang::app::App;

use crate::support::{Backends, SharedRedis, TestApp, config};

/// Two servers that share everything that can be shared: on embedded backends these are two clones of one.
pub async fn two_servers(app: &TestApp, flags: &[String]) -> (App, App) {
    if Backends::of_this_run() == Backends::Embedded {
        return (app.app.clone(), app.app.clone());
    }
    (open(app, flags).await, open(app, flags).await)
}

async fn open(app: &TestApp, flags: &[String]) -> App {
    let mut flags: Vec<_> = flags.iter().map(String::as_str).collect();
    let secret = app.app.config.jwt_secret.expose();
    let url = app.app.config.database_url.expose();
    let mongodb = app.app.config.mongodb_url.expose();
    flags.extend(["--jwt-secret", secret, "--database-url", url]);
    flags.extend(["--mongodb-url", mongodb]);
    App::open(config(app.volume.path(), &flags), app.clock.clone())
        .await
        .unwrap()
}

fn shared() -> Vec<String> {
    SharedRedis::of(Backends::of_this_run())
        .iter()
        .flat_map(SharedRedis::flags)
        .collect()
}
