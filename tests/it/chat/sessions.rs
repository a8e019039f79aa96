//! Chat sessions and who takes part in them.

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{Answer, Client, TestApp};

/// What a session is to its viewer.
const STANDING: &str = "chatSession(id: $i) { viewerIsParticipant viewerIsInvited viewerCanSend viewerCanManage participantCount }";

async fn standing(client: &Client, session: &str) -> Answer {
    let document = format!("query($i: ID!) {{ {STANDING} }}");
    client.run(&document, json!({ "i": session })).await
}

/// Names of the sessions in a list of `client`.
async fn list(client: &Client, filter: &str) -> Vec<String> {
    let document =
        "query($f: ChatSessionFilter!) { chatSessions(filter: $f) { nodes { name } totalCount } }";
    let answer = client.run(document, json!({ "f": filter })).await;
    let nodes = answer.at("chatSessions.nodes").as_array().unwrap();
    assert_eq!(*answer.at("chatSessions.totalCount"), json!(nodes.len()));
    nodes
        .iter()
        .map(|node| node["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn act(client: &Client, name: &str, session: &str, more: Value) -> Answer {
    let mut input = json!({ "id": session });
    for (field, value) in more.as_object().unwrap() {
        input[field] = value.clone();
    }
    let payload = match name {
        "deleteChatSession" => "deletedChatSessionId",
        "declineChatInvitation" => "declinedChatSessionId",
        _ => "chatSession { id participantCount }",
    };
    client.mutate(name, input, payload).await
}

async fn yard() -> (Arc<TestApp>, Client, Client, Client) {
    let app = TestApp::start().await;
    let (admin, (ann, ben)) = (app.admin().await, app.two_users().await);
    (app, admin, ann, ben)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visible_session_is_found_and_joined_by_everyone() {
    let (_app, _, ann, ben) = yard().await;
    let session = ann.chat_session(json!({})).await;

    assert_eq!(list(&ann, "JOINED").await, ["Yard"]);
    assert!(list(&ann, "DISCOVERABLE").await.is_empty());
    assert_eq!(list(&ben, "DISCOVERABLE").await, ["Yard"]);
    let before = standing(&ben, &session).await;
    assert_eq!(before.at("chatSession.viewerCanSend"), false);
    ben.join(&session).await;
    ben.join(&session).await;

    assert_eq!(list(&ben, "JOINED").await, ["Yard"]);
    assert!(list(&ben, "DISCOVERABLE").await.is_empty());
    let standing = standing(&ben, &session).await;
    assert_eq!(
        *standing.at("chatSession"),
        json!({
            "viewerIsParticipant": true, "viewerIsInvited": false, "viewerCanSend": true,
            "viewerCanManage": false, "participantCount": 2,
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invisible_session_exists_for_those_who_are_invited_and_for_admins() {
    let (app, admin, ann, ben) = yard().await;
    let eve = app.user("eve").await;
    let session = ann
        .chat_session(json!({ "isVisible": false, "inviteIds": [ben.id, ann.id] }))
        .await;

    for name in [
        "joinChatSession",
        "leaveChatSession",
        "declineChatInvitation",
        "deleteChatSession",
    ] {
        assert_eq!(
            act(&eve, name, &session, json!({})).await.code(),
            "NOT_FOUND"
        );
    }
    assert_eq!(standing(&eve, &session).await.code(), "NOT_FOUND");
    assert!(list(&eve, "DISCOVERABLE").await.is_empty());
    assert_eq!(list(&admin, "DISCOVERABLE").await, ["Yard"]);
    assert_eq!(list(&ben, "INVITED").await, ["Yard"]);
    assert!(list(&ann, "INVITED").await.is_empty());
    let guarded = "query($i: ID!) { chatSession(id: $i) { viewerIsInvited isVisible participants { nodes { id } } } }";
    let answer = ben.run(guarded, json!({ "i": session })).await;
    assert_eq!(
        *answer.at("chatSession"),
        json!({ "viewerIsInvited": true, "isVisible": null, "participants": null })
    );
    act(&ben, "declineChatInvitation", &session, json!({}))
        .await
        .data();
    assert_eq!(standing(&ben, &session).await.code(), "NOT_FOUND");

    act(
        &ann,
        "inviteToChatSession",
        &session,
        json!({ "userIds": [ben.id] }),
    )
    .await
    .data();
    ben.join(&session).await;
    assert!(list(&ben, "INVITED").await.is_empty());
    let answer = ben.run(guarded, json!({ "i": session })).await;
    let there = answer.at("chatSession.participants.nodes");
    assert_eq!(*there, json!([{ "id": ann.id }, { "id": ben.id }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_or_is_removed_may_come_back_only_where_everyone_may() {
    let (_app, _, ann, ben) = yard().await;
    let session = ann
        .chat_session(json!({ "isVisible": false, "inviteIds": [ben.id] }))
        .await;
    ben.join(&session).await;

    let left = act(&ben, "leaveChatSession", &session, json!({})).await;
    assert_eq!(*left.at("leaveChatSession.chatSession"), Value::Null);
    assert_eq!(
        act(&ben, "joinChatSession", &session, json!({}))
            .await
            .code(),
        "NOT_FOUND"
    );
    act(
        &ann,
        "updateChatSession",
        &session,
        json!({ "isVisible": true }),
    )
    .await
    .data();
    ben.join(&session).await;
    let removed = act(
        &ann,
        "removeChatParticipants",
        &session,
        json!({ "userIds": [ben.id, ben.id] }),
    )
    .await;

    let count = removed.at("removeChatParticipants.chatSession.participantCount");
    assert_eq!(*count, 1);
    let ben_sees = standing(&ben, &session).await;
    assert_eq!(ben_sees.at("chatSession.viewerIsParticipant"), false);
    let left = act(&ann, "leaveChatSession", &session, json!({})).await;
    assert_eq!(*left.at("leaveChatSession.chatSession.participantCount"), 0);
    let ann_sees = standing(&ann, &session).await;
    assert_eq!(ann_sees.at("chatSession.viewerCanManage"), true);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_a_closed_session_or_is_invited_to_it() {
    let (_app, _, ann, ben) = yard().await;
    let session = ann.chat_session(json!({ "isClosed": true })).await;

    let invited = json!({ "userIds": [ben.id] });
    assert_eq!(
        act(&ann, "inviteToChatSession", &session, invited)
            .await
            .code(),
        "CONFLICT"
    );
    assert_eq!(
        act(&ben, "joinChatSession", &session, json!({}))
            .await
            .code(),
        "CONFLICT"
    );
    assert_eq!(
        standing(&ann, &session)
            .await
            .at("chatSession.viewerCanSend"),
        false
    );
    assert!(list(&ben, "DISCOVERABLE").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_have_one_direct_chat_however_they_start_it() {
    let (app, admin, ann, ben) = yard().await;
    let eve = app.user("eve").await;
    let start = |client: &Client, other: &Client| {
        let (client, input) = (client.clone(), json!({ "userId": other.id }));
        async move {
            client
                .mutate("startDirectChat", input, "chatSession { id isDirect name }")
                .await
                .text("startDirectChat.chatSession.id")
        }
    };

    let started = join_all((0..8).map(|n| {
        if n % 2 == 0 {
            start(&ann, &ben)
        } else {
            start(&ben, &ann)
        }
    }))
    .await;

    let session = &started[0];
    assert!(started.iter().all(|one| one == session));
    assert_ne!(start(&ann, &eve).await, *session);
    for (name, more) in [
        ("inviteToChatSession", json!({ "userIds": [eve.id] })),
        ("updateChatSession", json!({ "name": "ours" })),
        ("updateChatSession", json!({ "isClosed": true })),
        ("removeChatParticipants", json!({ "userIds": [ben.id] })),
        ("deleteChatSession", json!({})),
    ] {
        for client in [&ann, &ben] {
            assert_eq!(
                act(client, name, session, more.clone()).await.code(),
                "CONFLICT",
                "{name}"
            );
        }
        assert_eq!(act(&eve, name, session, more).await.code(), "NOT_FOUND");
    }
    assert_eq!(
        act(&admin, "joinChatSession", session, json!({}))
            .await
            .code(),
        "CONFLICT"
    );
    let oneself = json!({ "userId": ann.id });
    let refused = ann
        .mutate("startDirectChat", oneself, "chatSession { id }")
        .await;
    assert_eq!(refused.violation(), ("userId".into(), "STATE".into()));
    let nobody = json!({ "userId": app.id_of_nothing("user") });
    let refused = ann
        .mutate("startDirectChat", nobody, "chatSession { id }")
        .await;
    assert_eq!(refused.violation(), ("userId".into(), "UNKNOWN".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_direct_chat_no_longer_lists_it_until_it_is_started_again() {
    let (_app, _, ann, ben) = yard().await;
    let input = json!({ "userId": ben.id });
    let started = ann
        .mutate("startDirectChat", input.clone(), "chatSession { id }")
        .await;
    let session = started.text("startDirectChat.chatSession.id");

    let left = act(&ann, "leaveChatSession", &session, json!({})).await;

    assert_eq!(*left.at("leaveChatSession.chatSession"), Value::Null);
    assert!(list(&ann, "JOINED").await.is_empty());
    assert_eq!(list(&ben, "JOINED").await, ["ann, ben"]);
    ann.mutate("startDirectChat", input, "chatSession { id }")
        .await
        .data();
    assert_eq!(list(&ann, "JOINED").await, ["ann, ben"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_of_participants_is_exact_when_many_come_and_go_at_once() {
    let (app, _, ann, _) = yard().await;
    let session = ann.chat_session(json!({})).await;
    let users = join_all((0..8).map(|n| {
        let app = Arc::clone(&app);
        async move { app.user(&format!("user{n}")).await }
    }))
    .await;

    join_all(users.iter().enumerate().map(async |(n, user)| {
        user.join(&session).await;
        if n % 2 == 0 {
            act(user, "leaveChatSession", &session, json!({}))
                .await
                .data();
        }
    }))
    .await;

    let counted = standing(&ann, &session).await;
    assert_eq!(*counted.at("chatSession.participantCount"), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_account_leaves_all_sessions_and_their_counts() {
    let (app, admin, ann, ben) = yard().await;
    let session = ben.chat_session(json!({})).await;
    ann.join(&session).await;

    admin
        .mutate("deleteUser", json!({ "id": ben.id }), "deletedUserId")
        .await
        .data();
    app.run_jobs().await;

    let document = "query($i: ID!) { chatSession(id: $i) { creator { id } participantCount participants { totalCount nodes { id } } } }";
    let answer = ann.run(document, json!({ "i": session })).await;
    assert_eq!(
        *answer.at("chatSession"),
        json!({ "creator": null, "participantCount": 1, "participants": { "totalCount": 1, "nodes": [{ "id": ann.id }] } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_broken_rules_of_a_session_are_told_at_once() {
    let (app, _, ann, _) = yard().await;
    let input = json!({ "name": "x".repeat(65), "information": " ", "inviteIds": ["user_1"] });
    let refused = ann
        .mutate("createChatSession", input, "chatSession { id }")
        .await;
    assert_eq!(
        refused.violations(),
        [
            ("name", "TOO_LONG"),
            ("information", "BLANK"),
            ("inviteIds.0", "ID_TYPE")
        ]
        .map(|(field, code)| (field.to_owned(), code.to_owned()))
    );

    let unknown = json!({ "name": "n", "information": "i", "inviteIds": [ann.id, app.id_of_nothing("user")] });
    let refused = ann
        .mutate("createChatSession", unknown, "chatSession { id }")
        .await;
    assert_eq!(
        refused.violation(),
        ("inviteIds.1".into(), "UNKNOWN".into())
    );

    assert!(list(&ann, "JOINED").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_listed_by_their_latest_activity_and_found_by_name() {
    let (app, _, ann, ben) = yard().await;
    for name in ["One", "Two", "Three"] {
        ann.chat_session(json!({ "name": name })).await;
        app.advance(1);
    }

    assert_eq!(list(&ben, "DISCOVERABLE").await, ["Three", "Two", "One"]);
    let found = ben
        .query("{ chatSessions(filter: DISCOVERABLE, search: \"t\", first: 1) { nodes { name } totalCount pageInfo { hasNextPage endCursor } } }")
        .await;
    assert_eq!(found.at("chatSessions.nodes.0.name"), "Three");
    assert_eq!(*found.at("chatSessions.totalCount"), 2);
    assert_eq!(found.at("chatSessions.pageInfo.hasNextPage"), true);
    let after = found.text("chatSessions.pageInfo.endCursor");
    let document = "query($a: String) { chatSessions(filter: DISCOVERABLE, search: \"T\", after: $a) { nodes { name } } }";
    let rest = ben.run(document, json!({ "a": after })).await;
    assert_eq!(*rest.at("chatSessions.nodes"), json!([{ "name": "Two" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_creates_so_many_sessions_and_has_so_many_invitations_open() {
    let flags = ["--limit-chat-sessions", "2", "--limit-invitations", "2"];
    let app = TestApp::with(&flags).await;
    let (ann, ben) = app.two_users().await;
    let (cid, dan) = (app.user("cid").await, app.user("dan").await);
    let create = async |client: &Client, invited: &[&Client]| {
        let invited: Vec<&str> = invited.iter().map(|client| &*client.id).collect();
        let input = json!({ "name": "s", "information": "i", "inviteIds": invited });
        client
            .mutate("createChatSession", input, "chatSession { id }")
            .await
    };
    let direct = async |client: &Client, other: &Client| {
        let input = json!({ "userId": other.id });
        client
            .mutate("startDirectChat", input, "chatSession { id }")
            .await
    };

    let refused = create(&ann, &[&ben, &cid, &dan]).await;
    assert_eq!(refused.code(), "LIMIT_EXCEEDED");
    let session = create(&ann, &[&ben])
        .await
        .text("createChatSession.chatSession.id");
    let invite = async |users: &[&Client]| {
        let users: Vec<&str> = users.iter().map(|client| &*client.id).collect();
        act(
            &ann,
            "inviteToChatSession",
            &session,
            json!({ "userIds": users }),
        )
        .await
    };
    assert_eq!(invite(&[&cid, &dan]).await.code(), "LIMIT_EXCEEDED");
    invite(&[&cid]).await.data();
    // One who comes makes room for another.
    ben.join(&session).await;
    invite(&[&dan]).await.data();

    direct(&ann, &ben).await.data();
    assert_eq!(direct(&ann, &cid).await.code(), "LIMIT_EXCEEDED");
    assert_eq!(create(&ann, &[]).await.code(), "LIMIT_EXCEEDED");
    // What is there already is found, and others have their own.
    direct(&ann, &ben).await.data();
    direct(&cid, &ann).await.data();
    act(&ann, "deleteChatSession", &session, json!({}))
        .await
        .data();
    create(&ann, &[]).await.data();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_takes_part_in_so_many_sessions() {
    let app = TestApp::with(&["--limit-chat-participations", "2"]).await;
    let (ann, ben) = app.two_users().await;
    let create = async |client: &Client| {
        let input = json!({ "name": "s", "information": "i" });
        client
            .mutate("createChatSession", input, "chatSession { id }")
            .await
    };
    let direct = async |client: &Client, other: &Client| {
        let input = json!({ "userId": other.id });
        client
            .mutate("startDirectChat", input, "chatSession { id }")
            .await
    };
    let own = create(&ann).await.text("createChatSession.chatSession.id");
    create(&ann).await.data();
    let other = create(&ben).await.text("createChatSession.chatSession.id");
    let join = async |session: &str| act(&ann, "joinChatSession", session, json!({})).await;

    assert_eq!(create(&ann).await.code(), "LIMIT_EXCEEDED");
    assert_eq!(direct(&ann, &ben).await.code(), "LIMIT_EXCEEDED");
    assert_eq!(join(&other).await.code(), "LIMIT_EXCEEDED");
    // What one takes part in already is no more than before, and others may always write to one.
    join(&own).await.data();
    direct(&ben, &ann).await.data();
    direct(&ann, &ben).await.data();

    act(&ann, "leaveChatSession", &own, json!({})).await.data();
    assert_eq!(join(&other).await.code(), "LIMIT_EXCEEDED");
}
