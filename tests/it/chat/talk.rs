//! What is said: sending, editing, deleting, reading it, and its numbers.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use madang::{
    app::App,
    chat::{
        Content, Rev,
        store::{
            log::{BY_REV, Change, Entry, Log},
            talk,
        },
    },
    documents::{Collection, Range},
    ids::{ChatId, ChatSessionId},
};
use serde_json::{Value, json};

use super::{delete, edit, say, send, yard};
use crate::{
    ports::two_servers,
    support::{Client, TestApp},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_is_numbered_and_read_by_those_who_take_part() {
    let yard = yard().await;
    let sent = send(&yard.ann, &yard.session, "안녕\r\n<b>all</b>", None).await;
    assert_eq!(*sent.at("sendChat.chat.content"), json!("안녕\n<b>all</b>"));
    say(&yard.ben, &yard.session, "two").await;

    let document = "query($i: ID!) { chatSession(id: $i) { lastSeq unreadCount lastChat { content }
        chats(first: 10) { totalCount nodes { seq content author { name } viewerCanEdit viewerCanDelete } } } }";
    for (client, mine) in [(&yard.ann, [true, false]), (&yard.ben, [false, true])] {
        let answer = client.run(document, json!({ "i": yard.session })).await;
        let is_creator = mine[0];
        assert_eq!(
            *answer.at("chatSession"),
            json!({
                "lastSeq": 2, "unreadCount": 2, "lastChat": { "content": "two" },
                "chats": { "totalCount": 2, "nodes": [
                    { "seq": 1, "content": "안녕\n<b>all</b>", "author": { "name": "ann" }, "viewerCanEdit": mine[0], "viewerCanDelete": mine[0] },
                    { "seq": 2, "content": "two", "author": { "name": "ben" }, "viewerCanEdit": mine[1], "viewerCanDelete": mine[1] || is_creator },
                ] },
            })
        );
    }
    let by_admin = yard.admin.run(document, json!({ "i": yard.session })).await;
    assert_eq!(*by_admin.at("chatSession.unreadCount"), Value::Null);
    assert_eq!(*by_admin.at("chatSession.chats.totalCount"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_take_part_write_and_only_in_an_open_session() {
    let yard = yard().await;
    let chat = say(&yard.ann, &yard.session, "one").await;

    assert_eq!(
        send(&yard.eve, &yard.session, "x", None).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(
        send(&yard.admin, &yard.session, "x", None).await.code(),
        "FORBIDDEN"
    );
    let nothing = yard.app.id_of_nothing("chatsession");
    assert_eq!(
        send(&yard.ann, &nothing, "x", None).await.code(),
        "NOT_FOUND"
    );
    let public = yard.ann.chat_session(json!({})).await;
    assert_eq!(
        send(&yard.eve, &public, "x", None).await.code(),
        "FORBIDDEN"
    );
    for (client, edits, deletes) in [
        (&yard.eve, "NOT_FOUND", "NOT_FOUND"),
        (&yard.ben, "FORBIDDEN", "FORBIDDEN"),
    ] {
        assert_eq!(edit(client, &chat, "x").await.code(), edits);
        assert_eq!(delete(client, &chat).await.code(), deletes);
    }
    assert_eq!(edit(&yard.admin, &chat, "x").await.code(), "FORBIDDEN");
    let read = "query($i: ID!) { chat(id: $i) { content chatSession { name } } }";
    assert_eq!(
        yard.eve.run(read, json!({ "i": chat })).await.code(),
        "NOT_FOUND"
    );
    let by_admin = yard.admin.run(read, json!({ "i": chat })).await;
    assert_eq!(by_admin.at("chat.content"), "one");

    let close = json!({ "id": yard.session, "isClosed": true });
    yard.ann
        .mutate("updateChatSession", close, "chatSession { id }")
        .await
        .data();
    assert_eq!(
        send(&yard.ben, &yard.session, "x", None).await.code(),
        "CONFLICT"
    );
    assert_eq!(edit(&yard.ann, &chat, "x").await.code(), "CONFLICT");
    assert_eq!(delete(&yard.ann, &chat).await.code(), "CONFLICT");

    let leave = json!({ "id": yard.session });
    yard.ben
        .mutate("leaveChatSession", leave, "chatSession { id }")
        .await
        .data();
    assert_eq!(
        yard.ben.run(read, json!({ "i": chat })).await.code(),
        "NOT_FOUND"
    );
    assert_eq!(
        yard.ann
            .run(read, json!({ "i": chat }))
            .await
            .at("chat.content"),
        "one"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_keeps_the_place_and_a_deletion_keeps_nothing_else() {
    let yard = yard().await;
    let (one, two) = (
        say(&yard.ben, &yard.session, "first secret").await,
        say(&yard.ben, &yard.session, "two").await,
    );

    let same = edit(&yard.ben, &one, "first secret").await;
    assert_eq!(*same.at("updateChat.chat.updatedAt"), Value::Null);
    let edited = edit(&yard.ben, &one, "second secret").await;
    assert_eq!(edited.at("updateChat.chat.content"), "second secret");
    assert_eq!(*edited.at("updateChat.chat.seq"), 1);
    edited.text("updateChat.chat.updatedAt");
    let deleted = delete(&yard.ann, &one).await;
    assert_eq!(
        [
            deleted.at("deleteChat.chat.content"),
            deleted.at("deleteChat.chat.isDeleted")
        ],
        [&json!(""), &json!(true)]
    );
    delete(&yard.admin, &two).await.data();
    delete(&yard.ben, &two).await.data();
    assert_eq!(edit(&yard.ben, &one, "x").await.code(), "CONFLICT");

    // Nothing of it is left in the entries of its edits.
    let log = Log::open(&yard.app.app).await.unwrap();
    let session = ChatSessionId::parse(&yard.session).unwrap();
    let entries = log.after(&[(session, Rev(0))], 100).await.unwrap();
    assert_eq!(entries[0].len(), 5);
    assert!(!format!("{entries:?}").contains("secret"));
    let all = Range::of(BY_REV, 100).equal(session);
    let kept: Collection<Entry> = yard.app.app.documents.collection().await.unwrap();
    let kept = format!("{:?}", kept.find(all).await.unwrap());
    assert!(
        kept.contains("Changed") && !kept.contains("secret"),
        "{kept}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_again_is_one_chat() {
    let yard = yard().await;
    let key = "0123456789abcdef";

    let all = join_all((0..8).map(|_| send(&yard.ann, &yard.session, "once", Some(key)))).await;

    let first = all[0].at("sendChat.chat.id");
    assert!(all.iter().all(|sent| sent.at("sendChat.chat.id") == first));
    assert_eq!(all[0].at("sendChat.chat.idempotencyKey"), key);
    let other = send(&yard.ann, &yard.session, "other", Some(key)).await;
    assert_eq!(
        (other.code(), other.violation()),
        ("CONFLICT", ("idempotencyKey".into(), "TAKEN".into()))
    );
    // Keys are each author's and each session's own.
    assert_eq!(
        *send(&yard.ben, &yard.session, "once", Some(key))
            .await
            .at("sendChat.chat.seq"),
        2
    );
    let elsewhere = yard.ann.chat_session(json!({})).await;
    assert_eq!(
        *send(&yard.ann, &elsewhere, "once", Some(key))
            .await
            .at("sendChat.chat.seq"),
        1
    );
    // An edit in between does not make it another message.
    edit(&yard.ann, first.as_str().unwrap(), "edited")
        .await
        .data();
    let again = send(&yard.ann, &yard.session, "once", Some(key)).await;
    assert_eq!(again.at("sendChat.chat.content"), "edited");
    let read = "query($i: ID!) { chat(id: $i) { idempotencyKey } }";
    let by_ben = yard.ben.run(read, json!({ "i": first })).await;
    assert_eq!(*by_ben.at("chat.idempotencyKey"), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_get_all_their_faults_told_and_leave_nothing() {
    let yard = yard().await;
    for (content, code) in [
        ("", "BLANK"),
        (" \n\u{200b}", "BLANK"),
        ("a\u{0}b", "CONTROL_CHARACTER"),
        (&"가".repeat(2_001), "TOO_LONG"),
    ] {
        let refused = send(&yard.ann, &yard.session, content, Some("short")).await;
        assert_eq!(
            refused.violations(),
            [("content", code), ("idempotencyKey", "TOO_SHORT")].map(|(f, c)| (f.into(), c.into()))
        );
    }
    let longest = "가".repeat(2_000);
    let sent = send(&yard.ann, &yard.session, &longest, None).await;
    assert_eq!(*sent.at("sendChat.chat.seq"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_have_a_rate_of_their_own() {
    let app = TestApp::with(&[
        "--rate-limits",
        "on",
        "--limit-chats",
        "3",
        "--limit-writes",
        "4",
    ])
    .await;
    let ann = app.user("ann").await;
    let session = ann.chat_session(json!({})).await;

    for n in 0..3 {
        say(&ann, &session, &n.to_string()).await;
    }
    let refused = send(&ann, &session, "four", None).await;

    assert_eq!(refused.code(), "RATE_LIMITED");
    assert!(
        refused.errors()[0]["extensions"]["retryAfter"]
            .as_u64()
            .unwrap()
            <= 10
    );
    ann.chat_session(json!({})).await;
    app.advance(10);
    say(&ann, &session, "four").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_chats_are_read_from_both_ends_and_tell_where_events_go_on() {
    let yard = yard().await;
    for n in 1..=7 {
        say(&yard.ann, &yard.session, &n.to_string()).await;
    }
    let document = "query($i: ID!, $first: Int, $after: String, $last: Int, $before: String) { chatSession(id: $i) {
        chats(first: $first, after: $after, last: $last, before: $before) {
            nodes { seq } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } eventCursor } } }";
    let page = async |mut variables: Value| {
        variables["i"] = json!(yard.session);
        let answer = yard.ann.run(document, variables).await;
        let chats = answer.data()["chatSession"]["chats"].clone();
        let seqs: Vec<_> = chats["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["seq"].as_i64().unwrap())
            .collect();
        (seqs, chats)
    };

    let (seqs, last) = page(json!({ "last": 3 })).await;
    assert_eq!(seqs, [5, 6, 7]);
    assert_eq!(last["pageInfo"]["hasPreviousPage"], true);
    let (seqs, _) = page(json!({ "last": 3, "before": last["pageInfo"]["startCursor"] })).await;
    assert_eq!(seqs, [2, 3, 4]);
    let (seqs, first) = page(json!({ "first": 2 })).await;
    assert_eq!(seqs, [1, 2]);
    let (seqs, rest) = page(json!({ "first": 9, "after": first["pageInfo"]["endCursor"] })).await;
    assert_eq!(seqs, [3, 4, 5, 6, 7]);
    assert_eq!(rest["pageInfo"]["hasNextPage"], false);
    assert_eq!(first["eventCursor"], last["eventCursor"]);
    say(&yard.ann, &yard.session, "8").await;
    let (_, newer) = page(json!({ "last": 1 })).await;
    assert_ne!(newer["eventCursor"], last["eventCursor"]);
    let foreign = json!({ "i": yard.session, "first": 1, "after": last["eventCursor"] });
    assert_eq!(
        yard.ann.run(document, foreign).await.violation(),
        ("after".into(), "CURSOR".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unread_follows_what_was_read() {
    let yard = yard().await;
    for n in 1..=3 {
        say(&yard.ann, &yard.session, &n.to_string()).await;
    }
    let mark = async |client: &Client, seq: i32| {
        let input = json!({ "id": yard.session, "seq": seq });
        client
            .mutate(
                "markChatSessionRead",
                input,
                "chatSession { unreadCount viewerLastReadSeq }",
            )
            .await
    };

    let read = mark(&yard.ben, 2).await;
    assert_eq!(
        *read.at("markChatSessionRead.chatSession"),
        json!({ "unreadCount": 1, "viewerLastReadSeq": 2 })
    );
    let back = mark(&yard.ben, 1).await;
    assert_eq!(
        *back.at("markChatSessionRead.chatSession.viewerLastReadSeq"),
        2
    );
    for seq in [-1, 4, i32::MAX] {
        assert_eq!(
            mark(&yard.ben, seq).await.violation(),
            ("seq".into(), "OUT_OF_RANGE".into())
        );
    }
    assert_eq!(mark(&yard.eve, 1).await.code(), "NOT_FOUND");
    assert_eq!(mark(&yard.admin, 1).await.code(), "FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_sessions_is_read_with_the_same_statements_however_long() {
    let yard = yard().await;
    let statements = async |count: usize| {
        yard.app.forget().await;
        let before = yard.app.app.db.statements();
        let document = format!(
            "{{ chatSessions(first: {count}) {{ nodes {{ name lastSeq unreadCount viewerCanSend lastChat {{ content author {{ name }} }} creator {{ name }} participants(first: 2) {{ nodes {{ name }} }} }} }} }}"
        );
        let answer = yard.ann.query(&document).await;
        assert_eq!(
            answer.at("chatSessions.nodes").as_array().unwrap().len(),
            count
        );
        yard.app.app.db.statements() - before
    };
    for n in 0..5 {
        let session = yard
            .ann
            .chat_session(json!({ "name": format!("{n}") }))
            .await;
        say(&yard.ann, &session, "hello").await;
    }

    let (few, many) = (statements(2).await, statements(6).await);

    assert_eq!(few, many);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_chat_comes_back_when_something_is_said_in_it() {
    let yard = yard().await;
    let input = json!({ "userId": yard.eve.id });
    let started = yard
        .ann
        .mutate("startDirectChat", input, "chatSession { id }")
        .await;
    let session = started.text("startDirectChat.chatSession.id");
    let leave = json!({ "id": session });
    yard.ann
        .mutate("leaveChatSession", leave, "chatSession { id }")
        .await
        .data();
    let listed = async || {
        let answer = yard
            .ann
            .query("{ chatSessions { nodes { name lastActivityAt } } }")
            .await;
        answer.body.to_string().contains("ann, eve")
    };
    assert!(!listed().await);

    say(&yard.eve, &session, "still there?").await;

    for round in 0.. {
        if listed().await {
            break;
        }
        assert!(round < 100, "it does not come back");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_session_takes_all_that_was_said_with_it() {
    let yard = yard().await;
    let chat = say(&yard.ann, &yard.session, "gone").await;
    edit(&yard.ann, &chat, "gone too").await.data();

    let input = json!({ "id": yard.session });
    yard.ann
        .mutate("deleteChatSession", input, "deletedChatSessionId")
        .await
        .data();
    assert_eq!(edit(&yard.ann, &chat, "x").await.code(), "NOT_FOUND");
    yard.app.run_jobs().await;

    let log = Log::open(&yard.app.app).await.unwrap();
    assert!(
        log.chats(&[ChatId::parse(&chat).unwrap()])
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_writer_died_is_settled_by_whoever_comes_next() {
    let yard = yard().await;
    let app = &yard.app.app;
    let log = Log::open(app).await.unwrap();
    let session = ChatSessionId::parse(&yard.session).unwrap();
    // Each of these leads to the head in another way.
    for next in ["head", "events", "writer"] {
        let id = ChatId::parse(&say(&yard.ann, &yard.session, "before").await).unwrap();
        let chat = log.chats(&[id]).await.unwrap().pop().unwrap();
        let head = log.heads(&[session]).await.unwrap()[0];
        let change = Change::Edit("after".to_owned());
        let rev = Rev(head.rev.0 + 1);
        let entry = Entry::changing(app.clock.id(), rev, &chat, change, app.clock.now());
        log.append(&[entry]).await.unwrap();

        match next {
            "head" => drop(log.heads(&[session]).await.unwrap()),
            "events" => drop(log.after(&[(session, head.rev)], 10).await.unwrap()),
            _ => drop(say(&yard.ben, &yard.session, "next").await),
        }

        let settled = log.chats(&[id]).await.unwrap().pop().unwrap();
        assert_eq!(
            (settled.content.as_str(), settled.latest),
            ("after", rev),
            "{next}"
        );
    }
}

/// Follows a session as subscribers do, and checks what it sees.
async fn follow(app: App, session: ChatSessionId, until: Rev) -> Vec<Rev> {
    let log = Log::open(&app).await.unwrap();
    let mut seen: Vec<Rev> = Vec::new();
    for _ in 0..20_000 {
        let last = seen.last().copied().unwrap_or_default();
        if last >= until {
            return seen;
        }
        let entries = log.after(&[(session, last)], 7).await.unwrap();
        seen.extend(entries[0].iter().map(|(rev, _)| *rev));
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    panic!("only {} of {until:?}", seen.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_on_two_servers_leave_no_gap_and_followers_miss_nothing() {
    const CHATS: i32 = 60;
    let yard = yard().await;
    let flags: Vec<_> = yard
        .app
        .redis
        .iter()
        .flat_map(|redis| redis.flags())
        .collect();
    let (one, other) = two_servers(&yard.app, &flags).await;
    let session = ChatSessionId::parse(&yard.session).unwrap();
    let caller = yard.ann.caller().await;
    let ann = *caller.actor().signed_in().unwrap();
    // Each chat is added, edited once, and every third is deleted.
    let all = Rev(i64::from(CHATS * 2 + CHATS / 3));
    let followers = [&one, &other].map(|app| tokio::spawn(follow(app.clone(), session, all)));

    join_all((0..CHATS).map(|n| {
        let app = if n % 2 == 0 {
            one.clone()
        } else {
            other.clone()
        };
        async move {
            let content = |text: String| Content::parse(&text).unwrap();
            let chat = talk::send(&app, &ann, session, content(format!("{n}")), None)
                .await
                .unwrap();
            talk::update(&app, &ann, chat.id, content(format!("{n} edited")))
                .await
                .unwrap();
            if n % 3 == 0 {
                let act = madang::access::Act {
                    actor: ann,
                    client: &client(),
                };
                talk::delete(&app, &act, chat.id).await.unwrap();
            }
        }
    }))
    .await;

    for follower in followers {
        let seen = follower.await.unwrap();
        let expected: Vec<_> = (1..=all.0).map(Rev).collect();
        assert_eq!(seen, expected);
    }
    let log = Log::open(&one).await.unwrap();
    let changes = log.after(&[(session, Rev(0))], 1_000).await.unwrap();
    let chats = changes[0].iter().filter(|(rev, chat)| *rev == chat.born);
    let chats: Vec<_> = chats.map(|(_, chat)| chat).collect();
    let seqs: Vec<_> = chats.iter().map(|chat| chat.seq).collect();
    assert_eq!(seqs, (1..=CHATS).collect::<Vec<_>>());
    let mut contents = BTreeMap::new();
    for chat in chats {
        let text = if chat.is_deleted { "" } else { "edited" };
        assert!(chat.content.ends_with(text) && (!chat.is_deleted || chat.content.is_empty()));
        *contents.entry(chat.is_deleted).or_insert(0) += 1;
    }
    assert_eq!(
        contents,
        BTreeMap::from([(false, CHATS - CHATS / 3), (true, CHATS / 3)])
    );
}

fn client() -> madang::access::Client {
    madang::access::Client {
        address: std::net::Ipv4Addr::LOCALHOST.into(),
        user_agent: None,
        request_id: String::new(),
        language: madang::error::Language::En,
    }
}
