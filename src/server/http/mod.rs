//! `/graphql` over HTTP, after the specification of GraphQL over HTTP: <https://graphql.github.io/graphql-over-http/draft/>.
//!
//! POST accepts JSON and multipart forms with files, GET accepts queries only. No page of another site can make a browser
//! change anything: HTML forms cannot send JSON, scripts need a CORS preflight to do so, and a multipart form is refused if
//! it comes from another site.

mod answer;
mod body;
mod credentials;
pub mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod media;
mod multipart;

use std::time::Duration;

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    Router,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::{Map, Value};
use tokio::time::{sleep, timeout};

use self::{answer::Refused, media::Media, multipart::Form};
use crate::{
    access::{Caller, Client},
    ai::graphql::WITH_DATASETS,
    budget::{Account, Arriving, Held, Turn, Turning},
    config::Limits,
    error::Error,
    server::{
        execution::{Engine, RawRequest},
        net::{self, Net, Params},
        socket,
    },
};

/// How long a client waits to be told that its address holds too much. Otherwise one that tries again at once would keep the
/// server busy with refusing it. The connection still counts, and nothing of the body is held meanwhile.
const PAUSE: Duration = Duration::from_millis(500);
/// So many bytes of a request take a turn as long as one object does.
const AN_OBJECT: usize = 256;

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
    let boundary = media::boundary(&parts.headers).filter(|_| parts.method == Method::POST);
    let account = net.budget.account(client.neighbourhood());
    let answered = match boundary {
        Some(boundary) => {
            let arriving = Arriving::new(&net.budget, client.neighbourhood());
            let form = Form::new(&net.app.config, &parts.headers, body, boundary, arriving);
            // Boxed: other requests would copy a future as large.
            Box::pin(upload(
                &net, &engine, &parts, form, &client, &account, media,
            ))
            .await
        }
        None => match read(&net, &parts, body, &account, &client).await {
            Ok(asked) => run(&net, &engine, &parts, asked, None, &client, &account, media).await,
            Err(refused) => Err(refused),
        },
    };
    match answered {
        Ok(response) => response,
        Err(refused) => {
            if refused.is_of_budget() {
                sleep(PAUSE).await;
            }
            refused.answer(media, &client)
        }
    }
}

/// What a request asks for.
struct Asked<'a> {
    object: Map<String, Value>,
    /// Bytes of its text.
    size: usize,
    /// What it takes in memory.
    held: Held,
    /// The turn to read it and to prepare it.
    turn: Turn<'a>,
}

impl<'a> Asked<'a> {
    /// Reads `text`, when it is the turn of a text as long.
    async fn read(
        account: &'a Account,
        text: &[u8],
        limits: &Limits,
        read: impl FnOnce() -> Result<Map<String, Value>, Refused>,
    ) -> Result<Self, Refused> {
        // Nothing is started for an address that does not read its responses.
        account.check()?;
        let turn = account.turn(Turning::Request, (text.len() / AN_OBJECT) as u64);
        let turn = timeout(limits.request_time, turn)
            .await
            .map_err(|_| Error::Timeout)?;
        let held = net::hold(account, text, limits.values)?;
        Ok(Self {
            object: read()?,
            size: text.len(),
            held,
            turn,
        })
    }
}

/// The parameters of a request.
async fn read<'a>(
    net: &Net,
    parts: &Parts,
    body: axum::body::Body,
    account: &'a Account,
    client: &Client,
) -> Result<Asked<'a>, Refused> {
    let limits = &net.app.config.limits;
    if parts.method != Method::POST {
        let query = parts.uri.query().unwrap_or_default();
        return Asked::read(account, query.as_bytes(), limits, || from_query(query)).await;
    }
    if !media::is_json(&parts.headers) {
        return Err(Refused::form(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Error::bad_request(
                "Send application/json in UTF-8, or multipart/form-data with files.",
                "UTF-8 application/json 또는 파일을 담은 multipart/form-data를 보내 주세요.",
            ),
        ));
    }
    // Counted here until it is held as what it was read to.
    let mut arriving = Arriving::new(&net.budget, client.neighbourhood());
    let time = limits.request_time;
    let bytes = body::read(body, &parts.headers, limits.body, time, &mut arriving).await?;
    Asked::read(account, &bytes, limits, || from_json(&bytes)).await
}

/// Runs a request with files.
async fn upload<E: Executor>(
    net: &Net,
    engine: &Engine<E>,
    parts: &Parts,
    mut form: Form,
    client: &Client,
    account: &Account,
    media: Media,
) -> Result<Response, Refused> {
    let run = async |form: &mut Form| {
        // A browser sends such a form to any site, without asking that site first.
        if !net.origins.admit(&parts.headers) {
            return Err(Refused::form(StatusCode::FORBIDDEN, Error::Forbidden));
        }
        let operations = form.operations().await?;
        let map = form.map().await?;
        let limits = &net.app.config.limits;
        let read = || {
            let mut object = from_json(&operations)?;
            form.apply(&map, &mut object)?;
            Ok(object)
        };
        let asked = Asked::read(account, &operations, limits, read).await?;
        run(
            net,
            engine,
            parts,
            asked,
            Some(form),
            client,
            account,
            media,
        )
        .await
    };
    let answered = run(&mut form).await;
    form.end().await;
    answered
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
#[expect(clippy::too_many_arguments, reason = "what a request consists of")]
async fn run<E: Executor>(
    net: &Net,
    engine: &Engine<E>,
    parts: &Parts,
    asked: Asked<'_>,
    form: Option<&mut Form>,
    client: &Client,
    account: &Account,
    media: Media,
) -> Result<Response, Refused> {
    let params = Params::read(asked.object)
        .map_err(|sentence| Refused::form(StatusCode::BAD_REQUEST, Error::BadRequest(sentence)))?;
    let resolved = net.documents.resolve(params.query, &params.extensions)?;
    let mut prepared = engine
        .prepare(RawRequest {
            query: resolved.document,
            operation_name: params.operation_name,
            variables: params.variables,
            uploads: form.as_ref().map_or(0, |form| form.files()),
            account: account.clone(),
            size: asked.size,
            held: asked.held,
        })
        .await
        .map_err(Refused::document)?;
    drop(asked.turn);
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

    if let Some(form) = form {
        // Not a byte is taken from callers who may not do this anyway.
        if let Some(barred) = engine.barred(&prepared, &caller) {
            return Ok(answer::executed(&barred, media, account));
        }
        let most = net.app.config.max_storage_per_user;
        // Nor from anybody else who is not signed in.
        let user = caller.actor().id().filter(|_| form.files() > 0);
        let uploading = user.map(|user| net.uploads.begin(user, most));
        if uploading.is_none() && form.files() > 0 {
            return Err(Error::Unauthenticated.into());
        }
        let mut fields = prepared.root_fields.iter();
        if fields.any(|field| WITH_DATASETS.contains(&field.as_str())) {
            let config = &net.app.config;
            form.allow(config.max_dataset_size.max(config.max_file_size));
        }
        let received = Box::pin(form.receive(uploading)).await?;
        prepared = prepared.with_uploads(received.files, received.time);
    }
    let result = engine.execute(prepared, caller.clone()).await;

    let mut response = answer::executed(&result, media, account);
    drop(result);
    if let Some(cookie) = caller.take_cookie() {
        let value = HeaderValue::try_from(cookie).map_err(|e| Refused::from(Error::internal(e)))?;
        response.headers_mut().append(header::SET_COOKIE, value);
    }
    Ok(response)
}
