//! Chat through the sockets of real servers: the end of a right on another server, and clients that do not read.

use std::{fs, time::Duration};

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::{PASSWORD, Process, Said, Servers, Socket, call, log_in};

const EVENTS: &str = "subscription ($s: ID!, $a: String) { chatEvents(chatSessionId: $s, after: $a) { __typename cursor
    ... on ChatAdded { chat { seq content } } } }";

/// Less than the time after which a server looks for itself: what comes within it was told by the bus.
const SOON: Duration = Duration::from_secs(5);

async fn next(socket: &mut Socket) -> Said {
    let said = tokio::time::timeout(SOON, socket.next()).await;
    said.expect("nothing comes").unwrap()
}

/// The event of the next message.
async fn event(socket: &mut Socket) -> Value {
    match next(socket).await {
        Said::Message(said) => said["payload"]["data"]["chatEvents"].clone(),
        closed => panic!("{closed:?}"),
    }
}

/// A socket that follows the session from now on.
async fn follow(server: &Process, token: &str, session: &str) -> Socket {
    let socket = Socket::open(&server.address(), token).await.unwrap();
    subscribe(socket, session).await
}

/// The same with so small a buffer that the server notices soon when nothing is read.
async fn follow_narrowly(server: &Process, token: &str, session: &str) -> Socket {
    let narrow = TcpSocket::new_v4().unwrap();
    narrow.set_recv_buffer_size(4 << 10).unwrap();
    let stream = narrow.connect(server.address().parse().unwrap());
    let socket = Socket::over(stream.await.unwrap(), token).await.unwrap();
    subscribe(socket, session).await
}

async fn subscribe(mut socket: Socket, session: &str) -> Socket {
    socket
        .subscribe(EVENTS, json!({ "s": session }))
        .await
        .unwrap();
    assert_eq!(event(&mut socket).await["__typename"], "ChatReady");
    socket
}

async fn new_session(server: &Process, token: &str, invited: &[&str]) -> String {
    let input = json!({ "name": "Yard", "information": "i", "inviteIds": invited });
    let created = call(
        server,
        token,
        "createChatSession",
        input,
        "chatSession { id }",
    )
    .await;
    created["chatSession"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_right_reaches_the_sockets_of_every_server() {
    let servers = Servers::new(&[]).await;
    for name in ["ann", "ben"] {
        servers.user(name).await;
    }
    let running: Vec<_> = (0..servers.count()).map(|_| servers.start()).collect();
    let here = &running[0];
    let (ann, ann_id) = log_in(here, "ann").await;
    let (ben, ben_id) = log_in(here, "ben").await;
    let session = new_session(here, &ann, &[&ben_id]).await;
    let input = json!({ "id": session });
    call(here, &ben, "joinChatSession", input, "chatSession { id }").await;

    let mut of_ben = Vec::new();
    for server in &running {
        of_ben.push(follow(server, &ben, &session).await);
    }
    let out = json!({ "id": session, "userIds": [ben_id] });
    call(
        here,
        &ann,
        "removeChatParticipants",
        out,
        "chatSession { id }",
    )
    .await;
    let words = json!({ "chatSessionId": session, "content": "secret" });
    call(here, &ann, "sendChat", words, "chat { id }").await;

    for socket in &mut of_ben {
        match next(socket).await {
            Said::Message(said) => {
                let code = &said["payload"]["errors"][0]["extensions"]["code"];
                assert_eq!(code, "FORBIDDEN", "{said}");
            }
            closed => panic!("{closed:?}"),
        }
        match next(socket).await {
            Said::Message(said) => assert_eq!(said["type"], "complete"),
            closed => panic!("{closed:?}"),
        }
    }

    let mut of_ann = Vec::new();
    for server in &running {
        of_ann.push(follow(server, &ann, &session).await);
    }
    let input = json!({ "id": ann_id, "currentPassword": PASSWORD });
    call(here, &ann, "deleteUser", input, "deletedUserId").await;

    for socket in &mut of_ann {
        // The subscription may end first, with an error of its own.
        let closed = loop {
            match next(socket).await {
                Said::Message(said) if said["type"] == "complete" => {}
                Said::Message(said) => {
                    let code = &said["payload"]["errors"][0]["extensions"]["code"];
                    assert_eq!(code, "TOKEN_INVALID", "{said}");
                }
                closed @ Said::Closed(_) => break closed,
            }
        };
        assert!(matches!(closed, Said::Closed(Some(4401))), "{closed:?}");
    }
}

/// KiB of memory that the server has.
fn memory(server: &Process) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let words = line.unwrap().split_whitespace().nth(1).unwrap();
    words.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_cost_little_memory_and_hold_nobody_up() {
    const CHATS: usize = 400;
    const SLOW: usize = 100;
    let many = (SLOW + 10).to_string();
    let servers = Servers::new(&["--limit-sockets", &many]).await;
    servers.user("ann").await;
    let server = servers.start();
    let (ann, _) = log_in(&server, "ann").await;
    let session = new_session(&server, &ann, &[]).await;
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(follow_narrowly(&server, &ann, &session).await);
    }
    let mut quick = follow(&server, &ann, &session).await;
    let before = memory(&server);

    // 400 chats of 6 KB for 100 subscribers: 240 MB, if they were kept for each.
    let content = "마".repeat(2_000);
    let reading = tokio::spawn(async move {
        for seq in 1..=CHATS {
            let event = event(&mut quick).await;
            assert_eq!(event["chat"]["seq"], seq);
        }
    });
    for _ in 0..CHATS {
        let input = json!({ "chatSessionId": session, "content": content });
        call(&server, &ann, "sendChat", input, "chat { id }").await;
    }
    reading.await.unwrap();

    let grown = memory(&server).saturating_sub(before) / 1024;
    assert!(grown < 100, "{grown} MiB");
    // Whoever reads at last is told everything, or was cut off.
    let mut cut = 0;
    for mut socket in slow {
        for seq in 1..=CHATS {
            match tokio::time::timeout(SOON, socket.next()).await.unwrap() {
                Ok(Said::Message(said)) => {
                    assert_eq!(said["payload"]["data"]["chatEvents"]["chat"]["seq"], seq);
                }
                Ok(Said::Closed(_)) | Err(_) => {
                    cut += 1;
                    break;
                }
            }
        }
    }
    println!("{grown} MiB for {SLOW} clients that do not read; {cut} of them were cut off");
}
