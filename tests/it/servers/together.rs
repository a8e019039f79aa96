//! What is done on one server holds on the other.

use futures_util::future::join_all;
use serde_json::json;

use super::{LONG, Yard, code, next, post, subscribe, text, until};
use crate::support::{PASSWORD, Process, Said, Servers, Socket, ask, call, log_in, mutate};

const WHO: &str = "{ viewer { id } }";
const ADDED: &str = "subscription ($i: ID!) { postAdded(boardId: $i) { title } }";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_on_one_server_is_announced_on_the_other() {
    let yard = Yard::of(Servers::new(&[]).await).await;
    let (ann, _) = log_in(yard.here(), "ann").await;
    let (ben, _) = log_in(yard.there(), "ben").await;
    let board = yard.board("Yard", json!({})).await;
    let mut of_posts = subscribe(yard.there(), &ben, ADDED, &board).await;

    let id = post(yard.here(), &ann, &board, "hello").await;

    let Said::Message(said) = next(&mut of_posts).await else {
        panic!("it is closed");
    };
    assert_eq!(said["payload"]["data"]["postAdded"]["title"], "hello");
    let added = "subscription ($i: ID!) { commentAdded(postId: $i) { content } }";
    let mut of_comments = subscribe(yard.there(), &ben, added, &id).await;
    let input = json!({ "postId": id, "content": "welcome" });
    call(yard.here(), &ann, "createComment", input, "comment { id }").await;
    let Said::Message(said) = next(&mut of_comments).await else {
        panic!("it is closed");
    };
    let comment = &said["payload"]["data"]["commentAdded"];
    assert_eq!(comment["content"], "welcome");
}

