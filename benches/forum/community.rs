//! The database that is measured on: made once by `madang demo`, kept in target/bench, and copied for whoever writes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    bare,
    http::Request,
    process::{Server, free_port},
};

const SEED: &str = "1";
pub const USER: &str = "bench";
pub const PASSWORD: &str = "measured twice, cut once";
/// The list that is measured, at madang and at mercurius.
pub const LIST_DOCUMENT: &str = "{ posts(first: 20) { nodes { id title author { name } commentCount } pageInfo { hasNextPage endCursor } } }";

/// The post that is written, everywhere the same.
pub const TITLE: &str = "a post that a person wrote";
pub const CONTENT: &str = "the quick brown fox jumps over the lazy dog, and then it does so again; the quick brown fox jumps over the lazy dog, and then it does so again; the quick brown fox jumps over the lazy dog.";

/// So many people, of whom the first one is [`USER`], say something on one post: more than a page.
const COMMENTERS: usize = 21;

/// A community that nobody writes to.
pub struct Community {
    /// What sets it apart from one of another size or schema.
    pub key: String,
    volume: PathBuf,
    madang: PathBuf,
    log: PathBuf,
}

impl Community {
    /// The one of this size, made where it is not there yet.
    ///
    /// # Errors
    /// madang cannot make it.
    pub fn of(madang: &Path, folder: &Path, posts: u32, comments: u32) -> anyhow::Result<Self> {
        let key = format!("{posts}-{comments}-{}", fingerprint()?);
        let log = folder.join("log");
        fs::create_dir_all(&log)?;
        let community = Self {
            volume: folder.join("communities").join(&key),
            madang: madang.to_owned(),
            key,
            log,
        };
        if !community.volume.is_dir() {
            eprintln!("making a community of {posts} posts and {comments} comments");
            let unfinished = folder.join("unfinished");
            _ = fs::remove_dir_all(&unfinished);
            fs::create_dir_all(&unfinished)?;
            community.fill(&unfinished, posts, comments)?;
            fs::create_dir_all(folder.join("communities"))?;
            fs::rename(&unfinished, &community.volume)?;
        }
        Ok(community)
    }

    fn fill(&self, volume: &Path, posts: u32, comments: u32) -> anyhow::Result<()> {
        let mut demo = self.program("demo", volume);
        demo.args(["--posts", &posts.to_string()])
            .args(["--comments", &comments.to_string(), "--seed", SEED])
            .stdout(Stdio::null());
        ensure!(demo.status()?.success(), "`madang demo` failed");
        // Nobody knows the passwords of the demo's users, and its admin sees what others may not.
        let server = self.serve(volume)?;
        let post = bare::type_id("post_", id(volume, bare::DISCUSSED)?);
        for n in 0..COMMENTERS {
            let name = if n == 0 {
                USER.to_owned()
            } else {
                format!("{USER}{n}")
            };
            let email = format!("{name}@example.org");
            let user = json!({ "name": name, "email": email, "password": PASSWORD });
            ask(&server, "", SIGN_UP, json!({ "input": user }))?;
            let comment =
                json!({ "postId": post, "content": format!("So say I, the {n}. to say so.") });
            let token = token_of(&server, &name)?;
            ask(&server, &token, COMMENT, json!({ "input": comment }))?;
        }
        Ok(())
    }

    fn program(&self, command: &str, volume: &Path) -> Command {
        let mut program = Command::new(&self.madang);
        // No setting of whoever measures.
        program.env_clear().current_dir(volume);
        program.arg(command).arg("--volume-dir").arg(volume);
        program
    }

