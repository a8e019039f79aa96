//! `cargo bench --bench soak`: whether madang stays what it is. Ten minutes of 300 requests a second of a mixed kind, while
//! sockets come and go of which a tenth never reads. Each minute it prints memory (the median and the most of what was
//! seen each second), open files and the size of SQLite's log; in the end the memory of the last minute has to be within
//! 20 % of that of the second.

use std::{
    collections::HashMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use futures_util::{SinkExt, StreamExt};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    time::{interval, sleep, timeout},
};
use tokio_tungstenite::{client_async, tungstenite::Message};
use tungstenite::client::IntoClientRequest;

/// Measures whether memory, files and the log stay bounded.
#[derive(Parser)]
#[command(name = "soak", bin_name = "cargo bench --bench soak --")]
struct Args {
    /// How long.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Requests a second.
    #[arg(long, default_value_t = 300)]
    rate: u64,
    /// Sockets at a time.
    #[arg(long, default_value_t = 60)]
    sockets: usize,
    /// Another program to measure than the one that cargo built for this bench.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_madang"))]
    madang: PathBuf,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

const PASSWORD: &str = "soaked for ten minutes";
const USERS: usize = 20;
/// Requests that wait for an answer at once; beyond them the load is late, which is counted.
const AT_ONCE: usize = 64;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Addresses that the load comes from.
const ADDRESSES: u64 = 40;

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    // `cargo test --all-targets` runs benches too, and is not the time to measure.
    if !args.bench {
        println!("This measures when it is run by `cargo bench --bench soak`.");
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(soak(args))
}

/// The server, in a process of its own that ends with this.
struct Server {
    child: Child,
    address: SocketAddr,
    database: PathBuf,
}

impl Server {
    async fn start(madang: &Path, folder: &Path) -> anyhow::Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?
            .local_addr()?
            .port();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let volume = folder.join("volume");
        let admin = Command::new(madang)
            .args(["demo", "--posts", "2000", "--comments", "6000"])
            .args(["--volume-dir".as_ref(), volume.as_os_str()])
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            admin.status.success(),
            "{}",
            String::from_utf8_lossy(&admin.stderr)
        );
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new(madang)
            .args(["serve", "--rate-limits", "off", "--public-read", "on"])
            .args(["--bind".to_owned(), address.to_string()])
            .args(["--volume-dir".as_ref(), volume.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let server = Self {
            child,
            address,
            database: volume.join("database").join("madang.sqlite"),
        };
        for _ in 0..200 {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(server);
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("the server does not answer; see {}", folder.display())
    }

    /// Resident memory in MiB.
    fn memory(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
        let kib = line.and_then(|l| l.split_whitespace().next());
        Ok(kib.context("no VmRSS")?.parse::<f64>()? / 1024.0)
    }

    fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count)
    }

    /// The size of SQLite's log in MiB.
    fn log(&self) -> f64 {
        let log = self.database.with_extension("sqlite-wal");
        fs::metadata(log).map_or(0.0, |m| m.len() as f64 / f64::from(1 << 20))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Fails when it has ended already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What the load knows, and what came of it.
struct World {
    address: SocketAddr,
    tokens: Vec<String>,
    boards: Vec<String>,
    posts: Vec<String>,
    answered: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    sockets: AtomicU64,
    events: AtomicU64,
    /// Longest answer of the present minute, in microseconds.
    slowest: AtomicU64,
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }

    fn one_of<'a>(&mut self, all: &'a [String]) -> &'a str {
        &all[self.roll(all.len())]
    }
}

