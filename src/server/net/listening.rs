//! Accepts, serves and ends connections over HTTP/1.1.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::ConnectInfo,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{Admitted, Connections, layers::refusal, patient::Patient};
use crate::{config::Config, counts::Taken, error::Error};

/// Bytes that a connection buffers: the headers of a request, and the part of an answer that is being written.
const BUFFER: usize = 64 << 10;

/// How long to wait when the system cannot accept another connection.
const NO_ROOM: Duration = Duration::from_secs(1);

/// How long a connection too many may take to send its request.
const SPARE_TIME: Duration = Duration::from_secs(2);

/// Serves `router` on `listener` until `shutdown`. Then it accepts nothing new and lets running requests finish within
/// `farewell`. Returns whether they did.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    config: &Config,
    shutdown: &CancellationToken,
    farewell: Duration,
) -> bool {
    let limits = &config.limits;
    let open = Arc::new(Connections::new(config));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.header_time)
        .max_buf_size(BUFFER)
        .half_close(false);
    let mut spare = http.clone();
    spare.header_read_timeout(SPARE_TIME).keep_alive(false);
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
        let Some(admitted) = open.admit(peer.ip()) else {
            tracing::debug!(%peer, "a connection too many");
            continue;
        };
        let http = if admitted.is_spare { &spare } else { &http };
        let stream = TokioIo::new(Patient::new(stream, limits.read_time));
        let (router, open, admitted) = (router.clone(), Arc::clone(&open), Arc::new(admitted));
        let service = service_fn(move |request| {
            let (open, admitted) = (Arc::clone(&open), Arc::clone(&admitted));
            answer(router.clone(), request, peer, open, admitted)
        });
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
    open: Arc<Connections>,
    admitted: Arc<Admitted>,
) -> Result<Response, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    if admitted.is_spare && request.uri().path() != "/healthz" {
        return Ok(too_many());
    }
    let mut of_client = None;
    if admitted.is_proxy {
        of_client = open.admit_passed_on(peer.ip(), request.headers());
        if of_client.is_none() {
            return Ok(too_many());
        }
    }
    if request.headers().contains_key(header::UPGRADE) {
        // A socket is a connection as long as it is open.
        request.extensions_mut().insert(Open {
            _admitted: admitted,
            _of_client: of_client.take().map(Arc::new),
        });
    }
    let answered = router.oneshot(request).await;
    drop(of_client);
    answered
}

/// What a socket holds while it is open, so that it counts as a connection, or as a request of a proxy's client.
#[derive(Clone)]
pub struct Open {
    _admitted: Arc<Admitted>,
    _of_client: Option<Arc<Taken<IpAddr>>>,
}

fn too_many() -> Response {
    let error = Error::RateLimited {
        retry_after: NO_ROOM,
    };
    let headers = [(header::RETRY_AFTER, NO_ROOM.as_secs().to_string())];
    let refused = refusal(StatusCode::TOO_MANY_REQUESTS, &error);
    (headers, refused).into_response()
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
