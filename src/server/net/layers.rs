//! Layers around every request: a request id, the access log, CORS, compression, and security headers.

use std::{any::Any, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tower_http::{
    CompressionLevel,
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowHeaders, CorsLayer},
    set_header::SetResponseHeaderLayer,
};
use tracing::Instrument;
use uuid::Uuid;

use super::origins::Origins;
use crate::error::{Error, Language};

/// The header that carries the id of a request, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Below this many bytes compressing costs more than it saves.
const WORTH_COMPRESSING: u64 = 8 << 10;

/// How long a browser may remember the answer to a CORS preflight.
const PREFLIGHT_AGE: Duration = Duration::from_secs(600);

/// Requests that take this long are logged even if they succeed.
const SLOW: Duration = Duration::from_secs(1);

/// The id of a request: the one that the client sent, if it is safe to log, or a new one.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

impl RequestId {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7().simple().to_string())
    }

    fn accept(sent: &HeaderValue) -> Option<Self> {
        let text = sent.to_str().ok()?;
        let is_harmless = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        is_harmless.then(|| Self(text.to_owned()))
    }
}

/// Wraps `router`, with all its routes, in these layers.
pub fn layered(router: Router, origins: &Origins) -> Router {
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(
            SizeAbove::new(WORTH_COMPRESSING)
                .and(NotForContentType::IMAGES)
                .and(NotForFiles),
        );
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(compression)
        .layer(cors(origins))
        .layer(default_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(default_header(header::REFERRER_POLICY, "no-referrer"))
        .layer(default_header(
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ))
        .layer(from_fn(traced))
}

/// Files are sent as they are: a part of one is a part of these bytes.
#[derive(Clone, Copy)]
struct NotForFiles;

impl Predicate for NotForFiles {
    fn should_compress<B: http_body::Body>(&self, response: &http::Response<B>) -> bool {
        !response.headers().contains_key(header::ACCEPT_RANGES)
    }
}

fn default_header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// Browsers on these origins may call, with cookies.
fn cors(origins: &Origins) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.values().collect::<Vec<_>>())
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            REQUEST_ID,
            header::RETRY_AFTER,
            header::WWW_AUTHENTICATE,
            header::CONTENT_DISPOSITION,
            header::CONTENT_RANGE,
            header::ETAG,
        ])
        .max_age(PREFLIGHT_AGE)
}

/// Gives the request an id, logs it without its query, body or tokens, and returns the id.
async fn traced(mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request
        .headers()
        .get(REQUEST_ID)
        .and_then(RequestId::accept)
        .unwrap_or_else(RequestId::generate);
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let echo = HeaderValue::from_str(&id.0).ok();
    let span = tracing::info_span!("request", request_id = %id.0);
    request.extensions_mut().insert(id);

    let mut response = next.run(request).instrument(span.clone()).await;

    if let Some(echo) = echo {
        response.headers_mut().insert(REQUEST_ID, echo);
    }
    let took = began.elapsed();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let status = response.status();
    span.in_scope(|| {
        let status = status.as_u16();
        if status >= 400 || took >= SLOW {
            tracing::info!(%method, path, status, ms, "answered");
        } else {
            // Logging every request would cost a third of the request itself.
            tracing::debug!(%method, path, status, ms, "answered");
        }
    });
    response
}

/// The panic is printed on standard error. The client is told that it was an internal error.
fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    let error = Error::internal("a request panicked");
    tracing::error!("a request panicked");
    refusal(StatusCode::INTERNAL_SERVER_ERROR, &error)
}

/// The response to a request of which nothing is known, not even the language.
pub(super) fn refusal(status: StatusCode, error: &Error) -> Response<Body> {
    let body = serde_json::json!({ "errors": [{
        "message": error.message(Language::En),
        "extensions": { "code": error.code().as_str() },
    }] });
    (status, axum::Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_harmless_in_a_log_is_taken_over() {
        for (sent, taken) in [
            ("a", true),
            ("01J-b_c.9", true),
            (&*"x".repeat(64), true),
            (&*"x".repeat(65), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("<b>", false),
        ] {
            let header = HeaderValue::from_str(sent).unwrap();
            assert_eq!(RequestId::accept(&header).is_some(), taken, "{sent}");
        }
    }
}
