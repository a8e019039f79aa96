//! `madang doctor`: checks the configuration and every backend, and says in a sentence what is wrong. It changes nothing,
//! except that embedded stores are made when they are missing.

use clap::Args;
use madang::{
    app::App,
    blobs::Blobs,
    clock::Clock,
    config::{Config, Fault},
    db::{Action, Db},
    documents::Documents,
    redis::Redis,
};

use super::runtime;

#[derive(Args)]
pub struct Doctor {
    #[command(flatten)]
    config: Config,
}

/// Some backends do not work. What is wrong is on standard output.
#[derive(Debug, thiserror::Error)]
#[error("{0} of the checks failed")]
struct Ill(usize);

impl Doctor {
    pub fn run(self) -> anyhow::Result<()> {
        self.config.check()?;
        let failed = runtime()?.block_on(check(self.config))?;
        if failed == 0 {
            println!("Everything works.");
            Ok(())
        } else {
            Err(Ill(failed).into())
        }
    }
}

/// Prints a line for each backend. Returns how many do not work.
async fn check(config: Config) -> anyhow::Result<usize> {
    let database = match Db::migrate(&config, Action::Look).await {
        Ok(migrations) => {
            let missing = migrations.iter().filter(|m| !m.is_applied).count();
            Ok(match missing {
                0 => "works".to_owned(),
                n => {
                    format!("works; {n} migrations are missing, which serve applies when it starts")
                }
            })
        }
        Err(fault) => Err(fault),
    };
    let documents = Documents::open(&config).await.map(drop);
    let redis = Redis::open(&config).await.map(drop);
    let blobs = Blobs::open(&config, Clock::system()).await.map(drop);
    let works = || "works".to_owned();
    let outcomes = [
        ("database", database),
        ("documents", documents.map(|()| works())),
        (
            "redis",
            redis.map(|()| {
                if config.redis_url.expose().is_empty() {
                    "not used".to_owned()
                } else {
                    works()
                }
            }),
        ),
        ("blobs", blobs.map(|()| works())),
    ];
    let mut failed = 0;
    for (name, outcome) in outcomes {
        match outcome {
            Ok(state) => println!("{name}: {state}"),
            Err(fault) => {
                failed += 1;
                println!("{name}: {fault}");
            }
        }
    }
    if failed == 0 {
        for warning in warnings(config).await? {
            println!("warning: {warning}");
        }
    }
    Ok(failed)
}

/// Those of the whole, if it can be opened without changing anything.
async fn warnings(config: Config) -> Result<Vec<String>, Fault> {
    let migrations = Db::migrate(&config, Action::Look).await?;
    if migrations.iter().any(|migration| !migration.is_applied) {
        return Ok(Vec::new());
    }
    Ok(App::open(config, Clock::system()).await?.warnings().await)
}