async fn soak(args: Args) -> anyhow::Result<()> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench/soak");
    _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    let server = Server::start(&args.madang, &folder).await?;
    let world = Arc::new(World::visit(server.address).await?);
    println!(
        "{} requests a second for {} minutes, {} sockets; started with {:.0} MiB",
        args.rate,
        args.minutes,
        args.sockets,
        server.memory()?
    );
    println!(
        "| minute | answered | failed | late | slowest ms | sockets | events | memory MiB | at most | files | log MiB |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");

    let end = Instant::now() + Duration::from_secs(60 * args.minutes);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(requests(Arc::clone(&world), args.rate, end));
    for n in 0..args.sockets {
        tasks.spawn(sockets(Arc::clone(&world), n as u64, end));
    }
    let mut memory = Vec::new();
    for minute in 1..=args.minutes {
        let mut samples = Vec::new();
        // To just before the load ends, in the last minute.
        for _ in 0..59 {
            sleep(Duration::from_secs(1)).await;
            samples.push(server.memory()?);
        }
        samples.sort_by(f64::total_cmp);
        let take = |counter: &AtomicU64| counter.swap(0, Relaxed);
        memory.push(samples[samples.len() / 2]);
        println!(
            "| {minute} | {} | {} | {} | {} | {} | {} | {:.0} | {:.0} | {} | {:.1} |",
            take(&world.answered),
            take(&world.failed),
            take(&world.late),
            take(&world.slowest) / 1000,
            world.sockets.load(Relaxed),
            take(&world.events),
            memory[memory.len() - 1],
            samples[samples.len() - 1],
            server.open_files(),
            server.log(),
        );
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    _ = timeout(Duration::from_secs(60), all).await;
    sleep(Duration::from_secs(15)).await;
    println!(
        "15 s after the load: {:.0} MiB, {} files",
        server.memory()?,
        server.open_files()
    );
    if let (Some(second), Some(last)) = (memory.get(1), memory.last()) {
        let ratio = last / second;
        println!("the last minute holds {ratio:.2} of the second's memory (goal: at most 1.20)");
        ensure!(ratio <= 1.2, "memory grows");
    }
    Ok(())
}

impl World {
    /// Signs users up and in, and looks around.
    async fn visit(address: SocketAddr) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address, 1).await?;
        let mut tokens = Vec::new();
        // Those who sign in again and again are others: each has a hundred sessions at most.
        for n in 0..2 * USERS {
            let (name, email) = (format!("soak{n}"), format!("soak{n}@example.org"));
            let input = json!({ "name": name, "email": email, "password": PASSWORD });
            let sign_up = "mutation($i: SignUpInput!) { signUp(input: $i) { user { id } } }";
            connection.run(None, sign_up, json!({ "i": input })).await?;
            let answer = connection.run(None, LOG_IN, log_in(&name)).await?;
            let token = answer.pointer("/data/login/accessToken");
            if n >= USERS {
                continue;
            }
            tokens.push(
                token
                    .and_then(Value::as_str)
                    .context("no token")?
                    .to_owned(),
            );
        }
        let list = "{ boards(first: 100) { nodes { id } } posts(first: 100) { nodes { id } } }";
        let answer = connection.run(Some(&tokens[0]), list, json!({})).await?;
        let ids = |path: &str| -> Vec<String> {
            let nodes = answer.pointer(path).and_then(Value::as_array);
            let nodes = nodes.into_iter().flatten();
            nodes
                .filter_map(|n| Some(n["id"].as_str()?.to_owned()))
                .collect()
        };
        let (boards, posts) = (ids("/data/boards/nodes"), ids("/data/posts/nodes"));
        ensure!(!boards.is_empty() && !posts.is_empty(), "{answer}");
        Ok(Self {
            address,
            tokens,
            boards,
            posts,
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            late: AtomicU64::new(0),
            sockets: AtomicU64::new(0),
            events: AtomicU64::new(0),
            slowest: AtomicU64::new(0),
        })
    }

    /// One request of the mix: document, variables, and whether errors are what it is for.
    fn request(&self, dice: &mut Dice, n: u64) -> (String, Value, bool) {
        let post = json!({ "id": dice.one_of(&self.posts) });
        let board = dice.one_of(&self.boards).to_owned();
        let good = |document: &str, variables: Value| (document.to_owned(), variables, false);
        match dice.roll(100) {
            0..35 => good(LIST, json!({})),
            35..55 => good(POST, post),
            55..60 => good(SEARCH, json!({ "search": WORDS[dice.roll(WORDS.len())] })),
            60..72 => good(
                "mutation($i: CreateCommentInput!) { createComment(input: $i) { comment { id } } }",
                json!({ "i": { "postId": dice.one_of(&self.posts), "content": format!("soaking {n}") } }),
            ),
            72..75 => good(
                "mutation($i: CreatePostInput!) { createPost(input: $i) { post { id } } }",
                json!({ "i": { "boardId": board, "title": format!("soaking {n}"), "content": "m".repeat(2_000) } }),
            ),
            75..85 => {
                let name = ["likePost", "unlikePost"][dice.roll(2)];
                let kind = name[..1].to_uppercase() + &name[1..];
                let document = format!(
                    "mutation($i: {kind}Input!) {{ {name}(input: $i) {{ post {{ likeCount }} }} }}"
                );
                (document, json!({ "i": post }), false)
            }
            85 => good(LOG_IN, log_in(&format!("soak{}", USERS + dice.roll(USERS)))),
            86 => good(
                "{ __schema { types { name fields { name description } } } }",
                json!({}),
            ),
            // Documents that nobody sent before, good and bad, small and large.
            87..93 => (
                format!(
                    "query Q{n} {{ posts(first: {}) {{ nodes {{ id a{n}: title }} }} }}",
                    1 + dice.roll(20)
                ),
                json!({}),
                false,
            ),
            93..96 => (format!("{{ unknown{n} }}"), json!({}), true),
            96 => (
                format!("query {} {{ nothing }}", "N".repeat(200_000)),
                json!({}),
                true,
            ),
            97 => (format!("{{ {} }}", "{".repeat(300)), json!({}), true),
            // Large answers, which are read.
            98 => good(
                "{ posts(first: 100) { nodes { content comments(first: 20) { nodes { content } } } } }",
                json!({}),
            ),
            _ => (
                "{ post(id: \"post_01h455vb4pex5vsknk084sn02q\") { id } }".to_owned(),
                json!({}),
                true,
            ),
        }
    }
}

