//! Servers that a test may stop, beside those of the whole run.

use std::{
    fs::File,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use tempfile::TempDir;

/// The server that a test owns.
#[derive(Clone, Copy)]
enum Program {
    Redis,
    /// It speaks MongoDB's protocol. Here it writes each commit to the disk.
    SecantusDb,
    /// It speaks S3's protocol.
    Moto,
    /// Here it writes each commit to the disk.
    MariaDb,
}

/// A server of the test's own.
pub struct OwnServer {
    program: Program,
    child: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl OwnServer {
    pub async fn redis() -> Self {
        Self::start(Program::Redis).await
    }

    pub async fn documents() -> Self {
        Self::start(Program::SecantusDb).await
    }

    /// An S3-compatible store with the bucket `madang`.
    pub async fn blobs() -> Self {
        Self::start(Program::Moto).await
    }

    /// With an empty database `madang`.
    pub async fn database() -> Self {
        let server = Self::start(Program::MariaDb).await;
        let url = server.url();
        let (root, name) = url.rsplit_once('/').unwrap();
        let statement = format!("CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin");
        super::database::execute(root.to_owned(), statement)
            .await
            .unwrap();
        server
    }

    async fn start(program: Program) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = Self {
            program,
            child: None,
            port: free.local_addr().unwrap().port(),
            folder: tempfile::tempdir().unwrap(),
        };
        drop(free);
        server.start_again(&[]).await;
        server
    }

    /// The setting that names it.
    pub fn url(&self) -> String {
        let address = format!("127.0.0.1:{}", self.port);
        match self.program {
            Program::Redis => format!("redis://{address}"),
            Program::SecantusDb => format!("mongodb://{address}"),
            Program::Moto => format!("s3://test:test@madang/tests?endpoint=http://{address}"),
            Program::MariaDb => format!("mysql://root@{address}/madang"),
        }
    }

    /// Starts it on the same port. SecantusDB and MariaDB still have what they had.
    pub async fn start_again(&mut self, flags: &[&str]) {
        let mut command = self.program.command(self.port, self.folder.path());
        let log = File::create(self.folder.path().join("log")).unwrap();
        let child = command
            .args(flags)
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("./test.sh installs the servers that the tests need"));
        self.until_it_listens().await;
        if matches!(self.program, Program::Moto) {
            let bucket = format!("http://127.0.0.1:{}/madang", self.port);
            let mut curl = Command::new("curl");
            let made = curl.args(["-sf", "-o", "/dev/null", "-X", "PUT", &bucket]);
            assert!(made.status().unwrap().success());
        }
    }

    async fn until_it_listens(&self) {
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = std::fs::read_to_string(self.folder.path().join("log"));
        panic!("the server does not start: {}", said.unwrap_or_default());
    }

    /// Ends it at once, as by SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Program {
    fn command(self, port: u16, folder: &Path) -> Command {
        let port = port.to_string();
        let of_the_run = |setting: &str| {
            std::env::var(setting).unwrap_or_else(|_| {
                panic!("{setting} is needed; ./test.sh installs it and sets it")
            })
        };
        match self {
            Self::Redis => {
                let mut command = Command::new("redis-server");
                command
                    .args(["--port", &port, "--bind", "127.0.0.1"])
                    .args(["--save", "", "--appendonly", "no"])
                    .arg("--dir")
                    .arg(folder);
                command
            }
            Self::SecantusDb => {
                let settings = folder.join("empty.toml");
                std::fs::write(&settings, "").unwrap();
                let mut command = Command::new(of_the_run("TEST_SECANTUSD"));
                command
                    .arg("--config")
                    .arg(settings)
                    .args(["--host", "127.0.0.1", "--port", &port])
                    .args(["--cache-size", "256M", "--standalone", "--sync-on-commit"])
                    .arg("--storage-path")
                    .arg(folder.join("data"));
                command
            }
            Self::MariaDb => {
                let data = folder.join("data");
                if !data.exists() {
                    make_database(&data);
                }
                // Where Debian puts it, which is not on everybody's PATH.
                let mut command = Command::new("/usr/sbin/mariadbd");
                command
                    .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
                    .args(["--port", &port, "--innodb-flush-log-at-trx-commit=1"])
                    .arg("--datadir")
                    .arg(&data)
                    .arg("--socket")
                    .arg(folder.join("socket"));
                command
            }
            Self::Moto => {
                let mut command = Command::new(of_the_run("TEST_MOTO"));
                command.args(["-H", "127.0.0.1", "-p", &port]);
                command
            }
        }
    }
}

/// The tables that MariaDB itself needs.
fn make_database(data: &Path) {
    let made = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--user=root", "--skip-test-db"])
        .arg("--auth-root-authentication-method=normal")
        .arg(format!("--datadir={}", data.display()))
        .output()
        .expect("./test.sh installs MariaDB");
    assert!(made.status.success(), "{made:?}");
}
