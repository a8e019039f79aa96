//! What a delivery costs when those who follow are on one server, and on two.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::Context;
use serde_json::json;

use crate::{
    Args,
    fleet::Fleet,
    load::{Connected, Load, Measured, Session},
};

const FOLLOW: &str = "subscription ($s: ID!) { chatEvents(chatSessionId: $s) { ... on ChatReady { __typename } ... on ChatAdded { chat { id seq content createdAt author { name } } } } }";
const SEND: &str = "mutation ($i: SendChatInput!) { sendChat(input: $i) { chat { seq } } }";
/// Chats a second.
const RATE: f64 = 5.0;

/// Measures and prints it.
///
/// # Errors
/// The load fails, or something was lost.
pub fn measure(args: &Args, fleet: &Fleet) -> anyhow::Result<()> {
    println!(
        "| {} follow a session, {RATE} chats a second | deliveries of a CPU second of the servers | p50, p99 ms | KiB a socket | two servers can do |\n|---|---|---|---|---|",
        args.subscribers
    );
    let one = run(args, fleet, 1)?;
    let two = run(args, fleet, 2)?;
    let line = |name: &str, seen: &Seen, more: String| {
        println!(
            "| {name} | {:.0} | {:.0}, {:.0} | {:.1} | {more} |",
            seen.per_cpu_second, seen.measured.p50, seen.measured.p99, seen.kib
        );
    };
    line("on one server", &one, String::new());
    let ratio = 2.0 * two.per_cpu_second / one.per_cpu_second;
    line("on two", &two, format!("{ratio:.2} times what one can"));
    Ok(())
}

struct Seen {
    per_cpu_second: f64,
    /// Of memory.
    kib: f64,
    measured: Measured,
}

fn run(args: &Args, fleet: &Fleet, servers: usize) -> anyhow::Result<Seen> {
    let servers = &fleet.servers[..servers];
    let cpu = || -> f64 { servers.iter().map(crate::process::Server::cpu).sum() };
    let rss = || -> f64 { servers.iter().map(crate::process::Server::rss).sum() };
    let payload = json!({ "query": FOLLOW, "variables": { "s": fleet.sessions[2] } });
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": payload });
    let input = json!({ "i": { "chatSessionId": fleet.sessions[2], "content": "%CONTENT%" } });
    let init = |token: &String| {
        json!({ "type": "connection_init", "payload": { "token": token } }).to_string()
    };
    let plan = Load {
        ports: servers.iter().map(|server| server.port).collect(),
        subscribers: args.subscribers,
        rate: RATE,
        seconds: args.seconds.max(10),
        sessions: vec![Session {
            socket_path: "/graphql".to_owned(),
            subscribe: vec![subscribe.to_string()],
            send_path: "/graphql".to_owned(),
            send_headers: format!(
                "Content-Type: application/json\r\nAuthorization: Bearer {}\r\n",
                fleet.tokens[0]
            ),
            send_body: json!({ "query": SEND, "variables": input }).to_string(),
        }],
        greetings: fleet.tokens.iter().map(init).collect(),
    };
    let file = fleet.folder.join("plan.json");
    std::fs::write(&file, serde_json::to_vec(&plan)?)?;
    let empty = rss();
    let mut child = Command::new(std::env::current_exe()?)
        .arg("load")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(child.stdout.take().context("no output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let _: Connected = serde_json::from_str(&line).with_context(|| line.clone())?;
    thread::sleep(Duration::from_secs(2));
    let (kib, before) = ((rss() - empty) * 1024.0 / args.subscribers as f64, cpu());
    let mut stdin = child.stdin.take().context("no input")?;
    stdin.write_all(b"go\n")?;
    line.clear();
    said.read_line(&mut line)?;
    let measured: Measured = serde_json::from_str(&line).with_context(|| line.clone())?;
    let spent = cpu() - before;
    child.wait()?;
    anyhow::ensure!(
        measured.deliveries == measured.expected
            && measured.failed + measured.holes + measured.repeats == 0,
        "{measured:?}"
    );
    Ok(Seen {
        per_cpu_second: measured.deliveries as f64 / spent,
        kib,
        measured,
    })
}
