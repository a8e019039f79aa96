//! Files in a process of its own: memory, and kills.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{TryStreamExt, future::join_all};
use http::Uri;
use madang::{
    access::Role,
    app::App,
    blobs::Folder,
    clock::Clock,
    queue::JobState,
    server::{kinds::kinds, worker::Worker},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::support::{
    Backends, Database, JWT_SECRET, PASSWORD, Process, blobs_url, config, insert_user,
    multipart::{Form, content_type},
};

const CREATE: &str = "mutation($i: CreatePostInput!) { createPost(input: $i) { post { id attachments { id url } } } }";
const MIB: usize = 1 << 20;

/// A volume with an admin, and the flags of servers on it.
struct Yard {
    volume: TempDir,
    flags: Vec<String>,
    _database: Database,
}

impl Yard {
    async fn new() -> Self {
        let volume = tempfile::tempdir().unwrap();
        let backends = Backends::of_this_run();
        let database = Database::make(backends, volume.path()).await;
        let mut flags = vec!["--database-url".to_owned(), database.url.clone()];
        if let Some(url) = blobs_url(backends) {
            flags.extend(["--blobs-url".to_owned(), url]);
        }
        let yard = Self {
            volume,
            flags,
            _database: database,
        };
        let app = yard.open(Clock::system()).await;
        insert_user(&app, "admin", Role::Admin).await;
        yard
    }

    fn start(&self) -> Process {
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        Process::start(&[], self.volume.path(), &flags)
    }

    async fn open(&self, clock: Clock) -> App {
        let mut flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        flags.extend(["--jwt-secret", JWT_SECRET]);
        let config = config(self.volume.path(), &flags);
        App::open(config, clock).await.unwrap()
    }
}

/// The admin's token, and a board.
async fn begin(server: &Process) -> (String, String) {
    let input = json!({ "nameOrEmail": "admin", "password": PASSWORD, "delivery": "BODY" });
    let answer = server
        .mutate("", "login", input, "accessToken")
        .await
        .unwrap();
    let token = answer["data"]["login"]["accessToken"]
        .as_str()
        .unwrap()
        .to_owned();
    let name = format!("Yard {}", uuid::Uuid::now_v7().simple());
    let input = json!({ "name": name, "information": "-" });
    let answer = server
        .mutate(&token, "createBoard", input, "board { id }")
        .await
        .unwrap();
    let board = answer["data"]["createBoard"]["board"]["id"]
        .as_str()
        .unwrap();
    (token, board.to_owned())
}

/// Creates a post with a file. An error is one of the connection.
async fn upload(address: &str, token: &str, board: &str, content: &[u8]) -> io::Result<Value> {
    let variables =
        json!({ "i": { "boardId": board, "title": "T", "content": "C", "files": [null] } });
    let body = Form::request(CREATE, &variables, &[("i.files.0", "a.bin", content)]).end();
    let head = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n\r\n",
        content_type(),
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let answer: Value = serde_json::from_str(body).map_err(io::Error::other)?;
    assert!(answer["errors"].is_null(), "{answer}");
    Ok(answer["data"]["createPost"]["post"].clone())
}

/// Reads a file in pieces, and tells its size and whether it is `expected`.
async fn download(address: &str, url: &str, expected: &[u8]) -> bool {
    let path = url
        .parse::<Uri>()
        .unwrap()
        .path_and_query()
        .unwrap()
        .to_string();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut all, mut piece) = (
        Vec::with_capacity(expected.len() + 1_000),
        vec![0; 64 << 10],
    );
    loop {
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            n => all.extend(&piece[..n]),
        }
    }
    all.ends_with(expected) && all.starts_with(b"HTTP/1.1 200")
}

/// KiB of memory that a process has had at most since it was told to forget.
fn peak(server: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn forget_peak(server: &Process) -> u64 {
    fs::write(format!("/proc/{}/clear_refs", server.pid()), "5").unwrap();
    peak(server)
}

fn bytes(size: usize, seed: usize) -> Vec<u8> {
    let mut number = seed as u64 | 1;
    let next = std::iter::repeat_with(move || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33).to_le_bytes()
    });
    next.flatten().take(size).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_size_of_a_file() {
    // A part of an upload to S3 has 5 MiB: one is gathered while another is on its way.
    let (most_up, most_down) = match Backends::of_this_run() {
        Backends::Embedded => (4 * 1_024, 4 * 1_024),
        Backends::Engines => (16 * 1_024, 4 * 1_024),
    };
    let yard = Yard::new().await;
    let server = yard.start();
    let (token, board) = begin(&server).await;
    let content = bytes(20 * MIB - 10, 7);
    let up = async |content: &[u8]| {
        let post = upload(&server.address(), &token, &board, content)
            .await
            .unwrap();
        post["attachments"][0]["url"].as_str().unwrap().to_owned()
    };
    // What any first file costs.
    let small = up(&content[..MIB]).await;
    assert!(download(&server.address(), &small, &content[..MIB]).await);

    let before = forget_peak(&server);
    let url = up(&content).await;
    let uploading = peak(&server).saturating_sub(before);
    let before = forget_peak(&server);
    assert!(download(&server.address(), &url, &content).await);
    let downloading = peak(&server).saturating_sub(before);
    let before = forget_peak(&server);
    join_all((0..10).map(|_| up(&content))).await;
    let ten = peak(&server).saturating_sub(before);
    let before = forget_peak(&server);
    let address = server.address();
    let all = join_all((0..10).map(|_| download(&address, &url, &content))).await;
    let ten_down = peak(&server).saturating_sub(before);

    assert!(all.into_iter().all(|whole| whole));
    eprintln!("KiB: one up {uploading}, down {downloading}; ten up {ten}, down {ten_down}");
    assert!(uploading < most_up, "{uploading} KiB");
    assert!(downloading < most_down, "{downloading} KiB");
    assert!(
        ten < 10 * most_up && ten_down < 10 * most_down,
        "{ten} {ten_down} KiB"
    );
}

