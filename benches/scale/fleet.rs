//! Two servers and a worker on shared engines, and what is in them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use mysql_async::prelude::Queryable;
use serde_json::{Value, json};

use crate::{
    Args,
    http::Request,
    process::{Server, free_port},
};

const PASSWORD: &str = "measured twice, cut once";
/// Users; each has many sockets.
const USERS: usize = 20;
const POSTS: usize = 100;

pub struct Fleet {
    pub servers: [Server; 2],
    _worker: Server,
    pub runtime: tokio::runtime::Runtime,
    pub engines: Engines,
    pub folder: PathBuf,
    /// Of users; the first is an admin's.
    pub tokens: Vec<String>,
    pub board: String,
    pub post: String,
    /// One for each server, and one that all users take part in.
    pub sessions: [String; 3],
}

/// The engines themselves, to ask what they count.
pub struct Engines {
    pub mysql: String,
    database: String,
    pub redis: fred::prelude::Client,
}

impl Fleet {
    /// Starts it on an empty database.
    ///
    /// # Errors
    /// An engine is missing or refuses something.
    pub fn open(args: &Args, folder: &Path) -> anyhow::Result<Self> {
        let needed = |url: &Option<String>, name: &str| {
            let url = url.clone();
            url.with_context(|| {
                format!("{name} is needed: see `cargo bench --bench scale -- --help`")
            })
        };
        let mysql = needed(&args.mysql_url, "TEST_MYSQL_URL")?;
        let mongodb = needed(&args.mongodb_url, "TEST_MONGODB_URL")?;
        let redis = needed(&args.redis_url, "TEST_REDIS_URL")?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let name = format!("madang_bench_{}", uuid::Uuid::now_v7().simple());
        let client = runtime.block_on(async {
            let mut conn = mysql_async::Conn::from_url(&mysql).await?;
            let make = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin";
            conn.query_drop(format!("CREATE DATABASE {name} {make}"))
                .await?;
            conn.disconnect().await?;
            let client =
                fred::prelude::Builder::from_config(fred::types::config::Config::from_url(&redis)?)
                    .build()?;
            fred::interfaces::ClientLike::init(&client).await?;
            anyhow::Ok(client)
        })?;
        let volume = folder.join("volume");
        _ = std::fs::remove_dir_all(&volume);
        std::fs::create_dir_all(&volume)?;
        let settings = |command: &mut Command| {
            command
                .env("DATABASE_URL", format!("{mysql}/{name}"))
                .env("MONGODB_URL", format!("{mongodb}/{name}"))
                .env("REDIS_URL", &redis)
                .env("REDIS_PREFIX", &name)
                .env("JWT_SECRET", "a secret of thirty-two bytes, at least")
                .env("VOLUME_DIR", &volume)
                .current_dir(&volume);
        };
        let mut admin = Command::new(&args.madang);
        admin.args(["create-admin", "--name", "user0", "--password-stdin"]);
        admin.args(["--email", "user0@example.org"]);
        settings(&mut admin);
        let mut admin = admin
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()?;
        let mut stdin = admin.stdin.take().context("no input")?;
        std::io::Write::write_all(&mut stdin, format!("{PASSWORD}\n").as_bytes())?;
        drop(stdin);
        anyhow::ensure!(admin.wait()?.success(), "no admin could be made");

        let many = (args.subscribers + 1_000).to_string();
        let start = |number: usize| -> anyhow::Result<Server> {
            let port = free_port()?;
            let mut command = Command::new(&args.madang);
            command
                .args(["serve", "--rate-limits", "off", "--workers", "0"])
                .args(["--log", "info", "--access-token-ttl", "2h"])
                .args(["--limit-init-time", "60s", "--limit-sockets", &many])
                .args(["--limit-anonymous-sockets", &many])
                .args(["--limit-connections-address", &many])
                .args(["--bind", &format!("127.0.0.1:{port}")]);
            settings(&mut command);
            let log = folder.join(format!("server{number}.log"));
            let mut server = Server::start(command, port, &log)?;
            server.first_answer(&Request::get("/healthz"))?;
            Ok(server)
        };
        let servers = [start(0)?, start(1)?];
        let mut worker = Command::new(&args.madang);
        worker.args(["worker", "--log", "info"]);
        settings(&mut worker);
        let worker = Server::start(worker, 0, &folder.join("worker.log"))?;
        let mut fleet = Self {
            servers,
            _worker: worker,
            runtime,
            engines: Engines {
                mysql,
                database: name,
                redis: client,
            },
            folder: folder.to_owned(),
            tokens: Vec::new(),
            board: String::new(),
            post: String::new(),
            sessions: Default::default(),
        };
        fleet.settle()?;
        Ok(fleet)
    }

