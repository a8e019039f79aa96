//! Servers that a test may stop, beside those of the whole run.

use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tempfile::TempDir;

/// A Redis of the test's own.
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

async fn until_it_listens(port: u16) {
    for _ in 0..400 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the server does not start");
}

impl RedisServer {
    pub async fn start() -> Self {
        let port = free_port();
        let mut server = Self {
            child: None,
            port,
            folder: tempfile::tempdir().unwrap(),
        };
        server.start_again(&[]).await;
        server
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it on the same port, with nothing in it.
    pub async fn start_again(&mut self, flags: &[&str]) {
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string()])
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(flags)
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is needed; ./test.sh installs it");
        self.child = Some(child);
        until_it_listens(self.port).await;
    }

    /// Ends it at once, as by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A SecantusDB of the test's own, which speaks MongoDB's protocol and writes each commit to the disk.
pub struct DocumentServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl DocumentServer {
    pub async fn start() -> Self {
        let mut server = Self {
            child: None,
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
        };
        server.start_again().await;
        server
    }

    pub fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}", self.port)
    }

    /// Starts it on the same port, with what it has kept.
    pub async fn start_again(&mut self) {
        let program = std::env::var("TEST_SECANTUSD");
        let program =
            program.expect("TEST_SECANTUSD is needed; ./test.sh installs SecantusDB and sets it");
        let settings = self.folder.path().join("empty.toml");
        std::fs::write(&settings, "").unwrap();
        let child = Command::new(program)
            .arg("--config")
            .arg(settings)
            .args(["--host", "127.0.0.1", "--port", &self.port.to_string()])
            .args(["--cache-size", "256M", "--standalone", "--sync-on-commit"])
            .arg("--storage-path")
            .arg(self.folder.path().join("data"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        until_it_listens(self.port).await;
    }

    /// Ends it at once, as by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for DocumentServer {
    fn drop(&mut self) {
        self.kill();
    }
}
