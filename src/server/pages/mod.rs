//! Pages for people and monitoring: the landing page, the chat page, GraphiQL, the schema's text, health.

mod embedded;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::State,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::app::Backend;

/// Pages load nothing from other servers.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; \
     object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The chat page needs its own script and style sheet, and this server; nothing else.
const CHAT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

/// Asks every backend whether it answers.
pub type ReadyCheck = Arc<dyn Fn() -> BoxFuture<'static, Vec<Backend>> + Send + Sync>;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// The printed schema, unless introspection is off.
    pub sdl: Option<Bytes>,
    /// Whether GraphiQL is served.
    pub graphiql: bool,
    pub ready: ReadyCheck,
    /// During shutdown the server is not ready.
    pub shutdown: CancellationToken,
}

/// `/`, `/chat`, `/graphiql`, `/schema.graphql`, `/healthz`, `/readyz`, and 404 for unknown paths. Merge it with the other
/// routes before adding the layers.
pub fn routes(pages: Pages) -> Router {
    let mut router = embedded::routes(embedded::CHAT, CHAT_SECURITY_POLICY)
        .route("/", get(landing))
        .route("/schema.graphql", get(schema))
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed);
    if pages.graphiql {
        router = router.merge(embedded::routes(
            embedded::GRAPHIQL,
            CONTENT_SECURITY_POLICY,
        ));
    }
    router.with_state(Arc::new(pages))
}

async fn landing(State(pages): State<Arc<Pages>>) -> Response {
    const HEAD: &str = include_str!("landing.html");
    let graphiql = if pages.graphiql {
        r#"<li><a href="/graphiql">GraphiQL</a>: write queries in the browser</li>"#
    } else {
        ""
    };
    let schema = if pages.sdl.is_some() {
        r#"<li><a href="/schema.graphql">schema.graphql</a>: the whole contract as text</li>"#
    } else {
        ""
    };
    let page = HEAD
        .replace("<!-- graphiql -->", graphiql)
        .replace("<!-- schema -->", schema);
    let headers = [(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY)];
    (headers, Html(page)).into_response()
}

async fn schema(State(pages): State<Arc<Pages>>) -> Response {
    let Some(sdl) = &pages.sdl else {
        return not_found().await;
    };
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (headers, sdl.clone()).into_response()
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    backends: BTreeMap<&'static str, &'static str>,
}

async fn readyz(State(pages): State<Arc<Pages>>) -> Response {
    let backends = (pages.ready)().await;
    let ready = !pages.shutdown.is_cancelled() && backends.iter().all(|backend| backend.is_up);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let readiness = Readiness {
        ready,
        backends: backends
            .iter()
            .map(|b| (b.name, if b.is_up { "up" } else { "down" }))
            .collect(),
    };
    (
        status,
        [(header::CACHE_CONTROL, "no-store")],
        Json(readiness),
    )
        .into_response()
}

async fn not_found() -> Response {
    refusal(StatusCode::NOT_FOUND, "NOT_FOUND", "There is no such page.")
}

async fn method_not_allowed() -> Response {
    refusal(
        StatusCode::METHOD_NOT_ALLOWED,
        "BAD_REQUEST",
        "This method is not allowed here.",
    )
}

fn refusal(status: StatusCode, code: &str, message: &str) -> Response {
    let body =
        serde_json::json!({ "errors": [{ "message": message, "extensions": { "code": code } }] });
    (status, Json(body)).into_response()
}