/// Runs all jobs that are due.
async fn run_jobs(app: &App) {
    use diesel::prelude::*;
    use madang::db::{dialect, on, tables::jobs};
    let stop = CancellationToken::new();
    let worker = Worker::new(app.clone(), Arc::new(kinds()), |_| true, 4);
    let working = tokio::spawn(worker.run(stop.clone()));
    for _ in 0..400 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let clock = app.clock.clone();
        let left = app.db.read(move |conn| {
            let now = dialect::now(conn, &clock)?;
            let due = jobs::due_at.assume_not_null().le(now);
            let left = jobs::state
                .eq(JobState::Running)
                .or(jobs::state.eq(JobState::Queued).and(due));
            Ok(on!(conn, |c| jobs::table
                .filter(left)
                .count()
                .get_result::<i64>(c))?)
        });
        if left.await.unwrap() == 0 {
            break;
        }
    }
    stop.cancel();
    working.await.unwrap();
}

/// The ids of all files of which there are rows, and of which there are bytes.
async fn kept(app: &App, volume: &Path) -> (Vec<String>, Vec<String>) {
    use diesel::prelude::*;
    use madang::{
        db::{on, tables::files},
        ids::FileId,
    };
    let rows: Vec<FileId> = app
        .db
        .read(|conn| Ok(on!(conn, |c| files::table.select(files::id).load(c))?))
        .await
        .unwrap();
    let mut rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
    let stored = app.blobs.older_than(Folder::Files, Duration::ZERO);
    let mut stored: Vec<_> = stored
        .map_ok(|stored| {
            stored
                .path
                .to_string()
                .trim_start_matches("file/")
                .to_owned()
        })
        .try_collect()
        .await
        .unwrap();
    rows.sort();
    stored.sort();
    assert!(volume.exists());
    (rows, stored)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_loses_no_acknowledged_file_and_leaves_no_bytes() {
    const WRITERS: usize = 6;
    let yard = Yard::new().await;
    let server = yard.start();
    let (token, board) = begin(&server).await;
    server.kill();
    let acknowledged = Arc::new(Mutex::new(Vec::<(String, usize)>::new()));

    for round in 0..12 {
        let server = yard.start();
        let writers = (0..WRITERS).map(|n| {
            let (address, token, board) = (server.address(), token.clone(), board.clone());
            let done = Arc::clone(&acknowledged);
            tokio::spawn(async move {
                for nth in 0.. {
                    let seed = round * 10_000 + n * 1_000 + nth;
                    // From a few bytes to more than one part.
                    let content = bytes(50 + (seed * 7_919) % (3 * MIB / 2), seed);
                    let Ok(post) = upload(&address, &token, &board, &content).await else {
                        return;
                    };
                    let id = post["attachments"][0]["id"].as_str().unwrap().to_owned();
                    done.lock().unwrap().push((id, seed));
                }
            })
        });
        let writers: Vec<_> = writers.collect();
        let enough = 4 * (round + 1);
        for _ in 0..200 {
            if acknowledged.lock().unwrap().len() >= enough {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        tokio::time::sleep(Duration::from_millis(13 * (round as u64 % 5))).await;
        server.kill();
        for ended in join_all(writers).await {
            ended.unwrap();
        }
    }

    let clock = Clock::system();
    clock.advance(Duration::from_secs(2 * 3_600));
    let app = yard.open(clock).await;
    let left_over = {
        let (rows, stored) = kept(&app, yard.volume.path()).await;
        stored.len() - rows.len()
    };
    run_jobs(&app).await;
    let (rows, stored) = kept(&app, yard.volume.path()).await;
    assert_eq!(rows, stored);
    let acknowledged = std::mem::take(&mut *acknowledged.lock().unwrap());
    eprintln!(
        "{} acknowledged, {} kept, {left_over} left over",
        acknowledged.len(),
        rows.len()
    );
    assert!(acknowledged.len() >= 40);
    for (id, seed) in acknowledged {
        assert!(rows.contains(&id), "{id}");
        let path = madang::files::path(madang::ids::FileId::parse(&id).unwrap());
        let blob = app.blobs.read(&path, None).await.unwrap();
        let read: Vec<bytes::Bytes> = blob.content.try_collect().await.unwrap();
        assert!(
            read.concat() == bytes(50 + (seed * 7_919) % (3 * MIB / 2), seed),
            "{id}"
        );
    }
    // No temporary file has a name that would outlive a kill.
    let named = |folder: &Path| {
        fs::read_dir(folder).map_or(0, |entries| {
            entries
                .filter(|entry| {
                    let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
                    name.starts_with(".tmp") || name.contains('#')
                })
                .count()
        })
    };
    assert_eq!(named(yard.volume.path()), 0);
    assert_eq!(named(&yard.volume.path().join("file")), 0);
}
