//! Many servers as one: processes of the program that share their engines. On embedded backends there is one server.

mod lines;
mod load;
mod nginx;
mod outages;
mod together;
mod upgrade;

use std::time::{Duration, Instant};

use madang::access::Role;
use serde_json::{Value, json};

use crate::support::{Process, Said, Servers, Socket, call, insert_user, log_in};

/// Longer than anything that is waited for.
const LONG: Duration = Duration::from_secs(30);

/// Two servers that run no jobs, and an admin.
struct Yard {
    servers: Servers,
    running: Vec<Process>,
    admin: String,
}

impl Yard {
    async fn of(servers: Servers) -> Self {
        insert_user(&servers.app().await, "admin", Role::Admin).await;
        for name in ["ann", "ben"] {
            servers.user(name).await;
        }
        let running: Vec<_> = (0..servers.count()).map(|_| servers.start()).collect();
        let (admin, _) = log_in(&running[0], "admin").await;
        Self {
            servers,
            running,
            admin,
        }
    }

    /// The server where something is done.
    fn here(&self) -> &Process {
        &self.running[0]
    }

    /// The server where it must be seen.
    fn there(&self) -> &Process {
        self.running.last().unwrap()
    }

    /// The id of a new board that everybody may enter, unless `more` says otherwise.
    async fn board(&self, name: &str, more: Value) -> String {
        let mut input = json!({ "name": name, "information": "i" });
        let more = more.as_object().unwrap().clone();
        input.as_object_mut().unwrap().extend(more);
        let created = call(
            self.here(),
            &self.admin,
            "createBoard",
            input,
            "board { id }",
        );
        text(&created.await["board"]["id"])
    }
}

/// The id of a new post.
async fn post(server: &Process, token: &str, board: &str, title: &str) -> String {
    let input = json!({ "boardId": board, "title": title, "content": "c" });
    let created = call(server, token, "createPost", input, "post { id }").await;
    text(&created["post"]["id"])
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value}"))
        .to_owned()
}

fn code(answer: &Value) -> &Value {
    &answer["errors"][0]["extensions"]["code"]
}

/// A socket with one subscription.
async fn subscribe(server: &Process, token: &str, query: &str, id: &str) -> Socket {
    let mut socket = Socket::open(&server.address(), token).await.unwrap();
    socket.subscribe(query, json!({ "i": id })).await.unwrap();
    // By then it has most likely begun.
    socket
        .say(&json!({ "type": "subscribe", "id": "0", "payload": { "query": "{ __typename }" } }))
        .await
        .unwrap();
    loop {
        match next(&mut socket).await {
            Said::Message(said) if said["id"] == "0" && said["type"] == "complete" => {
                return socket;
            }
            Said::Message(said) if said["id"] == "0" => {}
            // What a subscription to chats brings first.
            Said::Message(said) if said["payload"]["data"]["chatEvents"].is_object() => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn next(socket: &mut Socket) -> Said {
    let said = tokio::time::timeout(LONG, socket.next()).await;
    said.expect("nothing comes").unwrap()
}

/// Waits until `what` holds. Returns how long that took.
async fn until(what: impl AsyncFn() -> bool) -> Duration {
    let began = Instant::now();
    while !what().await {
        assert!(began.elapsed() < LONG, "it does not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}
