//! The load: connections that send the same request again and again, one after the other, and read what comes.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::process::Server;

/// Bytes of a connection's buffer.
const BUFFER: usize = 256 << 10;

/// A request as it is sent.
#[derive(Clone)]
pub struct Sent(Arc<Vec<u8>>);

impl Sent {
    pub fn get(path: &str) -> Self {
        Self::of(
            &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            b"",
        )
    }

    /// A multipart request, whose parts are texts and one file.
    pub fn form(path: &str, token: &str, texts: &[(&str, &str)], file: (&str, &[u8])) -> Self {
        const BOUNDARY: &str = "----measured";
        let mut body = Vec::new();
        for (name, text) in texts {
            let part = format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            );
            body.extend(part.bytes());
        }
        let (name, content) = file;
        let part = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"file.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend(part.bytes());
        body.extend(content);
        body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\
             Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        Self::of(&head, &body)
    }

    fn of(head: &str, body: &[u8]) -> Self {
        Self(Arc::new([head.as_bytes(), body].concat()))
    }

    /// The answer's body.
    pub fn once(&self, port: u16) -> anyhow::Result<Vec<u8>> {
        let mut connection = Connection::open(port)?;
        let mut body = Vec::new();
        connection.ask(self, |bytes| body.extend_from_slice(bytes))?;
        Ok(body)
    }
}

#[derive(Clone, Copy)]
pub struct Load {
    pub connections: usize,
    pub time: Duration,
    /// The most of each connection.
    pub requests: usize,
}

/// What was answered with 200.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub answers: usize,
    /// Of the bodies.
    pub bytes: usize,
}

pub struct Measured {
    pub done: Done,
    took: f64,
    /// Seconds of the server.
    pub cpu: f64,
}

impl Measured {
    pub fn per_second(&self) -> f64 {
        self.done.answers as f64 / self.took
    }

    pub fn mib_per_second(&self) -> f64 {
        self.done.bytes as f64 / f64::from(1 << 20) / self.took
    }

    pub fn cpu_per_gib(&self) -> f64 {
        self.cpu / (self.done.bytes as f64 / f64::from(1 << 30))
    }
}

impl Load {
    pub fn measure(&self, server: &Server, request: &Sent) -> anyhow::Result<Measured> {
        let (began, cpu) = (Instant::now(), server.cpu());
        let done = self.run(server.port, request)?;
        anyhow::ensure!(done.answers > 0, "nothing was answered");
        Ok(Measured {
            done,
            took: began.elapsed().as_secs_f64(),
            cpu: server.cpu() - cpu,
        })
    }

    pub fn run(&self, port: u16, request: &Sent) -> anyhow::Result<Done> {
        let until = Instant::now() + self.time;
        let threads: Vec<_> = (0..self.connections)
            .map(|_| {
                let (request, requests) = (request.clone(), self.requests);
                thread::spawn(move || -> anyhow::Result<Done> {
                    let mut connection = Connection::open(port)?;
                    let mut done = Done::default();
                    while done.answers < requests && Instant::now() < until {
                        connection.ask(&request, |bytes| done.bytes += bytes.len())?;
                        done.answers += 1;
                    }
                    Ok(done)
                })
            })
            .collect();
        let mut all = Done::default();
        for thread in threads {
            let done = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a connection panicked"))??;
            all.answers += done.answers;
            all.bytes += done.bytes;
        }
        Ok(all)
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
        })
    }

    /// Sends a request, and reads the answer: 200, with a length.
    fn ask(&mut self, request: &Sent, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        self.stream.write_all(&request.0)?;
        let mut filled = 0;
        let (end, length) = loop {
            let read = self.stream.read(&mut self.buffer[filled..])?;
            anyhow::ensure!(read > 0, "the connection ended");
            filled += read;
            let bytes = &self.buffer[..filled];
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = std::str::from_utf8(&bytes[..end])?.to_ascii_lowercase();
                anyhow::ensure!(
                    head.starts_with("http/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(bytes)
                );
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"));
                let length = length.ok_or_else(|| anyhow::anyhow!("no length: {head}"))?;
                break (end + 4, length.trim().parse::<usize>()?);
            }
        };
        take(&self.buffer[end..filled]);
        let mut left = length - (filled - end);
        while left > 0 {
            let read = self.stream.read(&mut self.buffer)?;
            anyhow::ensure!(read > 0, "the connection ended");
            take(&self.buffer[..read]);
            left -= read;
        }
        Ok(())
    }
}

/// Bytes without an order.
pub fn bytes(size: usize) -> Vec<u8> {
    let mut number = 7_u64;
    let next = std::iter::repeat_with(move || {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (number >> 33).to_le_bytes()
    });
    next.flatten().take(size).collect()
}
