//! `cargo bench --bench hostile`: what one client can do to all others. A prober reads a list fifty times a second, alone and
//! beside one attack after the other, each from an address of its own and with the default limits. Printed: how long the
//! prober waits, and the most memory that the server takes. docs/PERFORMANCE.md says what came of it.

mod attacks;
mod client;
#[path = "../forum/http.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod http;
mod prober;
#[path = "../forum/process.rs"]
#[allow(dead_code, reason = "shared with another bench")]
mod process;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Parser;
use serde_json::{Value, json};

use crate::{
    attacks::{ATTACKS, Attack, Target},
    http::Request,
    process::{Server, free_port},
};

/// Measures what attacks do to others.
#[derive(Parser)]
#[command(name = "hostile", bin_name = "cargo bench --bench hostile --")]
struct Args {
    /// How long each attack is.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Only attacks whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Posts of the community.
    #[arg(long, default_value_t = 100_000)]
    posts: u64,
    /// Another program to measure than the one that cargo built for this bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_madang"))]
    madang: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Chats of the session that is replayed.
const CHATS: usize = 2_000;
const PASSWORD: &str = "no harm is meant by this";

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench hostile`.");
        return Ok(());
    }
    rlimit::increase_nofile_limit(u64::MAX)?;
    let folder = Path::new("target/bench/hostile");
    _ = fs::remove_dir_all(folder);
    fs::create_dir_all(folder)?;
    let (server, target) = prepare(&args, folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;

    let first = match go_first() {
        true => "The prober runs before all other programs.",
        false => {
            "The prober waits for a CPU as all programs do: its waits contain that. Give it the right to run `chrt`."
        }
    };
    println!("{first}\n");
    println!("| beside | p50 ms | p99 ms | most ms | failed | attempts | memory MiB |");
    println!("|---|---|---|---|---|---|---|");
    let alone = measure("nothing", &args, &server, &target, || {
        AtomicU64::new(0).into()
    })?;
    let mut worst = (alone, 0.0_f64);
    for attack in ATTACKS
        .iter()
        .filter(|attack| attack.name.contains(&args.only))
    {
        let attempts = Arc::new(AtomicU64::new(0));
        let mut strikers = Vec::new();
        let found = measure(attack.name, &args, &server, &target, || {
            strikers = strike(&runtime, attack, &target, &attempts);
            Arc::clone(&attempts)
        })?;
        for striker in strikers {
            striker.abort();
        }
        worst = (worst.0.max(found), worst.1.max(server.peak()));
        // What waits is answered or given up, so that the next attack meets a calm server.
        thread::sleep(Duration::from_secs(3));
    }
    thread::sleep(Duration::from_secs(60));
    println!(
        "\np99 alone {alone:.1} ms, at most {:.1} ms; memory at most {:.0} MiB, a minute later {:.0} MiB",
        worst.0,
        worst.1,
        server.rss()
    );
    Ok(())
}

/// Lets this thread, the prober's, run before all others, if that is allowed. Real attackers are on other machines: a wait for
/// a CPU that they take here would count as one for the server. Threads and programs that this thread starts later run before
/// others, too.
fn go_first() -> bool {
    let mut chrt = Command::new("chrt");
    chrt.args(["--fifo", "--pid", "1", &std::process::id().to_string()]);
    chrt.output().is_ok_and(|ended| ended.status.success())
}

/// Probes for some time, prints a line, and returns the p99 in milliseconds.
fn measure(
    name: &str,
    args: &Args,
    server: &Server,
    target: &Target,
    begin: impl FnOnce() -> Arc<AtomicU64>,
) -> anyhow::Result<f64> {
    server.forget_peak()?;
    let attempts = begin();
    thread::sleep(Duration::from_secs(1));
    let waits = prober::probe(target, Duration::from_secs(args.seconds));
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {} | {} | {:.0} |",
        waits.at(0.5),
        waits.at(0.99),
        waits.at(1.0),
        waits.failed,
        attempts.load(Relaxed),
        server.peak()
    );
    Ok(waits.at(0.99))
}

fn strike(
    runtime: &tokio::runtime::Runtime,
    attack: &'static Attack,
    target: &Target,
    attempts: &Arc<AtomicU64>,
) -> Vec<tokio::task::JoinHandle<()>> {
    (0..attack.clients)
        .map(|n| {
            let (target, attempts) = (target.clone(), Arc::clone(attempts));
            runtime.spawn(async move { attack.strike(target, n, &attempts).await })
        })
        .collect()
}

/// Fills a community, starts a server with the default limits, and makes two accounts.
fn prepare(args: &Args, folder: &Path) -> anyhow::Result<(Server, Target)> {
    let volume = folder.join("volume");
    let filled = Command::new(&args.madang)
        .args(["demo", "--posts", &args.posts.to_string()])
        .args(["--volume-dir".as_ref(), volume.as_os_str()])
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        filled.status.success(),
        "{}",
        String::from_utf8_lossy(&filled.stderr)
    );
    let port = free_port()?;
    let mut command = Command::new(&args.madang);
    command
        .args(["serve", "--public-read", "on", "--access-token-ttl", "2h"])
        // The only limit that is not the default: the session that is replayed is filled at once.
        .args(["--limit-chats", "1000000"])
        .args(["--bind".to_owned(), format!("127.0.0.1:{port}")])
        .args(["--volume-dir".as_ref(), volume.as_os_str()]);
    let mut server = Server::start(command, port, &folder.join("log"))?;
    server.first_answer(&Request::get("/healthz"))?;
    let prober = sign_in(port, "prober")?;
    let mallory = sign_in(port, "mallory")?;
    let ask = |token: &str, query: &str| {
        Request::post("/graphql", &json!({ "query": query }))
            .with("Authorization", format!("Bearer {token}"))
            .json(port)
    };
    let access = text(&prober, "/data/login/accessToken")?;
    let found = ask(&access, "{ posts(first: 1) { nodes { id board { id } } } }")?;
    let made = "mutation { createChatSession(input: { name: \"Gate\", information: \"i\" }) { chatSession { id } } }";
    let session = text(
        &ask(&access, made)?,
        "/data/createChatSession/chatSession/id",
    )?;
    let mallory_access = text(&mallory, "/data/login/accessToken")?;
    let join = format!(
        "mutation {{ joinChatSession(input: {{ id: \"{session}\" }}) {{ chatSession {{ id }} }} }}"
    );
    ask(&mallory_access, &join)?;
    let chats = format!("{{ chatSession(id: \"{session}\") {{ chats {{ eventCursor }} }} }}");
    let cursor = text(
        &ask(&access, &chats)?,
        "/data/chatSession/chats/eventCursor",
    )?;
    for n in 0..CHATS {
        let chat = format!(
            "mutation {{ sendChat(input: {{ chatSessionId: \"{session}\", content: \"chat {n}\" }}) {{ chat {{ id }} }} }}"
        );
        text(&ask(&access, &chat)?, "/data/sendChat/chat/id")?;
    }
    let target = Target {
        port,
        prober: access,
        mallory: mallory_access,
        refresh: text(&mallory, "/data/login/refreshToken")?,
        post: text(&found, "/data/posts/nodes/0/id")?,
        board: text(&found, "/data/posts/nodes/0/board/id")?,
        session,
        cursor,
    };
    Ok((server, target))
}

fn sign_in(port: u16, name: &str) -> anyhow::Result<Value> {
    let email = format!("{name}@example.org");
    let up = "mutation($i: SignUpInput!) { signUp(input: $i) { user { id } } }";
    let input = json!({ "i": { "name": name, "email": email, "password": PASSWORD } });
    Request::post("/graphql", &json!({ "query": up, "variables": input })).json(port)?;
    let log_in = "mutation($i: LoginInput!) { login(input: $i) { accessToken refreshToken } }";
    let input = json!({ "i": { "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" } });
    Request::post("/graphql", &json!({ "query": log_in, "variables": input })).json(port)
}

fn text(answer: &Value, place: &str) -> anyhow::Result<String> {
    let found = answer.pointer(place).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("{place} is missing in {answer}"))?
        .to_owned())
}
