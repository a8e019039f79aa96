//! The client that means no harm: one connection, fifty requests a second.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::attacks::Target;

const EVERY: Duration = Duration::from_millis(20);

/// How long answers took.
pub struct Waits {
    /// In milliseconds, sorted.
    waits: Vec<f64>,
    /// Requests without an answer of success.
    pub failed: u64,
}

impl Waits {
    /// The wait that this part of all waits do not exceed.
    pub fn at(&self, part: f64) -> f64 {
        let last = self.waits.len().saturating_sub(1) as f64;
        let place = (last * part).round() as usize;
        self.waits.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Reads a list again and again. A long wait counts also for the requests that were due meanwhile, each as long as it would
/// have waited.
pub fn probe(target: &Target, time: Duration) -> Waits {
    let query = "{ viewer { name } posts(first: 20) { nodes { title author { name } } } }";
    let body = json!({ "query": query }).to_string();
    let request = format!(
        "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
        target.prober,
        body.len()
    );
    let began = Instant::now();
    let mut found = Waits {
        waits: Vec::new(),
        failed: 0,
    };
    let (mut stream, mut due) = (None, began);
    while due < began + time {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let began_to_wait = Instant::now();
        if stream.is_none() {
            stream = TcpStream::connect(("127.0.0.1", target.port)).ok();
        }
        let answered = stream
            .as_mut()
            .is_some_and(|stream| ask(stream, &request).is_some());
        if !answered {
            found.failed += 1;
            stream = None;
        }
        let mut waited = began_to_wait.elapsed();
        due = (due + EVERY).max(Instant::now());
        loop {
            found.waits.push(waited.as_secs_f64() * 1_000.0);
            match waited.checked_sub(EVERY) {
                Some(less) => waited = less,
                None => break,
            }
        }
    }
    found.waits.sort_by(f64::total_cmp);
    found
}

/// Sends the request and reads the answer. `None` unless it is one of success.
fn ask(stream: &mut TcpStream, request: &str) -> Option<()> {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .ok()?;
    stream.set_nodelay(true).ok()?;
    stream.write_all(request.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&part[..read]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&bytes[..end])
            .ok()?
            .to_ascii_lowercase();
        let length: usize = head
            .split("content-length: ")
            .nth(1)?
            .lines()
            .next()?
            .parse()
            .ok()?;
        if bytes.len() >= end + 4 + length {
            let is_good =
                head.starts_with("http/1.1 200") && !bytes[end..].starts_with(b"{\"errors");
            return is_good.then_some(());
        }
    }
}
