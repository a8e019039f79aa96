//! Clients that go on while engines come and go, and remember what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Yard, code, text};
use crate::support::{ask, call, log_in, mutate};

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Needs the database.
    Read,
    Post,
    /// Needs the documents as well.
    Chat,
}

pub const ACTS: [Act; 3] = [Act::Read, Act::Post, Act::Chat];

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub done: usize,
    pub failed: usize,
}

pub struct Load {
    noted: Arc<Mutex<Noted>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    addresses: Vec<String>,
    token: String,
    board: String,
    session: String,
}

#[derive(Default)]
struct Noted {
    counts: BTreeMap<Act, Count>,
    /// The posts' titles and the chats' contents that were acknowledged.
    acknowledged: BTreeMap<Act, BTreeSet<String>>,
    /// Answers that no outage excuses.
    wrong: Vec<String>,
}

impl Load {
    /// Clients of all servers, two for each act.
    pub async fn on(yard: &Yard) -> Self {
        let (token, _) = log_in(yard.here(), "ann").await;
        let input = json!({ "name": "Talk", "information": "i" });
        let made = call(
            yard.here(),
            &token,
            "createChatSession",
            input,
            "chatSession { id }",
        );
        let session = text(&made.await["chatSession"]["id"]);
        let mut load = Self {
            noted: Arc::default(),
            stop: Arc::default(),
            tasks: Vec::new(),
            addresses: yard.running.iter().map(|server| server.address()).collect(),
            token,
            board: yard.board("Load", json!({})).await,
            session,
        };
        for act in ACTS {
            for client in 0..2 {
                let going_on = load.go_on(act, client);
                load.tasks.push(going_on);
            }
        }
        load
    }

    fn go_on(&self, act: Act, client: usize) -> JoinHandle<()> {
        let (noted, stop) = (Arc::clone(&self.noted), Arc::clone(&self.stop));
        let address = self.addresses[client % self.addresses.len()].clone();
        let (token, board, session) =
            (self.token.clone(), self.board.clone(), self.session.clone());
        tokio::spawn(async move {
            for turn in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let name = format!("{act:?} {client} {turn}");
                let done = match act {
                    Act::Read => {
                        let list = "query ($i: ID!) { board(id: $i) { posts(first: 5) { nodes { title } } } }";
                        ask(&address, &token, list, json!({ "i": board })).await
                    }
                    Act::Post => {
                        let input = json!({ "boardId": board, "title": name, "content": "c" });
                        mutate(&address, &token, "createPost", input, "post { id }").await
                    }
                    Act::Chat => {
                        let input = json!({ "chatSessionId": session, "content": name });
                        mutate(&address, &token, "sendChat", input, "chat { id }").await
                    }
                };
                noted.lock().note(act, name, &done.unwrap());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    }

    pub fn count(&self, act: Act) -> Count {
        self.noted
            .lock()
            .counts
            .get(&act)
            .copied()
            .unwrap_or_default()
    }

    /// Waits until each of these has been done by each client, begun from now on.
    pub async fn until_done(&self, acts: &[Act]) {
        for act in acts {
            // The first two may have begun before, and the next may be one client's.
            let before = self.count(*act).done;
            let began = Instant::now();
            while self.count(*act).done < before + 5 {
                assert!(began.elapsed() < super::LONG, "{act:?} does not go on");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until these have failed again.
    pub async fn until_failed(&self, acts: &[Act]) {
        for act in acts {
            let before = self.count(*act).failed;
            let began = Instant::now();
            while self.count(*act).failed == before {
                assert!(began.elapsed() < super::LONG, "{act:?} does not fail");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Ends it, and checks that everything that was acknowledged is there once. Returns how much that is.
    pub async fn end(mut self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        for task in self.tasks.drain(..) {
            task.await.unwrap();
        }
        let noted = std::mem::take(&mut *self.noted.lock());
        assert!(noted.wrong.is_empty(), "{:#?}", noted.wrong);
        let mut count = 0;
        for act in [Act::Post, Act::Chat] {
            let there = self.all(act).await;
            let acknowledged = &noted.acknowledged[&act];
            for name in acknowledged {
                let times = there.iter().filter(|found| *found == name).count();
                assert_eq!(times, 1, "{name}");
            }
            count += acknowledged.len();
        }
        count
    }

    /// The names of all that is there.
    async fn all(&self, act: Act) -> Vec<String> {
        let (query, id, path) = match act {
            Act::Chat => (
                "query ($i: ID!, $a: String) { chatSession(id: $i) { chats(first: 100, after: $a) { nodes { name: content } pageInfo { hasNextPage endCursor } } } }",
                &self.session,
                "/data/chatSession/chats",
            ),
            _ => (
                "query ($i: ID!, $a: String) { board(id: $i) { posts(first: 100, after: $a) { nodes { name: title } pageInfo { hasNextPage endCursor } } } }",
                &self.board,
                "/data/board/posts",
            ),
        };
        let (mut found, mut after) = (Vec::new(), Value::Null);
        loop {
            let variables = json!({ "i": id, "a": after });
            let answer = ask(&self.addresses[0], &self.token, query, variables);
            let answer = answer.await.unwrap();
            let page = answer.pointer(path).unwrap_or_else(|| panic!("{answer}"));
            let nodes = page["nodes"]
                .as_array()
                .unwrap_or_else(|| panic!("{answer}"));
            found.extend(nodes.iter().map(|node| text(&node["name"])));
            if page["pageInfo"]["hasNextPage"] == false {
                return found;
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }
}

impl Noted {
    fn note(&mut self, act: Act, name: String, answer: &Value) {
        let count = self.counts.entry(act).or_default();
        if answer["errors"].is_null() {
            count.done += 1;
            self.acknowledged.entry(act).or_default().insert(name);
            return;
        }
        count.failed += 1;
        let is_excused = ["UNAVAILABLE", "TIMEOUT"].iter().any(|c| code(answer) == c);
        if !is_excused {
            self.wrong.push(format!("{name}: {answer}"));
        }
    }
}
