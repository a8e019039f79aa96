//! Accepts, serves and ends connections over HTTP/1.1.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::patient::Patient;
use crate::config::Limits;

/// Bytes that a connection buffers: the headers of a request, and the part of an answer that is being written.
const BUFFER: usize = 64 << 10;

/// How long to wait when the system cannot accept another connection.
const NO_ROOM: Duration = Duration::from_secs(1);

/// Serves `router` on `listener` until `shutdown`. Then it accepts nothing new and lets running requests finish within
/// `farewell`. Returns whether they did.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: &Limits,
    shutdown: &CancellationToken,
    farewell: Duration,
) -> bool {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(BUFFER)
        .half_close(false);
    // The remaining connections are cut off when this is dropped.
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) if is_of_one(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "cannot accept connections");
                sleep(NO_ROOM).await;
                continue;
            }
        };
        let stream = TokioIo::new(Patient::new(stream, limits.read_time));
        let router = router.clone();
        let service = service_fn(move |request| answer(router.clone(), request, peer));
        let connection = http.serve_connection(stream, service).with_upgrades();
        let shutdown = shutdown.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection);
            let done = tokio::select! {
                done = connection.as_mut() => done,
                () = shutdown.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = done {
                tracing::debug!(%error, "a connection broke");
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    timeout(farewell, all).await.is_ok()
}

async fn answer(
    router: Router,
    request: http::Request<Incoming>,
    peer: SocketAddr,
) -> Result<axum::response::Response, std::convert::Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    router.oneshot(request).await
}

/// Whether the error concerns one connection, and not the listener.
fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}
