//! What killing an engine does not show: lines that fall silent, are cut or are slow, and rights that end meanwhile.

use std::time::Duration;

use serde_json::json;

use super::{
    Yard, code,
    load::{ACTS, Act, Load},
    next,
    outages::endure,
    post, subscribe, text, until,
};
use crate::support::{
    Backends, Database, Line, OwnServer, Said, Servers, State, call, log_in, mongodb_url, mutate,
};

/// Two servers behind lines to the engines of this run, and to a Redis of their own.
struct Lines {
    yard: Yard,
    database: Line,
    documents: Line,
    redis: Line,
    _engines: (Database, OwnServer, tempfile::TempDir),
}

impl Lines {
    /// `None` on embedded backends, which have no lines.
    async fn open() -> Option<Self> {
        let backends = Backends::of_this_run();
        let mongodb = mongodb_url(backends)?;
        let folder = tempfile::tempdir().unwrap();
        let own = Database::make(backends, folder.path()).await;
        let of_redis = OwnServer::redis().await;
        let (database, documents, redis) = (
            Line::to(&own.url).await,
            Line::to(&mongodb).await,
            Line::to(&of_redis.url()).await,
        );
        let engines = [
            ("--database-url", database.url()),
            ("--mongodb-url", documents.url()),
            ("--redis-url", redis.url()),
        ];
        // Statements that are not answered are given up two seconds later.
        let flags = ["--workers", "0", "--limit-request-time", "3s"];
        Some(Self {
            yard: Yard::of(Servers::sharing(&engines, &flags)).await,
            database,
            documents,
            redis,
            _engines: (own, of_redis, folder),
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_cut_or_fall_silent_are_noticed_and_used_again() {
    let Some(lines) = Lines::open().await else {
        return;
    };
    let load = Load::on(&lines.yard).await;
    for state in [State::Cut, State::Silent] {
        println!("{state:?}");
        let engines: [(_, _, &[Act]); 3] = [
            ("redis", &lines.redis, &ACTS),
            ("mongodb", &lines.documents, &[Act::Read, Act::Post]),
            ("database", &lines.database, &[]),
        ];
        for (name, line, works) in engines {
            endure(&lines.yard, &load, name, works, &mut (line, state)).await;
        }
    }
    load.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_slow_lines_nothing_fails() {
    let Some(lines) = Lines::open().await else {
        return;
    };
    let load = Load::on(&lines.yard).await;
    for line in [&lines.database, &lines.documents, &lines.redis] {
        line.set(State::Slow(Duration::from_millis(30)));
    }
    load.until_done(&ACTS).await;
    load.until_done(&ACTS).await;
    for act in ACTS {
        assert_eq!(load.count(act).failed, 0, "{act:?}");
    }
    load.end().await;
}

/// Redis tells of the ends of rights. While it is away, the database does.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_end_while_redis_is_away_end_everywhere() {
    const WHO: &str = "{ viewer { id role } }";
    const ADDED: &str = "subscription ($i: ID!) { postAdded(boardId: $i) { title } }";
    const EVENTS: &str = "subscription ($i: ID!) { chatEvents(chatSessionId: $i) { __typename } }";
    let Some(lines) = Lines::open().await else {
        return;
    };
    let yard = &lines.yard;
    for name in ["carol", "dave"] {
        yard.servers.user(name).await;
    }
    let (here, there) = (yard.here(), yard.there());
    let board = yard.board("Yard", json!({})).await;
    let (ann, _) = log_in(here, "ann").await;
    let (ben, ben_id) = log_in(here, "ben").await;
    let (carol, carol_id) = log_in(here, "carol").await;
    let (dave, dave_id) = log_in(here, "dave").await;
    let invited = json!({ "name": "Talk", "information": "i", "inviteIds": [dave_id] });
    let made = call(
        here,
        &yard.admin,
        "createChatSession",
        invited,
        "chatSession { id }",
    )
    .await;
    let session = text(&made["chatSession"]["id"]);
    let input = json!({ "id": session });
    call(here, &dave, "joinChatSession", input, "chatSession { id }").await;
    let role = |role: &str| json!({ "id": carol_id, "role": role });
    call(
        here,
        &yard.admin,
        "setUserRole",
        role("ADMIN"),
        "user { id }",
    )
    .await;
    let mut of_ann = subscribe(there, &ann, ADDED, &board).await;
    let mut of_ben = subscribe(there, &ben, ADDED, &board).await;
    let hidden = json!({ "isVisible": false });
    let secret = yard.board("Secret", hidden).await;
    let mut of_carol = subscribe(there, &carol, ADDED, &secret).await;
    let mut of_dave = subscribe(there, &dave, EVENTS, &session).await;
    let mut of_admin = subscribe(there, &yard.admin, EVENTS, &session).await;
    for token in [&ann, &ben, &carol, &dave] {
        assert!(there.ask(token, WHO, json!({})).await["errors"].is_null());
    }

    lines.redis.set(State::Cut);
    until(async || super::outages::readiness(there, "redis").await == (false, false)).await;
    let out = here.ask(&ann, "mutation { logout { success } }", json!({}));
    assert!(out.await["errors"].is_null());
    let ban = json!({ "id": ben_id });
    call(here, &yard.admin, "banUser", ban, "user { id }").await;
    call(
        here,
        &yard.admin,
        "setUserRole",
        role("USER"),
        "user { id }",
    )
    .await;
    let remove = json!({ "id": session, "userIds": [dave_id] });
    call(
        here,
        &yard.admin,
        "removeChatParticipants",
        remove,
        "chatSession { id }",
    )
    .await;

    // At once, also for requests.
    let who = there.ask(&ann, WHO, json!({})).await;
    assert_eq!(code(&who), "TOKEN_INVALID", "{who}");
    assert_eq!(code(&there.ask(&ben, WHO, json!({})).await), "BANNED");
    let who = there.ask(&carol, WHO, json!({})).await;
    assert_eq!(who["data"]["viewer"]["role"], "USER");
    for socket in [&mut of_ann, &mut of_ben] {
        loop {
            match next(socket).await {
                Said::Closed(code) => break assert_eq!(code, Some(4401)),
                Said::Message(said) => assert!(said["payload"]["data"].is_null(), "{said}"),
            }
        }
    }
    let words = json!({ "chatSessionId": session, "content": "secret" });
    call(here, &yard.admin, "sendChat", words, "chat { id }").await;
    // It comes late, but it comes.
    loop {
        let Said::Message(said) = next(&mut of_admin).await else {
            panic!("it is closed");
        };
        match text(&said["payload"]["data"]["chatEvents"]["__typename"]).as_str() {
            "ChatAdded" => break,
            other => assert!(
                other.starts_with("Participants") || other == "ChatReady",
                "{said}"
            ),
        }
    }
    post(there, &yard.admin, &secret, "secret").await;
    for (socket, expected) in [(&mut of_carol, "NOT_FOUND"), (&mut of_dave, "FORBIDDEN")] {
        loop {
            let Said::Message(said) = next(socket).await else {
                panic!("it is closed");
            };
            // What a subscription brings at its beginning.
            if said["payload"]["data"]["chatEvents"]["__typename"] == "ChatReady" {
                continue;
            }
            let code = &said["payload"]["errors"][0]["extensions"]["code"];
            break assert_eq!(code, expected, "{said}");
        }
    }

    lines.redis.set(State::Open);
    until(async || super::outages::readiness(there, "redis").await == (true, true)).await;
    let (ann, _) = log_in(here, "ann").await;
    let mut again = subscribe(there, &ann, ADDED, &board).await;
    let input = json!({ "boardId": board, "title": "again", "content": "c" });
    let done = mutate(&here.address(), &ann, "createPost", input, "post { id }").await;
    assert!(done.unwrap()["errors"].is_null());
    let Said::Message(said) = next(&mut again).await else {
        panic!("it is closed");
    };
    assert_eq!(said["payload"]["data"]["postAdded"]["title"], "again");
}
