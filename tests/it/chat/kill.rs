//! Servers that are killed while people chat, and a Redis that goes away: nothing that was acknowledged is lost, and
//! subscribers who come back with their cursor see everything once.
//!
//! `CHAT_KILLS` and `CHAT_CLIENTS` make it harder than a usual run: 20 and 500 are what docs/PERFORMANCE.md tells of.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use madang::{
    chat::store::log::Log,
    connection::{self, Cursors},
    ids::ChatSessionId,
};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Said, Servers, Socket, mutate};

const EVENTS: &str = "subscription ($s: ID!, $a: String) { chatEvents(chatSessionId: $s, after: $a) { __typename cursor
    ... on ChatAdded { chat { id seq content } } ... on ChatUpdated { chat { id seq content } } ... on ChatDeleted { chat { id seq content } } } }";
const WRITERS: usize = 4;

fn setting(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// Where servers listen, as far as they do.
type Addresses = Arc<Mutex<Vec<Option<String>>>>;

/// What chats say: those that are there, by id.
type Chats = BTreeMap<String, String>;

/// Calls a mutation until some server acknowledges it.
async fn insist(
    addresses: &Addresses,
    token: &str,
    name: &str,
    input: Value,
    fields: &str,
) -> Value {
    let began = Instant::now();
    loop {
        let address = any(addresses);
        if let Some(address) = address
            && let Ok(answer) = mutate(&address, token, name, input.clone(), fields).await
        {
            match answer["errors"][0]["extensions"]["code"].as_str() {
                None => return answer["data"][name].clone(),
                // A backend is away.
                Some("UNAVAILABLE" | "TIMEOUT") => {}
                Some(_) => panic!("{answer}"),
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "{name} is never acknowledged"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn any(addresses: &Addresses) -> Option<String> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let addresses = addresses.lock();
    let turn = TURN.fetch_add(1, Ordering::Relaxed);
    addresses[turn % addresses.len()].clone()
}

/// Sends, edits and deletes chats until it is told to stop. Counts in `said` and returns what is acknowledged.
async fn write(
    addresses: Addresses,
    token: String,
    session: String,
    n: usize,
    said: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
) -> Chats {
    let mut chats = Chats::new();
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let content = format!("writer {n} says {round}");
        let key = format!("key of writer {n} {round:06}");
        let input = json!({ "chatSessionId": session, "content": content, "idempotencyKey": key });
        let sent = insist(&addresses, &token, "sendChat", input, "chat { id }").await;
        let id = sent["chat"]["id"].as_str().unwrap().to_owned();
        chats.insert(id.clone(), content);
        said.fetch_add(1, Ordering::SeqCst);
        if round % 3 == 1 {
            let content = format!("writer {n} means {round}");
            let input = json!({ "id": id, "content": content });
            insist(&addresses, &token, "updateChat", input, "chat { id }").await;
            chats.insert(id.clone(), content);
        }
        if round % 5 == 2 {
            insist(
                &addresses,
                &token,
                "deleteChat",
                json!({ "id": id }),
                "chat { id }",
            )
            .await;
            chats.insert(id, String::new());
        }
    }
    chats
}

/// What one subscriber has seen.
#[derive(Default)]
struct Seen {
    cursor: Option<String>,
    rev: i64,
    /// Contents by id, with the seq.
    chats: BTreeMap<String, (i64, String)>,
    last_seq: i64,
    reconnects: usize,
}

impl Seen {
    fn note(&mut self, event: &Value) {
        let cursor = event["cursor"].as_str().unwrap();
        let key: Option<(i64, ChatSessionId)> = connection::decode(Cursors::ChatEvents, cursor);
        let rev = key.unwrap().0;
        let kind = event["__typename"].as_str().unwrap();
        if kind == "ChatReady" {
            assert!(rev >= self.rev, "ready at {rev} after {}", self.rev);
        } else {
            assert!(rev > self.rev, "{kind} at {rev} after {}", self.rev);
            let chat = &event["chat"];
            let id = chat["id"].as_str().unwrap().to_owned();
            let seq = chat["seq"].as_i64().unwrap();
            let content = chat["content"].as_str().unwrap().to_owned();
            match kind {
                "ChatAdded" => {
                    assert!(!self.chats.contains_key(&id), "{id} is added twice");
                    assert!(
                        seq > self.last_seq,
                        "{seq} is added after {}",
                        self.last_seq
                    );
                }
                "ChatUpdated" => assert!(self.chats.contains_key(&id), "{id} was never added"),
                "ChatDeleted" => assert_eq!(content, ""),
                _ => panic!("{event}"),
            }
            self.last_seq = self.last_seq.max(seq);
            self.chats.insert(id, (seq, content));
        }
        self.rev = rev;
        self.cursor = Some(cursor.to_owned());
    }
}

/// Follows the session until it has seen as much as `until` says, and comes back whenever the connection breaks.
async fn follow(
    addresses: Addresses,
    token: String,
    session: String,
    n: usize,
    until: Arc<Mutex<Option<i64>>>,
) -> Seen {
    let id = ChatSessionId::parse(&session).unwrap();
    let mut seen = Seen {
        // From the beginning, whenever the first connection is made.
        cursor: Some(connection::encode(Cursors::ChatEvents, &(0, id))),
        ..Seen::default()
    };
    let is_done = |seen: &Seen| until.lock().is_some_and(|rev| seen.rev >= rev);
    let began = Instant::now();
    while !is_done(&seen) {
        assert!(
            began.elapsed() < Duration::from_secs(300),
            "a subscriber has only come to {}",
            seen.rev
        );
        let address = {
            let addresses = addresses.lock();
            addresses[(n + seen.reconnects) % addresses.len()].clone()
        };
        seen.reconnects += 1;
        if let Some(address) = address {
            // An error is one of the connection.
            let _ = follow_once(&address, &token, &session, &mut seen, &is_done).await;
        }
        tokio::time::sleep(Duration::from_millis(20 + (n as u64 * 7) % 100)).await;
    }
    seen
}

async fn follow_once(
    address: &str,
    token: &str,
    session: &str,
    seen: &mut Seen,
    is_done: &impl Fn(&Seen) -> bool,
) -> io::Result<()> {
    let mut socket = Socket::open(address, token).await?;
    let variables = json!({ "s": session, "a": seen.cursor });
    socket.subscribe(EVENTS, variables).await?;
    let began = Instant::now();
    loop {
        let message = tokio::time::timeout(Duration::from_millis(500), socket.next()).await;
        // Whoever waits for long comes back, and is told by the caller's own limit.
        if is_done(seen) || began.elapsed() > Duration::from_secs(60) {
            return Ok(());
        }
        let Ok(said) = message else { continue };
        let Said::Message(message) = said? else {
            return Ok(());
        };
        if message["type"] == "next" {
            let payload = &message["payload"];
            if payload["errors"].is_null() {
                seen.note(&payload["data"]["chatEvents"]);
            } else {
                let code = &payload["errors"][0]["extensions"]["code"];
                assert_eq!(code, "UNAVAILABLE", "{payload}");
            }
        } else if message["type"] == "complete" {
            return Err(io::Error::other("it ended"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_repeated_or_left_out_when_servers_are_killed() {
    let (kills, clients) = (setting("CHAT_KILLS", 5), setting("CHAT_CLIENTS", 60));
    let many = (clients + 100).to_string();
    let mut servers = Servers::new(&[
        "--limit-sockets",
        &many,
        "--limit-anonymous-sockets",
        &many,
        "--access-token-ttl",
        "1h",
        "--limit-init-time",
        "30s",
    ])
    .await;
    servers.user("ann").await;

    // On engines two servers, which are killed in turns.
    let count = servers.count();
    let mut running: Vec<_> = (0..count).map(|_| Some(servers.start())).collect();
    let listening = running
        .iter()
        .flatten()
        .map(|server| Some(server.address()));
    let addresses: Addresses = Arc::new(Mutex::new(listening.collect()));
    let input = json!({ "nameOrEmail": "ann", "password": PASSWORD, "delivery": "BODY" });
    let token = insist(&addresses, "", "login", input, "accessToken").await;
    let token = token["accessToken"].as_str().unwrap().to_owned();
    let input = json!({ "name": "Yard", "information": "i" });
    let session = insist(
        &addresses,
        &token,
        "createChatSession",
        input,
        "chatSession { id }",
    )
    .await;
    let session = session["chatSession"]["id"].as_str().unwrap().to_owned();

    let (stop, until) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(None)));
    let followers: Vec<_> = (0..clients)
        .map(|n| {
            let (addresses, until) = (Arc::clone(&addresses), Arc::clone(&until));
            tokio::spawn(follow(addresses, token.clone(), session.clone(), n, until))
        })
        .collect();
    let said = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|n| {
            let (addresses, said, stop) =
                (Arc::clone(&addresses), Arc::clone(&said), Arc::clone(&stop));
            tokio::spawn(write(
                addresses,
                token.clone(),
                session.clone(),
                n,
                said,
                stop,
            ))
        })
        .collect();
    for kill in 0..kills {
        tokio::time::sleep(Duration::from_millis(400 + 137 * (kill as u64 % 7))).await;
        // However slow the machine is, something is said between two kills.
        let began = Instant::now();
        while said.load(Ordering::SeqCst) < 10 * (kill + 1) {
            assert!(began.elapsed() < Duration::from_secs(60), "nobody is heard");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let which = kill % count;
        addresses.lock()[which] = None;
        running[which].take().unwrap().kill();
        let server = servers.start();
        addresses.lock()[which] = Some(server.address());
        running[which] = Some(server);
    }
    if let Some(redis) = &mut servers.redis {
        redis.kill();
        tokio::time::sleep(Duration::from_secs(10)).await;
        redis.start_again(&[]).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut acknowledged = Chats::new();
    for written in join_all(writers).await {
        acknowledged.extend(written.unwrap());
    }

    // Nothing follows this one. A change that follows another so closely that both were delivered at once has no event of
    // its own.
    let input = json!({ "chatSessionId": session, "content": "the end" });
    let last = insist(&addresses, &token, "sendChat", input, "chat { id }").await;
    let last = last["chat"]["id"].as_str().unwrap().to_owned();
    acknowledged.insert(last, "the end".to_owned());

    let app = servers.app().await;
    let id = ChatSessionId::parse(&session).unwrap();
    let head = Log::open(&app).await.unwrap().heads(&[id]).await.unwrap()[0];
    *until.lock() = Some(head.rev.0);
    assert!(
        acknowledged.len() > 10 * kills,
        "only {} chats",
        acknowledged.len()
    );
    let count = usize::try_from(head.seq).unwrap();
    assert_eq!(count, acknowledged.len(), "chats that nobody acknowledged");
    let mut reconnects = 0;
    for seen in join_all(followers).await {
        let seen = seen.unwrap();
        let contents: Chats = seen
            .chats
            .iter()
            .map(|(id, (_, content))| (id.clone(), content.clone()))
            .collect();
        assert!(
            contents == acknowledged,
            "{:?}",
            difference(&contents, &acknowledged)
        );
        let mut seqs: Vec<_> = seen.chats.values().map(|(seq, _)| *seq).collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=i64::from(head.seq)).collect::<Vec<_>>());
        reconnects += seen.reconnects;
    }
    println!(
        "{kills} kills, {clients} subscribers with {reconnects} connections, {} chats in {} changes: all there, once each",
        acknowledged.len(),
        head.rev.0
    );
}

/// What one has and the other has not, or has otherwise.
fn difference<'a>(one: &'a Chats, other: &'a Chats) -> Vec<(&'a String, &'a String)> {
    let only = |of: &'a Chats, than: &'a Chats| {
        let differing = of
            .iter()
            .filter(|(id, content)| than.get(*id) != Some(*content));
        differing.collect::<Vec<_>>()
    };
    [only(one, other), only(other, one)].concat()
}
