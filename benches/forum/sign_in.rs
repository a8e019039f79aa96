//! Log-ins: as many as can be, and what a steady stream of them does to the list.

use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    community::{Community, LIST_DOCUMENT, graphql, log_in, token},
    http::Request,
    measure::{Bench, Contestant, MADANG},
    peers::Peer,
    results::figure,
};

pub const LOG_IN: &str = "log-in";
pub const ALONE: &str = "beside log-ins: list alone";
pub const BESIDE: &str = "beside log-ins: list under 50 a second";
pub const CONNECTIONS: u32 = 16;
/// Log-ins a second that are offered, whether the last ones have been answered or not.
const OFFERED: u32 = 50;
/// Who offers them. When all of them wait, the next log-in is late, and asked as soon as one is free.
const PEOPLE: u32 = 100;

/// Log-ins over 16 connections, beside PocketBase's.
///
/// # Errors
/// A server does not start, or answers wrongly.
pub fn measure(bench: &mut Bench, community: &Community, peers: &mut [Peer]) -> anyhow::Result<()> {
    if !bench.args.wants(LOG_IN) {
        return Ok(());
    }
    let volume = bench.folder.join("run");
    community.copy(&volume)?;
    let madang = community.serve(&volume)?;
    let asked = log_in();
    let mut requests = Vec::new();
    for peer in peers.iter_mut() {
        if let Some(request) = peer.log_in(bench)? {
            requests.push((&*peer, request));
        }
    }
    let mut contestants = vec![Contestant {
        who: MADANG,
        server: &madang,
        request: &asked,
        expects: ("\"accessToken\":", 1),
    }];
    for (peer, request) in &requests {
        contestants.push(Contestant {
            who: peer.who,
            server: peer.server()?,
            request,
            expects: ("\"token\":", 1),
        });
    }
    bench.in_turns(LOG_IN, &[CONNECTIONS], &contestants)?;
    drop(contestants);
    drop(requests);
    peers.iter_mut().for_each(Peer::stop);
    Ok(())
}

/// The list, in turns alone and while people log in.
///
/// # Errors
/// A server does not start, or answers wrongly.
pub fn measure_beside(bench: &mut Bench, community: &Community) -> anyhow::Result<()> {
    if !bench.args.wants(ALONE) {
        return Ok(());
    }
    let volume = bench.folder.join("run");
    community.copy(&volume)?;
    let madang = community.serve(&volume)?;
    let request = graphql(&token(&madang)?, LIST_DOCUMENT, json!({}));
    let contestant = Contestant {
        who: MADANG,
        server: &madang,
        request: &request,
        expects: ("\"title\":", 20),
    };
    contestant.check()?;
    bench.warm(&contestant, CONNECTIONS)?;
    for _ in 0..bench.args.reps {
        bench.run(ALONE, &contestant, CONNECTIONS)?;
        let began = Instant::now();
        let (figures, answered, failed) = under_log_ins(madang.port, || {
            // The stream has to be under way.
            thread::sleep(Duration::from_secs(1));
            bench.figures(&contestant, CONNECTIONS)
        });
        let seconds = began.elapsed().as_secs_f64();
        let log_ins = [
            (figure::LOG_INS, f64::from(answered) / seconds),
            (figure::FAILED, f64::from(failed)),
        ];
        bench.results.push(
            BESIDE,
            MADANG,
            CONNECTIONS,
            figures?.into_iter().chain(log_ins),
        )?;
    }
    Ok(())
}

/// What `work` gives while people log in, and how many log-ins were answered and failed.
fn under_log_ins<T>(port: u16, work: impl FnOnce() -> T) -> (T, u32, u32) {
    let (next, answered, failed) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let is_over = AtomicBool::new(false);
    let (began, request) = (Instant::now(), log_in());
    let work = thread::scope(|scope| {
        for _ in 0..PEOPLE {
            scope.spawn(|| {
                loop {
                    let due = Duration::from_secs(1) / OFFERED * next.fetch_add(1, Relaxed);
                    thread::sleep((began + due).saturating_duration_since(Instant::now()));
                    if is_over.load(Relaxed) {
                        break;
                    }
                    let counter = if succeeds(&request, port) {
                        &answered
                    } else {
                        &failed
                    };
                    counter.fetch_add(1, Relaxed);
                }
            });
        }
        let result = work();
        is_over.store(true, Relaxed);
        result
    });
    (work, answered.into_inner(), failed.into_inner())
}

fn succeeds(request: &Request, port: u16) -> bool {
    request
        .json(port)
        .is_ok_and(|answer| answer.get("errors").is_none())
}