/// Reads what is left until the close, whose code it returns.
async fn close(mut socket: Socket) -> Option<u16> {
    loop {
        if let Said::Closed(code) = next(&mut socket).await {
            return code;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_ends_on_one_server_ends_on_the_other() {
    let yard = Yard::of(Servers::new(&[]).await).await;
    let board = yard.board("Yard", json!({})).await;
    let there = yard.there();
    for ending in ["logout", "logoutEverywhere", "ban"] {
        let (token, id) = log_in(yard.here(), "ann").await;
        // It is known there now.
        let answer = there.ask(&token, WHO, json!({})).await;
        assert_eq!(answer["data"]["viewer"]["id"], id, "{answer}");
        let socket = subscribe(there, &token, ADDED, &board).await;

        let done = match ending {
            "ban" => {
                let input = json!({ "id": id, "reason": "noise" });
                mutate(
                    &yard.here().address(),
                    &yard.admin,
                    "banUser",
                    input,
                    "user { id }",
                )
                .await
                .unwrap()
            }
            name => {
                let out = format!("mutation {{ {name} {{ success }} }}");
                yard.here().ask(&token, &out, json!({})).await
            }
        };

        assert!(done["errors"].is_null(), "{done}");
        let expected = if ending == "ban" {
            "BANNED"
        } else {
            "TOKEN_INVALID"
        };
        until(async || code(&there.ask(&token, WHO, json!({})).await) == expected).await;
        assert_eq!(close(socket).await, Some(4401), "{ending}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_or_a_role_that_is_taken_away_on_one_server_ends_subscriptions_on_the_other() {
    let yard = Yard::of(Servers::new(&[]).await).await;
    let (ann, ann_id) = log_in(yard.there(), "ann").await;
    let (ben, ben_id) = log_in(yard.there(), "ben").await;
    let hidden = json!({ "isVisible": false, "memberIds": [ann_id] });
    let board = yard.board("Secret", hidden).await;
    let role = |role: &str| json!({ "id": ben_id, "role": role });
    call(
        yard.here(),
        &yard.admin,
        "setUserRole",
        role("ADMIN"),
        "user { id }",
    )
    .await;
    let of_ann = subscribe(yard.there(), &ann, ADDED, &board).await;
    let of_ben = subscribe(yard.there(), &ben, ADDED, &board).await;
    let read = "query ($i: ID!) { board(id: $i) { name } }";

    let out = json!({ "id": board, "removeMemberIds": [ann_id] });
    call(yard.here(), &yard.admin, "updateBoard", out, "board { id }").await;
    call(
        yard.here(),
        &yard.admin,
        "setUserRole",
        role("USER"),
        "user { id }",
    )
    .await;

    for (token, mut socket) in [(&ann, of_ann), (&ben, of_ben)] {
        let variables = json!({ "i": board });
        until(async || {
            let answer = yard.there().ask(token, read, variables.clone()).await;
            code(&answer) == "NOT_FOUND"
        })
        .await;
        match next(&mut socket).await {
            // The subscription ends, not the socket.
            Said::Message(said) => {
                let ends = &said["payload"]["errors"][0]["extensions"]["code"];
                assert_eq!(ends, "NOT_FOUND", "{said}");
            }
            closed => panic!("{closed:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_views_likes_and_unique_names_hold_across_servers() {
    const READERS: usize = 8;
    let yard = Yard::of(Servers::new(&[]).await).await;
    let (ann, _) = log_in(yard.here(), "ann").await;
    let board = yard.board("Yard", json!({})).await;
    let id = post(yard.here(), &ann, &board, "hello").await;
    let addresses: Vec<_> = yard.running.iter().map(|server| server.address()).collect();
    let at = |n: usize| addresses[n % addresses.len()].as_str();

    // Of all who want a name at once, one gets it, and the others are told why.
    let sign_up = |n: usize, name: String| async move {
        let email = format!("{name}{n}@example.org");
        let input = json!({ "name": name, "email": email, "password": PASSWORD });
        let done = mutate(at(n), "", "signUp", input, "user { id }").await;
        done.unwrap()
    };
    let all = join_all((0..READERS).map(|n| sign_up(n, "carol".to_owned()))).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|done| done["errors"].is_null());
    assert_eq!(made.len(), 1, "{made:?}");
    assert!(
        refused.iter().all(|done| code(done) == "CONFLICT"),
        "{refused:?}"
    );

    // Everyone likes, reads and comments on both servers at once.
    join_all((0..READERS).map(|n| sign_up(n, format!("reader{n}")))).await;
    let of_one = |n: usize| {
        let (yard, id) = (&yard, &id);
        async move {
            let (token, _) = log_in(yard.here(), &format!("reader{n}")).await;
            let token = token.as_str();
            let both = (0..4).map(|turn| async move {
                let input = json!({ "id": id });
                let liked = mutate(at(turn), token, "likePost", input, "post { id }").await;
                let read = "query ($i: ID!) { post(id: $i) { content } }";
                let read = ask(at(turn), token, read, json!({ "i": id })).await;
                let input = json!({ "postId": id, "content": "c" });
                let said = mutate(at(turn), token, "createComment", input, "comment { id }").await;
                for done in [liked, read, said] {
                    let done = done.unwrap();
                    assert!(done["errors"].is_null(), "{done}");
                }
            });
            join_all(both).await;
        }
    };
    join_all((0..READERS).map(of_one)).await;

    let counts = "query ($i: ID!) { post(id: $i) { likeCount commentCount viewCount } }";
    let read = async |n| ask(at(n), &ann, counts, json!({ "i": id })).await.unwrap();
    for n in 0..addresses.len() {
        let post = read(n).await["data"]["post"].clone();
        assert_eq!(post["likeCount"], READERS);
        assert_eq!(post["commentCount"], 4 * READERS);
    }
    // Views are written every ten seconds, by a worker.
    let worker = (addresses.len() > 1).then(|| yard.servers.start_worker());
    until(async || read(1).await["data"]["post"]["viewCount"] == READERS).await;
    drop(worker);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_online_is_known_on_both_servers() {
    const EVENTS: &str =
        "subscription ($i: ID!) { chatEvents(chatSessionId: $i, presence: true) { __typename
        ... on ChatReady { onlineCount } ... on PresenceChanged { onlineCount } } }";
    let yard = Yard::of(Servers::new(&[]).await).await;
    let (ann, _) = log_in(yard.here(), "ann").await;
    let (ben, _) = log_in(yard.there(), "ben").await;
    let input = json!({ "name": "Yard", "information": "i" });
    let made = call(
        yard.here(),
        &ann,
        "createChatSession",
        input,
        "chatSession { id }",
    )
    .await;
    let session = text(&made["chatSession"]["id"]);
    let input = json!({ "id": session });
    call(
        yard.there(),
        &ben,
        "joinChatSession",
        input,
        "chatSession { id }",
    )
    .await;

    let follow = async |server: &Process, token: &str| {
        let mut socket = Socket::open(&server.address(), token).await.unwrap();
        let followed = socket.subscribe(EVENTS, json!({ "i": session }));
        followed.await.unwrap();
        socket
    };
    let mut of_ann = follow(yard.here(), &ann).await;
    let mut of_ben = follow(yard.there(), &ben).await;

    for socket in [&mut of_ann, &mut of_ben] {
        let both_are_there = async {
            loop {
                let Said::Message(said) = next(socket).await else {
                    panic!("it is closed");
                };
                let event = &said["payload"]["data"]["chatEvents"];
                if event["onlineCount"] == 2 {
                    return;
                }
            }
        };
        let seen = tokio::time::timeout(LONG, both_are_there).await;
        seen.expect("the other one is not seen");
    }
}
