//! Responses: status and body.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use async_graphql::{Response as GraphqlResponse, ServerError, Value};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;

use super::media::Media;
use crate::{
    access::Client,
    budget::Account,
    error::{Error, ErrorCode, short},
    server::execution,
};

/// A request that was not executed.
pub struct Refused {
    errors: Vec<Error>,
    reason: Reason,
}

enum Reason {
    /// The request is malformed as HTTP or as a GraphQL request. The status says how.
    Request(StatusCode),
    /// The document or its variables are invalid.
    Document,
    /// Not by GET.
    Method,
}

impl Refused {
    /// A malformed request.
    pub fn form(status: StatusCode, error: Error) -> Self {
        Self {
            errors: vec![error],
            reason: Reason::Request(status),
        }
    }

    /// A document that was refused before it was executed.
    pub fn document(errors: Vec<Error>) -> Self {
        Self {
            errors,
            reason: Reason::Document,
        }
    }

    /// An operation that must not be sent with this method.
    pub fn method(error: Error) -> Self {
        Self {
            errors: vec![error],
            reason: Reason::Method,
        }
    }

    /// The response. It has no `data`, since nothing was executed.
    pub fn answer(self, media: Media, client: &Client) -> Response {
        #[derive(Serialize)]
        struct Errors<'a> {
            errors: &'a [ServerError],
        }

        let status = match self.reason {
            Reason::Request(status) => status,
            Reason::Method => StatusCode::METHOD_NOT_ALLOWED,
            Reason::Document if media == Media::LegacyJson && self.is_of_document() => {
                StatusCode::OK
            }
            Reason::Document => self.errors.first().map_or(StatusCode::BAD_REQUEST, status),
        };
        let refusal = execution::refusal(&self.errors, client);
        let body = Errors {
            errors: &refusal.errors,
        };
        let mut response = encode(status, media, &body, None);
        let headers = response.headers_mut();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = r#"Bearer realm="madang", error="invalid_token""#;
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static(challenge),
            );
        }
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if let Some(Error::RateLimited { retry_after }) = self.errors.first() {
            let seconds = retry_after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// Whether it was refused because its connection or its address holds too much. Nothing else is `RATE_LIMITED` before
    /// execution.
    pub fn is_of_budget(&self) -> bool {
        matches!(self.errors[..], [Error::RateLimited { .. }])
    }

    fn is_of_document(&self) -> bool {
        self.errors.iter().all(|error| {
            matches!(
                error.code(),
                ErrorCode::GraphqlParseFailed
                    | ErrorCode::GraphqlValidationFailed
                    | ErrorCode::BadRequest
            )
        })
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        let status = status(&error);
        Self {
            errors: vec![error],
            reason: Reason::Request(status),
        }
    }
}

/// The status of a request that was refused with this error.
fn status(error: &Error) -> StatusCode {
    match error.code() {
        // Apollo's clients send the document only after a 200.
        ErrorCode::PersistedQueryNotFound => StatusCode::OK,
        ErrorCode::Unauthenticated
        | ErrorCode::TokenExpired
        | ErrorCode::TokenInvalid
        | ErrorCode::Banned => StatusCode::UNAUTHORIZED,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::Timeout => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// The response after execution: 200, even with errors, unless everything failed because a backend is unavailable.
pub fn executed(response: &GraphqlResponse, media: Media, account: &Account) -> Response {
    let status = if is_all_unavailable(response) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    encode(status, media, response, Some(account))
}

/// A body that is sent in parts, as the client reads them.
struct Parts(Bytes);

/// Bytes of a part.
const PART: usize = 64 << 10;

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.0.len().min(PART);
        let part = self.0.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

fn is_all_unavailable(response: &GraphqlResponse) -> bool {
    let is_empty = match &response.data {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(|value| *value == Value::Null),
        _ => false,
    };
    let unavailable = Value::from(ErrorCode::Unavailable.as_str());
    is_empty
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| {
            let extensions = error.extensions.as_ref();
            extensions.and_then(|e| e.get("code")) == Some(&unavailable)
        })
}

/// A small body, such as that of a refusal, needs no budget.
fn encode(
    status: StatusCode,
    media: Media,
    body: &impl Serialize,
    account: Option<&Account>,
) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let body = match account {
                Some(account) => Body::new(Parts(account.keep(bytes))),
                None => Body::from(bytes),
            };
            let headers = [
                (header::CONTENT_TYPE, media.content_type()),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
                (
                    header::VARY,
                    HeaderValue::from_static("accept, accept-language"),
                ),
            ];
            (status, headers, body).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written as JSON");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// The response to an unsupported method.
pub fn unknown_method(method: &Method, client: &Client) -> Response {
    let refused = Refused::form(
        StatusCode::METHOD_NOT_ALLOWED,
        Error::bad_request(
            format!("The method {} is not allowed here.", short(method)),
            format!("{} 메서드는 쓸 수 없습니다.", short(method)),
        ),
    );
    let mut response = refused.answer(Media::Json, client);
    let allowed = HeaderValue::from_static("GET, HEAD, POST, OPTIONS");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}
