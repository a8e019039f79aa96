//! How many connections, and how much of what has not come completely, one address may hold.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{Instant, timeout},
};
use tokio_tungstenite::client_async;

use crate::support::TestApp;

async fn listen(flags: &[&str]) -> (Arc<TestApp>, SocketAddr) {
    let app = TestApp::with(flags).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(app.server.clone().run(listener));
    (app, address)
}

/// Sends a request, without ending the connection, and returns the status; `None` when the connection is closed.
async fn ask(stream: &mut TcpStream, path: &str, headers: &str) -> Option<StatusCode> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    status(stream).await
}

async fn status(stream: &mut TcpStream) -> Option<StatusCode> {
    let mut part = [0; 4096];
    let read = timeout(Duration::from_secs(30), stream.read(&mut part));
    let read = read.await.expect("no answer").ok().filter(|n| *n > 0)?;
    let text = String::from_utf8_lossy(&part[..read]).into_owned();
    Some(text.split(' ').nth(1).unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_and_health_answers_beyond_them() {
    let (_app, address) = listen(&["--limit-connections-address", "3"]).await;
    let connect = || async { TcpStream::connect(address).await.unwrap() };
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect().await;
        assert_eq!(ask(&mut stream, "/", "").await, Some(StatusCode::OK));
        held.push(stream);
    }
    // A socket is a connection as long as it is open.
    let request = format!("ws://{address}/graphql");
    let (socket, _) = client_async(request, connect().await).await.unwrap();

    for (path, expected) in [
        ("/", StatusCode::TOO_MANY_REQUESTS),
        ("/graphql?query={__typename}", StatusCode::TOO_MANY_REQUESTS),
        ("/healthz", StatusCode::OK),
    ] {
        let mut stream = connect().await;
        assert_eq!(ask(&mut stream, path, "").await, Some(expected), "{path}");
        // And it is closed.
        assert_eq!(ask(&mut stream, path, "").await, None);
    }
    // Two that say nothing take the last places, and soon lose them: on a slow machine, before the third one asks.
    let taken = async {
        loop {
            let (silent, other) = (connect().await, connect().await);
            if ask(&mut connect().await, "/healthz", "").await.is_none() {
                break (silent, other);
            }
        }
    };
    let (mut silent, _other) = timeout(Duration::from_secs(30), taken).await.unwrap();
    assert_eq!(status(&mut silent).await, None);
    let answers = async {
        while ask(&mut connect().await, "/healthz", "").await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), answers).await.unwrap();

    drop(socket);
    let freed = async {
        while ask(&mut connect().await, "/", "").await != Some(StatusCode::OK) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), freed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_each_client_has_so_many_requests_at_once() {
    let flags = [
        "--limit-connections-address",
        "2",
        "--trusted-proxies",
        "127.0.0.1",
    ];
    let (_app, address) = listen(&flags).await;
    let connect = || async { TcpStream::connect(address).await.unwrap() };
    let upgrade = async |client: &str| {
        let headers = format!(
            "X-Forwarded-For: {client}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: graphql-transport-ws\r\n"
        );
        let mut stream = connect().await;
        (ask(&mut stream, "/graphql", &headers).await, stream)
    };
    let (one, two) = (upgrade("192.0.2.1").await, upgrade("192.0.2.1").await);
    for (status, _) in [&one, &two] {
        assert_eq!(*status, Some(StatusCode::SWITCHING_PROTOCOLS));
    }

    let of = async |client: &str| {
        let headers = format!("X-Forwarded-For: {client}\r\n");
        ask(&mut connect().await, "/", &headers).await
    };
    assert_eq!(of("192.0.2.1").await, Some(StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(of("192.0.2.2").await, Some(StatusCode::OK));
    drop(one);
    let freed = async {
        while of("192.0.2.1").await != Some(StatusCode::OK) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), freed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_end_hold_so_many_bytes_and_who_is_refused_waits() {
    const MIB: usize = 1 << 20;
    const PAUSE: Duration = Duration::from_millis(500);
    let flags = [
        "--limit-unread-address",
        "4194304",
        "--limit-request-time",
        "20s",
    ];
    let (app, address) = listen(&flags).await;
    let form = "multipart/form-data; boundary=b";
    let part = "--b\r\nContent-Disposition: form-data; name=\"operations\"\r\n\r\n";
    for (content_type, beginning) in [("application/json", ""), (form, part)] {
        let mut streams = Vec::new();
        for _ in 0..12 {
            let began = Instant::now();
            let mut stream = TcpStream::connect(address).await.unwrap();
            let head = format!(
                "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n\
                 Content-Length: {MIB}\r\n\r\n{beginning}"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            // The server may have refused it before the end.
            let _ = stream.write_all(&vec![b'x'; MIB - 1_000]).await;
            assert!(app.server.unread() <= 4 * MIB);
            streams.push((began, stream));
        }
        // The rest of a form that is refused is awaited for some seconds.
        let answers = streams.into_iter().map(|(began, mut stream)| async move {
            match timeout(Duration::from_secs(8), status(&mut stream)).await {
                Ok(status) => Ok((status, began.elapsed())),
                Err(_) => Err(stream),
            }
        });
        let (mut refused, mut halves) = (Vec::new(), Vec::new());
        for answer in join_all(answers).await {
            match answer {
                Ok(status) => refused.push(status),
                Err(stream) => halves.push(stream),
            }
        }

        assert!(
            (1..=4).contains(&halves.len()),
            "{} wait, {content_type}",
            halves.len()
        );
        let too_many = Some(StatusCode::TOO_MANY_REQUESTS);
        assert!(
            refused
                .iter()
                .all(|(status, waited)| *status == too_many && *waited >= PAUSE),
            "{content_type}: {refused:?}"
        );
        drop(halves);
        let freed = async {
            while app.server.unread() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), freed).await.unwrap();
    }
}