/// What is searched for.
const WORDS: [&str; 4] = ["마당", "the", "하나", "village"];
const LOG_IN: &str = "mutation($i: LoginInput!) { login(input: $i) { accessToken } }";
const LIST: &str = "{ posts(first: 20) { nodes { id title author { name } board { name } likeCount commentCount } pageInfo { endCursor } } }";
const POST: &str = "query($id: ID!) { post(id: $id) { title content viewCount comments(first: 20) { nodes { content author { name } } } } }";
const SEARCH: &str = "query($search: String!) { posts(search: $search) { nodes { title } } }";

fn log_in(name: &str) -> Value {
    json!({ "i": { "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" } })
}

/// Sends requests at an even rate, whether answers come or not.
async fn requests(world: Arc<World>, rate: u64, end: Instant) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let idle: Arc<parking_lot::Mutex<Vec<Connection>>> = Arc::default();
    let mut dice = Dice(1);
    let mut ticks = interval(Duration::from_nanos(1_000_000_000 / rate));
    let mut running = tokio::task::JoinSet::new();
    for n in 0.. {
        ticks.tick().await;
        while running.try_join_next().is_some() {}
        if Instant::now() >= end {
            break;
        }
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            world.late.fetch_add(1, Relaxed);
            continue;
        };
        let (document, variables, is_bad) = world.request(&mut dice, n);
        let token = dice.one_of(&world.tokens).to_owned();
        let (world, idle) = (Arc::clone(&world), Arc::clone(&idle));
        running.spawn(async move {
            let _place = place;
            let began = Instant::now();
            let kept = idle.lock().pop();
            let exchange = async {
                // One that has been idle may have been closed meanwhile, and one in fifty is new.
                let kept = kept.filter(|c| c.used.elapsed() < Duration::from_secs(5) && n % 50 > 0);
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => Connection::open(world.address, n % ADDRESSES).await?,
                };
                let answer = connection.run(Some(&token), &document, variables).await?;
                anyhow::Ok((connection, answer))
            };
            match timeout(PATIENCE, exchange).await {
                Ok(Ok((connection, answer))) if is_bad || answer["errors"].is_null() => {
                    world.answered.fetch_add(1, Relaxed);
                    idle.lock().push(connection);
                }
                other => {
                    if world.failed.fetch_add(1, Relaxed) < 3 {
                        let said =
                            other.map(|done| done.map(|(_, answer)| answer["errors"].clone()));
                        eprintln!(
                            "{}: {said:?}",
                            &document[..document.floor_char_boundary(80)]
                        );
                    }
                }
            }
            let took = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
            world.slowest.fetch_max(took, Relaxed);
        });
    }
    while running.join_next().await.is_some() {}
}

