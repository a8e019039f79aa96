//! How long it takes until a right that ends on one server has ended on the other.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    Args,
    fleet::{Fleet, operation},
};

const WHO: &str = "{ viewer { id } }";
const FOLLOW: &str = "subscription ($i: ID!) { postAdded(boardId: $i) { id } }";

/// Logs out on one server, and asks the other until it refuses and closes the socket.
///
/// # Errors
/// A server refuses too early, or not within ten seconds.
pub fn measure(args: &Args, fleet: &Fleet) -> anyhow::Result<()> {
    let (mut requests, mut sockets) = (Vec::new(), Vec::new());
    for _ in 0..args.ends {
        let token = fleet.log_in("user3")?;
        let (there, here) = (fleet.servers[1].port, fleet.servers[0].port);
        let who = operation(Some(&token), WHO, &json!({}));
        crate::requests::check(&who.json(there)?)?;
        let mut socket = fleet
            .runtime
            .block_on(follow(there, &token, &fleet.board))?;

        let began = Instant::now();
        let out = operation(Some(&token), "mutation { logout { success } }", &json!({}));
        crate::requests::check(&out.json(here)?)?;
        let acknowledged = began.elapsed();
        let closed = fleet.runtime.spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if message.is_close() {
                    return Some(began.elapsed());
                }
            }
            None
        });
        loop {
            let answer = who.send(there)?;
            if answer.status == 401 {
                break;
            }
            anyhow::ensure!(began.elapsed() < Duration::from_secs(10), "it does not end");
        }
        requests.push((began.elapsed().saturating_sub(acknowledged)).as_secs_f64() * 1e3);
        let closed = fleet
            .runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(10), closed).await });
        let closed = closed??.context("the socket was not closed")?;
        sockets.push(closed.saturating_sub(acknowledged).as_secs_f64() * 1e3);
    }
    for (what, mut times) in [
        ("requests are refused", requests),
        ("sockets are closed", sockets),
    ] {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!(
            "log-out on one server, {what} on the other: {:.1} ms after the answer (median), {:.1} (p99), {:.1} (most)",
            at(0.5),
            at(0.99),
            at(1.0)
        );
    }
    println!();
    Ok(())
}

async fn follow(port: u16, token: &str, board: &str) -> anyhow::Result<WebSocketStream<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut request = format!("ws://127.0.0.1:{port}/graphql").into_client_request()?;
    let protocol = "graphql-transport-ws".parse()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = client_async(request, stream).await?;
    let init = json!({ "type": "connection_init", "payload": { "token": token } });
    let payload = json!({ "query": FOLLOW, "variables": { "i": board } });
    let subscribe = json!({ "type": "subscribe", "id": "1", "payload": payload });
    let ping = json!({ "type": "ping" });
    for said in [init, subscribe, ping] {
        socket.send(Message::text(said.to_string())).await?;
    }
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let said: Value = serde_json::from_str(&text)?;
            if said["type"] == "pong" {
                return Ok(socket);
            }
            anyhow::ensure!(said["type"] == "connection_ack", "{said}");
        }
    }
    anyhow::bail!("the socket was closed")
}
