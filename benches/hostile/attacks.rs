//! The attacks: each goes on until it is ended.

use std::{
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::sleep};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tungstenite::client::IntoClientRequest;

use crate::client::{ask, connect, post};

/// A server, and what the prober and the attacker, Mallory, have on it.
#[derive(Clone)]
pub struct Target {
    pub port: u16,
    pub prober: String,
    pub mallory: String,
    pub refresh: String,
    pub post: String,
    pub board: String,
    pub session: String,
    /// Before the first chat of the session.
    pub cursor: String,
}

/// One way to do harm.
pub struct Attack {
    pub name: &'static str,
    /// How many do it at once.
    pub clients: usize,
    way: Way,
}

#[derive(Clone, Copy)]
enum Way {
    /// The same query again and again, without a sign-in.
    Query(fn(&Target) -> String),
    /// The same, as Mallory.
    AsMallory(fn(&Target) -> String),
    /// Sends variables of as many bytes and values as are allowed.
    Large,
    /// Each time another document, as long as is allowed.
    Documents,
    /// Reads one post under ever new user agents.
    Views,
    /// Connects and says nothing.
    Silent,
    /// Sends all of a body but the end.
    Half(&'static str, &'static str),
    /// Asks for much and reads nothing.
    Unread,
    /// Opens sockets, and leaves.
    Sockets,
    /// Follows a chat session, and stops to.
    Follows,
    /// Has a long session replayed again and again.
    Replays,
}

const fn attack(name: &'static str, clients: usize, way: Way) -> Attack {
    Attack { name, clients, way }
}

pub const ATTACKS: [Attack; 17] = [
    attack("totals", 16, Way::Query(totals)),
    attack("searches", 16, Way::Query(searches)),
    attack("contents", 16, Way::Query(contents)),
    attack("large requests", 200, Way::Large),
    attack("documents", 16, Way::Documents),
    attack("views", 16, Way::Views),
    attack("log-ins", 16, Way::Query(log_ins)),
    attack("refreshes", 8, Way::Query(refreshes)),
    attack("posts", 8, Way::AsMallory(posts)),
    attack("typing", 8, Way::AsMallory(typing)),
    attack("follows", 8, Way::Follows),
    attack("replays", 16, Way::Replays),
    attack("sockets", 16, Way::Sockets),
    attack("silent connections", 3_000, Way::Silent),
    attack("half bodies", 900, Way::Half("application/json", "")),
    attack(
        "half forms",
        900,
        Way::Half(
            "multipart/form-data; boundary=b",
            "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n",
        ),
    ),
    attack("unread answers", 900, Way::Unread),
];

/// As many totals as the complexity allows.
fn totals(_: &Target) -> String {
    "{ posts(first: 45) { nodes { author { posts { totalCount } } } } }".to_owned()
}

/// Searches for what many posts contain, ordered so that all matches are looked at.
fn searches(_: &Target) -> String {
    let searches = [
        "the", "and", "마당", "나", "a", "is", "of", "이", "다", "to",
    ];
    let one = |(n, word): (usize, &&str)| {
        format!(
            "s{n}: posts(search: \"{word}\", orderBy: {{ field: LIKES }}) {{ totalCount nodes {{ title }} }} "
        )
    };
    let all: String = searches.iter().enumerate().map(one).collect();
    format!("{{ {all} }}")
}

fn contents(_: &Target) -> String {
    "{ posts(first: 100) { nodes { title content author { name } comments(first: 40) { nodes { content } } } } }".to_owned()
}

fn log_ins(_: &Target) -> String {
    "mutation { login(input: { nameOrEmail: \"prober\", password: \"a wrong one\" }) { accessToken } }".to_owned()
}

fn refreshes(target: &Target) -> String {
    format!(
        "mutation {{ refreshAccessToken(input: {{ refreshToken: \"{}\" }}) {{ accessToken refreshToken }} }}",
        target.refresh
    )
}

fn posts(target: &Target) -> String {
    let content = "m".repeat(20_000);
    format!(
        "mutation {{ createPost(input: {{ boardId: \"{}\", title: \"t\", content: \"{content}\" }}) {{ post {{ id }} }} }}",
        target.board
    )
}

fn typing(target: &Target) -> String {
    format!(
        "mutation {{ setTyping(input: {{ chatSessionId: \"{}\" }}) {{ success }} }}",
        target.session
    )
}