    /// A copy in `folder`, in place of what was there, safely on the disk, so that nothing of it is left to write.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn copy(&self, folder: &Path) -> anyhow::Result<()> {
        _ = fs::remove_dir_all(folder);
        copy(&self.volume, folder)?;
        Command::new("sync").status().context("sync")?;
        Ok(())
    }

    /// Serves a volume, with the settings of a release except that rates are not limited and tokens outlive the run.
    ///
    /// # Errors
    /// It does not start.
    pub fn serve(&self, volume: &Path) -> anyhow::Result<Server> {
        let mut server = self.start(volume)?;
        server.first_answer(&viewer())?;
        Ok(server)
    }

    /// As [`Community::serve`], without waiting for an answer.
    ///
    /// # Errors
    /// The program cannot be run.
    pub fn start(&self, volume: &Path) -> anyhow::Result<Server> {
        let port = free_port()?;
        let mut program = self.program("serve", volume);
        program
            .args(["--bind", &format!("127.0.0.1:{port}")])
            .args(["--rate-limits", "off", "--access-token-ttl", "12h"]);
        Server::start(program, port, &self.log.join("madang.log"))
    }

    /// Serves the bare handlers on a volume that madang serves.
    ///
    /// # Errors
    /// They do not start.
    pub fn serve_bare(&self, volume: &Path) -> anyhow::Result<Server> {
        let port = free_port()?;
        let mut program = Command::new(std::env::current_exe()?);
        program.args(["bare", &port.to_string()]);
        program.arg(database(volume));
        let mut server = Server::start(program, port, &self.log.join("bare.log"))?;
        server.first_answer(&Request::get("/ready"))?;
        Ok(server)
    }

    /// The database itself, for who only reads.
    pub fn database(&self) -> PathBuf {
        database(&self.volume)
    }

    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The post that is opened.
    ///
    /// # Errors
    /// There is none.
    pub fn discussed_post(&self) -> anyhow::Result<String> {
        Ok(bare::type_id("post_", id(&self.volume, bare::DISCUSSED)?))
    }

    /// The board that is posted on.
    ///
    /// # Errors
    /// There is none.
    pub fn board(&self) -> anyhow::Result<String> {
        let first = "SELECT id FROM boards WHERE is_visible ORDER BY id LIMIT 1";
        Ok(bare::type_id("board_", id(&self.volume, first)?))
    }
}

/// The least that can be asked.
pub fn viewer() -> Request {
    graphql("", "{ viewer { id } }", json!({}))
}

/// A request for a document, as the holder of the token; nobody's without one.
pub fn graphql(token: &str, document: &str, variables: serde_json::Value) -> Request {
    let body = json!({ "query": document, "variables": variables });
    let request = Request::post("/graphql", &body);
    if token.is_empty() {
        return request;
    }
    request.with("Authorization", format!("Bearer {token}"))
}

/// Asks once, and gives the data of an answer without errors.
///
/// # Errors
/// The answer has errors, or there is none.
pub fn ask(
    server: &Server,
    token: &str,
    document: &str,
    variables: serde_json::Value,
) -> anyhow::Result<serde_json::Value> {
    let mut answer = graphql(token, document, variables).json(server.port)?;
    ensure!(answer.get("errors").is_none(), "{document}: {answer}");
    Ok(answer["data"].take())
}

const SIGN_UP: &str = "mutation ($input: SignUpInput!) { signUp(input: $input) { user { id } } }";
const COMMENT: &str =
    "mutation ($input: CreateCommentInput!) { createComment(input: $input) { comment { id } } }";
const LOG_IN: &str = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }";

/// A log-in of the bench's user.
pub fn log_in() -> Request {
    log_in_of(USER)
}

fn log_in_of(name: &str) -> Request {
    let input = json!({ "nameOrEmail": name, "password": PASSWORD, "delivery": "BODY" });
    graphql("", LOG_IN, json!({ "input": input }))
}

/// A token of the bench's user.
///
/// # Errors
/// The log-in fails.
pub fn token(server: &Server) -> anyhow::Result<String> {
    token_of(server, USER)
}

fn token_of(server: &Server, name: &str) -> anyhow::Result<String> {
    let answer = log_in_of(name).json(server.port)?;
    let token = answer["data"]["login"]["accessToken"].as_str();
    Ok(token.with_context(|| answer.to_string())?.to_owned())
}

pub fn database(volume: &Path) -> PathBuf {
    volume.join("database/madang.sqlite")
}

fn id(volume: &Path, query: &str) -> anyhow::Result<[u8; 16]> {
    let connection = Connection::open(database(volume))?;
    Ok(connection.query_row(query, [], |row| row.get(0))?)
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = entry.map(|e| (e.path(), to.join(e.file_name())))?;
        if from.is_dir() {
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// Changes with the schema and with what the demo writes.
fn fingerprint() -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    for folder in ["migrations/sqlite", "src/demo"] {
        feed(
            &mut digest,
            &Path::new(env!("CARGO_MANIFEST_DIR")).join(folder),
        )?;
    }
    let bytes = digest.finalize();
    Ok(bytes.iter().take(4).map(|b| format!("{b:02x}")).collect())
}

fn feed(digest: &mut Sha256, folder: &Path) -> anyhow::Result<()> {
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            feed(digest, &path)?;
        } else {
            digest.update(fs::read(&path)?);
        }
    }
    Ok(())
}
