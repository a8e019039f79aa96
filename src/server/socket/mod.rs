//! `/graphql` over WebSocket: the subprotocol graphql-transport-ws, whole, and nothing else.
//!
//! One task per socket. It reads messages, polls the operations, watches the right that the socket was opened with, and
//! sends. Who a socket acts for comes from its `connection_init` alone, never from headers or cookies of the upgrade.

mod close;
mod connection;
mod conversation;
mod ending;
mod message;
mod operations;
mod outgoing;
mod rights;

use async_graphql::Executor;
use axum::{
    extract::{FromRequestParts, WebSocketUpgrade},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use tracing::Instrument;

use self::{close::Close, connection::Connection};
use crate::{
    access::Client,
    error::Error,
    server::{
        execution::{self, Engine},
        net::Net,
    },
};

const SUBPROTOCOL: &str = "graphql-transport-ws";

/// Bytes that are read at once. Small: ten thousand sockets that are silent should cost next to nothing.
const READ_BUFFER: usize = 2 << 10;

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(parts: &Parts) -> bool {
    parts
        .headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the upgrade and serves the socket in a task of its own. A page of a site that we don't know gets 403.
pub async fn upgrade<E: Executor>(
    net: Net,
    engine: Engine<E>,
    client: Client,
    parts: &mut Parts,
) -> Response {
    if !net.origins.admit(&parts.headers) {
        let refusal = execution::refusal(&[Error::Forbidden], &client);
        let body = serde_json::json!({ "errors": refusal.errors });
        return (StatusCode::FORBIDDEN, axum::Json(body)).into_response();
    }
    let mut upgrade = match WebSocketUpgrade::from_request_parts(parts, &()).await {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let offered = offered(parts);
    let is_ours = offered.contains(&SUBPROTOCOL);
    // Who offers others only gets one of them back: a client that finds none fails before it reads why we close.
    if let Some(protocol) = if is_ours {
        Some(SUBPROTOCOL)
    } else {
        offered.first().copied()
    } && let Ok(protocol) = HeaderValue::from_str(protocol)
    {
        upgrade.set_selected_protocol(protocol);
    }
    let limit = net.app.config.limits.frame;
    let span = tracing::info_span!(parent: None, "socket", request_id = %client.request_id);
    upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_frame_size(limit)
        .max_message_size(limit)
        .on_upgrade(move |socket| {
            let tasks = net.tasks.clone();
            let serving = async move {
                if is_ours {
                    Connection::new(net, engine, client).serve(socket).await;
                } else {
                    ending::refuse(socket, Close::subprotocol()).await;
                }
            };
            tasks.track_future(serving.instrument(span))
        })
}

/// The subprotocols that a client offers, in its order.
fn offered(parts: &Parts) -> Vec<&str> {
    parts
        .headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|protocol| !protocol.is_empty())
        .collect()
}
