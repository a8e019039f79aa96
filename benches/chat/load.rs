//! The load: a process that opens all sockets, sends chats at a fixed rate whether they are answered or not, and looks at
//! every message that comes.
//!
//! A chat contains when it was due, so that a server which holds its senders up pays for it in latency.

use std::{
    cell::RefCell,
    collections::VecDeque,
    fs,
    io::{BufRead, Write},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::LocalSet,
    time::{sleep, sleep_until, timeout},
};

use crate::frames::{self, Frame};

/// Sockets that connect at the same time.
const AT_ONCE: usize = 64;
/// Sockets of one source address: fewer than there are ports.
const PER_ADDRESS: usize = 20_000;
/// Connections that send chats.
const SENDERS: usize = 32;
/// How long the last chats may take to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a socket may take until it is ready.
const READY: Duration = Duration::from_secs(60);

/// What is to be done.
#[derive(Serialize, Deserialize)]
pub struct Load {
    /// Where the subscribers connect, in turns. Chats are sent to the first.
    pub ports: Vec<u16>,
    pub subscribers: usize,
    pub rate: f64,
    pub seconds: u64,
    pub sessions: Vec<Session>,
    /// What each subscriber says after the handshake; subscriber n takes that at n modulo their number.
    pub greetings: Vec<String>,
}

/// A session, and how to follow it and to send to it.
#[derive(Serialize, Deserialize)]
pub struct Session {
    pub socket_path: String,
    /// What a subscriber says. It is ready when an answer has the word ChatReady in it.
    pub subscribe: Vec<String>,
    pub send_path: String,
    pub send_headers: String,
    /// With %CONTENT% and %SEQ% in it.
    pub send_body: String,
}

/// What is said once all subscribers are ready.
#[derive(Serialize, Deserialize)]
pub struct Connected {
    pub per_second: f64,
}

/// What came of the load.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    pub sent: u64,
    pub failed: u64,
    pub expected: u64,
    pub deliveries: u64,
    /// Seconds from the first chat to the last delivery.
    pub seconds: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub max: f64,
    pub holes: u64,
    pub repeats: u64,
    pub reorders: u64,
    pub lost_sockets: u64,
    /// Seconds of this process.
    pub cpu: f64,
}

/// What all subscribers count together.
struct Tally {
    began: Instant,
    ready: usize,
    is_over: bool,
    lost: u64,
    deliveries: u64,
    last: Instant,
    holes: u64,
    repeats: u64,
    reorders: u64,
    /// Microseconds.
    latencies: Vec<u32>,
}

pub fn run(plan: &Path) -> anyhow::Result<()> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let load: Load = serde_json::from_slice(&fs::read(plan)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, measure(Rc::new(load)))
}

fn say(what: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}

async fn measure(load: Rc<Load>) -> anyhow::Result<()> {
    let now = Instant::now();
    let tally = Rc::new(RefCell::new(Tally {
        began: now,
        ready: 0,
        is_over: false,
        lost: 0,
        deliveries: 0,
        last: now,
        holes: 0,
        repeats: 0,
        reorders: 0,
        latencies: Vec::new(),
    }));
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    for n in 0..load.subscribers {
        let (load, tally) = (Rc::clone(&load), Rc::clone(&tally));
        let permit = Arc::clone(&gate).acquire_owned().await?;
        tokio::task::spawn_local(async move {
            let followed = follow(&load, n, &tally, permit).await;
            let mut tally = tally.borrow_mut();
            if !tally.is_over {
                tally.lost += 1;
                if let (1..=3, Err(error)) = (tally.lost, followed) {
                    eprintln!("subscriber {n}: {error}");
                }
            }
        });
    }
    while tally.borrow().ready + (tally.borrow().lost as usize) < load.subscribers {
        sleep(Duration::from_millis(5)).await;
    }
    ensure!(
        tally.borrow().lost == 0,
        "{} subscribers failed",
        tally.borrow().lost
    );
    let per_second = load.subscribers as f64 / now.elapsed().as_secs_f64();
    say(&Connected { per_second })?;
    tokio::task::spawn_blocking(|| std::io::stdin().lock().read_line(&mut String::new())).await??;

    let cpu = own_cpu();
    let (sent, failed) = send(&load, &tally).await?;
    let of_session = load.subscribers / load.sessions.len();
    let expected = sent * of_session as u64;
    let end = Instant::now() + PATIENCE;
    while tally.borrow().deliveries < expected && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    let mut tally = tally.borrow_mut();
    tally.is_over = true;
    let mut latencies = std::mem::take(&mut tally.latencies);
    latencies.sort_unstable();
    let at = |share: f64| {
        let at = (latencies.len().saturating_sub(1) as f64 * share) as usize;
        latencies
            .get(at)
            .map_or(0.0, |micros| f64::from(*micros) / 1e3)
    };
    say(&Measured {
        sent,
        failed,
        expected,
        deliveries: tally.deliveries,
        seconds: (tally.last - tally.began).as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        max: at(1.0),
        holes: tally.holes,
        repeats: tally.repeats,
        reorders: tally.reorders,
        lost_sockets: tally.lost,
        cpu: own_cpu() - cpu,
    })
}

