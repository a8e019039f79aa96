//! `/graphql` over HTTP, after the specification of GraphQL over HTTP: <https://graphql.github.io/graphql-over-http/draft/>.
//!
//! POST accepts JSON only, GET accepts queries only. So no page of another site can make a browser change anything:
//! HTML forms cannot send JSON, and scripts need a CORS preflight.

mod answer;
mod body;
mod credentials;
mod media;

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Map, Value};

use self::{answer::Refused, media::Media};
use crate::{
    access::{Caller, Client},
    error::Error,
    server::{
        execution::{Engine, RawRequest},
        net::{Net, Params},
        socket,
    },
};

/// The state of the handlers of `/graphql`.
struct Endpoint<E: Executor> {
    net: Net,
    engine: Engine<E>,
}

impl<E: Executor> Clone for Endpoint<E> {
    fn clone(&self) -> Self {
        Self {
            net: self.net.clone(),
            engine: self.engine.clone(),
        }
    }
}

/// `/graphql`: queries and mutations over HTTP, everything over WebSocket.
pub fn routes<E: Executor>(net: Net, engine: Engine<E>) -> Router {
    Router::new()
        .route("/graphql", any(graphql::<E>))
        .with_state(Endpoint { net, engine })
}

async fn graphql<E: Executor>(
    State(Endpoint { net, engine }): State<Endpoint<E>>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let client = net.client(&parts);
    if socket::is_upgrade(&parts) {
        return socket::upgrade(net, engine, client, &mut parts);
    }
    if !matches!(parts.method, Method::GET | Method::HEAD | Method::POST) {
        return answer::unknown_method(&parts.method, &client);
    }
    let Some(media) = Media::negotiate(&parts.headers) else {
        let error = Error::bad_request(
            "Responses are application/graphql-response+json or application/json.",
            "응답 형식은 application/graphql-response+json 또는 application/json입니다.",
        );
        return Refused::form(StatusCode::NOT_ACCEPTABLE, error).answer(Media::Json, &client);
    };
    let (params, size) = match read(&net, &parts, body).await {
        Ok(read) => read,
        Err(refused) => return refused.answer(media, &client),
    };
    match run(&net, &engine, &parts, params, size, &client, media).await {
        Ok(response) => response,
        Err(refused) => refused.answer(media, &client),
    }
}

/// The parameters of a request, and their size in bytes.
async fn read(
    net: &Net,
    parts: &Parts,
    body: axum::body::Body,
) -> Result<(Params, usize), Refused> {
    let (object, size) = if parts.method == Method::POST {
        if !media::is_json(&parts.headers) {
            return Err(Refused::form(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Error::bad_request(
                    "Send application/json in UTF-8.",
                    "application/json을 UTF-8로 보내 주세요.",
                ),
            ));
        }
        let limits = &net.app.config.limits;
        let bytes = body::read(body, &parts.headers, limits.body, limits.request_time).await?;
        (from_json(&bytes)?, bytes.len())
    } else {
        let query = parts.uri.query().unwrap_or_default();
        (from_query(query)?, query.len())
    };
    let params = Params::read(object)
        .map_err(|sentence| Refused::form(StatusCode::BAD_REQUEST, Error::BadRequest(sentence)))?;
    Ok((params, size))
}

fn from_json(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    let error = match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(Value::Array(_)) => Error::bad_request(
            "Batches are not supported: send one request at a time.",
            "요청을 묶어 보낼 수 없습니다. 한 번에 하나씩 보내 주세요.",
        ),
        Ok(_) => Error::bad_request(
            "The body must be an object.",
            "요청 본문은 객체여야 합니다.",
        ),
        Err(error) => Error::bad_request(
            format!("The body is not JSON: {error}."),
            format!("요청 본문이 JSON이 아닙니다: {error}."),
        ),
    };
    Err(Refused::form(StatusCode::BAD_REQUEST, error))
}

/// The parameters of a GET request. Maps are JSON; an empty parameter counts as absent.
fn from_query(query: &str) -> Result<Map<String, Value>, Refused> {
    let mut object = Map::new();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = match &*name {
            _ if value.is_empty() => continue,
            "query" | "operationName" => Value::String(value.into_owned()),
            "variables" | "extensions" => serde_json::from_str(&value).map_err(|error| {
                let error = Error::bad_request(
                    format!("The {name} are not JSON: {error}."),
                    format!("{name} 값이 JSON이 아닙니다: {error}."),
                );
                Refused::form(StatusCode::BAD_REQUEST, error)
            })?,
            _ => continue,
        };
        if object.insert(name.to_string(), value).is_some() {
            let error = Error::bad_request(
                format!("There is more than one {name}."),
                format!("{name} 값이 여러 번 있습니다."),
            );
            return Err(Refused::form(StatusCode::BAD_REQUEST, error));
        }
    }
    Ok(object)
}

/// Prepares, authenticates and executes. An invalid document is refused before the bearer token is checked, since
/// whether a bad token matters depends on the operations.
async fn run<E: Executor>(
    net: &Net,
    engine: &Engine<E>,
    parts: &Parts,
    params: Params,
    size: usize,
    client: &Client,
    media: Media,
) -> Result<Response, Refused> {
    let account = net.budget.account(client.neighbourhood());
    // Nothing is started for an address that does not read its responses.
    account.check()?;
    let resolved = net.documents.resolve(params.query, &params.extensions)?;
    let prepared = engine
        .prepare(RawRequest {
            query: resolved.document,
            operation_name: params.operation_name,
            variables: params.variables,
            uploads: Vec::new(),
            account: account.clone(),
            size,
        })
        .await
        .map_err(Refused::document)?;
    match prepared.kind {
        OperationType::Query => {}
        OperationType::Mutation if parts.method == Method::POST => {}
        OperationType::Mutation => {
            return Err(Refused::method(Error::bad_request(
                "Mutations are sent by POST.",
                "뮤테이션은 POST로 보내야 합니다.",
            )));
        }
        OperationType::Subscription => {
            return Err(Refused::form(
                StatusCode::BAD_REQUEST,
                Error::bad_request(
                    "Subscriptions are sent over a WebSocket (graphql-transport-ws).",
                    "구독은 WebSocket(graphql-transport-ws)으로 보내야 합니다.",
                ),
            ));
        }
    }
    if let Some(new) = resolved.new {
        net.documents.keep(new);
    }

    let authenticator = &*net.authenticator;
    let actor = credentials::actor(authenticator, &parts.headers, &prepared.root_fields).await?;
    let may_use_cookie = net.origins.admit(&parts.headers);
    let cookie = may_use_cookie
        .then(|| credentials::refresh_cookie(&parts.headers))
        .flatten();
    let caller = Caller::over_http(client.clone(), actor, cookie, may_use_cookie);

    let result = engine.execute(prepared, caller.clone()).await;

    let mut response = answer::executed(&result, media, &account);
    drop(result);
    if let Some(cookie) = caller.take_cookie() {
        let value = HeaderValue::try_from(cookie).map_err(|e| Refused::from(Error::internal(e)))?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}