impl Attack {
    /// Does it again and again, as client `n`. Counts the attempts.
    pub async fn strike(&self, target: Target, n: usize, attempts: &AtomicU64) {
        let (mut kept, port) = (None, target.port);
        let bearer = format!("Authorization: Bearer {}\r\n", target.mallory);
        for turn in 0_u64.. {
            attempts.fetch_add(1, Relaxed);
            match self.way {
                Way::Query(query) => ask(&mut kept, port, &of(&query(&target), "")).await,
                Way::AsMallory(query) => ask(&mut kept, port, &of(&query(&target), &bearer)).await,
                Way::Large => ask(&mut kept, port, &LARGE).await,
                Way::Documents => {
                    let names = " title".repeat(4_900);
                    let query =
                        format!("{{ posts(first: 1) {{ nodes {{{names} }} }} }} # {n} {turn}");
                    ask(&mut kept, port, &of(&query, "")).await;
                }
                Way::Views => {
                    let agent = format!("User-Agent: robot {n} {turn}\r\n");
                    let query = format!("{{ post(id: \"{}\") {{ content }} }}", target.post);
                    ask(&mut kept, port, &of(&query, &agent)).await;
                }
                Way::Silent => hold(port, "", 0).await,
                Way::Half(content_type, start) => {
                    let length = (1 << 20) - start.len();
                    hold(
                        port,
                        &post(content_type, "", 1 << 20, start),
                        length - 1_000,
                    )
                    .await;
                }
                Way::Unread => hold(port, &of(&contents(&target), ""), 0).await,
                Way::Sockets => {
                    drop(open(&target, None).await);
                }
                Way::Follows => {
                    let query = format!(
                        "subscription {{ chatEvents(chatSessionId: \"{}\") {{ __typename }} }}",
                        target.session
                    );
                    follow(&target, &query, "pong", attempts).await;
                }
                Way::Replays => {
                    let query = format!(
                        "subscription {{ chatEvents(chatSessionId: \"{}\", after: \"{}\") {{ __typename ... on ChatCreated {{ chat {{ content author {{ name }} }} }} }} }}",
                        target.session, target.cursor
                    );
                    follow(&target, &query, "ChatReady", attempts).await;
                }
            }
        }
    }
}

/// Made once: it takes longer to write than to send.
static LARGE: LazyLock<String> = LazyLock::new(|| {
    let variables = json!({ "lists": vec![json!([]); 9_900], "text": "m".repeat(1_000_000) });
    let body = json!({ "query": "{ __typename }", "variables": variables }).to_string();
    post("application/json", "", body.len(), &body)
});

fn of(query: &str, more: &str) -> String {
    let body = json!({ "query": query }).to_string();
    post("application/json", more, body.len(), &body)
}

/// Sends this and so many bytes more, and holds the connection for twenty seconds.
async fn hold(port: u16, request: &str, more: usize) {
    if let Ok(mut stream) = connect(port).await {
        // The server may refuse it at any time.
        _ = stream.write_all(request.as_bytes()).await;
        _ = stream.write_all(&vec![b'x'; more]).await;
        sleep(Duration::from_secs(20)).await;
    } else {
        sleep(Duration::from_millis(100)).await;
    }
}

type Socket = WebSocketStream<TcpStream>;

/// A socket that has been acknowledged.
async fn open(target: &Target, token: Option<&str>) -> Option<Socket> {
    let mut request = format!("ws://127.0.0.1:{}/graphql", target.port)
        .into_client_request()
        .ok()?;
    let protocol = "graphql-transport-ws".parse().ok()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let stream = connect(target.port).await.ok()?;
    let (mut socket, _) = client_async(request, stream).await.ok()?;
    let payload = token.map(|token| json!({ "token": token }));
    say(
        &mut socket,
        &json!({ "type": "connection_init", "payload": payload }),
    )
    .await?;
    socket.next().await?.ok()?;
    Some(socket)
}

async fn say(socket: &mut Socket, message: &Value) -> Option<()> {
    socket.send(Message::text(message.to_string())).await.ok()
}

/// Begins a subscription, awaits a message that contains `last`, and ends it, until the socket ends.
async fn follow(target: &Target, query: &str, last: &str, attempts: &AtomicU64) {
    let Some(mut socket) = open(target, Some(&target.mallory)).await else {
        return sleep(Duration::from_millis(100)).await;
    };
    for n in 0_u64.. {
        attempts.fetch_add(1, Relaxed);
        let subscribe =
            json!({ "id": n.to_string(), "type": "subscribe", "payload": { "query": query } });
        let ping = json!({ "type": "ping" });
        for message in [&subscribe, &ping] {
            if say(&mut socket, message).await.is_none() {
                return;
            }
        }
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) if text.contains(last) => break,
                Some(Ok(_)) => {}
                _ => return,
            }
        }
        let end = json!({ "id": n.to_string(), "type": "complete" });
        if say(&mut socket, &end).await.is_none() {
            return;
        }
    }
}
