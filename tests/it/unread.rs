//! Clients that do not read, or say nothing: what they hold is bounded, and given back.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt, future::join_all};
use http::HeaderValue;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use tungstenite::client::IntoClientRequest;

use crate::support::{Client, TestApp, any_board};

const MIB: usize = 1 << 20;
/// Posts of a list, each with so much content: 4 MiB, of which the system takes no more than a part.
const POSTS: usize = 84;
const CONTENT: usize = 50_000;

/// A server that listens, and a user who may read a list of 4 MiB on it.
struct Library {
    app: Arc<TestApp>,
    ann: Client,
    address: SocketAddr,
}

const LIST: &str = "{ posts(first: 100) { nodes { content } } }";

impl Library {
    async fn open(flags: &[&str]) -> Self {
        let app = TestApp::with(flags).await;
        let (admin, ann) = (app.admin().await, app.user("ann").await);
        let board = admin.board(any_board()).await;
        for _ in 0..POSTS {
            let content = "m".repeat(CONTENT);
            let input = json!({ "boardId": board, "title": "t", "content": content });
            ann.mutate("createPost", input, "post { id }").await.data();
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(app.server.clone().run(listener));
        Self { app, ann, address }
    }

    /// A connection that takes little at a time.
    async fn connect(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    fn request(&self) -> String {
        let body = json!({ "query": LIST }).to_string();
        format!(
            "POST /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            self.ann.token.as_ref().unwrap(),
            body.len()
        )
    }

    /// A socket on which nothing was said yet.
    async fn upgrade(&self) -> tungstenite::Result<WebSocketStream<TcpStream>> {
        let mut request = format!("ws://{}/graphql", self.address).into_client_request()?;
        request.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static("graphql-transport-ws"),
        );
        let (socket, _) = client_async(request, self.connect().await).await?;
        Ok(socket)
    }

    async fn socket(&self) -> WebSocketStream<TcpStream> {
        let mut socket = self.upgrade().await.unwrap();
        let init = json!({ "type": "connection_init", "payload": { "token": self.ann.token } });
        say(&mut socket, init).await;
        assert_eq!(hear(&mut socket).await["type"], "connection_ack");
        socket
    }

    /// Waits until what is held is as it should be.
    async fn until(&self, is_right: impl Fn(usize) -> bool) {
        within(async {
            while !is_right(self.app.server.unread()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    /// Waits until nothing is held any more.
    async fn is_given_back(&self) {
        self.until(|held| held == 0).await;
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.unwrap()
}

async fn say(socket: &mut WebSocketStream<TcpStream>, message: Value) {
    let message = Message::text(message.to_string());
    socket.send(message).await.unwrap();
}

async fn hear(socket: &mut WebSocketStream<TcpStream>) -> Value {
    loop {
        match within(socket.next()).await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The first bytes that come back on a connection, or all there are.
async fn beginning(stream: &mut TcpStream) -> String {
    let mut part = Vec::new();
    within(stream.take(1 << 10).read_to_end(&mut part))
        .await
        .unwrap();
    String::from_utf8_lossy(&part).into_owned()
}

fn subscribe(id: usize) -> Value {
    json!({ "type": "subscribe", "id": id.to_string(), "payload": { "query": LIST } })
}

/// What comes back on a connection, as far as it comes.
async fn read(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let _ = timeout(Duration::from_secs(60), async {
        let mut part = vec![0; 64 << 10];
        while let Ok(length @ 1..) = stream.read(&mut part).await {
            all.extend_from_slice(&part[..length]);
        }
    })
    .await;
    String::from_utf8_lossy(&all).into_owned()
}

/// Clients that cannot be cut off within a test.
const PATIENT: [&str; 2] = ["--limit-read-time", "10m"];

#[tokio::test(flavor = "multi_thread")]
async fn responses_that_nobody_reads_are_bounded() {
    for (limit, code) in [
        ("--limit-unread-address", "RATE_LIMITED"),
        ("--limit-unread", "UNAVAILABLE"),
    ] {
        let bytes = (8 * MIB).to_string();
        let library = Library::open(&[PATIENT[0], PATIENT[1], limit, &bytes]).await;
        let mut streams = Vec::new();
        let mut refused = 0;

        for _ in 0..40 {
            let mut stream = library.connect().await;
            stream
                .write_all(library.request().as_bytes())
                .await
                .unwrap();
            // In the middle of its execution, or before it began.
            refused += usize::from(beginning(&mut stream).await.contains(code));
            streams.push(stream);
            assert!(library.app.server.unread() < 9 * MIB);
        }

        assert!((36..40).contains(&refused), "{limit}: {refused}");
        drop(streams);
        library.is_given_back().await;
        // Whoever reads gets everything.
        let mut stream = library.connect().await;
        stream
            .write_all(library.request().as_bytes())
            .await
            .unwrap();
        let answer = read(stream).await;
        assert!(
            answer.len() > 4 * MIB && answer.ends_with('}'),
            "{}",
            answer.len()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_are_cut_off_in_time() {
    let library = Library::open(&["--limit-read-time", "1s"]).await;
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = library.connect().await;
        stream
            .write_all(library.request().as_bytes())
            .await
            .unwrap();
        streams.push(stream);
    }
    let mut sockets = vec![library.socket().await, library.socket().await];
    for socket in &mut sockets {
        for id in 0..20 {
            say(socket, subscribe(id)).await;
        }
    }
    // Each has begun, or it would be answered in full once it is read.
    for stream in &mut streams {
        let mut start = [0; 15];
        within(stream.read_exact(&mut start)).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
    }
    library.until(|held| held > 4 * MIB).await;

    library.is_given_back().await;

    for rest in join_all(streams.into_iter().map(read)).await {
        assert!(rest.len() < 4 * MIB, "{} bytes", rest.len());
    }
    for mut socket in sockets {
        within(async { while let Some(Ok(_)) = socket.next().await {} }).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_a_socket_wait_while_its_queue_is_full() {
    let library = Library::open(&PATIENT).await;
    let mut socket = library.socket().await;

    for id in 0..50 {
        say(&mut socket, subscribe(id)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    // Two may have begun before the first was answered; the rest waits.
    assert!(library.app.server.unread() < 3 * 5 * MIB);

    // Nothing is lost: whoever reads on gets all 50.
    let mut done = std::collections::BTreeSet::new();
    while done.len() < 50 {
        let message = hear(&mut socket).await;
        let id = message["id"].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "next" => {
                let nodes = message.pointer("/payload/data/posts/nodes");
                let nodes = nodes.and_then(Value::as_array);
                assert_eq!(
                    nodes.map(Vec::len),
                    Some(POSTS),
                    "{}",
                    message["payload"]["errors"]
                );
                done.insert(id);
            }
            other => assert_eq!(other, "complete"),
        }
    }
    library.is_given_back().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_beside_stalled_ones_gets_every_event_in_order() {
    const EVENTS: usize = 600;
    let library = Library::open(&PATIENT).await;
    let posts = library.ann.query("{ posts { nodes { id } } }").await;
    let post = posts.text("posts.nodes.0.id");
    let query = format!("subscription {{ commentAdded(postId: {post:?}) {{ content }} }}");
    let watching = json!({ "type": "subscribe", "id": "w", "payload": { "query": query } });
    let mut reader = library.socket().await;
    say(&mut reader, watching.clone()).await;
    let mut stalled = Vec::new();
    for _ in 0..10 {
        let mut socket = library.socket().await;
        // What it does not read is before what comes.
        say(&mut socket, subscribe(0)).await;
        say(&mut socket, watching.clone()).await;
        stalled.push(socket);
    }
    // A subscription is not acknowledged: it stands once the answer to what was asked after it is there.
    say(
        &mut reader,
        json!({ "type": "subscribe", "id": "q", "payload": { "query": "{ viewer { id } }" } }),
    )
    .await;
    while hear(&mut reader).await["type"] != "complete" {}

    let ann = library.ann.clone();
    let writing = tokio::spawn(async move {
        for n in 0..EVENTS {
            ann.comment_on(&post, &n.to_string()).await;
        }
    });
    for n in 0..EVENTS {
        let event = hear(&mut reader).await;
        let content = event.pointer("/payload/data/commentAdded/content");
        assert_eq!(content, Some(&json!(n.to_string())), "{event}");
    }

    within(writing).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_do_not_come_end_the_connection() {
    let library = Library::open(&["--limit-header-time", "1s"]).await;
    for beginning in ["", "POST /graphql HTTP/1.1\r\nHost: local"] {
        let mut stream = library.connect().await;
        stream.write_all(beginning.as_bytes()).await.unwrap();

        let answer = within(read(stream)).await;

        assert!(!answer.contains("200 OK"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_sockets_without_a_sign_in() {
    let library = Library::open(&["--limit-anonymous-sockets", "2"]).await;
    // Signed in, these take none.
    let _signed_in = (library.socket().await, library.socket().await);
    let (first, _second) = (
        library.upgrade().await.unwrap(),
        library.upgrade().await.unwrap(),
    );

    match library.upgrade().await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 429),
        other => panic!("{other:?}"),
    }

    drop(first);
    within(async {
        while library.upgrade().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_large_is_one_error_and_not_one_a_row() {
    let library = Library::open(&["--limit-answer", "1000000"]).await;
    for document in [
        LIST,
        // Whatever it is made of: each title is short, and there are many.
        "{ a: posts { nodes { content } } b: posts { nodes { content title } } c: posts { totalCount } }",
    ] {
        let answer = library.ann.query(document).await;

        assert_eq!(answer.errors().len(), 1, "{document}");
        assert_eq!(answer.code(), "LIMIT_EXCEEDED");
    }
    let small = TestApp::with(&["--limit-answer", "20000"]).await;
    for introspection in [
        "{ __schema { types { name description fields { name description } } } }",
        "{ a: __schema { types { name fields { name } } } b: __schema { types { name fields { name } } } }",
    ] {
        let answer = small.anonymous().query(introspection).await;
        assert_eq!(answer.code(), "LIMIT_EXCEEDED", "{}", answer.body);
    }
}

/// A request with a variable of so many empty lists, each of which takes more memory than its text.
fn many_values(values: usize) -> Value {
    json!({ "query": "{ __typename }", "variables": { "lists": vec![json!([]); values] } })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_too_many_values_are_refused_before_they_are_read() {
    let app = TestApp::start().await;
    let ann = app.user("ann").await;

    let answer = ann.post(many_values(9_000).to_string()).await;
    assert!(answer.errors().is_empty(), "{answer:?}");
    let answer = ann.post(many_values(11_000).to_string()).await;
    assert_eq!(
        (answer.code(), answer.status.as_u16()),
        ("LIMIT_EXCEEDED", 400)
    );
    let few = TestApp::with(&["--limit-values", "100"]).await.anonymous();
    let answer = few.post(many_values(40).to_string()).await;
    assert!(answer.errors().is_empty(), "{answer:?}");
    let answer = few.post(many_values(60).to_string()).await;
    assert_eq!(answer.code(), "LIMIT_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operations_of_a_socket_bring_is_held_while_they_run_and_bounded() {
    let bytes = (100 << 10).to_string();
    let library = Library::open(&["--limit-unread-connection", &bytes]).await;
    let mut socket = library.socket().await;
    let boards = library.ann.query("{ boards { nodes { id } } }").await;
    let board = boards.text("boards.nodes.0.id");
    let query = "subscription($b: ID!, $c: String) { postAdded(boardId: $b) { author { posts(after: $c) { nodes { id } } } } }";
    let follow = |id: usize| {
        let variables = json!({ "b": board, "c": "m".repeat(30 << 10) });
        let payload = json!({ "query": query, "variables": variables });
        json!({ "type": "subscribe", "id": id.to_string(), "payload": payload })
    };

    for id in 1..=3 {
        say(&mut socket, follow(id)).await;
    }
    library.until(|held| held > 90 << 10).await;
    say(&mut socket, follow(4)).await;
    let refused = hear(&mut socket).await;
    assert_eq!(
        (&refused["type"], &refused["id"]),
        (&json!("error"), &json!("4"))
    );
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");

    let mut values = many_values(10_500);
    values["query"] = query.into();
    let many = json!({ "type": "subscribe", "id": "5", "payload": values });
    say(&mut socket, many).await;
    let refused = hear(&mut socket).await;
    assert_eq!(
        refused["payload"][0]["extensions"]["code"],
        "LIMIT_EXCEEDED"
    );

    for id in 1..=3 {
        say(
            &mut socket,
            json!({ "type": "complete", "id": id.to_string() }),
        )
        .await;
    }
    library.is_given_back().await;
}
