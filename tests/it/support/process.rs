//! The program itself, as a child process that tests may kill.

use std::{
    io::{self, BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{JWT_SECRET, TestApp};

/// A server in a process of its own. Killed, as by SIGKILL, when it is dropped.
pub struct Process {
    child: Child,
    address: String,
}

impl Process {
    /// Starts a server on a free port. `launcher` is what starts it, as in `["sh", "-c", "ulimit …; exec \"$@\"", "sh"]`.
    pub fn start(launcher: &[&str], volume: &Path, flags: &[&str]) -> Self {
        let program = env!("CARGO_BIN_EXE_madang");
        let mut words = launcher.iter().copied().chain([program, "serve"]);
        let mut command = Command::new(words.next().unwrap());
        let mut child = command
            .args(words)
            .args(["--bind", "127.0.0.1:0", "--rate-limits", "off"])
            .args(["--jwt-secret", JWT_SECRET])
            .args(["--log-format", "json"])
            .args(flags)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("VOLUME_DIR", volume)
            .current_dir(volume)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let address = address_of(&mut child);
        Self { child, address }
    }

    /// Exit code and standard error of a server that must not start.
    pub fn refusal(volume: &Path, flags: &[&str]) -> (Option<i32>, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_madang"))
            .args(["serve", "--bind", "127.0.0.1:0", "--jwt-secret", JWT_SECRET])
            .args(flags)
            .env_clear()
            .env("VOLUME_DIR", volume)
            .current_dir(volume)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        (done.status.code(), said)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it in the middle of whatever it does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> io::Result<(u16, String)> {
        exchange(&self.address, &format!("GET {path}"), "", "").await
    }

    /// Calls the mutation `name` with an input. An error is one of the connection.
    pub async fn mutate(
        &self,
        token: &str,
        name: &str,
        input: Value,
        fields: &str,
    ) -> io::Result<Value> {
        mutate(&self.address, token, name, input, fields).await
    }

    /// Sends an operation. Without a token, by somebody who is not signed in.
    pub async fn ask(&self, token: &str, query: &str, variables: Value) -> Value {
        let answer = ask(&self.address, token, query, variables).await;
        answer.unwrap()
    }

    /// For callers that outlive it.
    pub fn address(&self) -> String {
        self.address.clone()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the log of a server until it tells the address.
pub fn address_of(server: &mut Child) -> String {
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let address = loop {
        let Some(Ok(line)) = lines.next() else {
            let _ = server.wait();
            panic!("it does not start: {said:#?}");
        };
        if line.contains("\"listening\"") {
            let line: Value = serde_json::from_str(&line).unwrap();
            break line["address"].as_str().unwrap().to_owned();
        }
        said.push(line);
    };
    // The rest must be read, or the server waits for room in a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    address
}

/// Calls a mutation of the server at `address`.
pub async fn mutate(
    address: &str,
    token: &str,
    name: &str,
    input: Value,
    fields: &str,
) -> io::Result<Value> {
    let kind: String = name[..1].to_uppercase() + &name[1..];
    let query = format!("mutation($i: {kind}Input!) {{ {name}(input: $i) {{ {fields} }} }}");
    ask(address, token, &query, json!({ "i": input })).await
}

/// Sends an operation to the server at `address`.
pub async fn ask(address: &str, token: &str, query: &str, variables: Value) -> io::Result<Value> {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let (_, body) = exchange(address, "POST /graphql", &authorization, &body).await?;
    serde_json::from_str(&body).map_err(io::Error::other)
}

async fn exchange(
    address: &str,
    line: &str,
    headers: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    exchange_over(TcpStream::connect(address).await?, line, headers, body).await
}

/// Sends a request over a connection, and reads the status and the body of its response.
pub async fn exchange_over(
    mut stream: TcpStream,
    line: &str,
    headers: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let address = stream.peer_addr()?;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let whole = answer
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = whole.0.split(' ').nth(1).and_then(|s| s.parse().ok());
    // Cut off in the middle of a body, it was not answered.
    let length = whole.0.lines().find_map(|header| {
        let (name, value) = header.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    match (status, length) {
        (Some(status), Some(length)) if length == whole.1.len() => Ok((status, whole.1.to_owned())),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A `madang worker` on the backends of `app`.
pub struct WorkerProcess(Child);

impl WorkerProcess {
    pub fn start(app: &TestApp) -> Self {
        let config = &app.app.config;
        let flags = [
            ("--database-url", config.database_url.expose()),
            ("--mongodb-url", config.mongodb_url.expose()),
            ("--redis-url", config.redis_url.expose()),
            ("--redis-prefix", &config.redis_prefix),
            ("--blobs-url", config.blobs_url.expose()),
        ];
        let flags: Vec<_> = flags.into_iter().flat_map(<[_; 2]>::from).collect();
        Self::with(app.volume.path(), &flags)
    }

    /// One in this folder with these flags.
    pub fn with(volume: &Path, flags: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_madang"))
            .arg("worker")
            .args(["--jwt-secret", JWT_SECRET])
            .args(flags)
            .env_clear()
            .env("VOLUME_DIR", volume)
            .current_dir(volume)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Tells it to stop, and returns its exit code.
    pub fn stop(mut self) -> Option<i32> {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        self.0.wait().unwrap().code()
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
