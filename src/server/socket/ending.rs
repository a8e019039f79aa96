//! How a socket is closed, and what is sent before.

use std::{future::poll_fn, ops::ControlFlow, time::Duration};

use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::{Error, Message};

use super::{close::Close, outgoing::Outgoing};

/// How long sending the last messages may take.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long a client may take to read the reason of a close in the middle of a message.
const LINGER: Duration = Duration::from_millis(500);

pub type WebSocket = WebSocketStream<TokioIo<Upgraded>>;

/// How a socket ends.
pub enum End {
    /// We close it.
    Close(Close),
    /// The server closes it in the middle of a message from the client.
    Abort(Close),
    /// The client closes it.
    Closed,
    /// The client is gone, or does not read.
    Gone,
}

/// Whether a socket goes on.
pub type Step = ControlFlow<End>;

/// Ends with `close`.
pub fn close(close: Close) -> Step {
    ControlFlow::Break(End::Close(close))
}

/// The ending for a message that could not be read.
pub fn broken(error: &Error) -> End {
    match error {
        Error::Capacity(_) => End::Abort(Close::too_big()),
        Error::Utf8(_) => End::Abort(Close::not_text()),
        Error::Protocol(_) => End::Abort(Close::protocol_error()),
        _ => End::Gone,
    }
}

/// Closes a socket that was never served.
pub async fn refuse(socket: WebSocket, close: Close) {
    finish(socket, Outgoing::default(), End::Close(close)).await;
}

/// Sends the last messages and gives the client time to read them. If unread bytes were left in the buffers, the
/// connection would be reset and the last messages lost.
pub async fn finish(mut socket: WebSocket, mut outgoing: Outgoing, end: End) {
    match &end {
        End::Close(close) | End::Abort(close) => {
            tracing::debug!(code = close.code, reason = close.reason, "closed");
        }
        End::Closed => tracing::debug!("closed by the client"),
        End::Gone => tracing::debug!("the client is gone"),
    }
    let is_cut = matches!(end, End::Abort(_));
    match end {
        End::Close(close) | End::Abort(close) => {
            outgoing.push(Message::Close(Some(close.into())));
            let last = poll_fn(|cx| outgoing.poll_drain(cx, &mut socket));
            let said = timeout(FAREWELL, last).await;
            if !matches!(said, Ok(Ok(()))) {
                return;
            }
        }
        End::Closed => {
            // The reply to the client's close is already in the buffer.
            if !matches!(timeout(FAREWELL, socket.flush()).await, Ok(Ok(()))) {
                return;
            }
        }
        End::Gone => return,
    }
    if is_cut {
        sleep(LINGER).await;
    } else {
        // Whether or not the client has closed its side, the wait is over.
        let rest = async { while let Some(Ok(_)) = socket.next().await {} };
        let _ = timeout(FAREWELL, rest).await;
    }
}
