//! `/graphql` over WebSocket: the complete subprotocol graphql-transport-ws, and no other.
//!
//! One task per socket reads messages, polls the operations, watches the socket's right, and sends. The caller comes
//! from `connection_init` alone, never from headers or cookies of the upgrade request.

mod alarm;
mod close;
mod connection;
mod conversation;
mod ending;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod message;
mod operations;
mod outgoing;
mod rights;

use async_graphql::Executor;
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tracing::Instrument;
use tungstenite::{
    handshake::derive_accept_key,
    protocol::{Role, WebSocketConfig},
};

use self::{close::Close, connection::Connection, ending::WebSocket};
use crate::{
    access::Client,
    error::Error,
    server::{
        execution::{self, Engine},
        net::{Net, listening::Open},
    },
};

const SUBPROTOCOL: &str = "graphql-transport-ws";

/// The size of the read buffer. Small, so that ten thousand silent sockets cost little.
const READ_BUFFER: usize = 2 << 10;

/// Whether a request asks for a WebSocket.
pub fn is_upgrade(parts: &Parts) -> bool {
    parts
        .headers
        .get(header::UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers the upgrade request and serves the socket in its own task. Pages of unknown sites get 403.
pub fn upgrade<E: Executor>(
    net: Net,
    engine: Engine<E>,
    client: Client,
    parts: &mut Parts,
) -> Response {
    if !net.origins.admit(&parts.headers) {
        return refuse(StatusCode::FORBIDDEN, &Error::Forbidden, &client);
    }
    let handshake = match Handshake::read(parts) {
        Ok(handshake) => handshake,
        Err(error) => {
            let mut response = refuse(StatusCode::BAD_REQUEST, &error, &client);
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_VERSION, VERSION);
            return response;
        }
    };
    let limits = &net.app.config.limits;
    let Some(anonymous) = net
        .anonymous
        .take(client.neighbourhood(), limits.anonymous_sockets)
    else {
        let error = Error::RateLimited {
            retry_after: limits.init_time,
        };
        return refuse(StatusCode::TOO_MANY_REQUESTS, &error, &client);
    };
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BUFFER;
    // Each frame is written at once.
    config.write_buffer_size = 0;
    config.max_frame_size = Some(limits.frame);
    config.max_message_size = Some(limits.frame);

    let offered = offered(&parts.headers);
    let is_ours = offered.contains(&SUBPROTOCOL);
    // A client that offers only other subprotocols gets one of them back. Without any, it would fail before it reads
    // the reason of the close.
    let protocol = if is_ours {
        Some(SUBPROTOCOL)
    } else {
        offered.first().copied()
    };
    let protocol = protocol.and_then(|protocol| HeaderValue::from_str(protocol).ok());
    let Handshake { accept, on_upgrade } = handshake;
    let open = parts.extensions.remove::<Open>();
    // Of the level of what is told in it: otherwise each delivery would enter it.
    let span = tracing::debug_span!(parent: None, "socket", request_id = %client.request_id);
    let tasks = net.tasks.clone();
    let serving = async move {
        let _open = open;
        let upgraded = match on_upgrade.await {
            Ok(upgraded) => TokioIo::new(upgraded),
            Err(error) => {
                tracing::debug!(%error, "an upgrade failed");
                return;
            }
        };
        let socket: WebSocket =
            WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
        if is_ours {
            let connection = Connection::new(net, engine, client, anonymous);
            connection.serve(socket).await;
        } else {
            ending::refuse(socket, Close::subprotocol()).await;
        }
    };
    tasks.spawn(serving.instrument(span));

    let headers = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, headers, Body::empty()).into_response();
    if let Some(protocol) = protocol {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The version of the WebSocket protocol, that of RFC 6455.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// What the handshake of RFC 6455 (4.2) contains.
struct Handshake {
    /// Proves to the client that the server speaks WebSocket.
    accept: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Handshake {
    /// # Errors
    /// `BAD_REQUEST` for an invalid handshake.
    fn read(parts: &mut Parts) -> Result<Self, Error> {
        let wrong = |what: &str| {
            Error::bad_request(
                format!("Not the handshake of a WebSocket: {what}."),
                format!("WebSocket 핸드셰이크가 올바르지 않습니다: {what}."),
            )
        };
        let headers = &parts.headers;
        let has = |name: HeaderName, token: &str| {
            headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|value| value.trim().eq_ignore_ascii_case(token))
        };
        if parts.method != http::Method::GET || parts.version != http::Version::HTTP_11 {
            return Err(wrong("GET, HTTP/1.1"));
        }
        if !has(header::CONNECTION, "upgrade") {
            return Err(wrong("Connection: Upgrade"));
        }
        if !has(header::SEC_WEBSOCKET_VERSION, "13") {
            return Err(wrong("Sec-WebSocket-Version: 13"));
        }
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(|key| key.len() == KEY_LENGTH)
            .ok_or_else(|| wrong("Sec-WebSocket-Key"))?;
        let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
        let accept = accept.map_err(|error| Error::internal(error))?;
        let on_upgrade = parts
            .extensions
            .remove::<OnUpgrade>()
            .ok_or_else(|| wrong("HTTP/1.1"))?;
        Ok(Self { accept, on_upgrade })
    }
}

/// Characters of 16 bytes in Base64.
const KEY_LENGTH: usize = 24;

fn refuse(status: StatusCode, error: &Error, client: &Client) -> Response {
    let refusal = execution::refusal(std::slice::from_ref(error), client);
    let body = serde_json::json!({ "errors": refusal.errors });
    (status, axum::Json(body)).into_response()
}

/// The subprotocols that a client offers, in order.
fn offered(headers: &HeaderMap) -> Vec<&str> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|protocol| !protocol.is_empty())
        .collect()
}