/// User and system time of this process, in seconds.
fn own_cpu() -> f64 {
    crate::process::own_cpu()
}

thread_local! {
    /// What was read last, by whichever socket.
    static READ: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// The address of subscriber `n`: not those of an earlier load, whose ports are taken for another minute.
fn source(n: usize) -> Ipv4Addr {
    let [.., high, low] = std::process::id().to_be_bytes();
    let host = u8::try_from(n / PER_ADDRESS).unwrap_or(u8::MAX);
    Ipv4Addr::new(127, high, low, host.saturating_add(1))
}

/// Opens a socket, subscribes, and reads until it ends.
async fn follow(
    load: &Load,
    n: usize,
    tally: &RefCell<Tally>,
    permit: OwnedSemaphorePermit,
) -> anyhow::Result<()> {
    let session = &load.sessions[n % load.sessions.len()];
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((source(n), 0)))?;
    let port = load.ports[n % load.ports.len()];
    let server = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = socket.connect(server).await?;
    stream.set_nodelay(true)?;
    let greeting = &load.greetings[(n / load.sessions.len()) % load.greetings.len()];
    let opening = async {
        let request = frames::handshake(&session.socket_path, port);
        stream.write_all(request.as_bytes()).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        ensure!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        if !greeting.is_empty() {
            stream.write_all(&frames::text(greeting)).await?;
            // The acknowledgement is a small frame of its own.
            let mut head = [0; 2];
            stream.read_exact(&mut head).await?;
            let mut said = vec![0; usize::from(head[1])];
            stream.read_exact(&mut said).await?;
            let said = String::from_utf8_lossy(&said);
            ensure!(said.contains("connection_ack"), "{said}");
        }
        for said in &session.subscribe {
            stream.write_all(&frames::text(said)).await?;
        }
        Ok(())
    };
    timeout(READY, opening).await.context("no handshake")??;
    let mut permit = Some(permit);
    let mut rest = Vec::new();
    let mut seen = Seen::default();
    loop {
        stream.readable().await?;
        let has_ping = READ.with_borrow_mut(|buffer| {
            let count = match stream.try_read(buffer) {
                Ok(0) => anyhow::bail!("closed"),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let mut bytes = &buffer[..count];
            let whole;
            if !rest.is_empty() {
                rest.extend_from_slice(bytes);
                whole = std::mem::take(&mut rest);
                bytes = &whole;
            }
            let mut has_ping = false;
            while let Some((frame, after)) = frames::read(bytes) {
                bytes = after;
                match frame {
                    Frame::Text(text) => {
                        if seen.note(text, &mut tally.borrow_mut())? {
                            permit = None;
                        }
                    }
                    Frame::Ping => has_ping = true,
                    Frame::Close(why) => {
                        let code = why
                            .first_chunk()
                            .map_or(0, |code| u16::from_be_bytes(*code));
                        let reason = String::from_utf8_lossy(why.get(2..).unwrap_or_default());
                        anyhow::bail!("closed by the server: {code} {reason}");
                    }
                    Frame::Other => {}
                }
            }
            rest.extend_from_slice(bytes);
            Ok(has_ping)
        })?;
        if has_ping {
            stream.write_all(&frames::pong()).await?;
        }
    }
}

/// What one subscriber has seen.
#[derive(Default)]
struct Seen {
    is_ready: bool,
    last: u64,
}

impl Seen {
    /// Notes a message. True when it says that the subscription is ready.
    fn note(&mut self, text: &[u8], tally: &mut Tally) -> anyhow::Result<bool> {
        let now = Instant::now();
        let Some(seq) = frames::number(text, b"\"seq\":") else {
            let has = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
            ensure!(!has(b"\"errors\""), "{}", String::from_utf8_lossy(text));
            if !self.is_ready && has(b"ChatReady") {
                self.is_ready = true;
                tally.ready += 1;
                return Ok(true);
            }
            return Ok(false);
        };
        match seq {
            seq if self.last == 0 || seq == self.last + 1 => {}
            seq if seq == self.last => tally.repeats += 1,
            seq if seq < self.last => tally.reorders += 1,
            seq => tally.holes += seq - self.last - 1,
        }
        self.last = self.last.max(seq);
        tally.deliveries += 1;
        tally.last = now;
        if let Some(due) = frames::number(text, b"due=") {
            let late = now
                .duration_since(tally.began)
                .saturating_sub(Duration::from_micros(due));
            tally
                .latencies
                .push(u32::try_from(late.as_micros()).unwrap_or(u32::MAX));
        }
        Ok(false)
    }
}

/// Sends chats at the rate, and returns how many were sent and how many were refused.
async fn send(load: &Rc<Load>, tally: &Rc<RefCell<Tally>>) -> anyhow::Result<(u64, u64)> {
    if load.rate <= 0.0 {
        sleep(Duration::from_secs(load.seconds)).await;
        return Ok((0, 0));
    }
    let count = (load.rate * load.seconds as f64) as u64;
    let senders = Arc::new(Semaphore::new(SENDERS));
    let idle: Rc<RefCell<VecDeque<TcpStream>>> = Rc::default();
    let failed = Rc::new(RefCell::new(0));
    let began = Instant::now();
    tally.borrow_mut().began = began;
    let mut running = Vec::new();
    for k in 0..count {
        let due = Duration::from_secs_f64(k as f64 / load.rate);
        sleep_until((began + due).into()).await;
        let permit = Arc::clone(&senders).acquire_owned().await?;
        let (load, idle, failed) = (Rc::clone(load), Rc::clone(&idle), Rc::clone(&failed));
        running.push(tokio::task::spawn_local(async move {
            let _permit = permit;
            let at = (k % load.sessions.len() as u64) as usize;
            let content = format!("due={} {:x>40}", due.as_micros(), "");
            let seq = k / load.sessions.len() as u64 + 1;
            if let Err(error) = post(&load, &load.sessions[at], &content, seq, &idle).await {
                *failed.borrow_mut() += 1;
                eprintln!("a chat was not sent: {error}");
            }
        }));
    }
    for sent in running {
        sent.await?;
    }
    let failed = *failed.borrow();
    Ok((count - failed, failed))
}

async fn post(
    load: &Load,
    session: &Session,
    content: &str,
    seq: u64,
    idle: &RefCell<VecDeque<TcpStream>>,
) -> anyhow::Result<()> {
    // In turns, so that the server closes none of them as idle.
    let connection = idle.borrow_mut().pop_front();
    let mut stream = match connection {
        Some(stream) => stream,
        None => TcpStream::connect((Ipv4Addr::LOCALHOST, load.ports[0])).await?,
    };
    stream.set_nodelay(true)?;
    let body = session
        .send_body
        .replace("%CONTENT%", content)
        .replace("%SEQ%", &seq.to_string());
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\n{}\r\n",
        session.send_path,
        load.ports[0],
        body.len(),
        session.send_headers
    );
    let answering = async {
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = vec![0; 16 << 10];
        let mut read = 0;
        loop {
            let count = stream.read(&mut answer[read..]).await?;
            ensure!(count > 0, "closed");
            read += count;
            let text = std::str::from_utf8(&answer[..read])?;
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_ascii_lowercase();
                let length = length
                    .split_once("content-length: ")
                    .context("no length")?
                    .1;
                let length: usize = length.lines().next().context("no length")?.trim().parse()?;
                if body.len() >= length {
                    ensure!(
                        head.starts_with("HTTP/1.1 200") && !body.contains("\"errors\""),
                        "{text}"
                    );
                    return Ok(());
                }
            }
        }
    };
    timeout(Duration::from_secs(20), answering)
        .await
        .context("no answer")??;
    idle.borrow_mut().push_back(stream);
    Ok(())
}