/// One socket after the other: the tenth never reads.
async fn sockets(world: Arc<World>, n: u64, end: Instant) {
    let mut dice = Dice(1_000 + n);
    while Instant::now() < end {
        world.sockets.fetch_add(1, Relaxed);
        let life = Duration::from_secs(3 + dice.roll(25) as u64);
        let socket = socket(&world, &mut dice, n, life.min(end - Instant::now()));
        // It may be cut off, which is what some are for.
        _ = socket.await;
        world.sockets.fetch_sub(1, Relaxed);
        sleep(Duration::from_millis(200)).await;
    }
}

async fn socket(world: &World, dice: &mut Dice, n: u64, life: Duration) -> anyhow::Result<()> {
    let never_reads = n.is_multiple_of(10);
    let stream = connect(world.address, 50 + n % ADDRESSES, never_reads).await?;
    let mut request = format!("ws://{}/graphql", world.address).into_client_request()?;
    request.headers_mut().insert(
        "sec-websocket-protocol",
        HeaderValue::from_static("graphql-transport-ws"),
    );
    let (mut socket, _) = client_async(request, stream).await?;
    let token = dice.one_of(&world.tokens);
    let payload = if n.is_multiple_of(3) {
        json!({})
    } else {
        json!({ "token": token })
    };
    let mut messages = vec![json!({ "type": "connection_init", "payload": payload })];
    for id in 0..8 {
        let query = match dice.roll(4) {
            0 => format!("subscription {{ postAdded(boardId: {:?}) {{ title author {{ name }} }} }}", dice.one_of(&world.boards)),
            // Refused: there is no such post.
            1 => "subscription { commentAdded(postId: \"post_01h455vb4pex5vsknk084sn02q\") { content } }".to_owned(),
            _ => format!("subscription {{ commentAdded(postId: {:?}) {{ content author {{ name }} }} }}", dice.one_of(&world.posts)),
        };
        messages.push(
            json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": query } }),
        );
    }
    if never_reads {
        for id in 0..30 {
            let query = "{ posts(first: 100) { nodes { content comments(first: 20) { nodes { content } } } } }";
            messages.push(json!({ "type": "subscribe", "id": format!("q{id}"), "payload": { "query": query } }));
        }
    }
    let began = Instant::now();
    for (n, message) in messages.into_iter().enumerate() {
        socket.send(Message::text(message.to_string())).await?;
        if n == 0 {
            // The acknowledgement, without which nothing may be asked.
            _ = timeout(PATIENCE, socket.next()).await?;
        }
    }
    if never_reads {
        sleep(life.saturating_sub(began.elapsed())).await;
        return Ok(());
    }
    while let Ok(Some(message)) = timeout(life.saturating_sub(began.elapsed()), socket.next()).await
    {
        message?;
        world.events.fetch_add(1, Relaxed);
    }
    socket.close(None).await?;
    Ok(())
}

/// A connection from the address 127.0.0.`from`.
async fn connect(address: SocketAddr, from: u64, is_narrow: bool) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let host = Ipv4Addr::new(127, 0, 0, 1 + u8::try_from(from % 200)?);
    socket.bind(SocketAddr::from((host, 0)))?;
    if is_narrow {
        socket.set_recv_buffer_size(4 << 10)?;
    }
    Ok(socket.connect(address).await?)
}

/// A kept connection that sends one request at a time.
struct Connection {
    stream: BufReader<TcpStream>,
    used: Instant,
}

impl Connection {
    async fn open(address: SocketAddr, from: u64) -> anyhow::Result<Self> {
        Ok(Self {
            stream: BufReader::new(connect(address, from, false).await?),
            used: Instant::now(),
        })
    }

    async fn run(
        &mut self,
        token: Option<&str>,
        document: &str,
        variables: Value,
    ) -> anyhow::Result<Value> {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let authorization =
            token.map_or_else(String::new, |t| format!("Authorization: Bearer {t}\r\n"));
        let head = format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{authorization}Content-Length: {}\r\n\r\n",
            body.len()
        );
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body.as_bytes()).await?;
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "closed");
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ") {
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
        }
        let length = headers.get("content-length").context("no length")?;
        let mut body = vec![0; length.parse()?];
        self.stream.read_exact(&mut body).await?;
        self.used = Instant::now();
        Ok(serde_json::from_slice(&body)?)
    }
}