    /// Ends it, and takes its database away.
    ///
    /// # Errors
    /// The engine refuses.
    pub fn end(self) -> anyhow::Result<()> {
        let Self {
            servers,
            _worker,
            runtime,
            engines,
            ..
        } = self;
        drop((servers, _worker));
        runtime.block_on(async {
            let mut conn = mysql_async::Conn::from_url(&engines.mysql).await?;
            conn.query_drop(format!("DROP DATABASE {}", engines.database))
                .await?;
            Ok(conn.disconnect().await?)
        })
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        for n in 0..USERS {
            let name = format!("user{n}");
            if n > 0 {
                let email = format!("{name}@example.org");
                let input = json!({ "name": name, "email": email, "password": PASSWORD });
                self.mutate(0, None, "signUp", input, "user { id }")?;
            }
            let token = self.log_in(&name)?;
            self.tokens.push(token);
        }
        let admin = self.tokens[0].clone();
        let input = json!({ "name": "Yard", "information": "i" });
        let board = self.mutate(0, Some(&admin), "createBoard", input, "board { id }")?;
        self.board = text(&board["board"]["id"])?;
        for n in 0..POSTS {
            let author = self.tokens[n % USERS].clone();
            let input =
                json!({ "boardId": self.board, "title": format!("post {n}"), "content": "c" });
            let post = self.mutate(0, Some(&author), "createPost", input, "post { id }")?;
            self.post = text(&post["post"]["id"])?;
        }
        for n in 0..3 {
            let input = json!({ "name": format!("talk {n}"), "information": "i" });
            let made = self.mutate(
                0,
                Some(&admin),
                "createChatSession",
                input,
                "chatSession { id }",
            )?;
            self.sessions[n] = text(&made["chatSession"]["id"])?;
        }
        for token in &self.tokens[1..] {
            let input = json!({ "id": self.sessions[2] });
            self.mutate(
                0,
                Some(token),
                "joinChatSession",
                input,
                "chatSession { id }",
            )?;
        }
        Ok(())
    }

    /// A new access token of a user.
    pub fn log_in(&self, name: &str) -> anyhow::Result<String> {
        let input = json!({ "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" });
        text(&self.mutate(0, None, "login", input, "accessToken")?["accessToken"])
    }

    /// The data of a mutation on this server.
    pub fn mutate(
        &self,
        server: usize,
        token: Option<&str>,
        name: &str,
        input: Value,
        fields: &str,
    ) -> anyhow::Result<Value> {
        let answer = mutation(token, name, input, fields).json(self.servers[server].port)?;
        anyhow::ensure!(answer.get("errors").is_none(), "{answer}");
        Ok(answer["data"][name].clone())
    }
}

/// A request with this document.
pub fn operation(token: Option<&str>, query: &str, variables: &Value) -> Request {
    let body = json!({ "query": query, "variables": variables });
    let request = Request::post("/graphql", &body);
    match token {
        Some(token) => request.with("Authorization", format!("Bearer {token}")),
        None => request,
    }
}

pub fn mutation(token: Option<&str>, name: &str, input: Value, fields: &str) -> Request {
    let kind: String = name[..1].to_uppercase() + &name[1..];
    let query = format!("mutation ($i: {kind}Input!) {{ {name}(input: $i) {{ {fields} }} }}");
    operation(token, &query, &json!({ "i": input }))
}

fn text(value: &Value) -> anyhow::Result<String> {
    let text = value
        .as_str()
        .with_context(|| format!("no text: {value}"))?;
    Ok(text.to_owned())
}
