//! The least that can be done: axum's WebSockets, and each frame that is posted goes to all sockets of its session. Nothing
//! is saved, parsed or checked.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    extract::{
        Path, State,
        ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    response::Response,
    routing::{get, post},
    serve::ListenerExt,
};
use futures_util::{SinkExt, StreamExt};
use parking_lot::RwLock;
use tokio::sync::mpsc;

/// The sockets of each session, by number.
#[derive(Default)]
struct Sessions(RwLock<HashMap<usize, Vec<mpsc::Sender<Utf8Bytes>>>>);

pub fn serve(port: u16) -> anyhow::Result<()> {
    let sessions = Arc::<Sessions>::default();
    let app = Router::new()
        .route("/", get(|| async { "ok" }))
        .route("/ws/{session}", get(upgrade))
        .route("/emit/{session}", post(emit))
        .with_state(sessions);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
        // As madang does: otherwise small messages wait for one another.
        let listener = listener.tap_io(|socket| drop(socket.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    })
}

async fn emit(
    State(sessions): State<Arc<Sessions>>,
    Path(session): Path<usize>,
    body: String,
) -> &'static str {
    let text = Utf8Bytes::from(body);
    if let Some(sockets) = sessions.0.read().get(&session) {
        for socket in sockets {
            // A socket that is gone or slow gets nothing.
            let _ = socket.try_send(text.clone());
        }
    }
    "{}"
}

async fn upgrade(
    State(sessions): State<Arc<Sessions>>,
    Path(session): Path<usize>,
    upgrade: WebSocketUpgrade,
) -> Response {
    // Small buffers, as madang has them.
    upgrade
        .protocols(["graphql-transport-ws"])
        .read_buffer_size(2 << 10)
        .write_buffer_size(0)
        .on_upgrade(move |socket| follow(socket, sessions, session))
}

async fn follow(socket: WebSocket, sessions: Arc<Sessions>, session: usize) {
    let (mut sender, mut receiver) = socket.split();
    let (queue, mut texts) = mpsc::channel(64);
    sessions.0.write().entry(session).or_default().push(queue);
    loop {
        tokio::select! {
            text = texts.recv() => {
                let Some(text) = text else { return };
                if sender.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            // Whatever it says first is answered as if it had subscribed.
            said = receiver.next() => match said {
                Some(Ok(Message::Text(_))) => {
                    let ready = Message::Text(Utf8Bytes::from_static("ChatReady"));
                    if sender.send(ready).await.is_err() {
                        return;
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
