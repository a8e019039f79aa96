//! Engines that are killed while clients go on: what needs them is `UNAVAILABLE`, the rest works, `/readyz` names them,
//! everything comes back by itself, and nothing that was acknowledged is lost.
//!
//! `OUTAGE_SECONDS` makes each outage longer than in a usual run; docs/SCALING.md tells of such a run.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    Yard,
    load::{ACTS, Act, Load},
    until,
};
use crate::support::{Backends, Line, OwnServer, Process, Servers, State, log_in};

/// How an engine, or the way to it, fails and recovers.
pub trait Outage {
    fn begin(&mut self);
    async fn end(&mut self);
}

impl Outage for OwnServer {
    fn begin(&mut self) {
        self.kill();
    }

    async fn end(&mut self) {
        self.start_again(&[]).await;
    }
}

impl Outage for (&Line, State) {
    fn begin(&mut self) {
        self.0.set(self.1);
    }

    async fn end(&mut self) {
        self.0.set(State::Open);
    }
}

/// How long an engine is gone at least.
fn length() -> Duration {
    let seconds = std::env::var("OUTAGE_SECONDS");
    Duration::from_secs(seconds.map_or(2, |seconds| seconds.parse().unwrap()))
}

/// Whether a server says that it is ready, and that this backend works.
pub async fn readiness(server: &Process, backend: &str) -> (bool, bool) {
    let (status, said) = server.get("/readyz").await.unwrap();
    let said: Value = serde_json::from_str(&said).unwrap();
    (status == 200, said["backends"][backend] == "up")
}

/// One engine's outage, from when it began to when all works again, and what was done meanwhile.
pub async fn endure(
    yard: &Yard,
    load: &Load,
    backend: &str,
    works: &[Act],
    outage: &mut impl Outage,
) {
    let before = ACTS.map(|act| load.count(act));
    let began = Instant::now();
    outage.begin();
    for server in &yard.running {
        until(async || readiness(server, backend).await == (false, false)).await;
    }
    let detected = began.elapsed();
    load.until_done(works).await;
    let fails: Vec<_> = ACTS
        .into_iter()
        .filter(|act| !works.contains(act))
        .collect();
    load.until_failed(&fails).await;
    for server in &yard.running {
        // A server that lacks an engine is not to be killed for it.
        assert_eq!(server.get("/healthz").await.unwrap().0, 200);
    }
    tokio::time::sleep(length()).await;
    let during = ACTS.map(|act| load.count(act));
    let ended = Instant::now();
    outage.end().await;
    let back = Instant::now();
    for server in &yard.running {
        until(async || readiness(server, backend).await == (true, true)).await;
    }
    load.until_done(&ACTS).await;
    let counts: Vec<_> = ACTS
        .iter()
        .zip(before)
        .zip(during)
        .map(|((act, before), during)| {
            let (done, failed) = (during.done - before.done, during.failed - before.failed);
            format!("{act:?} {done} done, {failed} failed")
        })
        .collect();
    println!(
        "{backend}: detected after {:.1} s, gone for {:.1} s ({}); it started in {:.1} s, and all worked after another {:.1} s",
        detected.as_secs_f64(),
        (ended - began).as_secs_f64(),
        counts.join("; "),
        (back - ended).as_secs_f64(),
        back.elapsed().as_secs_f64(),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_that_are_killed_take_nothing_with_them() {
    if Backends::of_this_run() == Backends::Embedded {
        // There are none. tests/it/crash.rs kills the program itself.
        return;
    }
    let (mut database, mut documents, mut redis) = tokio::join!(
        OwnServer::database(),
        OwnServer::documents(),
        OwnServer::redis()
    );
    let urls = [&database, &documents, &redis].map(OwnServer::url);
    let engines = [
        ("--database-url", urls[0].as_str()),
        ("--mongodb-url", &urls[1]),
        ("--redis-url", &urls[2]),
    ];
    let servers = Servers::sharing(&engines, &["--workers", "0"]);
    let yard = Yard::of(servers).await;
    let _worker = yard.servers.start_worker();
    let load = Load::on(&yard).await;
    load.until_done(&ACTS).await;

    endure(&yard, &load, "redis", &ACTS, &mut redis).await;
    let without_documents = [Act::Read, Act::Post];
    endure(&yard, &load, "mongodb", &without_documents, &mut documents).await;
    endure(&yard, &load, "database", &[], &mut database).await;

    log_in(yard.there(), "ben").await;
    let count = load.end().await;
    println!("all {count} posts and chats that were acknowledged are there, once each");
    assert!(count > 50, "{count}");
}
