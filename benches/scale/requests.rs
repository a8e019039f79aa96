//! What clients ask, of one server and of two at once.

use std::thread;

use serde_json::{Value, json};

use crate::{
    Args,
    fleet::{Fleet, mutation, operation},
    http::Request,
    process::Server,
    wrk,
};

const LIST: &str = "{ posts(first: 20) { nodes { id title author { name } commentCount } pageInfo { hasNextPage endCursor } } }";
const POST: &str = "query ($i: ID!) { post(id: $i) { title content likeCount author { name } comments(first: 10) { nodes { content author { name } } } } }";
/// Connections to each server.
const CONNECTIONS: u32 = 16;
/// How long each waits after a response, in milliseconds: what a server is asked for must leave the cores room, since two of
/// them, the engines and wrk share these.
const PAUSE: u32 = 50;

/// The requests that are measured. Those of one server differ from those of the other where clients would.
pub fn kinds(fleet: &Fleet, server: usize) -> Vec<(&'static str, Request)> {
    let token = Some(fleet.tokens[1 + server].as_str());
    let input = json!({ "postId": fleet.post, "content": "what a person says" });
    let chat = |session: usize| {
        let input = json!({ "chatSessionId": fleet.sessions[session], "content": "hello" });
        mutation(Some(&fleet.tokens[0]), "sendChat", input, "chat { id seq }")
    };
    vec![
        ("a list of 20 posts", operation(token, LIST, &json!({}))),
        (
            "a post with its comments",
            operation(token, POST, &json!({ "i": fleet.post })),
        ),
        (
            "a new comment",
            mutation(token, "createComment", input, "comment { id }"),
        ),
        ("a chat, each server in a session of its own", chat(server)),
        ("a chat, all in one session", chat(2)),
    ]
}

/// # Errors
/// The request was refused.
pub fn check(answer: &Value) -> anyhow::Result<()> {
    anyhow::ensure!(answer.get("errors").is_none(), "{answer}");
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Rate {
    per_second: f64,
    per_cpu_second: f64,
    p99: f64,
}

/// Measures each kind on one server and on two, and prints what came of it.
///
/// # Errors
/// wrk fails, or a request does.
pub fn measure(args: &Args, fleet: &Fleet) -> anyhow::Result<()> {
    println!(
        "| {CONNECTIONS} connections | servers | requests/s | of a CPU second of the servers | p99 ms | two servers can do |\n|---|---|---|---|---|---|"
    );
    let (of_one, of_other) = (kinds(fleet, 0), kinds(fleet, 1));
    for ((name, one), (_, other)) in of_one.iter().zip(&of_other) {
        let (mut alone, mut both) = (Vec::new(), Vec::new());
        for _ in 0..args.reps {
            alone.push(load(args, fleet, &[(&fleet.servers[0], one)])?);
            both.push(load(
                args,
                fleet,
                &[(&fleet.servers[0], one), (&fleet.servers[1], other)],
            )?);
        }
        let (alone, both) = (median(alone), median(both));
        let ratio = 2.0 * both.per_cpu_second / alone.per_cpu_second;
        println!(
            "| {name} | 1 | {:.0} | {:.0} | {:.1} | |",
            alone.per_second, alone.per_cpu_second, alone.p99
        );
        println!(
            "| | 2 | {:.0} | {:.0} | {:.1} | {ratio:.2} times what one can |",
            both.per_second, both.per_cpu_second, both.p99
        );
    }
    println!();
    Ok(())
}

/// The one in the middle, by what a CPU second does.
fn median(mut rates: Vec<Rate>) -> Rate {
    rates.sort_by(|a, b| a.per_cpu_second.total_cmp(&b.per_cpu_second));
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

fn load(args: &Args, fleet: &Fleet, targets: &[(&Server, &Request)]) -> anyhow::Result<Rate> {
    let cpu = || -> f64 { targets.iter().map(|(server, _)| server.cpu()).sum() };
    let before = cpu();
    let seen = thread::scope(|scope| {
        let loading: Vec<_> = targets
            .iter()
            .enumerate()
            .map(|(n, (server, request))| {
                let folder = fleet.folder.join(format!("wrk{n}"));
                scope.spawn(move || {
                    std::fs::create_dir_all(&folder)?;
                    wrk::paced(
                        request,
                        server.port,
                        CONNECTIONS,
                        args.seconds,
                        &folder,
                        PAUSE,
                    )
                })
            })
            .collect();
        loading
            .into_iter()
            .map(|load| load.join().map_err(|_| anyhow::anyhow!("it panicked"))?)
            .collect::<anyhow::Result<Vec<_>>>()
    })?;
    let spent = cpu() - before;
    let mut rate = Rate::default();
    let mut requests = 0.0;
    for seen in seen {
        anyhow::ensure!(seen.bad == 0.0, "{} requests failed", seen.bad);
        requests += seen.requests;
        rate.per_second += seen.requests / (seen.microseconds / 1e6);
        rate.p99 = rate.p99.max(seen.p99);
    }
    rate.per_cpu_second = requests / spent;
    Ok(rate)
}
